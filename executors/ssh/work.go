package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

const (
	// outputDelay is how long output may still come after a command has ended: what it left may hold its stdout open.
	outputDelay = 2 * time.Second
	// confirmDelay is how long the host may take for the end of a command, after the grace time.
	confirmDelay = time.Second
)

// work is one attempt over a connection.
type work struct {
	in     *input
	call   *executors.Call
	cfg    *Config
	begun  bool // something was changed on the host, perhaps
	result Result

	stdout, stderr *workdir.Spill // of the command; nil: it has not begun
}

// discard lets go of outputs that were not kept.
func (w *work) discard() {
	if w.stdout != nil {
		w.stdout.Discard()
		w.stderr.Discard()
	}
}

// shown is the result of an attempt that completed.
func (w *work) shown(ctx context.Context) (any, error) {
	return workdir.Keep(ctx, w.call, &w.result, workdir.Kept{Name: "stdout", Output: w.stdout, Beside: []string{"encoding"}}, workdir.Kept{Name: "stderr", Output: w.stderr, Beside: []string{"stderr_encoding"}})
}

// partial is what was done by an attempt that failed.
func (w *work) partial() *executors.Outcome {
	if !w.begun {
		return nil
	}
	return executors.Partial(&w.result)
}

// over does the work over a connection.
func (w *work) over(ctx context.Context, c *conn) error {
	if len(w.in.Upload) > 0 {
		if err := w.upload(ctx, c); err != nil {
			return err
		}
	}
	if err := w.run(ctx, c); err != nil {
		return err
	}
	if len(w.in.Download) > 0 {
		return w.download(ctx, c)
	}
	return nil
}

// running is a command that runs under a script, or plainly.
type running struct {
	*session
	conn    *conn
	leash   *leash // steers the guard; nil: there is none
	guard   *session
	started chan int // gets the process group
	ended   chan int // gets the exit code

	group int // 0: not known yet
}

// run runs the command and fills the result.
func (w *work) run(ctx context.Context, c *conn) error {
	w.discard() // of a connection that was broken
	stdout := workdir.NewSpill(w.call, executors.NewOutput(w.cfg.MaxOutputBytes, w.call.Reporter, "stdout"), w.cfg.MaxOutputBytes, "")
	stderr := workdir.NewSpill(w.call, executors.NewOutput(w.cfg.MaxOutputBytes, w.call.Reporter, "stderr"), w.cfg.MaxOutputBytes, "")
	w.stdout, w.stderr = stdout, stderr
	w.result.ended(-1)
	start := w.script
	if w.in.Plain {
		start = w.plain
	}
	r, err := start(ctx, c, stdout, stderr)
	if err != nil {
		return err
	}
	err = w.wait(ctx, r)
	r.leave()
	w.result.Stdout, w.result.Encoding = executors.Faithful(stdout.Bytes(), stdout.Truncated())
	w.result.Stderr, w.result.StderrEncoding = executors.Faithful(stderr.Bytes(), stderr.Truncated())
	w.result.Truncated = stdout.Truncated() || stderr.Truncated()
	w.result.TruncatedFields = executors.TruncatedFields(map[string]bool{"stdout": stdout.Truncated(), "stderr": stderr.Truncated()})
	if errors.Is(err, errNotStarted) {
		return fmt.Errorf("%w%s", err, tail(stderr.String()))
	}
	return err
}

// plain starts the command as it is.
func (w *work) plain(ctx context.Context, c *conn, stdout, stderr *workdir.Spill) (*running, error) {
	w.begun = true
	s, err := c.exec(ctx, request{name: "exec", payload: execPayload{w.in.Command}, env: w.environment(false)}, stdout, stderr)
	if err != nil {
		w.begun = !isStale(err)
		return nil, err
	}
	go func() { // ends with the session at the latest
		_, _ = io.Copy(s.Channel, w.in.Stdin.reader())
		_ = s.CloseWrite()
	}()
	return &running{session: s, conn: c}, nil
}

