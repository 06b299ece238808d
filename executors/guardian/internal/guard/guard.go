//go:build linux

// Package guard is the guardian's side: it runs in a process that was started under the guardian's name.
//
// It owns the guardian process from its first instruction to its last. It must not know the worker's side; package
// guardian describes both sides and the protocol between them.
//
// A guardian starts in this package's init, not in main. So no program can forget to start it, and then start itself again
// and again; and the guardian does not pay for packages that initialise later. Packages initialise in the order of their
// paths, each after its imports. So this one avoids os/exec and os/signal, which initialise late. Measured with the server,
// NATS and gRPC linked in: 5.5 ms per command instead of 7.7.
package guard

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/executors/guardian/internal/proc"
)

// Name is argv[0] of a guardian. Nothing else starts this program under that name.
const Name = "taskgrove-guardian"

// Exit codes of a guardian that could not start.
const (
	BadArguments = 2
	NoSubreaper  = 3 // the kernel refuses to make it a subreaper
)

// TellSessions asks a guardian to tell which sessions there are below it: each by a line of Session and its id.
const (
	TellSessions = "tell sessions"
	Session      = "session "
)

// Pauses between two looks for sessions. A look reads all of /proc, which takes a millisecond or so.
const (
	lookFirst = 10 * time.Millisecond
	lookMost  = time.Second
)

// WriteTimeout bounds the write of one message. A peer that does not read for so long is frozen.
const WriteTimeout = time.Second

const controlFD = 3

// The pause between two rounds of SIGKILL, and how long to try to kill another user's processes.
const (
	killFirst  = 2 * time.Millisecond
	killMost   = 200 * time.Millisecond
	deniedMost = 5 * time.Second
)

func init() {
	if len(os.Args) > 0 && os.Args[0] == Name {
		syscall.Exit(guard(os.Args[1:])) // not os.Exit: the race detector would have it wait a second
	}
}

// guard is the guardian process from start to end. Its arguments are the grace time in milliseconds, the path and the argv of
// the command.
func guard(args []string) int {
	runtime.LockOSThread() // the parent-death signal of the command is tied to the thread that started it
	if len(args) < 3 {
		return BadArguments
	}
	millis, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return BadArguments
	}
	unix.CloseOnExec(controlFD)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // so that no command traces it; the command itself is what exec makes it
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return NoSubreaper
	}
	_ = unix.SetNonblock(controlFD, true)
	g := &guardian{
		grace:   time.Duration(millis) * time.Millisecond,
		control: os.NewFile(controlFD, "control"),
		orders:  make(chan string),
		exited:  make(chan syscall.WaitStatus, 1),
		empty:   make(chan struct{}),
	}
	go g.read()
	return g.run(args[1], args[2:])
}

// guardian is the process between the worker and a command.
type guardian struct {
	grace   time.Duration
	control *os.File
	orders  chan string             // lines from the worker; closed when it is gone
	exited  chan syscall.WaitStatus // the command has ended
	empty   chan struct{}           // closed when no process is left below us
	lease   time.Time               // zero: no end
	status  syscall.WaitStatus      // of the command, once seen

	sessions map[int]bool  // told so far; nil: nobody asked for them
	look     time.Duration // the pause before the next look for sessions
}

func (g *guardian) read() {
	defer close(g.orders)
	for lines := bufio.NewScanner(g.control); lines.Scan(); {
		g.orders <- lines.Text()
	}
}

func (g *guardian) run(path string, argv []string) int {
	for line := range g.orders {
		if line == "start" {
			pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
				Env:   os.Environ(),
				Files: []uintptr{0, 1, 2},
				Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
			})
			if err != nil {
				g.say("error %d", errnoOf(err))
				return 1
			}
			ignoreSignals()
			go g.reap(pid)
			reason := g.watch()
			left := g.endAll()
			select {
			case g.status = <-g.exited:
			default:
			}
			g.say("exit %d %d %s", uint32(g.status), left, reason)
			return 0
		}
		g.order(line)
	}
	return 1 // the worker died before it said start
}

