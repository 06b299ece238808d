// Package conformance is a test suite for executors. Ours pass it, and yours should.
//
// It owns the tests of what [executors.Executor] demands of every executor. It must not know what any of them does: the
// caller says in [Features] which inputs do what.
//
//	func TestConformance(t *testing.T) {
//		conformance.Test(t, func(*testing.T) executors.Executor { return New() }, conformance.Features{
//			Quick:   `{"seconds": 0}`,
//			Slow:    `{"seconds": 600}`,
//			Missing: map[string]string{`{}`: "[sleep_executor] seconds is required in inputs"},
//		})
//	}
//
// The package is stable: programs outside the module may rely on it.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// Features says what the executor can do. Inputs are JSON objects.
type Features struct {
	// Quick are inputs of a run that succeeds soon. Required.
	Quick string
	// Slow are inputs of a run that lasts over a minute unless it is stopped. Required if the executor is cancelable, unless
	// Instant is set.
	Slow string
	// Instant: every run is too short to be stopped midway.
	Instant bool
	// Missing are inputs that lack a required field, each with the error text or its beginning.
	Missing map[string]string
	// StopWithin bounds the time from the context's end to Run's return. 0: 30 s, so that a busy machine is no fault.
	StopWithin time.Duration
	// Concurrent is how many runs the test of concurrency starts at once. 0: 8.
	Concurrent int

	// Large are inputs of a run that makes more output than the executor keeps. Empty: it makes no output of any size.
	Large string
	// LargestResult is how many bytes the result of Large has as JSON, at most. 0: 4 MiB.
	LargestResult int
	// TimesOut are inputs of runs that end by a time-out of their own, each with the error text or its beginning.
	TimesOut map[string]string
	// Left says what is left of runs that have ended: processes, containers, remote commands, requests. nil: there is nothing to
	// look at. It is called right after Run returned.
	Left func() error
	// Failing are inputs of runs that fail. They hold Secret, which nothing that the runs say may show: no error, log line, progress or
	// partial result.
	Failing []string
	// Secret is what Failing holds; choose something that no text holds by chance.
	Secret string
	// Demo are inputs to demonstrate, with the keys that the result then has at least. Only for an [executors.Demonstrator].
	Demo map[string][]string
	// Ends are inputs of runs that end otherwise than with a result, each with the kind of its outcome.
	Ends map[string]executors.Kind
	// Resumes are inputs of a run that notes checkpoints. It is cut off after each of them in turn, and another run goes on from there.
	Resumes string
	// DemoDiffers: a demonstrated result has another form than a real one, so the output schema does not describe it.
	DemoDiffers bool
}

// Test tests the executors that make returns. It calls make for each subtest and closes the executor if it is an io.Closer. It
// counts goroutines, so don't run it in parallel with other tests of the same program.
func Test(t *testing.T, make func(*testing.T) executors.Executor, f Features) {
	f = f.withDefaults()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			e := make(t)
			t.Run("", func(t *testing.T) { c.look(t, e, f) })
			if c, ok := e.(io.Closer); ok {
				if err := c.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
			wantGoroutines(t, before)
		})
	}
}

// wantGoroutines waits until there are no more goroutines than before. make may have started a server that t.Cleanup ends later.
func wantGoroutines(t *testing.T, before int) {
	t.Helper()
	var stacks []byte
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		buf := make([]byte, 1<<20)
		stacks = buf[:runtime.Stack(buf, true)]
		left := 0
		for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
			if bytes.Contains(stack, []byte("net/http.(*Server)")) || bytes.Contains(stack, []byte("net/http/httptest")) ||
				bytes.Contains(stack, []byte("net/http.(*conn).serve")) || bytes.Contains(stack, []byte("net/http.(*connReader)")) {
				continue // the test's own server
			}
			left++
		}
		if left <= before {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("more goroutines than before:\n%s", stacks)
}

func describes(t tester, e executors.Executor, f Features) {
	d := e.Describe()
	if d.ID == "" || strings.TrimSpace(d.ID) != d.ID || len(d.ID) > 255 {
		t.Errorf("id %q", d.ID)
	}
	if d.Name == "" || d.Type == "" || d.Description == "" {
		t.Errorf("name %q, type %q, description %q: each must be set", d.Name, d.Type, d.Description)
	}
	if again := e.Describe(); again.ID != d.ID || !bytes.Equal(again.Inputs, d.Inputs) {
		t.Error("describes itself differently the second time")
	}
	if f.Quick == "" || d.Cancelable && f.Slow == "" && !f.Instant {
		t.Fatal("features lack Quick or Slow")
	}
}

// start runs one attempt and gives its outcome.
func start(ctx context.Context, t tester, e executors.Executor, in string) <-chan outcome {
	call, _ := Call(t, in)
	out := make(chan outcome, 1) // one outcome, which nobody may wait for
	go func() {
		got, err := e.Run(ctx, call)
		out <- outcome{got, err}
	}()
	return out
}

type outcome struct {
	*executors.Outcome
	err error
}

