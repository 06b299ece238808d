//go:build linux

package guardian_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/guardian"
)

// TestMain lets this test program also play the worker that is killed or frozen.
func TestMain(m *testing.M) {
	if script := os.Getenv("GUARDIAN_TEST_WORKER"); script != "" {
		os.Exit(playWorker(script, os.Getenv(markName)))
	}
	os.Exit(m.Run())
}

const (
	markName = "GUARDIAN_TEST_MARK" // in the environment of everything that a test starts below a guardian
	patience = 20 * time.Second
)

var errStopped = errors.New("stopped by the test")

// playWorker runs the script under a guardian, with a lease of two seconds that it renews while it is awake.
func playWorker(script, mark string) int {
	l := newLease(2 * time.Second)
	go func() {
		for range time.Tick(200 * time.Millisecond) {
			l.extend(2 * time.Second)
		}
	}()
	_, err := guardian.Run(context.Background(), guardian.Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Stdout: os.Stdout, Lease: l, Grace: 200 * time.Millisecond,
		Env: []string{markName + "=" + mark, "PATH=" + os.Getenv("PATH")},
	})
	fmt.Println("worker:", err)
	return 0
}

type lease struct {
	mu      sync.Mutex
	until   time.Time
	changed chan struct{}
}

func newLease(d time.Duration) *lease {
	return &lease{until: time.Now().Add(d), changed: make(chan struct{})}
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

// newMark names what a test starts, so that it can be found whatever became of its parents.
func newMark(t *testing.T) string {
	return fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(t.Name(), "/", "_"), os.Getpid(), time.Now().UnixNano())
}

// marked are the processes that carry the mark and have not ended.
func marked(mark string) []string {
	entries, _ := os.ReadDir("/proc")
	var found []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if bytes.Contains(env, []byte(markName+"="+mark)) {
			args, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
			found = append(found, e.Name()+" "+string(bytes.ReplaceAll(args, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// wantNone waits until nothing carries the mark.
func wantNone(t *testing.T, mark string, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		left := marked(mark)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still alive after %v:\n%s", within, strings.Join(left, "\n"))
		}
		<-time.After(5 * time.Millisecond)
	}
}

// The scripts print "ready" when all of their processes run.
const (
	plain  = `sleep 600 & sleep 600 & echo ready; wait`
	daemon = `(setsid sh -c 'setsid sleep 600 & echo ready; exec sleep 600' &) ; sleep 600`
	deaf   = `trap "" TERM INT HUP; (trap "" TERM; sleep 600 & echo ready; while :; do sleep 1; done) & while :; do sleep 1; done`
	frozen = `sleep 600 & kill -STOP $!; echo ready; wait`
)

var stubborn = map[string]string{
	"children":                         plain,
	"a daemon that forked twice":       daemon,
	"processes that ignore SIGTERM":    deaf,
	"a process stopped with SIGSTOP":   frozen,
	"a command that becomes a program": `echo ready; exec sleep 600`,
}

// startWorker starts a worker process that runs the script, and returns when the script is ready.
func startWorker(t *testing.T, script, mark string) (*os.Process, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GUARDIAN_TEST_WORKER="+script, markName+"="+mark)
	cmd.Stderr = os.Stderr
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
	})
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("worker said %q, %v", line, err)
	}
	return cmd.Process, lines
}

func TestNothingSurvivesAWorkerKilled(t *testing.T) {
	for name, script := range stubborn {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mark := newMark(t)
			worker, _ := startWorker(t, script, mark)
			if err := worker.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_, _ = worker.Wait()
			wantNone(t, mark, patience)
		})
	}
}

func TestNothingSurvivesTheLeaseOfAFrozenWorker(t *testing.T) {
	for name, script := range stubborn {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mark := newMark(t)
			worker, lines := startWorker(t, script, mark)
			if err := worker.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			wantOnly(t, mark, worker.Pid)
			if err := worker.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if line, err := lines.ReadString('\n'); line != "worker: lease ended\n" {
				t.Errorf("the woken worker said %q, %v", line, err)
			}
		})
	}
}

