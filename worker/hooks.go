package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Hook is code of yours that is called around each attempt that the worker runs, demonstrations too (spec 3.11, the global hooks). Hooks are
// called one after the other, in the order of [Config.Hooks]. None fails an attempt: an error, a panic, or inputs that are no JSON object are logged, and the
// attempt goes on as if the hook had done nothing. What a hook takes counts as the attempt's time; it should end when ctx does, and is not
// waited for longer.
type Hook struct {
	Name string // for the log
	// Before is called before the inputs are checked, and before the secrets and connections that they name are looked up: it sees no
	// secret. It may return other inputs, which this attempt then runs with; nil: they stay. They may name only secrets that the submitted inputs name. The
	// cluster goes on showing the task's own. nil: nothing is called.
	Before func(ctx context.Context, call *executors.Call) (inputs json.RawMessage, err error)
	// After is called when the executor has completed, before the result is reported, and so before dependents start. The call has the inputs as
	// Before left them. Another attempt may follow, if the worker is lost before its result is stored. nil: nothing is called.
	After func(ctx context.Context, call *executors.Call, result json.RawMessage) error
}

// before calls the hooks that come before an attempt, and gives the call the inputs that they leave.
func (w *Worker) before(ctx context.Context, call *executors.Call) {
	for i := range w.cfg.Hooks {
		h := &w.cfg.Hooks[i]
		if h.Before == nil {
			continue
		}
		var inputs json.RawMessage
		seen := copied(call)
		err := w.hook(ctx, func() (err error) {
			inputs, err = h.Before(ctx, seen)
			return err
		})
		if err == nil && inputs != nil {
			err = w.checkHooked(inputs)
		}
		switch {
		case err != nil:
			w.logHook(ctx, h, call, "before", err)
		case inputs != nil:
			call.Inputs = slices.Clone(inputs)
		}
	}
}

// after calls the hooks that come after an attempt that completed.
func (w *Worker) after(ctx context.Context, call *executors.Call, result []byte) {
	if len(result) == 0 {
		result = []byte("null")
	}
	for i := range w.cfg.Hooks {
		h := &w.cfg.Hooks[i]
		if h.After == nil {
			continue
		}
		seen, told := copied(call), slices.Clone(result)
		if err := w.hook(ctx, func() error { return h.After(ctx, seen, told) }); err != nil {
			w.logHook(ctx, h, call, "after", err)
		}
	}
}

// copied is a call that a hook may do with as it likes.
func copied(call *executors.Call) *executors.Call {
	one := *call
	one.Inputs, one.Params, one.Schemas = slices.Clone(call.Inputs), slices.Clone(call.Params), slices.Clone(call.Schemas)
	return &one
}

// checkHooked says why inputs of a hook can't be those of an attempt.
func (w *Worker) checkHooked(inputs json.RawMessage) error {
	if len(inputs) > w.cfg.MaxInputBytes {
		return fmt.Errorf("its inputs have %d bytes, and at most %d are allowed", len(inputs), w.cfg.MaxInputBytes)
	}
	if err := rawjson.Check(inputs); err != nil {
		return fmt.Errorf("its inputs are no JSON: %w", err)
	}
	if inputs[rawjson.SkipSpace(inputs, 0)] != '{' {
		return errors.New("its inputs are no JSON object")
	}
	return nil
}

// hook runs a hook in a goroutine of its own, so that neither a panic, nor the goroutine's end, nor one that hangs harms the attempt.
func (w *Worker) hook(ctx context.Context, run func() error) error {
	ended := make(chan error, 1)
	go func() {
		err := errors.New("it ended its goroutine")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			ended <- err
		}()
		err = run()
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it was not waited for longer: %w", context.Cause(ctx))
	}
}

func (w *Worker) logHook(ctx context.Context, h *Hook, call *executors.Call, when string, err error) {
	w.cfg.Log.WarnContext(ctx, "a hook failed, and the attempt goes on", "hook", h.Name, "when", when, "task_id", call.TaskID, "attempt", call.Attempt, "error", err)
}
