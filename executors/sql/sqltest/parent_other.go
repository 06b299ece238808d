//go:build !linux

package sqltest

import "syscall"

// withParent is nothing: only Linux ends a process with its parent.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
