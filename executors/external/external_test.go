package external_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// program finds an interpreter; only where it can't be had the test is skipped.
func program(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI must have %s (tools/need.sh)", name)
		}
		t.Skipf("there is no %s on this machine", name)
	}
}

func python(t testing.TB) workerfile.Executor {
	program(t, "python3")
	return workerfile.Executor{Command: []string{"python3", "words.py"}, Dir: example(t, "external-python"), KeepEnv: []string{"PYENV_VERSION"}}
}

func node(t testing.TB) workerfile.Executor {
	program(t, "node")
	return workerfile.Executor{Command: []string{"node", "words.mjs"}, Dir: example(t, "external-node")}
}

func example(t testing.TB, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// odd is a program of testdata that breaks the protocol in the way it is told.
func odd(t testing.TB, args ...string) workerfile.Executor {
	program(t, "python3")
	return workerfile.Executor{Command: append([]string{"python3", "testdata/odd.py"}, args...), Grace: 300 * time.Millisecond}
}

func open(t testing.TB, p workerfile.Executor) *external.Executor {
	t.Helper()
	all := external.Open(t.Context(), external.Config{Programs: []workerfile.Executor{p}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	e := all[0].(*external.Executor)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func opened(t testing.TB, p workerfile.Executor) *external.Executor {
	t.Helper()
	e := open(t, p)
	if why := e.Disabled(); why != "" {
		t.Fatalf("is off: %s", why)
	}
	return e
}

func TestExamplesConform(t *testing.T) {
	for name, make := range map[string]func(testing.TB) workerfile.Executor{"python": python, "node": node} {
		t.Run(name, func(t *testing.T) {
			conformance.Test(t, func(t *testing.T) executors.Executor {
				all := external.Open(t.Context(), external.Config{Programs: []workerfile.Executor{make(t)}})
				if why := all[0].(executors.Disabler).Disabled(); why != "" {
					t.Fatal(why)
				}
				return all[0]
			}, conformance.Features{
				Quick:   `{"text": "one two three"}`,
				Slow:    `{"text": "one two", "seconds_per_word": 600}`,
				Missing: map[string]string{},
				Demo:    map[string][]string{`{"text": "x"}`: {"words"}},
			})
		})
	}
}

func run(t testing.TB, e executors.Executor, in any) (*executors.Outcome, *conformance.Recorder, error) {
	t.Helper()
	call, said := conformance.Call(t, in)
	out, err := e.Run(t.Context(), call)
	return out, said, err
}

func TestAttempt(t *testing.T) {
	for name, make := range map[string]func(testing.TB) workerfile.Executor{"python": python, "node": node} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := opened(t, make(t))
			out, said, err := run(t, e, `{"text": "to be"}`)
			if got := string(out.Value().(json.RawMessage)); err != nil || strings.ReplaceAll(got, " ", "") != `{"words":2,"key":"key-1"}` {
				t.Errorf("got %s, %v", got, err)
			}
			if want := []string{"log: word 1: to", "log: word 2: be"}; !slices.Equal(said.Lines(), want) {
				t.Errorf("said %q, want %q", said.Lines(), want)
			}
			if want := []float64{0.5, 1}; !slices.Equal(said.Fractions(), want) {
				t.Errorf("progress %v, want %v", said.Fractions(), want)
			}
			_, _, err = run(t, e, `{"text": "x", "fail": "permanent"}`)
			if err == nil || err.Error() != "was told to fail for good" || !executors.IsPermanent(err) {
				t.Errorf("got %v, want a permanent failure", err)
			}
			_, _, err = run(t, e, `{"text": "x", "fail": "once"}`)
			if executors.RetryAfterOf(err) != 200*time.Millisecond || executors.IsPermanent(err) {
				t.Errorf("got %v, want one that may be retried after 200 ms", err)
			}
			_, _, err = run(t, e, `{"text": 7}`)
			if err == nil || executors.DetailOf(err) == "" || executors.IsPermanent(err) {
				t.Errorf("got %v, want an error with a stack", err)
			}
		})
	}
}

// TestCancelKeepsTheProcess: an attempt ends by the word cancel with its partial result, beside one that goes on.
func TestCancelKeepsTheProcess(t *testing.T) {
	for name, make := range map[string]func(testing.TB) workerfile.Executor{"python": python, "node": node} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := opened(t, make(t))
			first, second := start(t, e, `{"text": "a b c", "seconds_per_word": 600}`), start(t, e, `{"text": "d e", "seconds_per_word": 0.3}`)
			<-first.said.Logged("log: word 1: a")
			<-second.said.Logged("log: word 1: d")
			began := time.Now()
			first.cancel(executors.ErrCancelled)
			out, err := first.wait()
			if partial, _ := json.Marshal(out.Value()); !errors.Is(err, executors.ErrCancelled) || !strings.Contains(string(partial), "words") {
				t.Errorf("got %s, %v", partial, err)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("the end took %v", took)
			}
			if out, err := second.wait(); err != nil {
				t.Errorf("the other one: %v, %v", out, err)
			}
		})
	}
}

