package failpoint

import (
	"os"
	"runtime"
	"syscall"
)

// stop stops the thread that it is called on, and the others with it. A signal to the process would go to its main thread, and this one would run on until that
// one has a processor, well past the point.
func stop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = syscall.Tgkill(os.Getpid(), syscall.Gettid(), syscall.SIGSTOP)
}