// environment is that of the command: the task's variables, and then, if all is set, what says which attempt it is.
func (w *work) environment(all bool) []variable {
	var env []variable
	for name, value := range w.in.Env {
		env = append(env, variable{name, string(value)})
	}
	if all {
		for _, v := range w.call.Environ() {
			env = append(env, variable(v))
		}
	}
	return env
}

// script starts the command under the script that guards it.
func (w *work) script(ctx context.Context, c *conn, stdout, stderr *workdir.Spill) (*running, error) {
	r := &running{conn: c, started: make(chan int, 1), ended: make(chan int, 1)} // each gets one number, from the goroutine that reads
	ends := leaseLimit(w.call.Lease, w.cfg.Grace)
	if err := c.fence.build(ctx, ends); err != nil {
		return nil, err
	}
	h := header{mark: newMark(), grace: w.cfg.Grace, command: w.in.Command, env: w.environment(true), stdin: !w.in.Stdin.none()}
	if !c.fence.open() {
		h.limit = ends
	}
	script := runLaunched
	if c.fence.direct.Load() {
		script = runDirect
	}
	var err error
	r.session, err = c.exec(ctx, request{name: "exec", payload: execPayload{script}, limit: ends}, stdout, newMarks(h.mark, stderr, r.said))
	if err != nil {
		return nil, err
	}
	w.begun = true
	if !h.stdin {
		r.leash = newLeash(r.session, h.line(), w.call.Lease, w.cfg.Grace, c.fence)
		return r, nil
	}
	if err := w.feed(ctx, r, &h); err != nil {
		_ = r.session.Close()
		r.leave()
		return nil, err
	}
	return r, nil
}

// said takes a mark of the script. It does not block: only the first mark of a kind counts.
func (r *running) said(kind byte, number int) {
	to := r.started
	if kind == '=' {
		to = r.ended
	}
	select {
	case to <- number:
	default:
	}
}

