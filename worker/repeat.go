package worker

import (
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/condition"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// unseen is the failure of a task that says what is to become of its run's result, where the run ends without one: its task waits, or finds tasks. nil: it
// returned a result, or goes on later.
func unseen(c *workerv1.Control, o *executors.Outcome) error {
	outputs := len(c.GetOutputs()) > 0
	switch o.Kind() {
	case executors.KindExpanding:
		outputs = outputs && !(c.GetFlowStep() && o.Expand().Collect == executors.CollectCounted) // they are rendered once all have ended
	case executors.KindAwaiting:
		if o.Await().Resume {
			return nil
		}
		outputs = outputs && !(c.GetFlowStep() && o.Await().Kind == executors.AwaitTree)
	default:
		return nil
	}
	if reason := dag.Unseen(c.GetRepeat() != nil, outputs, len(c.GetArtifacts()) > 0); reason != "" {
		return executors.WithKind(executors.Permanent(errors.New(reason)), string(dag.KindOutput))
	}
	return nil
}

// loop decides what follows a run of a repeated task that completed: another one, or its end. A condition that can't be evaluated fails the task for good.
// What a run skips is the task's end.
func (w *Worker) loop(a *attempt, made product) (product, error) {
	repeat := a.given.control.GetRepeat()
	if repeat == nil {
		return made, nil
	}
	if made.outcome != nil { // it skips, or goes on after a wait
		return made, nil
	}
	inputs := a.given.inputs
	if a.given.submitted != nil {
		inputs = a.given.submitted
	}
	until, err := condition.Compile(condition.Until, repeat.Until)
	holds := false
	if err == nil {
		holds, err = until.Eval(&condition.Scope{
			Result: made.value, Attempt: int(a.Key.Number), Inputs: inputs,
			Tree: condition.Tree{ID: a.work.TreeId, UserID: a.work.UserId}, Task: condition.Task{ID: a.work.TaskId, Name: a.work.Name},
		})
	}
	if err != nil {
		return product{}, executors.WithKind(executors.Permanent(fmt.Errorf("%s: repeat.until: %w", dag.KindWhen, err)), string(dag.KindWhen))
	}
	if again, end := dag.Loop(int(repeat.Before), int(repeat.Max), holds, made.value); again {
		made.again = repeat
	} else {
		made.value = end
	}
	return made, nil
}
