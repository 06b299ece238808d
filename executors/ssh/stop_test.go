package ssh_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

// started is an attempt in mid-work.
type started struct {
	cancel context.CancelCauseFunc
	ended  chan error
	result *ssh.Result // once ended
	record *conformance.Recorder
	word   string // in the environment of all that it starts
}

// begin runs a command, which must say "ready", in a goroutine, and returns when it has said so.
func begin(t *testing.T, e *ssh.Executor, in map[string]any, lease executors.Lease) *started {
	t.Helper()
	call, record := conformance.Call(t, in)
	call.IdempotencyKey = "canary-" + strings.ReplaceAll(t.Name(), "/", "-") + "-" + strconv.Itoa(os.Getpid())
	if lease != nil {
		call.Lease = lease
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	a := &started{cancel: cancel, ended: make(chan error, 1), record: record, word: call.IdempotencyKey}
	go func() {
		var err error
		a.result, err = runCall(ctx, e, call)
		a.ended <- err
	}()
	select {
	case <-record.Logged("stdout: ready"):
	case err := <-a.ended:
		t.Fatalf("ended before it was ready: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); len(sshtest.With(a.word)) == 0 && len(a.ended) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing runs on the host, or the test can't see it")
		}
	}
	return a
}

// stubborn are commands that are hard to end.
var stubborn = map[string]string{
	"a sleep":                       "echo ready; sleep 600",
	"children in the background":    "sleep 600 & (sleep 600 & sleep 600) & echo ready; wait",
	"what ignores TERM":             "trap '' TERM INT HUP; echo ready; while :; do sleep 600; done",
	"children that ignore TERM":     "(trap '' TERM; sleep 600) & trap '' TERM; echo ready; sleep 600; sleep 600",
	"a busy loop":                   "echo ready; sh -c 'while :; do :; done'",
	"a stopped one":                 "echo ready; kill -STOP $$; sleep 600",
	"what floods its output":        "echo ready; exec cat /dev/zero",
	"what closed its output":        "echo ready; exec >/dev/null 2>&1; sleep 600",
	"what kills whom it finds":      "echo ready; sleep 0.3; kill -9 $PPID; sleep 600",
	"what signals its whole group":  "trap '' TERM HUP INT QUIT; kill -TERM 0; kill -HUP 0; kill -INT 0; echo ready; sleep 600",
	"nohup":                         "nohup sleep 600 >/dev/null 2>&1 & echo ready; sleep 600",
	"another shell, and no newline": "exec sh -c 'echo ready; exec sleep 600'",
}

func TestCancelLeavesNothing(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	t.Run("", func(t *testing.T) { cancelEach(t, s) })
	must(t, s.Quiet())
}

func cancelEach(t *testing.T, s *sshtest.Server) {
	for name, command := range stubborn {
		for _, stdin := range []any{nil, "some text\n"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := newExecutor(t, ssh.Config{})
				a := begin(t, e, s.Inputs(map[string]any{"command": command, "stdin": stdin}), nil)
				if name != "what kills whom it finds" {
					a.cancel(executors.ErrCancelled)
				}
				if err := <-a.ended; name != "what kills whom it finds" && !errors.Is(err, executors.ErrCancelled) {
					t.Errorf("got %v", err)
				}
				must(t, sshtest.Gone(a.word)) // what was killed needs a moment to die
				if a.result == nil || !strings.HasPrefix(a.result.Stdout, "ready\n") && a.result.Encoding == "" {
					t.Errorf("partial result %+v", a.result)
				}
			})
		}
	}
}

func TestTimeoutEndsTheCommand(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	a := begin(t, e, s.Inputs(map[string]any{"command": "echo ready; sleep 600 & sleep 600", "timeout": 6}), nil)
	if err := <-a.ended; err == nil || err.Error() != "Command timeout after 6 seconds" || executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	must(t, sshtest.Gone(a.word))
}

