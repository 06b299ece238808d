package flows

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/flows/gate"
)

// End is how a task of a flow's tree has ended. The zero value has not, and has not begun.
type End struct {
	Outcome                      string // success, skipped, failed, cancelled or blocked
	Runs                         bool   // it has not ended, and a worker has it, or it waits for what it has begun
	SkipReason, Error, ErrorKind string
	Attempts                     int
	Result, Outputs              json.RawMessage
	StartedAt, CompletedAt       time.Time // zero: never
}

// Outcome is what a run has come to.
type Outcome struct {
	RunID    string       `json:"run_id"`
	FlowID   string       `json:"flow_id"`
	TreeID   string       `json:"tree_id,omitempty"`
	Revision int          `json:"revision"`
	Outcome  string       `json:"outcome"` // SUCCESS, FAILED or CANCELLED
	Jobs     []JobOutcome `json:"jobs"`
}

// JobOutcome is what a job has come to.
type JobOutcome struct {
	ID          string                     `json:"id"`
	Status      string                     `json:"status"` // SUCCESS, SKIPPED, FAILED, BLOCKED, CANCELLED; PENDING: it has not begun, RUNNING: it has not ended
	Reason      string                     `json:"reason,omitempty"`
	ReasonCode  string                     `json:"reason_code,omitempty"`
	SkipTrigger string                     `json:"skip_trigger,omitempty"`
	ErrorKind   string                     `json:"error_kind,omitempty"`
	Outputs     map[string]json.RawMessage `json:"outputs"`
	Steps       []StepOutcome              `json:"steps"` // none of a job that was blocked, or skipped by its gate
}

// StepOutcome is what a step has come to.
type StepOutcome struct {
	ID          string          `json:"id"`
	Status      string          `json:"status"`
	Reason      string          `json:"reason,omitempty"`
	ReasonCode  string          `json:"reason_code,omitempty"`
	Error       string          `json:"error,omitempty"`
	ErrorKind   string          `json:"error_kind,omitempty"`
	Attempts    int             `json:"attempts"`
	Result      json.RawMessage `json:"result"`
	StartedAt   *time.Time      `json:"started_at"`
	CompletedAt *time.Time      `json:"completed_at"`
}

const (
	succeeded = "SUCCESS"
	failed    = "FAILED"
	skipped   = "SKIPPED"
	blocked   = "BLOCKED"
	cancelled = "CANCELLED"
	pending   = "PENDING"
	running   = "RUNNING"
)

// Outcome says what a run of the tree has come to, by how its tasks have ended, which ends have by their names.
func (t *Tree) Outcome(ends map[string]End) *Outcome {
	out := &Outcome{RunID: t.RunID, FlowID: t.FlowID, Revision: 1, Outcome: succeeded, Jobs: []JobOutcome{}}
	statuses := map[string]string{}
	var steps []int
	for i := range t.Tasks { // the tasks of a job stand together, its fold first
		switch w := &t.Tasks[i]; w.Kind {
		case KindJob:
			statuses[w.Job] = statusOf(ends[w.Name])
		case KindStep:
			steps = append(steps, i)
		}
	}
	for i := range t.Tasks {
		w := &t.Tasks[i]
		if w.Kind != KindJob {
			continue
		}
		j := t.job(w, ends, statuses)
		for len(steps) > 0 && t.Tasks[steps[0]].Job == w.Job {
			t.step(&j, &t.Tasks[steps[0]], ends)
			steps = steps[1:]
		}
		if j.Status == pending && slices.ContainsFunc(j.Steps, func(s StepOutcome) bool { return s.Status != pending || s.StartedAt != nil }) {
			j.Status = running
		}
		switch {
		case j.Status == failed:
			out.Outcome = failed
		case j.Status == cancelled && out.Outcome == succeeded:
			out.Outcome = cancelled
		}
		out.Jobs = append(out.Jobs, j)
	}
	for _, name := range t.locks[""] {
		if ends[name].Outcome == dag.Failed.Outcome() {
			out.Outcome = failed
		}
	}
	return out
}

