package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
)

// Bounds of a command.
const (
	CommandTime  = 10 * time.Second // after which it is killed, with the processes that it has started
	CommandBytes = 64 << 10         // of its output
)

// Command prints a credential on its stdout. What it prints is shown nowhere, not even when it fails.
type Command struct {
	Setting string
	Args    []string      // the program and its arguments; no shell reads them
	Time    time.Duration // default [CommandTime]
	Stdin   string        // what it reads; empty: nothing

	running singleflight.Group
}

// Run runs it and gives what it prints, without line breaks at its end. Calls at the same time share one run. Its error is an *[Error], or
// ctx's.
func (c *Command) Run(ctx context.Context) (string, error) {
	// The run is for all who wait, so it does not end with the first one's patience; it has bounds of its own.
	done := c.running.DoChan("", func() (any, error) { return c.run(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case result := <-done:
		text, _ := result.Val.(string)
		return text, result.Err
	}
}

func (c *Command) run(ctx context.Context) (string, error) {
	most := c.Time
	if most == 0 {
		most = CommandTime
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...) //nolint:gosec // the operator's own
	printed := &bounded{stop: cancel}
	cmd.Stdout, cmd.Env = printed, withoutOurs(os.Environ())
	if c.Stdin != "" {
		cmd.Stdin = strings.NewReader(c.Stdin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a process that left the group may hold stdout
	err := cmd.Run()
	text := strings.TrimRight(printed.kept.String(), "\r\n")
	switch {
	case printed.over:
		err = fmt.Errorf("it prints more than %d bytes", CommandBytes)
	case ctx.Err() != nil:
		err = fmt.Errorf("it takes longer than %v", most)
	case err != nil: // the program is missing, or has failed
	case text == "":
		err = ErrNothing
	default:
		return text, nil
	}
	return "", &Error{c.Setting, fmt.Errorf("%s: %w", c.Args[0], err)}
}

// ErrNothing: the command has succeeded and printed nothing.
var ErrNothing = errors.New("it prints nothing")

// bounded is the beginning of what a command prints.
type bounded struct {
	kept bytes.Buffer // not embedded: io.Copy would use its ReadFrom
	over bool
	stop func()
}

// Write ends the command once it has printed too much.
func (b *bounded) Write(p []byte) (int, error) {
	if b.over = b.over || b.kept.Len()+len(p) > CommandBytes; b.over {
		b.stop()
		return len(p), nil
	}
	return b.kept.Write(p)
}

// withoutOurs leaves out our own variables, which hold other credentials.
func withoutOurs(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "TASKGROVE_") {
			kept = append(kept, variable)
		}
	}
	return kept
}
