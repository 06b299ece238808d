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
	if len(tasks) != len(tree.Tasks) {
		return fmt.Errorf("tree %s: got %d tasks, want %d", how.Root, len(tasks), len(tree.Tasks))
	}
	lost, err := anyLost(ctx, s)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if r.Ends[t.ID], err = EndOf(t.State, t.Result, t.Inputs); err != nil {
			return fmt.Errorf("task %s: %w", t.ID, err)
		}
		attempts, err := s.Attempts(ctx, t.ID)
		if err != nil {
			return err
		}
		for _, a := range attempts {
			r.Attempts[t.ID] = append(r.Attempts[t.ID], endedOf(a, lost))
		}
	}
	if told {
		if err := r.events(ctx, s, how.Root); err != nil {
			return err
		}
	}
	r.Runs = append(r.Runs, RunsOf(tree, runs, func(*Run) bool { return false })...)
	r.Submits = append(r.Submits, how)
	r.trees = append(r.trees, tree)
	return nil
}

// Check judges what was recorded.
func (r *Record) Check() error {
	var faults []error
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
			Ends: completes || e.Type == coordinator.EventFailed || e.Type == coordinator.EventCancelled, Completes: completes,
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
			out = append(out, history.Run{
				Task: r.Task, Attempt: r.Attempt, Process: r.Process, Key: r.Key, Pool: Pools[i%len(Pools)],
				Start: time.Duration(r.Start), End: time.Duration(r.End), Open: r.End == 0,
				Repeatable: Repeatable(i), Frozen: r.FrozenSince > 0 || stood(r), FrozenAt: frozenAt,
			})
		}
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
	return end, nil
}

// ungranted are the errors of attempts whose grant was lost in a cut, or came too late for its timeout, or that had no slot: they
// went back uncounted, and the task's script, which counts numbers, is one off.
var ungranted = []string{worker.ErrNoSlot.Error(), worker.ErrWaited.Error(), worker.ErrLate.Error(), worker.ErrMissed.Error(), dag.Disowned}

// endedOf is an attempt in the words of histories. lost: a worker is on record as lost, as leases end without a fault on a
// machine that is too busy: then an attempt that does not count may be that one's.
func endedOf(a coordinator.Attempt, lost bool) history.Ended {
	out := history.Ended{Number: a.Number, Counted: a.Counted, Excused: slices.Contains(ungranted, a.Error) || lost && !a.Counted}
	switch a.Outcome {
	case dag.OutcomeCompleted:
		out.Outcome = dag.Completed
	case dag.OutcomeCancelled:
		out.Outcome = dag.Cancelled
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