func statusOf(e End) string {
	switch {
	case e.Outcome == "" && e.Runs:
		return running
	case e.Outcome == "":
		return pending
	}
	return gate.Status(e.Outcome)
}

func (t *Tree) job(w *Coordinates, ends map[string]End, statuses map[string]string) JobOutcome {
	end := ends[w.Name]
	j := JobOutcome{ID: w.Job, Status: statusOf(end), Outputs: map[string]json.RawMessage{}, Steps: []StepOutcome{}}
	switch j.Status {
	case skipped:
		j.ReasonCode, j.Reason = end.SkipReason, gate.SkipReason(end.SkipReason)
		if end.SkipReason != gate.WhenFalse && end.SkipReason != dag.SkipNotSelected {
			j.SkipTrigger = gate.SkippedByStep
		}
	case blocked:
		j.ReasonCode, j.Reason = "flow_failed", "a job above it has failed"
		for _, on := range t.needs[w.Job] {
			if statuses[on] != succeeded {
				j.ReasonCode, j.Reason = "blocked_by:"+on, fmt.Sprintf("%s is %s", on, statuses[on])
				break
			}
		}
	case failed:
		j.Reason = end.Error
		if t.handlers[w.Job] {
			j.ReasonCode = "handler_failed"
		}
		if end.ErrorKind == string(dag.KindTimeout) {
			j.ErrorKind = end.ErrorKind
		}
		for _, name := range t.locks[w.Job] {
			if l := ends[name]; l.Outcome == dag.Failed.Outcome() {
				j.Reason, j.ErrorKind = l.Error, l.ErrorKind
			}
		}
		if g := ends[t.gates[w.Job]]; g.Outcome == string(dag.Failed.Outcome()) {
			j.Reason, j.ErrorKind = g.Error, g.ErrorKind
			if strings.Contains(g.Error, "when.type_error") {
				j.ErrorKind = "when.type_error"
			}
		}
	}
	return j
}

// step adds a step to its job, unless the job never began.
func (t *Tree) step(j *JobOutcome, w *Coordinates, ends map[string]End) {
	if j.Status == blocked || j.Status == skipped && j.ReasonCode == gate.WhenFalse {
		return
	}
	end := ends[w.Name]
	for _, name := range t.locks[w.Name] { // what holds up the step is how it ended
		if l := ends[name]; l.Outcome == dag.Failed.Outcome() || l.Outcome == dag.Skipped.Outcome() && !strings.HasPrefix(l.SkipReason, dag.SkipDependency) {
			l.Result, l.StartedAt, l.Attempts = end.Result, time.Time{}, 0
			end = l
			break
		}
	}
	s := StepOutcome{ID: w.Step, Status: statusOf(end), Error: end.Error, ErrorKind: end.ErrorKind, Attempts: end.Attempts, Result: end.Result, StartedAt: instant(end.StartedAt), CompletedAt: instant(end.CompletedAt)}
	if end.StartedAt.IsZero() && slices.Contains([]string{pending, blocked, cancelled}, s.Status) { // the first attempt has a number before it begins
		s.Attempts = 0
	}
	if s.Status == skipped {
		s.ReasonCode = end.SkipReason
		if strings.HasPrefix(end.SkipReason, dag.SkipDependency) {
			s.ReasonCode = j.ReasonCode
		}
		s.Reason = gate.SkipReason(s.ReasonCode)
	}
	if s.Status == failed && j.ErrorKind == "" {
		j.ErrorKind = s.ErrorKind
	}
	if (s.Status == succeeded || s.Status == skipped) && end.Outputs != nil {
		var outputs map[string]json.RawMessage
		if json.Unmarshal(end.Outputs, &outputs) == nil {
			maps.Copy(j.Outputs, outputs)
		}
	}
	j.Steps = append(j.Steps, s)
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Blocked are the jobs that were blocked.
func (o *Outcome) Blocked() (ids []string) {
	for _, j := range o.Jobs {
		if j.Status == blocked {
			ids = append(ids, j.ID)
		}
	}
	return slices.Clip(ids)
}

// Failed reports whether the run is no success.
func (o *Outcome) Failed() bool { return o.Outcome != succeeded }
