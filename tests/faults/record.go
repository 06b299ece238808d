package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
	"github.com/taskgrove/taskgrove/worker"
)

// Record is a history of trees as a coordinator tells of them and executors noted it, for [history.Check] to judge.
type Record struct {
	history.History
	// Poisoned are the roots of trees of which a task failed as so many of its workers were lost that no further attempt was due. On a machine that is too busy
	// leases end without a fault, so nobody can say how such a tree has to end: of these only what runs and events must keep to is judged.
	Poisoned []string

	trees []oracle.Tree
}

// NewRecord makes an empty record. exact: no worker is to be lost, so that attempts are as many as the oracle says. slots is
// how many attempts of a pool one process may run at a time; 0: not to be judged.
func NewRecord(exact bool, slots int) *Record {
	r := &Record{History: history.History{Attempts: map[string][]history.Ended{}, Events: map[string][]history.Event{},
		Ends: map[string]history.End{}, Slots: map[string]int{}, Exact: exact}}
	for _, pool := range Pools {
		if slots > 0 {
			r.Slots[pool] = slots
		}
	}
	return r
}

// Tree reads how a settled tree ended, and, if told, its events. runs are those of the journal.
func (r *Record) Tree(ctx context.Context, s coordinator.Service, tree oracle.Tree, how history.Submit, told bool, runs map[string][]*Run) error {
	how.Root, how.Answer = tree.Tasks[0].ID, history.Accepted
	tasks, err := tasksOf(ctx, s, how.Root)
	if err != nil {
		return err
	}
	there := len(tree.Tasks)
	for _, end := range tree.Run() {
		if end.Absent {
			there--
		}
	}
	if len(tasks) != there {
		return fmt.Errorf("tree %s: got %d tasks, want %d", how.Root, len(tasks), there)
	}
	named := Named(tree)
	lost, err := anyLost(ctx, s)
	if err != nil {
		return err
	}
	poisoned := false
	for _, t := range tasks {
		name := named(t.ID, t.Name)
		Rename(runs, t.ID, name)
		if r.Ends[name], err = EndOf(t.State, t.Result, t.Inputs); err != nil {
			return fmt.Errorf("task %s: %w", t.ID, err)
		}
		attempts, err := s.Attempts(ctx, t.ID)
		if err != nil {
			return err
		}
		for _, a := range attempts {
			r.Attempts[name] = append(r.Attempts[name], endedOf(a, lost))
		}
		poisoned = poisoned || t.State == dag.Failed && lostOf(attempts) >= dag.PoisonLimit
	}
	if told {
		if err := r.events(ctx, s, how.Root); err != nil {
			return err
		}
	}
	r.Runs = append(r.Runs, RunsOf(tree, runs, func(*Run) bool { return false })...)
	if poisoned {
		r.Poisoned = append(r.Poisoned, how.Root)
		return nil
	}
	r.Submits = append(r.Submits, how)
	r.trees = append(r.trees, tree)
	return nil
}

// lostOf is how many of a task's attempts ended as their workers were lost.
func lostOf(attempts []coordinator.Attempt) (n int) {
	for _, a := range attempts {
		if a.Outcome == dag.OutcomeLost {
			n++
		}
	}
	return n
}

// Check judges what was recorded. Where no worker is to be lost nothing is poisoned, and elsewhere few trees are.
func (r *Record) Check() error {
	var faults []error
	if n := len(r.Poisoned); n > 0 && (r.Exact || n > max(1, len(r.trees)/4)) {
		faults = append(faults, fmt.Errorf("of %d trees tasks failed by lost workers: %q", n, r.Poisoned))
	}
	problems, _ := history.Check(r.History, r.trees)
	for _, p := range problems {
		faults = append(faults, errors.New(p.String()))
	}
	return errors.Join(faults...)
}

// events reads what a tree told, from its first event on. A connection that is cut off meanwhile leaves them out.
func (r *Record) events(ctx context.Context, s coordinator.Service, root string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	list := []history.Event{}
	for e, err := range s.Watch(ctx, root, 0) {
		switch {
		case errors.Is(err, coordinator.ErrUnavailable):
			return nil
		case err != nil:
			return fmt.Errorf("watch %s: %w", root, err)
		case e.Sequence == 0:
			continue
		}
		completes := e.Type == coordinator.EventCompleted
		list = append(list, history.Event{Sequence: e.Sequence, Task: e.TaskID, Attempt: e.Attempt, Starts: e.Type == coordinator.EventStart,
			Ends: completes || e.Type == coordinator.EventFailed || e.Type == coordinator.EventCancelled || e.Type == coordinator.EventSkipped, Completes: completes,
			Final: e.Type == coordinator.EventFinal})
	}
	r.Events[root] = list
	return nil
}

