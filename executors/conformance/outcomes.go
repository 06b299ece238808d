package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
)

var reasonRule = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// endsOtherwise demands of outcomes what a worker would fail an attempt for, with the kind output.
func endsOtherwise(t tester, e executors.Executor, f Features) {
	if len(f.Ends) == 0 {
		t.Skip("always ends with a result")
	}
	for in, kind := range f.Ends {
		call, _ := Call(t, in)
		got, err := e.Run(t.Context(), call)
		if err != nil || got.Kind() != kind {
			t.Errorf("%s: got an outcome of kind %d, %v, want kind %d", in, got.Kind(), err, kind)
			continue
		}
		if err := Valid(got); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// Valid says what is wrong with an outcome, for which a worker would fail the attempt; nil: nothing.
func Valid(o *executors.Outcome) error {
	switch o.Kind() {
	case executors.KindSkipped:
		if !reasonRule.MatchString(o.Reason()) {
			return fmt.Errorf("the reason %q is no word", o.Reason())
		}
	case executors.KindExpanding:
		return validExpansion(o.Expand())
	case executors.KindAwaiting:
		return validAwait(o.Await())
	}
	text, err := json.Marshal(o.Value())
	if err == nil && bytes.Contains(text, []byte(`\u0000`)) {
		err = errors.New("it holds a NUL, which can't be stored")
	}
	return err
}

func validExpansion(x *executors.Expand) error {
	list := x.Tasks
	if x.Items != nil {
		list = x.Items
	}
	var all []json.RawMessage
	switch {
	case (x.Tasks == nil) == (x.Items == nil):
		return errors.New("an expansion has either tasks or items")
	case (x.Items == nil) != (x.Each == nil):
		return errors.New("items need each, and each needs items")
	case json.Unmarshal(list, &all) != nil:
		return fmt.Errorf("no JSON array: %.100s", list)
	case !slices.Contains([]string{"", "none", "list", "map"}, x.Collect):
		return fmt.Errorf("collect is %q", x.Collect)
	case x.Window < 0:
		return fmt.Errorf("window is %d", x.Window)
	}
	return nil
}

func validAwait(a *executors.Await) error {
	if !slices.Contains([]executors.AwaitKind{executors.AwaitSignal, executors.AwaitApproval, executors.AwaitTime, executors.AwaitTree}, a.Kind) {
		return fmt.Errorf("it waits for %q", a.Kind)
	}
	if a.Kind == executors.AwaitSignal && a.Name == "" {
		return errors.New("a signal has a name")
	}
	text, err := json.Marshal(a.Data)
	if err == nil && a.Data != nil && !strings.HasPrefix(string(text), "{") {
		err = fmt.Errorf("its data is no object: %.100s", text)
	}
	return err
}

var errCutOff = errors.New("the run is cut off")

// cutter is a reporter that cuts its run off after so many checkpoints.
type cutter struct {
	*Recorder
	cutOff context.CancelCauseFunc

	mu   sync.Mutex
	left int
}

// Checkpoint implements [executors.Reporter].
func (c *cutter) Checkpoint(data json.RawMessage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left < 0 {
		return nil // nobody stores it any more
	}
	err := c.Recorder.Checkpoint(data)
	if c.left--; c.left == 0 {
		c.left = -1
		c.cutOff(errCutOff)
	}
	return err
}

// resumes demands that a run comes to its end from each of its checkpoints.
func resumes(t tester, e executors.Executor, f Features) {
	if f.Resumes == "" {
		t.Skip("notes no checkpoints")
	}
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		call, said := Call(t, f.Resumes)
		call.Reporter = &cutter{Recorder: said, left: n, cutOff: cancel}
		_, err := e.Run(ctx, call)
		cancel(nil)
		for _, fault := range said.Faults() {
			t.Errorf("checkpoint %d: %v", n, fault)
		}
		all := said.Checkpoints()
		if len(all) < n {
			if err != nil {
				t.Errorf("a whole run: %v", err)
			}
			if n == 1 {
				t.Error("it notes no checkpoint")
			}
			return
		}
		if err == nil { // it was done before it heard of it
			continue
		}
		if !errors.Is(err, errCutOff) {
			t.Errorf("cut off after checkpoint %d: %v", n, err)
		}
		again, _ := Call(t, f.Resumes)
		again.Attempt, again.Checkpoint = 2, all[n-1]
		if out, err := e.Run(t.Context(), again); err != nil || Valid(out) != nil {
			t.Errorf("from checkpoint %d, %.200s: %v, %v", n, all[n-1], err, Valid(out))
		}
	}
}

// general are the kinds that errors of every executor may have.
var general = []string{"", "executor", "timeout", "input", "output"}

// documentsKinds demands that the kinds of errors are among those of the description.
func documentsKinds(t tester, e executors.Executor, f Features) {
	d := e.Describe()
	for _, k := range d.Kinds {
		if !reasonRule.MatchString(strings.TrimSuffix(k.Word, "*")) || k.Text == "" || strings.HasSuffix(k.Text, ".") {
			t.Errorf("kind %q: %q", k.Word, k.Text)
		}
	}
	try := func(in string) {
		call, _ := Call(t, in)
		if _, err := e.Run(t.Context(), call); err != nil && !documented(d, executors.KindOf(err)) {
			t.Errorf("%s: its description lacks the kind %q of %v", in, executors.KindOf(err), err)
		}
	}
	for in := range f.Missing {
		try(in)
	}
	for in := range f.TimesOut {
		try(in)
	}
	for _, in := range f.Failing {
		try(in)
	}
}

func documented(d executors.Description, kind string) bool {
	return slices.Contains(general, kind) || slices.ContainsFunc(d.Kinds, func(k executors.ErrorKind) bool {
		prefix, open := strings.CutSuffix(k.Word, "*")
		return k.Word == kind || open && strings.HasPrefix(kind, prefix)
	})
}