func quick(t tester, e executors.Executor, f Features, in string) json.RawMessage {
	t.Helper()
	call, _ := Call(t, in)
	got, err := e.Run(t.Context(), call)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	if kind, ok := f.Ends[f.Quick]; ok && got.Kind() == kind { // it never has a result of its own
		if err := Valid(got); err != nil {
			t.Fatal(err)
		}
		return json.RawMessage("null")
	}
	if got.Kind() != executors.KindCompleted {
		t.Fatalf("outcome is of kind %d, want Completed", got.Kind())
	}
	text, err := json.Marshal(got.Value())
	if err != nil {
		t.Fatalf("result %T: %v", got.Value(), err)
	}
	return text
}

func results(t tester, e executors.Executor, f Features) {
	if text := quick(t, e, f, f.Quick); bytes.Contains(text, []byte(`\u0000`)) {
		t.Errorf("result holds a NUL, which can't be stored: %s", text)
	}
}

func resultMatchesSchema(t tester, e executors.Executor, f Features) {
	if _, other := f.Ends[f.Quick]; other { // its result comes later, from elsewhere
		return
	}
	wantOutput(t, e.Describe(), quick(t, e, f, f.Quick))
}

// wantOutput demands that a result is as the executor's output schema says.
func wantOutput(t tester, d executors.Description, text json.RawMessage) {
	t.Helper()
	if len(d.Output) == 0 {
		return
	}
	call, _ := Call(t, map[string]any{"result": text})
	d.Inputs = json.RawMessage(`{"type":"object","properties":{"result":` + string(d.Output) + `}}`)
	if err := inputs.NewChecker(0).Check(d, call); err != nil {
		t.Errorf("result %s: %v", text, err)
	}
}

func inputsMatchSchema(t tester, e executors.Executor, f Features) {
	for _, in := range []string{f.Quick, f.Slow} {
		if in == "" {
			continue
		}
		call, _ := Call(t, in)
		if err := inputs.NewChecker(0).Check(e.Describe(), call); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// missing demands the text both from the executor itself and from the check before it.
func missing(t tester, e executors.Executor, f Features) {
	for in, want := range f.Missing {
		call, _ := Call(t, in)
		_, err := e.Run(t.Context(), call)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent %q", in, err, want)
		}
		if err := inputs.NewChecker(0).Check(e.Describe(), call); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: the check says %v, want %q", in, err, want)
		}
	}
}

func stopsAtOnce(t tester, e executors.Executor, f Features) {
	if !e.Describe().Cancelable {
		t.Skip("not cancelable")
	}
	in := f.Slow
	if in == "" {
		in = f.Quick
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(executors.ErrDraining)
	select {
	case got := <-start(ctx, t, e, in):
		if !errors.Is(got.err, executors.ErrDraining) {
			t.Errorf("got %v, %v, want the context's cause", got.Value(), got.err)
		}
	case <-time.After(f.StopWithin):
		t.Fatalf("still runs %v after the context's end", f.StopWithin)
	}
}

func stops(t tester, e executors.Executor, f Features) {
	if !e.Describe().Cancelable || f.Slow == "" {
		t.Skip("nothing to stop")
	}
	for _, cause := range []error{executors.ErrCancelled, executors.ErrTimeout, executors.ErrLeaseLost} {
		const soon = 150 * time.Millisecond
		ctx, cancel := context.WithTimeoutCause(t.Context(), soon, cause)
		out := start(ctx, t, e, f.Slow)
		select {
		case got := <-out:
			if !errors.Is(got.err, cause) {
				t.Errorf("got %v, %v, want the cause %q", got.Value(), got.err, cause)
			}
			if _, err := json.Marshal(got.Value()); err != nil {
				t.Errorf("partial result: %v", err)
			}
		case <-time.After(soon + f.StopWithin):
			cancel()
			t.Fatalf("still runs %v after the context's end", f.StopWithin)
		}
		cancel()
	}
}

func concurrently(t tester, e executors.Executor, f Features) {
	var all sync.WaitGroup
	for range f.Concurrent {
		all.Go(func() {
			call, _ := Call(t, f.Quick)
			if _, err := e.Run(t.Context(), call); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	all.Wait()
}

// keepsInputs demands that the inputs stay untouched: the worker may still need them.
func keepsInputs(t tester, e executors.Executor, f Features) {
	call, _ := Call(t, f.Quick)
	if _, err := e.Run(t.Context(), call); err != nil {
		t.Fatalf("run: %v", err)
	}
	if string(call.Inputs) != f.Quick {
		t.Errorf("inputs became %s", call.Inputs)
	}
}

// unknownInputs demands that unknown inputs are ignored: results of dependencies arrive under their task ids.
func unknownInputs(t tester, e executors.Executor, f Features) {
	in := `{"some-task-id": {"a": [1]}, ` + strings.TrimPrefix(strings.TrimSpace(f.Quick), "{")
	if strings.HasSuffix(in, ", }") {
		in = `{"some-task-id": {"a": [1]}}`
	}
	quick(t, e, f, in)
}
