package workdir

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Workspace is where an attempt finds and leaves files: a [Sandbox] whose own directory holds what is kept, and a scratch directory, which never is.
// Close it.
type Workspace struct {
	*Sandbox
	Inputs json.RawMessage   // the call's, with paths of local files in the place of artifacts
	Env    map[string]string // TASKGROVE_ARTIFACT_ and the key of each of these in capitals: its path

	call    *executors.Call
	scratch *Scratch
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
	w := &Workspace{call: call, scratch: NewScratch("")}
	in, err := Receive(ctx, call, keys, nil, func() (string, error) { return w.scratch.Dir("in") })
	if err == nil {
		w.Inputs, w.Env = in.Inputs, in.Env
		var own string
		if own, err = w.scratch.Dir("artifacts"); err == nil {
			w.Sandbox, err = OpenSandbox(own, append([]Place{w.received()}, places...)...)
		}
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
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
}

// Scratch is a directory for what is not kept, which is there afterwards and gone with the attempt.
func (w *Workspace) Scratch(name string) (string, error) { return w.scratch.Dir(name) }

// Keep saves files when the work is done, and gives the result to be stored: those that the task names.
func (w *Workspace) Keep(ctx context.Context, result any) (any, error) {
	if len(w.call.Artifacts) > 0 {
		if err := CollectIn(ctx, w.call, w.Root()); err != nil {
			return nil, err
		}
	}
	return result, nil
}
