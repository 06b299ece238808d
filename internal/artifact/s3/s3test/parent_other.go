//go:build !linux

package s3test

import "syscall"

// withParent is nothing: only Linux ends a process with its parent.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