// TestTimeoutCoversTheConnection: a host that accepts connections and says nothing.
func TestTimeoutCoversTheConnection(t *testing.T) {
	t.Parallel()
	port := silent(t)
	e := newExecutor(t, ssh.Config{})
	began := time.Now()
	_, err := run(t, e, map[string]any{"host": "127.0.0.1", "port": port, "username": "u", "password": "p", "command": "c", "timeout": 0.2, "host_key": "SHA256:x"})
	if err == nil || err.Error() != "Command timeout after 0.2 seconds" || time.Since(began) > 30*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

// TestNothingOutlivesTheConnection: the worker is gone, and so is what it started.
func TestNothingOutlivesTheConnection(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	for name, end := range map[string]func(*ssh.Executor){
		"the worker closes it":    func(e *ssh.Executor) { _ = e.Close() },
		"the host's side crashes": func(*ssh.Executor) { s.Crash() },
	} {
		for _, stdin := range []any{nil, strings.Repeat("x", 1<<20)} {
			e := newExecutor(t, ssh.Config{})
			a := begin(t, e, s.Inputs(map[string]any{"command": "(trap '' TERM; sleep 600) & echo ready; sleep 600", "stdin": stdin}), nil)
			end(e)
			if err := <-a.ended; err == nil || !strings.Contains(err.Error(), "connection to 127.0.0.1 was lost") || executors.IsPermanent(err) {
				t.Errorf("%s: got %v", name, err)
			}
			if err := sshtest.Gone(a.word); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestABrokenConnectionIsReplaced: attempts after it don't notice.
func TestABrokenConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	for range 3 {
		if _, err := run(t, e, s.Inputs(nil)); err != nil {
			t.Fatal(err)
		}
		s.Crash()
	}
	if got := s.Logins(); got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
}

// expiring is a lease that ends unless it is extended.
type expiring struct {
	mu      sync.Mutex
	until   time.Time
	changed chan struct{}
}

func newExpiring(d time.Duration) *expiring {
	return &expiring{until: time.Now().Add(d), changed: make(chan struct{})}
}

func (l *expiring) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

func (l *expiring) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *expiring) extend(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(d)
	close(l.changed)
	l.changed = make(chan struct{})
}

// TestALeaseThatEndsEndsTheCommand: the worker is frozen, as far as the host can see, and the connection stays.
func TestALeaseThatEndsEndsTheCommand(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	for _, stdin := range []any{nil, "text"} {
		e := newExecutor(t, ssh.Config{})
		lease := newExpiring(time.Minute)
		a := begin(t, e, s.Inputs(map[string]any{"command": "(trap '' TERM; sleep 600) & echo ready; sleep 600", "stdin": stdin}), lease)
		lease.extend(time.Second)
		extended := time.Now()
		lease.extend(2 * time.Second)
		select {
		case <-a.ended:
		case <-time.After(50 * time.Second):
			t.Fatal("still runs, as if the lease were the first one")
		}
		if took := time.Since(extended); took < 1500*time.Millisecond {
			t.Errorf("ended after %v, want 2 s: the lease was extended", took)
		}
		must(t, sshtest.Gone(a.word))
	}
}

// TestAHostThatStopsAnswering: the attempt ends all the same, and its log says what is not known.
func TestAHostThatStopsAnswering(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{KeepAlive: time.Second})
	a := begin(t, e, s.Inputs(map[string]any{"command": "echo ready; sleep 600"}), nil)
	pids := s.Connections()
	for pid, parent := range sshtest.Processes() {
		if len(pids) == 1 && parent == pids[0] && strings.HasPrefix(sshtest.CommandLine(pid), "sshd: ") {
			pids = append(pids, pid)
		}
	}
	for _, pid := range pids {
		must(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	select {
	case err := <-a.ended: // keepalives notice
		if err == nil || !strings.Contains(err.Error(), "was lost while the command ran") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("still runs")
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	must(t, sshtest.Gone(a.word))
}

func TestCancelOfAHostThatStopsAnswering(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	a := begin(t, e, s.Inputs(map[string]any{"command": "echo ready; sleep 600"}), nil)
	for _, pid := range s.Connections() {
		must(t, syscall.Kill(pid, syscall.SIGSTOP))
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	}
	if s.User != "root" { // its connections have two processes, and the other one answers
		t.Skip("only root's connections are one process")
	}
	began := time.Now()
	a.cancel(executors.ErrCancelled)
	if err := <-a.ended; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if lines := a.record.Lines(); lines[len(lines)-1] != "log: 127.0.0.1 did not confirm that the command has ended" {
		t.Errorf("logged %q", lines)
	}
}

// TestAPlainCommandEndsWithItsSession: OpenSSH delivers signals to the command's shell, but for root.
func TestAPlainCommandEndsWithItsSession(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	g := newGuest(t)
	e := newExecutor(t, ssh.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	call, record := conformance.Call(t, s.Inputs(map[string]any{"username": g.name, "command": "echo ready; exec sleep 600.75", "plain": true}))
	ended := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, call)
		ended <- err
	}()
	<-record.Logged("stdout: ready")
	cancel(executors.ErrCancelled)
	if err := <-ended; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	must(t, sshtest.Gone("600.75"))
}

// TestRandomCancels: at any moment, and nothing is left.
func TestRandomCancels(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	word := "canary-random-" + strconv.Itoa(os.Getpid())
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			in := map[string]any{"command": "(trap '' TERM; sleep 600) & echo x; sleep 600"}
			if i%3 == 0 {
				in["stdin"] = strings.Repeat("x", i*5000)
			}
			call, _ := conformance.Call(t, s.Inputs(in))
			call.IdempotencyKey = word
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Duration(i*i)*time.Millisecond/2, executors.ErrCancelled)
			defer cancel()
			if _, err := e.Run(ctx, call); !errors.Is(err, executors.ErrCancelled) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	must(t, sshtest.Gone(word))
	defer func() { must(t, s.Quiet()) }()
	defer e.Close()
	if got, err := run(t, e, s.Inputs(map[string]any{"command": "echo fine"})); err != nil || got.Stdout != "fine\n" {
		t.Errorf("after that: %+v, %v", got, err)
	}
}