// RunsOf are the runs of a tree's tasks as the journal has them. Their times are places in it: its order is that of what
// happened. stood reports whether a run counts as frozen for another reason than that its process was.
func RunsOf(tree oracle.Tree, runs map[string][]*Run, stood func(*Run) bool) (out []history.Run) {
	for i, t := range tree.Tasks {
		for _, r := range runs[t.ID] {
			frozenAt := time.Duration(r.FrozenSince)
			if stood(r) {
				frozenAt = 0
			}
			like := alike(tree, i)
			out = append(out, history.Run{
				Task: r.Task, Attempt: r.Attempt, Process: r.Process, Key: r.Key, Pool: Pools[like%len(Pools)],
				Start: time.Duration(r.Start), End: time.Duration(r.End), Open: r.End == 0,
				Repeatable: Repeatable(like) && t.Limiting == nil, Frozen: r.FrozenSince > 0 || stood(r), FrozenAt: frozenAt, Held: heldBy(t, r),
			})
		}
	}
	return out
}

// heldBy is what a run of a task holds.
func heldBy(t oracle.Task, r *Run) (out []history.Held) {
	if t.Limiting == nil {
		return nil
	}
	for _, l := range t.Limiting.Limits {
		out = append(out, history.Held{Key: "limit " + l.Key, Cost: int(max(1, l.Cost)), Max: int(l.Max)})
	}
	if l := t.Limiting.Lock; l != nil {
		out = append(out, history.Held{Key: "lock " + l.Key, Cost: 1, Max: 1, Token: r.Token, Refused: r.Refused})
	}
	return out
}

// EndOf is how the system tells that a task ended. result and inputs are JSON, or empty.
func EndOf(state dag.State, result, inputs json.RawMessage) (end history.End, err error) {
	end.State = state
	if len(result) > 0 {
		if err := json.Unmarshal(result, &end.Result); err != nil {
			return end, fmt.Errorf("result: %w", err)
		}
	}
	if len(inputs) > 0 {
		if err := json.Unmarshal(inputs, &end.Inputs); err != nil {
			return end, fmt.Errorf("inputs: %w", err)
		}
		delete(end.Inputs, oracle.ScriptKey)
	}
	hideTimes(end.Result)
	for _, v := range end.Inputs {
		hideTimes(v)
	}
	return end, nil
}

// hideTimes replaces when approvals were answered by what stands for it: nobody knows.
func hideTimes(value any) {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			hideTimes(e)
		}
	case map[string]any:
		at, _ := v["at"].(string)
		if _, err := time.Parse(time.RFC3339Nano, at); err == nil && v["choice"] != nil {
			v["at"] = oracle.AnsweredAt
		}
		for _, e := range v {
			hideTimes(e)
		}
	}
}

// ungranted are the errors of attempts whose grant was lost in a cut, or came too late for its timeout, or that had no slot: they
// went back uncounted, and the task's script, which counts numbers, is one off.
var ungranted = []string{worker.ErrNoSlot.Error(), worker.ErrWaited.Error(), worker.ErrLate.Error(), worker.ErrMissed.Error(), dag.Disowned}

// Resumes reports whether an attempt that was given back with an error did so as what it waited for has come.
func Resumes(text string) bool { return text == resumed }

var resumed = dag.WaitAnswer{}.Ends(dag.Await{Resume: true}).Error

// endedOf is an attempt in the words of histories. lost: a worker is on record as lost, as leases end without a fault on a
// machine that is too busy: then an attempt that does not count may be that one's.
func endedOf(a coordinator.Attempt, lost bool) history.Ended {
	out := history.Ended{Number: a.Number, Counted: a.Counted, Resumes: Resumes(a.Error), Excused: slices.Contains(ungranted, a.Error) || lost && !a.Counted}
	switch a.Outcome {
	case dag.OutcomeCompleted:
		out.Outcome = dag.Completed
	case dag.OutcomeCancelled:
		out.Outcome = dag.Cancelled
	case dag.OutcomeSkipped:
		out.Outcome = dag.Skipped
	case dag.OutcomeRepeated:
		out.Outcome, out.Repeats = dag.Completed, true
	case dag.OutcomeFailed, dag.OutcomeTimedOut:
		out.Outcome = dag.Failed
	default:
		out.Lost = true
	}
	return out
}

// anyLost reports whether a worker is on record as lost.
func anyLost(ctx context.Context, s coordinator.Service) (bool, error) {
	list, err := s.Workers(ctx)
	return slices.ContainsFunc(list, func(w coordinator.Worker) bool { return w.State == coordinator.WorkerLost }), err
}

// tasksOf reads all tasks of a tree, by id.
func tasksOf(ctx context.Context, s coordinator.Service, id string) (map[string]*coordinator.Task, error) {
	out := map[string]*coordinator.Task{}
	f := coordinator.TaskFilter{TreeOf: id, Limit: 1000}
	for {
		page, err := s.Tasks(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Items {
			out[t.ID] = t
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return out, nil
		}
	}
}
