//go:build !linux

package pgtest

import "syscall"

// withParent is nothing: only Linux ends a process with its parent.
func withParent() *syscall.SysProcAttr { return nil }
