package guardian

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/executors/guardian/internal/guard"
	"github.com/taskgrove/taskgrove/executors/guardian/internal/proc"
)

// self is this program, even if a newer file has replaced it. Only tests change it.
var self = "/proc/self/exe"

// pipeDelay is how long to wait for output after the guardian's end, if another user's process holds the pipe open.
const pipeDelay = 2 * time.Second

// Hook does nothing: importing this package is enough to make a process a guardian that was started as one. Call it in main to
// show where that happens.
func Hook() {}

// Run runs the command under a guardian and returns when it and everything below it have ended.
//
// If ctx ends first, the command is stopped, and the error is ctx's cause. The error is [ErrLeaseEnded] if the guardian stopped
// the command by itself, and a *[StartError] if the command could not be started. An exit code other than 0 is not an error.
func Run(ctx context.Context, c Command) (Status, error) {
	none := Status{Code: -1}
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return none, fmt.Errorf("make control socket: %w", err)
	}
	defer ours.Close()

	grace := c.Grace
	if grace <= 0 {
		grace = DefaultGrace
	}
	cmd := &exec.Cmd{
		Path:       self,
		Args:       append([]string{guard.Name, strconv.FormatInt(grace.Milliseconds(), 10), c.Path}, c.Args...),
		Env:        append(make([]string, 0, len(c.Env)), c.Env...), // nil would mean ours
		Dir:        c.Dir,
		Stdin:      c.Stdin,
		Stdout:     c.Stdout,
		Stderr:     c.Stderr,
		ExtraFiles: []*os.File{theirs},
		// In a session of its own, neither Ctrl-C nor Ctrl-Z on the worker's terminal reaches it, and its processes can be found
		// when the guardian is gone.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		WaitDelay:   pipeDelay,
	}
	w := &ward{ctx: ctx, control: ours, lease: c.Lease, box: newBox()}
	w.box.hold(cmd.SysProcAttr)
	changed := w.sendLease() // waits in the socket: if we die here, the guardian sees it
	if w.box == nil {
		w.send(guard.TellSessions)
	}
	w.send("start")
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		w.box.end()
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err // the path is the guardian's, not the command's
		}
		return none, &StartError{Err: err}
	}
	w.follow(cmd.Process, changed)
	if !w.told && !w.box.kill() { // the guardian was killed; what it left may hold the pipes open
		w.killSessions(cmd.Process.Pid)
	}
	waited := cmd.Wait()
	status, err := w.outcome(waited)
	if w.box.end() {
		status.Left = 0
	}
	return status, err
}

// Check reports why this program can't run as a guardian here: it can't be executed again (/proc is not mounted, a sandbox
// forbids it), or it may not become a subreaper.
//
// It tries a guardian without arguments as the command, which exits at once with code 2.
func Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	status, err := Run(ctx, Command{Path: self, Args: []string{guard.Name}, Dir: "/"})
	if err == nil && status.Code != guard.BadArguments {
		err = fmt.Errorf("a trial ended with code %d, signal %d", status.Code, status.Signal)
	}
	if err != nil {
		return fmt.Errorf("this program can't execute itself (%s) as the guardian of commands: %w", self, err)
	}
	return nil
}

// checkWithin bounds the trial, which takes milliseconds.
const checkWithin = 10 * time.Second

// ward is a running command, as the worker sees it.
type ward struct {
	ctx     context.Context
	control *os.File
	lease   Lease
	box     *box

	// Of the goroutine that reads, until follow returns:
	report   string // the guardian's last message
	sessions []int  // ids of sessions that it saw below it
	told     bool   // the guardian said how the command ended
}

// follow tells the guardian of changes of the lease and of the context's end, until the guardian closes the socket.
func (w *ward) follow(guardian *os.Process, changed <-chan struct{}) {
	ended := make(chan struct{})
	go func() { // ends with the socket, when the guardian ends
		defer close(ended)
		for lines := bufio.NewScanner(w.control); lines.Scan(); {
			if id, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), guard.Session)); err == nil {
				w.sessions = append(w.sessions, id)
				continue
			}
			w.report, w.told = lines.Text(), true
		}
	}()
	stop := w.ctx.Done()
	for {
		select {
		case <-ended:
			return
		case <-changed:
			changed = w.sendLease()
		case <-stop:
			stop = nil
			w.send("stop")
			_ = guardian.Signal(syscall.SIGCONT) // if somebody froze it
		}
	}
}

// outcome reads the guardian's last message.
func (w *ward) outcome(waited error) (Status, error) {
	var raw uint32
	status, reason := Status{Code: -1}, ""
	if _, err := fmt.Sscanf(w.report, "exit %d %d %s", &raw, &status.Left, &reason); err != nil {
		var errno int
		if _, err := fmt.Sscanf(w.report, "error %d", &errno); err == nil {
			return status, &StartError{Err: syscall.Errno(errno)}
		}
		if w.ctx.Err() != nil {
			return status, context.Cause(w.ctx)
		}
		if waited == nil {
			waited = errors.New("no report")
		}
		return status, fmt.Errorf("guardian of the command ended early: %w", waited)
	}
	if ws := syscall.WaitStatus(raw); ws.Signaled() {
		status.Signal = ws.Signal()
	} else {
		status.Code = ws.ExitStatus()
	}
	switch reason {
	case "exit":
		return status, nil
	case "lease":
		return status, ErrLeaseEnded
	}
	if w.ctx.Err() != nil {
		return status, context.Cause(w.ctx)
	}
	return status, fmt.Errorf("guardian of the command was told to end (%s)", reason)
}

// killSessions kills what can still be recognised as the command's when its guardian is gone and there is no box: processes in the
// guardian's own session, and in those that it saw. They may start others meanwhile, so it looks again until it finds none.
func (w *ward) killSessions(guardian int) {
	for end := time.Now().Add(pipeDelay); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		found := proc.InSessions(append(w.sessions, guardian))
		if len(found) == 0 {
			return
		}
		for _, p := range found {
			_ = p.Signal(syscall.SIGKILL)
		}
	}
}

// sendLease tells the guardian how long the command may run. It returns a channel that is closed when that changes.
func (w *ward) sendLease() <-chan struct{} {
	if w.lease == nil {
		return nil
	}
	changed := w.lease.Changed() // before Until: so that no change is missed
	end := int64(0)
	if until := w.lease.Until(); !until.IsZero() {
		end = max(1, guard.Monotonic()+int64(time.Until(until)))
	}
	w.send("lease " + strconv.FormatInt(end, 10))
	return changed
}

// send writes a line and ignores errors: follow notices when the guardian is gone, and a frozen one is bound by the lease.
func (w *ward) send(line string) {
	_ = w.control.SetWriteDeadline(time.Now().Add(guard.WriteTimeout))
	_, _ = w.control.WriteString(line + "\n")
}

// socketPair makes a connected pair that no other child inherits: a copy elsewhere would keep the socket open after our death.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "guardian"), nil
}
