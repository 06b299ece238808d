package workdir

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Workspace is where an attempt finds and leaves files: a [Sandbox] whose own directory holds what is kept, and a scratch directory, which never is. A step
// of a flow shares the former with the others of its job, on whichever worker they run: it finds what those before it have left, and what it leaves itself
// counts once it has succeeded. Close it.
type Workspace struct {
	*Sandbox
	Inputs json.RawMessage   // the call's, with paths of local files in the place of artifacts
	Env    map[string]string // TASKGROVE_ARTIFACT_ and the key of each of these in capitals: its path

	ctx     context.Context
	call    *executors.Call
	scratch *Scratch
	job     *shared // nil: the directory is the attempt's own
}

// OpenWorkspace opens the workspace of a call, with further places, and puts artifacts among its inputs into local files: inputs that are a reference, and
// those of lists.
func OpenWorkspace(ctx context.Context, call *executors.Call, places ...Place) (*Workspace, error) {
	var inputs map[string]json.RawMessage
	_ = json.Unmarshal(call.Inputs, &inputs) // others hold none
	var lists []string
	for key, raw := range inputs {
		if strings.HasPrefix(strings.TrimLeft(string(raw), " \t\r\n"), "[") {
			lists = append(lists, key)
		}
	}
	return OpenWorkspaceWith(ctx, call, lists, places...)
}

// OpenWorkspaceWith is OpenWorkspace for inputs that hold references anywhere in the values of some keys; see [Receive].
func OpenWorkspaceWith(ctx context.Context, call *executors.Call, keys []string, places ...Place) (*Workspace, error) {
	step, err := stepOf(call.Params)
	if err != nil {
		return nil, err
	}
	w := &Workspace{ctx: ctx, call: call, scratch: NewScratch("")}
	if err = w.open(ctx, step, keys, places); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *Workspace) open(ctx context.Context, step *flowStep, keys []string, places []Place) error {
	given := *w.call
	if step != nil {
		var err error
		if w.job, err = enter(ctx, w.call, step); err != nil {
			return err
		}
		w.scratch = NewScratch(w.job.jobs.dirOf(w.job.dir, step.Workspace.Layout["scratch"]))
		if given.Inputs, err = w.job.localized(ctx, given.Inputs, func() (string, error) { return w.scratch.Dir("jobs") }); err != nil {
			return err
		}
	}
	in, err := Receive(ctx, &given, keys, nil, func() (string, error) { return w.scratch.Dir("in") })
	if err != nil {
		return err
	}
	w.Inputs, w.Env = in.Inputs, in.Env
	places = append([]Place{w.received()}, places...)
	if b := w.call.Bundle; b != nil {
		places = append(places, Place{Dir: b.Dir, ReadOnly: true})
	}
	var own string
	if w.job == nil {
		own, err = w.scratch.Dir("artifacts")
	} else {
		own = w.job.path
		places = append(places, Place{Dir: w.job.others.dir, ReadOnly: true})
	}
	if err == nil {
		w.Sandbox, err = OpenSandbox(own, places...)
	}
	if err == nil {
		w.Sandbox.shared = w.job != nil
	}
	return err
}

// received is where artifacts among the inputs are, if there are any.
func (w *Workspace) received() Place {
	if len(w.Env) == 0 {
		return Place{}
	}
	dir, _ := w.scratch.Dir("in") // it is there
	return Place{Dir: dir, ReadOnly: true}
}

// Close lets go of what is open, and removes what is not kept.
func (w *Workspace) Close() {
	if w.Sandbox != nil {
		w.Sandbox.Close()
	}
	w.scratch.Remove()
	if w.job != nil {
		w.job.others.close()
		w.job.leave()
		w.job = nil
	}
}

// At is as that of the [Sandbox], and fetches what is there, if the steps before have left it.
func (w *Workspace) At(field, given string) (Spot, error) {
	if w.job == nil {
		return w.Sandbox.At(field, given)
	}
	if strings.HasPrefix(given, storedPrefix+w.job.step.files()+"/") {
		var err error
		if given, err = w.job.local(w.ctx, given, nil); err != nil {
			return Spot{}, fmt.Errorf("%s: %w", field, err)
		}
	}
	at, err := w.Sandbox.At(field, given)
	if err == nil && at.Root == w.Root() {
		if err = w.job.restore(w.ctx, w.job.named(at.Name)); err != nil {
			err = fmt.Errorf("%s: %w", field, err)
		}
	}
	return at, err
}

// Restore fetches all that the steps before have left, for programs that look for it by themselves.
func (w *Workspace) Restore(ctx context.Context) error {
	if w.job == nil {
		return nil
	}
	return w.job.restore(ctx, w.job.state.below("."))
}

// Step is the step of a flow that shares the directory; ok is false where it is the attempt's own.
func (w *Workspace) Step() (flow, run, job, step string, ok bool) {
	if w.job == nil {
		return "", "", "", "", false
	}
	s := w.job.step
	return s.Flow, s.Run, s.Job, s.Step, true
}

// Scratch is a directory for what is not kept, which is there afterwards and gone with the attempt.
func (w *Workspace) Scratch(name string) (string, error) { return w.scratch.Dir(name) }

// Keep saves files when the work is done, and gives the result to be stored: files that the task names, and in a job's directory those that are new or
// changed. Paths there are written artifact:JOB/PATH in the result, which become paths again in the inputs of steps.
func (w *Workspace) Keep(ctx context.Context, result any) (any, error) {
	if len(w.call.Artifacts) > 0 {
		if err := CollectIn(ctx, w.call, w.Root()); err != nil {
			return nil, err
		}
	}
	return w.KeepShared(ctx, result)
}

// KeepShared is Keep for an attempt that finds its work done: files that the task names are not looked for.
func (w *Workspace) KeepShared(ctx context.Context, result any) (any, error) {
	if w.job == nil {
		return result, nil
	}
	if err := w.job.keep(ctx); err != nil {
		return nil, err
	}
	return w.job.shown(result)
}
