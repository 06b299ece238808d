package pgserver

import "syscall"

// dieWithParent makes the kernel send SIGQUIT (immediate shutdown) when the thread that forked the child ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
