package guardian

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// DefaultGrace is the time between SIGTERM and SIGKILL if none is configured.
const DefaultGrace = 2 * time.Second

// ErrLeaseEnded: the guardian stopped the command because its lease had ended and was not extended.
var ErrLeaseEnded = errors.New("lease ended")

// Lease is how long the command may run; see executors.Lease, which is one.
type Lease interface {
	Until() time.Time
	Changed() <-chan struct{}
}

// Command says what to run, and how.
type Command struct {
	Path           string        // of the executable; PATH is not searched
	Args           []string      // Args[0] is the program's name
	Env            []string      // the whole environment; nothing is inherited
	Dir            string        // working directory; empty: the worker's
	Stdin          io.Reader     // nil: empty
	Stdout, Stderr io.Writer     // nil: discarded
	Lease          Lease         // nil, or a zero Until: unlimited
	Grace          time.Duration // from SIGTERM to SIGKILL; 0: DefaultGrace
}

// Status is how a command ended.
type Status struct {
	Code   int            // exit code; -1 if a signal ended the command, or its end was not observed
	Signal syscall.Signal // that ended it; 0: none
	Left   int            // processes that belong to another user and could not be killed
}

// StartError reports that the command could not be started: no such file, not executable, no such directory.
type StartError struct{ Err error }

// Error names the operation and its cause.
func (e *StartError) Error() string { return "start command: " + e.Err.Error() }

// Unwrap gives the cause, usually a [syscall.Errno].
func (e *StartError) Unwrap() error { return e.Err }
