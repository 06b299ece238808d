package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

func boundsOutput(t tester, e executors.Executor, f Features) {
	if f.Large == "" {
		t.Skip("makes no output of any size")
	}
	call, said := Call(t, f.Large)
	got, err := e.Run(t.Context(), call)
	var value any
	if got != nil {
		value = got.Value()
	}
	text, bad := json.Marshal(value)
	if bad != nil {
		t.Fatalf("result %T: %v", value, bad)
	}
	if len(text) > f.LargestResult {
		t.Errorf("the result has %d bytes, want %d at most", len(text), f.LargestResult)
	}
	if err != nil && len(err.Error()) > 64<<10 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	for _, line := range said.Lines() {
		if len(line) > 1<<20 {
			t.Errorf("a line of the log has %d bytes", len(line))
		}
	}
}

func timesOut(t tester, e executors.Executor, f Features) {
	if len(f.TimesOut) == 0 {
		t.Skip("has no time-out of its own")
	}
	for in, want := range f.TimesOut {
		select {
		case got := <-start(t.Context(), t, e, in):
			if got.err == nil || !strings.HasPrefix(got.err.Error(), want) {
				t.Errorf("%s: got %v, %v, want %q", in, got.Value(), got.err, want)
			}
		case <-time.After(10*time.Second + f.StopWithin):
			t.Fatalf("%s: still runs", in)
		}
		wantNothingLeft(t, f)
	}
}

// leavesNothing cancels runs early and in mid-work. Once Run returned, nothing of them is left.
func leavesNothing(t tester, e executors.Executor, f Features) {
	if !e.Describe().Cancelable || f.Slow == "" || f.Left == nil {
		t.Skip("nothing to stop, or nothing to look at")
	}
	for _, after := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), after, executors.ErrCancelled)
		out := start(ctx, t, e, f.Slow)
		<-ctx.Done()
		began := time.Now()
		select {
		case got := <-out:
			t.Logf("cancelled after %v, it had ended %v later", after, time.Since(began).Round(time.Millisecond))
			if !errors.Is(got.err, executors.ErrCancelled) {
				t.Errorf("cancelled after %v: got %v, %v", after, got.Value(), got.err)
			}
		case <-time.After(f.StopWithin):
			t.Errorf("still runs %v after it was cancelled", f.StopWithin)
		}
		cancel()
		wantNothingLeft(t, f)
	}
}

func wantNothingLeft(t tester, f Features) {
	t.Helper()
	if f.Left == nil {
		return
	}
	if err := f.Left(); err != nil {
		t.Errorf("something is left of a run that has ended: %v", err)
	}
}

func keepsSecrets(t tester, e executors.Executor, f Features) {
	if len(f.Failing) == 0 {
		t.Skip("takes no secret")
	}
	for i, in := range f.Failing {
		if f.Secret == "" || !strings.Contains(in, f.Secret) {
			t.Fatalf("Failing %d does not hold the secret", i)
		}
		call, said := Call(t, in)
		got, err := e.Run(t.Context(), call)
		if err == nil {
			t.Errorf("Failing %d succeeds", i)
			continue
		}
		var partial []byte
		if got != nil {
			partial, _ = json.Marshal(got.Value())
		}
		told := append(said.Lines(), said.Messages()...)
		told = append(told, err.Error(), string(partial))
		for _, text := range told {
			if strings.Contains(text, f.Secret) {
				t.Errorf("Failing %d: the secret shows in %q", i, strings.ReplaceAll(text, f.Secret, "<secret>"))
			}
		}
	}
}

// demonstrates demands of a demonstration what the worker makes a result of (spec 3.10).
func demonstrates(t tester, e executors.Executor, f Features) {
	d, ok := e.(executors.Demonstrator)
	if !ok {
		t.Skip("has no demo of its own")
	}
	all := f.Demo
	if all == nil {
		all = map[string][]string{f.Quick: nil}
	}
	for in, keys := range all {
		call, _ := Call(t, in)
		value, takes := d.Demo(call)
		text, err := json.Marshal(value)
		if err != nil || bytes.Contains(text, []byte(`\u0000`)) || takes < 0 {
			t.Errorf("%s: the demo is %s, %v, takes %v", in, text, err, takes)
			continue
		}
		var object map[string]json.RawMessage
		_ = json.Unmarshal(text, &object)
		for _, key := range keys {
			if _, ok := object[key]; !ok {
				t.Errorf("%s: the demo has no %q: %s", in, key, text)
			}
		}
		if !f.DemoDiffers {
			wantOutput(t, e.Describe(), text)
		}
	}
}

func examplesMatchSchema(t tester, e executors.Executor, _ Features) {
	d := e.Describe()
	for _, example := range d.Examples {
		call, _ := Call(t, Resolved(d, example.Inputs))
		if err := inputs.NewChecker(0).Check(d, call); err != nil || example.Title == "" {
			t.Errorf("example %q: %v", example.Title, err)
		}
	}
}

// references are secrets as a task names them.
var references = regexp.MustCompile(`\{\s*"secret"\s*:\s*"[^"]*"\s*\}`)

// Resolved is an example with a text in the place of each secret that it names, as a worker puts one there before it checks the inputs.
func Resolved(d executors.Description, example json.RawMessage) json.RawMessage {
	if !d.Secrets {
		return example
	}
	return references.ReplaceAll(example, []byte(`"the secret's value"`))
}