// running is an attempt in a goroutine of its own.
type running struct {
	cancel context.CancelCauseFunc
	said   *conformance.Recorder
	wait   func() (*executors.Outcome, error)
}

func start(t testing.TB, e executors.Executor, in any) running {
	call, said := conformance.Call(t, in)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan struct{})
	var out *executors.Outcome
	var err error
	go func() {
		defer close(done)
		out, err = e.Run(ctx, call)
	}()
	return running{cancel, said, func() (*executors.Outcome, error) { <-done; return out, err }}
}

// TestBreaches: whatever a program does, its attempt fails and says why, nothing of it is left, and the next attempt has a new process.
func TestBreaches(t *testing.T) {
	for how, want := range map[string]string{
		"not json":         "it wrote a line that is not a JSON object: hello, world; the end of its stderr: this is why",
		"a list":           "it wrote a line that is not a JSON object: [1]",
		"not utf-8":        "it wrote a line that is not UTF-8",
		"no type":          "it wrote a message without a type",
		"wrong field":      "it wrote a message whose fraction is a string",
		"long line":        "it wrote a line of more than 1114112 bytes",
		"unknown id":       `it wrote "result" for an attempt that it was not given`,
		"no id":            `it wrote "result" without an attempt_id`,
		"unknown type":     `it wrote a message of the unknown type "dance"`,
		"unknown stream":   `it wrote a log to the unknown stream "tty"`,
		"skip":             `it wrote a message of the type "skip", which is of version 2 of the protocol, and picked version 1`,
		"expand":           `it wrote a message of the type "expand", which is of version 2`,
		"await":            `it wrote a message of the type "await", which is of version 2`,
		"checkpoint":       `it wrote a message of the type "checkpoint", which is of version 2`,
		"hello again":      `it wrote "hello" unasked`,
		"error without id": "it says: all is lost",
		"exits":            "it ended with exit code 3; the end of its stderr: this is why",
		"is killed":        "it ended with signal 9 (killed)",
		"closes":           "it gave no sign of an attempt for 500ms",
		"hangs":            "it gave no sign of an attempt for 500ms",
		"floods":           "it floods its worker with messages: more than 50000, and 5000 a second",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			p := odd(t)
			e := openedWith(t, p, external.Config{MaxResultBytes: 64 << 10})
			_, _, err := run(t, e, map[string]string{"how": how})
			if err == nil || !strings.Contains(err.Error(), "the executor's process was given up: "+want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			later := strings.Contains(want, "of version 2")
			if executors.IsPermanent(err) != later {
				t.Errorf("permanent: %v, want %v", executors.IsPermanent(err), later)
			}
			if _, _, err = run(t, e, `{"how": "well"}`); err != nil {
				t.Errorf("the next attempt: %v", err)
			}
		})
	}
}

