//go:build !linux

package guardian

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
)

// Hook does nothing here: guardians need Linux.
func Hook() {}

// Check always succeeds: there is no guardian here, only the command.
func Check(context.Context) error { return nil }

// Run runs the command in a process group of its own, without a guardian, which is enough for development. The group is killed
// when the command or ctx ends, but not when this process is killed or frozen.
func Run(ctx context.Context, c Command) (Status, error) {
	none := Status{Code: -1}
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	grace := c.Grace
	if grace <= 0 {
		grace = DefaultGrace
	}
	cmd := exec.CommandContext(ctx, c.Path)
	cmd.Args, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Args, c.Dir, c.Stdin, c.Stdout, c.Stderr
	cmd.Env = append(make([]string, 0, len(c.Env)), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		return none, &StartError{Err: err}
	}
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	status := Status{Code: cmd.ProcessState.ExitCode()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		status.Signal = ws.Signal()
	}
	if err == nil || ctx.Err() == nil && isExit(err) {
		return status, nil
	}
	if ctx.Err() != nil {
		return status, context.Cause(ctx)
	}
	return status, err
}

func isExit(err error) bool {
	_, ok := errors.AsType[*exec.ExitError](err)
	return ok
}
