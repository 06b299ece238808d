package sqltest

import "syscall"

// withParent makes a process end with the thread that starts it.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
