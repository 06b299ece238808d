//go:build unix && !linux

package failpoint

import (
	"os"
	"syscall"
)

// stop stops the process; the thread that it is called on may run a little past the point.
func stop() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }
