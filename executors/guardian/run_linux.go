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
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/executors/guardian/internal/guard"
	"github.com/taskgrove/taskgrove/executors/guardian/internal/proc"
)

// self is this program, also after its file was replaced by a newer one. Only tests change it.
var self = "/proc/self/exe"

// pipeDelay is how long output may still come after the guardian's end: another user's process holds it open.
const pipeDelay = 2 * time.Second

// Hook marks the place in main where this process becomes a guardian if it was started as one. That has happened by
// then: importing this package is enough.
func Hook() {}

// Run runs the command under a guardian and returns when it and everything below it have ended.
//
// When ctx ends first, the command is stopped and the error is ctx's cause. It returns [ErrLeaseEnded] when the
// guardian stopped the command by itself, and *[StartError] when there was nothing to run; a command that exits with a
// code other than 0 is no error.
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
		// A session of its own: neither Ctrl-C nor Ctrl-Z of the worker's terminal reaches it, and what is in it can be
		// found when the guardian is gone.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		WaitDelay:   pipeDelay,
	}
	w := &ward{ctx: ctx, control: ours, lease: c.Lease}
	changed := w.sendLease() // waits in the socket: if we die here, the guardian sees it
	w.send("start")
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err // its path is ours, not the command's
		}
		return none, &StartError{Err: err}
	}
	w.follow(cmd.Process, changed)
	waited := cmd.Wait()
	return w.outcome(cmd, waited)
}

// Check reports why this program can't run as a guardian here: it can't be executed again (/proc is not mounted, a sandbox
// forbids it), or may not become the parent of what its children leave behind.
//
// The command of the trial is a guardian without arguments, which ends at once with the code 2.
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

// checkWithin bounds a trial, which takes milliseconds.
const checkWithin = 10 * time.Second

// ward is a running command, as the worker sees it.
type ward struct {
	ctx     context.Context
	control *os.File
	lease   Lease
	report  string // the guardian's last word
}

// follow passes on the lease and the context's end until the guardian closes the socket.
func (w *ward) follow(guardian *os.Process, changed <-chan struct{}) {
	ended := make(chan struct{})
	go func() { // ends with the socket: when the guardian does
		defer close(ended)
		for lines := bufio.NewScanner(w.control); lines.Scan(); {
			w.report = lines.Text()
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

// outcome reads the guardian's last word.
func (w *ward) outcome(cmd *exec.Cmd, waited error) (Status, error) {
	var raw uint32
	status, reason := Status{Code: -1}, ""
	if _, err := fmt.Sscanf(w.report, "exit %d %d %s", &raw, &status.Left, &reason); err != nil {
		var errno int
		if _, err := fmt.Sscanf(w.report, "error %d", &errno); err == nil {
			return status, &StartError{Err: syscall.Errno(errno)}
		}
		killSession(cmd.Process.Pid)
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

// killSession kills what can still be told to be the command's when its guardian is gone.
func killSession(guardian int) {
	for _, p := range proc.InSession(guardian) {
		_ = p.Signal(syscall.SIGKILL)
	}
}

// sendLease tells the guardian how long the command may run, and returns what is closed when that changes.
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

// send writes a line. A guardian that is gone is noticed elsewhere, and one that is frozen has its lease.
func (w *ward) send(line string) {
	_ = w.control.SetWriteDeadline(time.Now().Add(guard.WriteTimeout))
	_, _ = w.control.WriteString(line + "\n")
}

// socketPair makes a connected pair that no other child inherits: a copy held elsewhere would hide our death.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "guardian"), nil
}