// feed gives the command its stdin, once a guard watches over it in a session of its own.
func (w *work) feed(ctx context.Context, r *running, h *header) error {
	written := make(chan error, 1)
	go func() { // ends with the session at the latest: the host may not read
		_, err := io.WriteString(r.session.Channel, h.line())
		written <- err
	}()
	for r.group == 0 {
		select {
		case r.group = <-r.started:
		case err := <-written:
			if written = nil; err != nil {
				return lost(w.in.Host, err)
			}
		case <-r.done:
			return errNotStarted
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	ready := make(chan int, 1)
	g := header{mark: newMark(), grace: h.grace, limit: h.limit, group: r.group}
	guard, err := r.conn.start(ctx, guardScript, io.Discard, newMarks(g.mark, io.Discard, func(_ byte, number int) {
		select {
		case ready <- number:
		default:
		}
	}))
	if err != nil {
		w.begun = !isStale(err) // the command waits
		return err
	}
	r.guard, r.leash = guard, newLeash(guard, g.line(), w.call.Lease, h.grace, r.conn.fence)
	select {
	case <-ready:
	case <-guard.done:
		return errNotStarted
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	go func() { // ends with the session at the latest
		_, _ = io.Copy(r.session.Channel, io.MultiReader(strings.NewReader("\n"), w.in.Stdin.reader()))
		_ = r.session.CloseWrite()
	}()
	return nil
}

var (
	errNotStarted = errors.New("the host did not start the command under sh; see the input plain if it has no POSIX shell")
	errUnguarded  = errors.New("the command was ended, as its guard on the host was gone")
)

func lost(host string, err error) error {
	text := fmt.Sprintf("connection to %s was lost while the command ran", host)
	if err != nil && !errors.Is(err, io.EOF) {
		text += ": " + strings.TrimPrefix(err.Error(), "ssh: ")
	}
	return errors.New(text)
}

// wait waits for the end of the command, or ends it when ctx ends.
func (w *work) wait(ctx context.Context, r *running) error {
	var guarded <-chan struct{}
	if r.guard != nil {
		guarded = r.guard.done
	}
	for {
		select {
		case r.group = <-r.started:
			continue
		case code := <-r.ended:
			w.result.ended(code)
			await(r.read, outputDelay) // the host needs longer to close the session
			return nil
		case <-r.done:
		case <-r.exited:
			await(r.read, outputDelay)
		case <-guarded:
			w.stop(r)
			if r.hasExited() {
				return errUnguarded
			}
		case <-ctx.Done():
			w.stop(r)
			return context.Cause(ctx)
		}
		return w.judge(r)
	}
}

// judge says how a command ended whose session ended.
func (w *work) judge(r *running) error {
	select {
	case r.group = <-r.started:
	default:
	}
	select {
	case code := <-r.ended:
		w.result.ended(code)
		return nil
	default:
	}
	switch {
	case !r.hasExited():
		r.conn.lost()
		return lost(w.in.Host, nil)
	case w.in.Plain:
	case r.group == 0:
		return errNotStarted
	default:
		w.stop(r) // somebody killed the script
	}
	w.result.ended(r.returnCode())
	return nil
}

// await waits for something, and for so long at most.
func await(what <-chan struct{}, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-what:
		return true
	case <-timer.C:
		return false
	}
}

// stop ends the command: the guard does it. If the command has not ended after the grace time, another session kills its group.
func (w *work) stop(r *running) {
	if r.leash == nil {
		w.stopPlain(r)
		return
	}
	r.leash.end()
	if await(r.done, w.cfg.Grace+confirmDelay) {
		return
	}
	select {
	case r.group = <-r.started:
	default:
	}
	if r.group != 0 {
		ctx, cancel := context.WithTimeout(context.Background(), confirmDelay) // the attempt's own has ended
		defer cancel()
		if s, err := r.conn.start(ctx, fmt.Sprintf("exec /bin/sh -c 'kill -KILL -%d'", r.group), io.Discard, io.Discard); err == nil {
			await(s.done, confirmDelay)
		}
	}
	if !await(r.done, confirmDelay/2) {
		w.call.Reporter.Log("log", fmt.Sprintf("%s did not confirm that the command has ended", w.in.Host))
	}
}

// stopPlain asks the host to end a plain command.
func (w *work) stopPlain(r *running) {
	for _, name := range []string{"TERM", "KILL"} {
		go func() { _, _ = r.SendRequest("signal", false, ssh.Marshal(struct{ Name string }{name})) }() // ends with the session
		if await(r.done, w.cfg.Grace) {
			return
		}
	}
}

// leave closes what is still open. The host may take longer than the attempt.
func (r *running) leave() {
	for _, s := range []*session{r.session, r.guard} {
		if s == nil {
			continue
		}
		if s == r.guard {
			r.leash.release()
			if await(s.done, confirmDelay) {
				continue
			}
		}
		select {
		case <-s.done:
			continue
		default:
		}
		go func() { _ = s.Channel.Close() }() // ends with the connection at the latest
		r.conn.settle(s.done)
	}
}

// leash tells a guard how long its command may run.
type leash struct {
	stop, free chan struct{}
	once       sync.Once
}

// newLeash gives a guard its header. Extensions of the lease go to the fence, or to the guard if there is none.
func newLeash(s *session, header string, lease executors.Lease, grace time.Duration, f *fence) *leash {
	l := &leash{stop: make(chan struct{}), free: make(chan struct{})}
	changed := lease.Changed() // before the header's limit is out of date
	go func() {                // ends with the session at the latest
		_, err := io.WriteString(s.Channel, header)
		for err == nil {
			select {
			case <-changed:
				changed = lease.Changed() // before Until: so that no change is missed
				if now := leaseLimit(lease, grace); f.open() {
					f.arm(now)
				} else if now != (limit{}) {
					_, err = io.WriteString(s.Channel, now.line())
				}
			case <-l.stop:
				_ = s.CloseWrite()
				return
			case <-l.free:
				_, _ = io.WriteString(s.Channel, ".\n")
				_ = s.CloseWrite()
				return
			case <-s.done:
				return
			}
		}
	}()
	return l
}

// end makes the guard end the command.
func (l *leash) end() { l.once.Do(func() { close(l.stop) }) }

// release tells the guard that the command has ended.
func (l *leash) release() { l.once.Do(func() { close(l.free) }) }