func openedWith(t testing.TB, p workerfile.Executor, cfg external.Config) *external.Executor {
	t.Helper()
	cfg.Programs, cfg.Log = []workerfile.Executor{p}, slog.New(slog.NewTextHandler(t.Output(), nil))
	e := external.Open(t.Context(), cfg)[0].(*external.Executor)
	t.Cleanup(func() { _ = e.Close() })
	if why := e.Disabled(); why != "" {
		t.Fatalf("is off: %s", why)
	}
	return e
}

// TestAfterTheEnd: what a program writes of an attempt that has ended costs it its process, before another attempt suffers.
func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := openedWith(t, odd(t), external.Config{})
	first, _, _ := run(t, e, `{"how": "after the end"}`)
	second, _, err := run(t, e, `{"how": "well"}`)
	if err != nil && !strings.Contains(err.Error(), `it wrote "progress" for an attempt after its end`) {
		t.Errorf("got %v, %s", err, log.String())
	}
	if err == nil && pidOf(t, first) == pidOf(t, second) {
		t.Error("the process lives on")
	}
}

func pidOf(t testing.TB, out *executors.Outcome) int {
	t.Helper()
	var result struct{ PID int }
	text, _ := json.Marshal(out.Value())
	if err := json.Unmarshal(text, &result); err != nil || result.PID == 0 {
		t.Fatalf("result %s: %v", text, err)
	}
	return result.PID
}