// wantOnly waits until only the process pid carries the mark, and the guardian as its zombie child no longer shows.
func wantOnly(t *testing.T, mark string, pid int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := marked(mark)
		if len(left) == 1 && strings.HasPrefix(left[0], strconv.Itoa(pid)+" ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still alive:\n%s", strings.Join(left, "\n"))
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestNothingSurvivesACancel(t *testing.T) {
	for name, script := range stubborn {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mark := newMark(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			ready := make(chan struct{})
			out := writerFunc(func(p []byte) {
				if bytes.Contains(p, []byte("ready")) {
					close(ready)
				}
			})
			go func() {
				<-ready
				cancel(errStopped)
			}()
			_, err := guardian.Run(ctx, shell(script, mark, out))
			if !errors.Is(err, errStopped) {
				t.Errorf("got error %v, want the context's cause", err)
			}
			if left := marked(mark); len(left) > 0 {
				t.Errorf("alive when Run returned:\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

func TestNothingSurvivesATimeout(t *testing.T) {
	mark := newMark(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errStopped)
	defer cancel()
	start := time.Now()
	status, err := guardian.Run(ctx, shell(plain, mark, nil))
	if !errors.Is(err, errStopped) || status.Signal != syscall.SIGTERM {
		t.Errorf("got %+v, %v", status, err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
	wantNone(t, mark, 0)
}

func TestLeftoversOfAnEndedCommandAreKilled(t *testing.T) {
	mark := newMark(t)
	status, err := guardian.Run(t.Context(), shell(`setsid sleep 600 & sleep 600 & exit 7`, mark, io.Discard))
	if err != nil || status.Code != 7 {
		t.Errorf("got %+v, %v, want code 7", status, err)
	}
	wantNone(t, mark, 0)
}

func TestARenewedLeaseLetsTheCommandGoOn(t *testing.T) {
	t.Parallel()
	const lasts = 3 * time.Second
	l := newLease(lasts)
	ctx, cancel := context.WithCancel(t.Context())
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				l.extend(lasts)
			}
		}
	})
	c := shell(`sleep 4; echo done`, newMark(t), nil)
	var out bytes.Buffer
	c.Stdout, c.Lease, c.Grace = &out, l, 100*time.Millisecond
	status, err := guardian.Run(t.Context(), c)
	cancel()
	renewing.Wait()
	if err != nil || status.Code != 0 || out.String() != "done\n" {
		t.Errorf("got %+v, %v, %q", status, err, out.String())
	}
}

// TestNothingIsLeftWhenTheLeaseIsOver: the grace time is over with the lease, and does not begin then.
func TestNothingIsLeftWhenTheLeaseIsOver(t *testing.T) {
	t.Parallel()
	mark := newMark(t)
	c := shell(deaf, mark, nil)
	l := newLease(6 * time.Second)
	c.Lease, c.Grace = l, 5*time.Second
	_, err := guardian.Run(t.Context(), c)
	if !errors.Is(err, guardian.ErrLeaseEnded) {
		t.Errorf("got error %v", err)
	}
	if late := time.Since(l.Until()); late > 4*time.Second {
		t.Errorf("ended %v after the lease", late)
	}
	wantNone(t, mark, 0)
}

func TestAKilledGuardianTakesItsCommandAlong(t *testing.T) {
	mark := newMark(t)
	status, err := guardian.Run(t.Context(), shell(`sleep 600 & kill -KILL $PPID; wait`, mark, nil))
	if err == nil || status.Code != -1 {
		t.Errorf("got %+v, %v, want an error", status, err)
	}
	wantNone(t, mark, patience)
}

// Sessions of their own, a double fork, and pipes held open: what is left of a command that kills its guardian.
const deserter = `(setsid sh -c 'setsid sleep 600 & exec sleep 600' &) ; sleep 0.5; kill -KILL $PPID; wait`

func TestAKilledGuardianLeavesNothingInItsControlGroup(t *testing.T) {
	if guardian.Boxes() == "" {
		t.Skip("no control group of version 2 can be made here")
	}
	mark := newMark(t)
	quick := strings.Replace(deserter, "sleep 0.5; ", "", 1)
	for _, script := range []string{deserter, quick} {
		if status, err := guardian.Run(t.Context(), shell(script, mark, io.Discard)); err == nil || status.Code != -1 {
			t.Errorf("got %+v, %v, want an error", status, err)
		}
		wantNone(t, mark, 0)
	}
	if left, _ := os.ReadDir(guardian.Boxes()); strings.Contains(fmt.Sprint(left), fmt.Sprintf("taskgrove-%d-", os.Getpid())) {
		t.Errorf("control groups are left: %v", left)
	}
}

func TestAKilledGuardianLeavesNothingInSessionsThatItSaw(t *testing.T) {
	defer guardian.WithoutBoxes()()
	mark := newMark(t)
	if status, err := guardian.Run(t.Context(), shell(deserter, mark, io.Discard)); err == nil || status.Code != -1 {
		t.Errorf("got %+v, %v, want an error", status, err)
	}
	wantNone(t, mark, 0)
}

func TestStatusIsReported(t *testing.T) {
	for name, want := range map[string]struct {
		script string
		status guardian.Status
	}{
		"success":        {`true`, guardian.Status{}},
		"code":           {`exit 3`, guardian.Status{Code: 3}},
		"ended by TERM":  {`kill -TERM $$`, guardian.Status{Code: -1, Signal: syscall.SIGTERM}},
		"ended by KILL":  {`kill -KILL $$`, guardian.Status{Code: -1, Signal: syscall.SIGKILL}},
		"stdin is empty": {`test -z "$(cat)"`, guardian.Status{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := guardian.Run(t.Context(), shell(want.script, newMark(t), nil))
			if err != nil || got != want.status {
				t.Errorf("got %+v, %v, want %+v", got, err, want.status)
			}
		})
	}
}

func TestSIGTERMToTheGuardianIsTheWorkersToAnswer(t *testing.T) {
	var out bytes.Buffer
	status, err := guardian.Run(t.Context(), shell(`sleep 0.1; kill -TERM $PPID; sleep 0.1; echo went on`, newMark(t), &out))
	if err != nil || status.Code != 0 || out.String() != "went on\n" {
		t.Errorf("got %+v, %v, %q", status, err, out.String())
	}
}

func TestStreamsPassThrough(t *testing.T) {
	var out, errs bytes.Buffer
	c := shell(`cat; echo oops >&2; pwd`, newMark(t), &out)
	c.Stdin, c.Stderr, c.Dir = strings.NewReader("hello\n"), &errs, "/"
	if _, err := guardian.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if out.String() != "hello\n/\n" || errs.String() != "oops\n" {
		t.Errorf("got stdout %q, stderr %q", out.String(), errs.String())
	}
}

func TestTheCommandGetsItsEnvironmentAndNoOther(t *testing.T) {
	t.Setenv("WORKER_SECRET", "hunter2")
	var out bytes.Buffer
	c := guardian.Command{Path: "/bin/sh", Args: []string{"sh", "-c",
		`cat /proc/self/environ /proc/$PPID/environ; ls /proc/self/fd`}, Env: []string{"ONLY=this", "PATH=" + os.Getenv("PATH")}, Stdout: &out}
	if _, err := guardian.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, "ONLY=this") {
		t.Errorf("environments: %q", got)
	}
	// 3 is ls's own, open on the directory.
	if _, fds, _ := strings.Cut(out.String(), "\n"); strings.Contains(fds, "4") {
		t.Errorf("more descriptors than 0 to 2 are open: %q", out.String())
	}
}

func TestWhatCannotStartIsAStartError(t *testing.T) {
	for name, c := range map[string]guardian.Command{
		"no such file":      {Path: "/nowhere/at/all", Args: []string{"all"}},
		"not executable":    {Path: "/etc/passwd", Args: []string{"passwd"}},
		"no such directory": {Path: "/bin/true", Args: []string{"true"}, Dir: "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := guardian.Run(t.Context(), c)
			if _, ok := errors.AsType[*guardian.StartError](err); !ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnEndedContextStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	var out bytes.Buffer
	if _, err := guardian.Run(ctx, shell(`echo ran`, newMark(t), &out)); !errors.Is(err, errStopped) || out.Len() > 0 {
		t.Errorf("got %v, output %q", err, out.String())
	}
}

func shell(script, mark string, out io.Writer) guardian.Command {
	return guardian.Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Stdout: out, Grace: 200 * time.Millisecond,
		Env: []string{markName + "=" + mark, "PATH=" + os.Getenv("PATH")},
	}
}

// writerFunc calls itself with what is written.
type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

func BenchmarkGuarded(b *testing.B) {
	for b.Loop() {
		if _, err := guardian.Run(b.Context(), guardian.Command{Path: "/bin/true", Args: []string{"true"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnguarded(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCheck(t *testing.T) {
	if err := guardian.Check(t.Context()); err != nil {
		t.Errorf("got %v", err)
	}
	for _, program := range []string{"/nowhere", "/bin/true"} { // what can't be executed, and what is no guardian
		restore := guardian.SetSelf(program)
		err := guardian.Check(t.Context())
		restore()
		if err == nil || !strings.HasPrefix(err.Error(), "this program can't execute itself ("+program+")") {
			t.Errorf("%s: got %v", program, err)
		}
	}
}
