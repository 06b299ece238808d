package conformance

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// tester is what a check needs of a *testing.T.
type tester interface {
	Helper()
	Context() context.Context
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
}

type check struct {
	name string
	look func(tester, executors.Executor, Features)
}

var checks = []check{
	{"describes itself", describes},
	{"result is JSON", results},
	{"missing inputs are invalid", missing},
	{"an ended context stops it at once", stopsAtOnce},
	{"the context's end stops it", stops},
	{"runs concurrently", concurrently},
	{"leaves the inputs as they are", keepsInputs},
	{"a result passes the declared schema", resultMatchesSchema},
	{"inputs pass the declared schema", inputsMatchSchema},
	{"unknown inputs are no reason to fail", unknownInputs},
	{"output is bounded", boundsOutput},
	{"a time-out of its own ends it", timesOut},
	{"a cancelled run leaves nothing", leavesNothing},
	{"no text shows a secret", keepsSecrets},
	{"its demo looks like a result", demonstrates},
	{"examples pass the declared schema", examplesMatchSchema},
	{"other ends are as they must be", endsOtherwise},
	{"a run goes on from a checkpoint", resumes},
	{"kinds of errors are documented", documentsKinds},
}

func (f Features) withDefaults() Features {
	if f.StopWithin == 0 {
		f.StopWithin = 30 * time.Second
	}
	if f.Concurrent == 0 {
		f.Concurrent = 8
	}
	if f.LargestResult == 0 {
		f.LargestResult = 4 << 20
	}
	return f
}

// Verdict is what a check of [Check] has found.
type Verdict struct {
	Check   string   `json:"check"`             // what must be so
	Faults  []string `json:"faults,omitempty"`  // none: it is so, or was skipped
	Skipped string   `json:"skipped,omitempty"` // why nothing was looked at
}

// Check makes the checks of [Test] outside of a test, and tells each as soon as it is done, in a fixed order. make is called for each; its executor is
// closed if it is an io.Closer. An error of make is a fault. Check ends early when ctx does.
func Check(ctx context.Context, make func() (executors.Executor, error), f Features, tell func(Verdict)) {
	f = f.withDefaults()
	for _, c := range checks {
		if ctx.Err() != nil {
			return
		}
		r := &report{ctx: ctx, Verdict: Verdict{Check: c.name}}
		<-aside(func() { r.run(c, make, f) })
		if ctx.Err() == nil {
			tell(r.Verdict)
		}
	}
}

// aside runs a function in a goroutine of its own, which [runtime.Goexit] may end.
func aside(do func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	return done
}

// report is a tester that keeps what it is told.
type report struct {
	ctx context.Context
	Verdict
	mu sync.Mutex
}

func (r *report) run(c check, make func() (executors.Executor, error), f Features) {
	e, err := make()
	if err != nil {
		r.Error(err)
		return
	}
	if closer, ok := e.(io.Closer); ok {
		defer func() {
			if err := closer.Close(); err != nil {
				r.Errorf("close: %v", err)
			}
		}()
	}
	c.look(r, e, f)
}

func (r *report) Helper()                  {}
func (r *report) Logf(string, ...any)      {}
func (r *report) Context() context.Context { return r.ctx }

func (r *report) Error(args ...any) { r.fault(fmt.Sprintln(args...)) }

func (r *report) Errorf(format string, args ...any) { r.fault(fmt.Sprintf(format, args...)) }

func (r *report) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *report) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *report) Skip(args ...any) {
	r.mu.Lock()
	r.Skipped = strings.TrimSpace(fmt.Sprintln(args...))
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *report) fault(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Faults = append(r.Faults, strings.TrimSpace(text))
}
