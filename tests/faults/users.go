package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// Outside is how users reach tasks that wait. Calls fail with [ErrOver] or [ErrAway], or as they must not.
type Outside interface {
	Signal(ctx context.Context, task, name string, payload json.RawMessage, key string) (status string, err error)
	Approve(ctx context.Context, task, choice, comment string) error
	State(ctx context.Context, task string) (dag.State, error)
}

// What calls of an [Outside] may fail with.
var (
	ErrOver = errors.New("the task has ended, or does not wait for that")
	ErrAway = errors.New("there was no answer")
)

// SignalName is that of signals that tasks wait for.
const SignalName = "go"

// Users send the tasks of a tree what they wait for: early or late, once or twice, and signals under a key. They are done when each task has it, or has
// ended. What is answered otherwise than the rules say is an error.
func Users(ctx context.Context, rng *rand.Rand, tree oracle.Tree, out Outside) error {
	var open []*user
	for _, t := range tree.Tasks {
		if w := t.Script.Wait; w != nil && w.Comes && w.Kind != "time" && t.By == 0 && t.Imported == nil && t.ByHand == nil {
			open = append(open, &user{rng: rng, task: t, out: out})
		}
	}
	for len(open) > 0 {
		if !pause(ctx, time.Duration(rng.IntN(20))*time.Millisecond) {
			return fmt.Errorf("%d tasks still wait for their users, one of them %s: %w", len(open), open[0].task.ID, context.Cause(ctx))
		}
		i := rng.IntN(len(open))
		u := open[i]
		step := u.signal
		if u.task.Script.Wait.Kind == "approval" {
			step = u.approve
		}
		done, err := step(ctx)
		if err != nil && !errors.Is(err, ErrAway) {
			return fmt.Errorf("task %s: %w", u.task.ID, err)
		}
		if done {
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
		}
	}
	return nil
}

// user is one who sends a task what it waits for.
type user struct {
	rng   *rand.Rand
	task  oracle.Task
	out   Outside
	calls int    // that were answered
	first string // the answer to the first one
}

// signal makes the next call of one who sends a signal: the first one counts, and one that is repeated under its key gets its answer.
func (u *user) signal(ctx context.Context) (done bool, err error) {
	payload, err := json.Marshal(u.task.Script.Answer())
	if err != nil {
		return false, err
	}
	key := "of " + u.task.ID
	if u.calls == 2 {
		payload, key = json.RawMessage(`{"sum":-1,"keys":["another"]}`), ""
	}
	status, err := u.out.Signal(ctx, u.task.ID, SignalName, payload, key)
	switch u.calls++; {
	case errors.Is(err, ErrAway):
		u.calls--
		return false, nil
	case errors.Is(err, ErrOver) && u.calls == 2:
		return true, errors.New("a signal that was repeated under its key is too late")
	case errors.Is(err, ErrOver):
		return true, nil
	case err != nil:
		return true, err
	case u.calls == 1 && status != "kept" && status != "taken":
		return true, fmt.Errorf("the first signal is %s", status)
	case u.calls == 1:
		u.first = status
	case u.calls == 2 && status != u.first:
		return true, fmt.Errorf("a signal is %s, and %s when it is repeated under its key", u.first, status)
	case u.calls == 3 && status != "late" && !(status == "kept" && u.task.Script.Wait.Resume): // a task that has gone on may wait for another one
		return true, fmt.Errorf("a second signal is %s", status)
	}
	return u.calls == 3 || u.rng.IntN(2) == 0, nil
}

// approve makes the next call of one who answers an approval: too early, in time, or once it was answered.
func (u *user) approve(ctx context.Context) (done bool, err error) {
	choice, other := dag.ChoiceApprove, dag.ChoiceReject
	if u.task.Script.Wait.Rejects {
		choice, other = other, choice
	}
	if u.calls == 1 {
		switch err := u.out.Approve(ctx, u.task.ID, other, "once more"); {
		case err == nil:
			return true, errors.New("an approval is answered twice")
		case errors.Is(err, ErrOver):
			return true, nil
		default:
			return false, err
		}
	}
	state, err := u.out.State(ctx, u.task.ID)
	if err != nil || state.Settled() {
		return state.Settled(), err
	}
	if state != dag.Awaiting && u.rng.IntN(8) > 0 {
		return false, nil
	}
	switch err := u.out.Approve(ctx, u.task.ID, choice, u.task.Script.Comment()); {
	case errors.Is(err, ErrOver): // it does not wait yet, or a call without an answer was ours
		return false, nil
	case err != nil:
		return false, err
	}
	u.calls++
	return u.rng.IntN(2) == 0, nil
}