// watch waits until the command has ended or must end, and says why.
func (g *guardian) watch() string {
	for {
		var ends, looks <-chan time.Time
		if g.sessions != nil {
			looks = time.After(g.look)
		}
		if !g.lease.IsZero() {
			ends = time.After(g.untilStop())
		}
		select {
		case <-looks:
			g.tellSessions()
		case g.status = <-g.exited:
			return "exit"
		case line, open := <-g.orders:
			if !open {
				return "orphan"
			}
			if line == "stop" {
				return "stop"
			}
			g.order(line)
		case <-ends:
			return "lease"
		}
	}
}

// untilStop is when to begin ending the command, so that the grace time is over at the end of the lease. If the lease is
// shorter than the grace time, the command gets half of the lease.
func (g *guardian) untilStop() time.Duration {
	left := time.Until(g.lease)
	if left < 2*g.grace {
		return left / 2
	}
	return left - g.grace
}

// tellSessions tells the worker of sessions that it does not know yet.
func (g *guardian) tellSessions() {
	for _, p := range proc.Descendants() {
		if id := p.Session(); !g.sessions[id] {
			g.sessions[id] = true
			g.say("%s%d", Session, id)
		}
	}
	g.look = min(2*g.look, lookMost)
}

// order takes a lease, or the wish to be told of sessions.
func (g *guardian) order(line string) {
	if line == TellSessions {
		g.sessions, g.look = map[int]bool{}, lookFirst
		return
	}
	text, ok := strings.CutPrefix(line, "lease ")
	if !ok {
		return
	}
	switch end, err := strconv.ParseInt(text, 10, 64); {
	case err != nil:
	case end == 0:
		g.lease = time.Time{}
	default:
		g.lease = time.Now().Add(time.Duration(end - Monotonic()))
	}
}

// reap collects every process that dies below us. It ends when none is left; none can come after that, as every descendant
// has an ancestor that is our child.
func (g *guardian) reap(command int) {
	defer close(g.empty)
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return
		case pid == command:
			g.exited <- ws
		}
	}
}

// endAll ends everything below us: SIGTERM, the grace time (no longer than the lease), then SIGKILL until nothing is
// left. It returns how many processes remain that we may not kill.
func (g *guardian) endAll() int {
	select { // the usual case: the command has ended and left nothing
	case <-g.empty:
		return 0
	case <-time.After(killFirst):
	}
	for _, p := range proc.Descendants() {
		_ = p.Signal(syscall.SIGTERM)
		_ = p.Signal(syscall.SIGCONT) // a stopped process takes no other signal
	}
	grace := g.grace
	if !g.lease.IsZero() {
		grace = min(grace, max(0, time.Until(g.lease)))
	}
	select {
	case <-g.empty:
		return 0
	case <-time.After(grace):
	}
	var denied time.Time // since when only another user's processes are left
	for pause := killFirst; ; pause = min(2*pause, killMost) {
		killed, refused := 0, 0
		for _, p := range proc.Descendants() {
			if err := p.Signal(syscall.SIGKILL); errors.Is(err, syscall.EPERM) {
				refused++
			} else {
				killed++
			}
		}
		switch {
		case killed > 0 || refused == 0:
			denied = time.Time{}
		case denied.IsZero():
			denied = time.Now()
		case time.Since(denied) > deniedMost:
			return refused
		}
		select {
		case <-g.empty:
			return 0
		case <-time.After(pause):
		}
	}
}

// say sends a message to the worker, if it is still there.
func (g *guardian) say(format string, args ...any) {
	_ = g.control.SetWriteDeadline(time.Now().Add(WriteTimeout))
	_, _ = fmt.Fprintf(g.control, format+"\n", args...)
}

func errnoOf(err error) int {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return int(errno)
	}
	return int(syscall.EINVAL)
}

// ignoreSignals makes sure that only the worker decides: a service manager sends SIGTERM to a whole control group to drain the
// worker. It is called after the command has started, as the command would inherit it.
func ignoreSignals() {
	type sigaction struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	ignore := sigaction{handler: 1} // SIG_IGN
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig),
			uintptr(unsafe.Pointer(&ignore)), 0, unsafe.Sizeof(ignore.mask), 0, 0)
	}
}

// Monotonic is CLOCK_MONOTONIC in nanoseconds, the same for every process of this host.
func Monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
