package faults

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/flowtest"
)

// FlowRun is a run of a flow of which it is known what it comes to. Its steps are [Stepping].
type FlowRun struct {
	Flow *flowtest.Flow
	Run  string
	Text []byte
}

// NewFlowRun works out what a flow comes to.
func NewFlowRun(f *flowtest.Flow, run string) (*FlowRun, error) {
	if err := f.Run(); err != nil {
		return nil, err
	}
	return &FlowRun{f, run, f.Text(func(j *flowtest.Job, n int) (string, map[string]any) {
		return SteppingID, map[string]any{"comes": j.Steps[n].Comes, "n": j.Steps[n].N}
	})}, nil
}

// Name is what the run is called by.
func (f *FlowRun) Name() string { return f.Flow.ID + "/" + f.Run }

// Outcome is what the run comes to.
func (f *FlowRun) Outcome() string {
	if slices.ContainsFunc(f.Flow.Jobs, func(j *flowtest.Job) bool { return j.Status == "FAILED" }) {
		return "FAILED"
	}
	return "SUCCESS"
}

// taskOf is what the task of a step is called by.
func taskOf(job string, step int) string { return fmt.Sprintf("%s__s%d", job, step) }

// Came holds what a run came to against what it must: jobs, steps, and what each attempt of a step saw, by what executors noted in dir. ids are its tasks, by [FlowRun.Flow]'s JOB__STEP;
// where a step runs another flow, the task of that one's step. Steps that were kept don't run.
func (f *FlowRun) Came(got []flows.JobOutcome, ids map[string]string, dir string, kept map[string]bool) (problems []string, err error) {
	problem := func(format string, args ...any) {
		problems = append(problems, f.Name()+": "+fmt.Sprintf(format, args...)+"\n"+string(f.Text))
	}
	jobs := map[string]flows.JobOutcome{}
	for _, j := range got {
		jobs[j.ID] = j
	}
	stepping := &Stepping{Dir: dir}
	for _, j := range f.Flow.Jobs {
		if is := jobs[j.ID]; is.Status != j.Status {
			problem("job %s is %s (%s), want %s", j.ID, is.Status, is.Reason, j.Status)
			continue
		}
		for n, want := range j.Ends {
			name := taskOf(j.ID, n)
			saw, err := stepping.Saw(ids[name])
			if err != nil {
				return problems, err
			}
			if runs := !kept[name] && (want == "success" || want == "failed" || want == "skipped" && j.Steps[n].Saw != nil); (len(saw) > 0) != runs {
				problem("%s, which is %s, ran %d times", name, want, len(saw))
			}
			for _, inputs := range saw {
				var is map[string]any
				if err := json.Unmarshal(inputs, &is); err != nil {
					return problems, err
				}
				for _, own := range []string{"comes", "n"} {
					delete(is, own)
				}
				if sees, _ := is["sees"].(map[string]any); j.Steps[n].Calls {
					is = sees
				}
				if saw, want := marshal(is), marshal(j.Steps[n].Saw); saw != want {
					problem("%s saw %s, want %s, of %v", name, saw, want, j.Steps[n].Reads)
				}
			}
		}
	}
	return problems, nil
}

func marshal(v map[string]any) string {
	if len(v) == 0 {
		return "{}"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// InOrder holds the runs of steps against the order that a flow promises: a step begins when the one before it has ended, and in a flow whose jobs follow each other so does a job. A
// step that has ended, and after which another began, does not begin again. ids are as for [FlowRun.Came]; late are runs that could not stop in time.
func (f *FlowRun) InOrder(runs map[string][]*Run, ids map[string]string, late func(*Run) bool) (problems []string) {
	var before []*Run // of the step before
	for _, j := range f.Flow.Jobs {
		if f.Flow.Graph {
			before = nil
		}
		for n := range j.Steps {
			name := taskOf(j.ID, n)
			now := runs[ids[name]]
			if len(now) == 0 {
				continue
			}
			for i, r := range now {
				if i > 0 && !late(now[i-1]) && (now[i-1].End == 0 || now[i-1].End > r.Start) {
					problems = append(problems, fmt.Sprintf("%s: %s runs twice: %s and %s", f.Name(), name, now[i-1], r))
				}
			}
			for i, r := range before {
				switch lost := i < len(before)-1; {
				case late(r):
				case r.Start > now[0].Start:
					problems = append(problems, fmt.Sprintf("%s: what stands before %s began again (%s) after it (%s)", f.Name(), name, r, now[0]))
				case r.End == 0 && !lost, r.End > now[0].Start && !lost:
					problems = append(problems, fmt.Sprintf("%s: what stands before %s (%s) was not over when it began (%s)", f.Name(), name, r, now[0]))
				}
			}
			before = now
		}
	}
	return problems
}

// SettledOf are the steps of a run that have ended with success, or skipped themselves: they never run again.
func SettledOf(jobs []flows.JobOutcome) map[string]bool {
	out := map[string]bool{}
	for _, j := range jobs {
		for _, step := range j.Steps {
			if step.Status == "SUCCESS" || step.Status == "SKIPPED" && step.Attempts > 0 {
				out[j.ID+"__"+step.ID] = true
			}
		}
	}
	return out
}

// Mended is a flow whose steps don't fail.
func Mended(f *flowtest.Flow) *flowtest.Flow {
	out := *f
	out.Jobs = nil
	for _, j := range f.Jobs {
		now := *j
		now.Steps, now.Ends, now.Status, now.Reason, now.Failure = slices.Clone(j.Steps), nil, "", "", ""
		for n := range now.Steps {
			if now.Steps[n].Saw = nil; now.Steps[n].Comes == "failed" {
				now.Steps[n].Comes = "success"
			}
		}
		out.Jobs = append(out.Jobs, &now)
	}
	return &out
}

// StepFails reports whether a job failed by one of its steps, and not by its gate.
func StepFails(j *flowtest.Job) bool { return slices.Contains(j.Ends, "failed") }

// FollowsOn reports whether no job of a flow runs although one before it has failed, so that what it comes to once it is mended does not depend on what ran before.
func FollowsOn(f *flowtest.Flow) bool {
	for _, j := range f.Jobs {
		for _, n := range j.Needs {
			if n.Done {
				return false
			}
		}
	}
	return !f.Graph
}