// alive reports whether a process runs, other than as a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestIgnoresCancel: the program and what it started are killed.
func TestIgnoresCancel(t *testing.T) {
	t.Parallel()
	e := opened(t, odd(t))
	a := start(t, e, `{"how": "ignores cancel"}`)
	var pids []int
	for len(pids) < 2 {
		for _, line := range a.said.Lines() {
			if pid, err := strconv.Atoi(strings.TrimPrefix(line, "log: pid ")); err == nil && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	a.cancel(executors.ErrTimeout)
	if _, err := a.wait(); !errors.Is(err, executors.ErrTimeout) {
		t.Errorf("got %v, want the cause", err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
}

// TestNotCancelable: a program that does not know the word is ended at once.
func TestNotCancelable(t *testing.T) {
	t.Parallel()
	p := odd(t, "not cancelable")
	p.Grace = time.Minute
	e := opened(t, p)
	a := start(t, e, `{"how": "slow"}`)
	<-a.said.Logged("log: slow")
	began := time.Now()
	a.cancel(executors.ErrCancelled)
	if _, err := a.wait(); !errors.Is(err, executors.ErrCancelled) || time.Since(began) > 30*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

func TestKeptAliveOrNot(t *testing.T) {
	t.Parallel()
	kept := opened(t, odd(t))
	one, _, _ := run(t, kept, `{"how": "well"}`)
	two, _, _ := run(t, kept, `{"how": "well"}`)
	if pidOf(t, one) != pidOf(t, two) {
		t.Error("a process that is kept alive was replaced")
	}
	p := odd(t)
	p.KeepAlive = new(bool)
	fresh := opened(t, p)
	one, _, _ = run(t, fresh, `{"how": "well"}`)
	if alive(pidOf(t, one)) {
		t.Error("a process that is not kept is alive after its attempt")
	}
	two, _, err := run(t, fresh, `{"how": "well"}`)
	if err != nil || pidOf(t, one) == pidOf(t, two) {
		t.Errorf("one process served two attempts (%v)", err)
	}
}

func TestIdleProcessesEnd(t *testing.T) {
	t.Parallel()
	p := odd(t)
	p.Idle = 50 * time.Millisecond
	e := opened(t, p)
	out, _, err := run(t, e, `{"how": "well"}`)
	if err != nil {
		t.Fatal(err)
	}
	pid := pidOf(t, out)
	for deadline := time.Now().Add(time.Minute); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatal("still there")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if _, _, err := run(t, e, `{"how": "well"}`); err != nil {
		t.Errorf("the next attempt: %v", err)
	}
}

// TestConcurrency: attempts share processes as far as they take several at once.
func TestConcurrency(t *testing.T) {
	for each, want := range map[int]int{1: 4, 2: 2, 4: 1} {
		t.Run(fmt.Sprint(each), func(t *testing.T) {
			t.Parallel()
			e := opened(t, odd(t, "concurrency="+strconv.Itoa(each)))
			var all sync.WaitGroup
			var mu sync.Mutex
			pids := map[int]bool{}
			for range 4 {
				all.Go(func() {
					out, _, err := run(t, e, `{"how": "briefly"}`)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					pids[pidOf(t, out)] = true
				})
			}
			all.Wait()
			if len(pids) != want {
				t.Errorf("%d processes, want %d", len(pids), want)
			}
		})
	}
}

// TestOneBreachFailsAllOfItsProcess, and none of them shows what another one wrote.
func TestOneBreachFailsAllOfItsProcess(t *testing.T) {
	t.Parallel()
	e := opened(t, odd(t, "concurrency=2"))
	other := start(t, e, `{"how": "slow"}`)
	<-other.said.Logged("log: slow")
	_, _, err := run(t, e, `{"how": "skip"}`)
	_, theirs := other.wait()
	for _, err := range []error{err, theirs} {
		if err == nil || !strings.Contains(err.Error(), "is of version 2") || strings.Contains(err.Error(), "this is why") || executors.IsPermanent(err) {
			t.Errorf("got %v", err)
		}
	}
}

// TestStderrIsTheAttempts: what an attempt writes to stderr is its own, and never the next one's.
func TestStderrIsTheAttempts(t *testing.T) {
	t.Parallel()
	e := opened(t, odd(t))
	for i := range 50 {
		_, said, err := run(t, e, map[string]any{"how": "stderr", "text": fmt.Sprint("line ", i)})
		if want := []string{fmt.Sprint("stderr: line ", i)}; err != nil || !slices.Equal(said.Lines(), want) {
			t.Fatalf("got %q, %v, want %q", said.Lines(), err, want)
		}
	}
}

func TestBadDescriptions(t *testing.T) {
	for name, row := range map[string]struct {
		p    workerfile.Executor
		want string
	}{
		"no such program":    {workerfile.Executor{Command: []string{"no-such-program"}}, `no-such-program: "no-such-program" was not found in PATH`},
		"no such file":       {workerfile.Executor{Command: []string{"./nothing"}}, `is not a program`},
		"exits at once":      {odd(t, "exits"), "the process of the executor did not start: it ended with exit code 4; the end of its stderr: no licence"},
		"says nothing":       {withStart(odd(t, "silent"), 300*time.Millisecond), "did not start: no hello within 300ms"},
		"another version":    {odd(t, "version=7"), "it speaks version 7 of the protocol, and this worker versions 1 to 2"},
		"refuses":            {odd(t, "refuses"), "it answers: this program speaks version 9"},
		"talks before hello": {odd(t, "talks"), "it answered \"description\" instead of \"hello\""},
		"no description":     {withStart(odd(t, "undescribed"), 5*time.Second), "did not describe itself: no description within 5s"},
		"many faults": {odd(t, `describe={"id": "a b", "inputs": {"type": 5}, "concurrency": 2000, "heartbeat_seconds": -1}`),
			"id \"a b\": want 1 to 64 letters, digits, - and _\ndescription is missing\ninputs: the schema can't be used"},
		"not cancelable": {odd(t, `describe={"id": "x", "description": "x", "concurrency": 2, "cancelable": false}`), "concurrency is 2, but it is not cancelable"},
		"a wrong type":   {odd(t, `describe={"id": 5}`), "its description is wrong: id must not be a number"},
		"another id":     {named(odd(t), "mine"), "it calls itself odd, and the worker's file calls it mine"},
		"too large":      {odd(t, "describe={\"id\": \"x\", \"description\": \"x\", \"pad\": 2000000}"), "its description has 2000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, row.p)
			if !strings.Contains(e.Disabled(), row.want) {
				t.Errorf("got  %s\nwant %s", e.Disabled(), row.want)
			}
			if e.Describe().ID == "" {
				t.Error("has no id")
			}
			if _, _, err := run(t, e, `{}`); !executors.IsPermanent(err) {
				t.Errorf("runs all the same: %v", err)
			}
		})
	}
}

func TestType(t *testing.T) {
	for describe, want := range map[string]string{
		`{"id": "x", "description": "x"}`:                            "external",
		`{"id": "x", "description": "x", "executor_type": "report"}`: "report",
	} {
		if e := open(t, odd(t, "describe="+describe)); e.Disabled() != "" || e.Describe().Type != want {
			t.Errorf("%s: type %q, want %q (%s)", describe, e.Describe().Type, want, e.Disabled())
		}
	}
}

func withStart(p workerfile.Executor, within time.Duration) workerfile.Executor {
	p.StartWithin = within
	return p
}

func named(p workerfile.Executor, id string) workerfile.Executor {
	p.ID = id
	return p
}

// TestEnvironmentIsSmall: a program sees neither the worker's settings nor its passwords, unless its operator names them.
func TestEnvironmentIsSmall(t *testing.T) {
	t.Setenv("TASKGROVE_NATS_URL", "nats://secret")
	t.Setenv("SOME_PASSWORD", "hunter2")
	t.Setenv("WANTED", "yes")
	p := odd(t)
	p.KeepEnv, p.Env = []string{"WANTED", "TASKGROVE_NATS_URL"}, map[string]string{"LEVEL": "3"}
	e := opened(t, p)
	out, _, err := run(t, e, `{"how": "environment"}`)
	if err != nil {
		t.Fatal(err)
	}
	var env map[string]string
	if err := json.Unmarshal(out.Value().(json.RawMessage), &env); err != nil {
		t.Fatal(err)
	}
	if env["WANTED"] != "yes" || env["LEVEL"] != "3" || env["PATH"] == "" {
		t.Errorf("environment %v", env)
	}
	for _, name := range []string{"TASKGROVE_NATS_URL", "SOME_PASSWORD"} {
		if value, ok := env[name]; ok {
			t.Errorf("it sees %s=%s", name, value)
		}
	}
}

// lease is one that ends when it is told.
type lease struct {
	mu      sync.Mutex
	until   time.Time
	changed chan struct{}
}

func (l *lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

func (l *lease) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *lease) extend(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(d)
	close(l.changed)
	l.changed = make(chan struct{})
}

// TestLeaseEndsTheProcess, whatever the worker does; an extension keeps it.
func TestLeaseEndsTheProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		t.Skip("guardians need Linux")
	}
	e := opened(t, odd(t))
	call, said := conformance.Call(t, `{"how": "slow"}`)
	l := &lease{until: time.Now().Add(10 * time.Second), changed: make(chan struct{})}
	call.Lease = l
	done := make(chan error, 1)
	go func() {
		_, err := e.Run(t.Context(), call)
		done <- err
	}()
	<-said.Logged("log: slow")
	l.extend(500 * time.Millisecond)
	if err := <-done; !errors.Is(err, executors.ErrLeaseLost) {
		t.Errorf("got %v, want that the lease is lost", err)
	}
	if _, _, err := run(t, e, `{"how": "well"}`); err != nil {
		t.Errorf("the next attempt: %v", err)
	}
}

// BenchmarkAttempt is what a kept-alive process adds to an attempt.
func BenchmarkAttempt(b *testing.B) {
	for name, p := range map[string]workerfile.Executor{"python": odd(b), "node": node(b)} {
		b.Run(name, func(b *testing.B) {
			e := opened(b, p)
			call, _ := conformance.Call(b, `{"how": "well", "text": ""}`)
			b.ResetTimer()
			for b.Loop() {
				if _, err := e.Run(b.Context(), call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
