package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors"
)

// starts measures how long `taskgrove dev` takes to start: from the exec until it says that it is ready, and until a tree of one task
// that was submitted then has ended.
func starts(ctx context.Context, o options) (figures []measured, err error) {
	if o.programs.taskgrove == "" {
		return nil, nil
	}
	dir, err := dataDir(o)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	kept := []string{"--data-dir", filepath.Join(dir, "data")}
	for _, way := range []struct {
		name string
		args []string
	}{{"ephemeral", []string{"--ephemeral"}}, {"new data directory", kept}, {"data directory again", kept}} {
		ready, ended, err := startOnce(ctx, dir, o.programs.taskgrove, way.args)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", way.name, err)
		}
		name := "dev start, " + way.name
		figures = append(figures, measured{figure{name, "s", ready.Seconds()}, executors.DefaultConcurrency, 1},
			measured{figure{name + ": first tree has ended", "s", ended.Seconds()}, executors.DefaultConcurrency, 1})
	}
	return figures, nil
}

// startOnce starts dev, runs a tree and stops it.
func startOnce(ctx context.Context, dir, program string, args []string) (ready, ended time.Duration, err error) {
	file := filepath.Join(dir, "ready.json")
	cmd := exec.Command(program, append([]string{"dev", "--http-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--log-level=warn", "--ready-file", file}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var said bytes.Buffer // written until the process has been waited for
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if wait := cmd.Wait(); err == nil {
			err = wait
		}
		if err != nil {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
		}
	}()
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0, 0, fmt.Errorf("dev did not start: %w", err)
		}
		if strings.HasPrefix(line, "Taskgrove is ready.") {
			break
		}
	}
	ready = time.Since(begin)
	if err := firstTree(ctx, file); err != nil {
		return 0, 0, err
	}
	return ready, time.Since(begin), nil
}

// firstTree submits a tree of one task to the dev that wrote the ready file, and waits for its end.
func firstTree(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var at struct{ GRPC string }
	if err := json.Unmarshal(text, &at); err != nil {
		return err
	}
	c, err := client.New(at.GRPC)
	if err != nil {
		return err
	}
	defer c.Close()
	id := fmt.Sprint("first-", time.Now().UnixNano()) // the data directory has those of the runs before
	out, err := c.Submit(ctx, []client.NewTask{*newTask(id, "", claimed)})
	if err != nil {
		return err
	}
	tree, err := c.Wait(ctx, out.TreeID)
	if err == nil && tree.Status != client.StatusCompleted {
		err = fmt.Errorf("the first tree has ended as %s", tree.Status)
	}
	return err
}
