package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCommandsEndWhileTheyRead: whoever gives no more of the input does not keep a command from ending.
func TestCommandsEndWhileTheyRead(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("# nothing\n"), 30_000) // more than a pipe holds: when it is written, the command reads
	for command, signal := range map[string]syscall.Signal{
		"flow validate -": syscall.SIGTERM, "flow validate --json -": syscall.SIGINT, "flow explain -": syscall.SIGINT, "render -": syscall.SIGTERM, "submit -": syscall.SIGTERM,
		"schedule apply -": syscall.SIGTERM, "generate -": syscall.SIGINT, "bundle validate -": syscall.SIGTERM,
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(path, strings.Fields(command)...)
			cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "TASKGROVE_SERVER=127.0.0.1:1"}
			var out, notes bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &notes
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			defer late.Stop()
			if _, err := in.Write(text); err != nil {
				t.Error(err)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait() // the code tells
			_ = in.Close()
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.HasPrefix(notes.String(), "taskgrove: interrupted") || out.Len() > 0 {
				t.Errorf("exit code %d: %s%s", code, notes.String(), out.String())
			}
		})
	}
}

// TestCommandsEndWhileTheyCompute: what only judges is left where it is.
func TestCommandsEndWhileTheyCompute(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errSignal{syscall.SIGTERM})
	never := make(chan int)
	if _, err := unlessEnded(ctx, func() int { return <-never }); !errors.As(err, new(errSignal)) {
		t.Errorf("got %v", err)
	}
	flow := file(t, "f.yaml", "flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
	for _, args := range [][]string{
		{"flow", "validate", flow}, {"flow", "validate", "--json", flow}, {"flow", "explain", flow}, {"flow", "run", "--dry-run", flow}, {"render", file(t, "t.yaml", "tasks: [{name: a}]")}, {"bundle", "validate", greetings},
	} {
		var out, notes bytes.Buffer
		started := false
		root := newRoot(&started)
		root.SetArgs(args)
		root.SetOut(&out)
		root.SetErr(&notes)
		if code := report(root.ExecuteContext(ctx), started, &notes); code != exitInterrupted || out.Len() > 0 || !strings.Contains(notes.String(), "interrupted") {
			t.Errorf("%v: exit code %d, %s%s", args, code, out.String(), notes.String())
		}
	}
}
