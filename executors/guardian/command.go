package guardian

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// DefaultGrace is the time between SIGTERM and SIGKILL when none is configured.
const DefaultGrace = 2 * time.Second

// ErrLeaseEnded: the guardian stopped the command because the lease had ended and it heard of no other.
var ErrLeaseEnded = errors.New("lease ended")

// Lease is how long the command may run; see executors.Lease, which is one.
type Lease interface {
	Until() time.Time
	Changed() <-chan struct{}
}

// Command is what to run.
type Command struct {
	Path           string        // of the executable; no search is done
	Args           []string      // Args[0] is the name it is called by
	Env            []string      // all of the environment: nothing is inherited
	Dir            string        // working directory; empty: the worker's
	Stdin          io.Reader     // nil: empty
	Stdout, Stderr io.Writer     // nil: discarded
	Lease          Lease         // nil, or a zero Until: unlimited
	Grace          time.Duration // from SIGTERM to SIGKILL; 0: DefaultGrace
}

// Status is how a command ended.
type Status struct {
	Code   int            // exit code; -1 when a signal ended it or it was not seen to end
	Signal syscall.Signal // that ended it; 0: none
	Left   int            // processes that belong to another user and could not be killed
}

// StartError reports that the command could not be started: no such file, not executable, no such directory.
type StartError struct{ Err error }

// Error gives the cause, after what was tried.
func (e *StartError) Error() string { return "start command: " + e.Err.Error() }

// Unwrap gives the cause, a [syscall.Errno] as a rule.
func (e *StartError) Unwrap() error { return e.Err }
