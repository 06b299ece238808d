package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// cluster is "taskgrove dev" as a child process, and a client of it.
type cluster struct {
	*client.Client
	cmd   *exec.Cmd
	log   bytes.Buffer  // of the child; to be read when it has ended
	ended chan struct{} // closed then
	err   error         // how it ended
}

// startWithin bounds the start of the cluster: the first one may have to fetch Postgres.
const startWithin = 5 * time.Minute

// startCluster starts a cluster whose worker has the services' file, and returns when it takes tasks.
func startCluster(ctx context.Context, taskgrove string, s *services) (*cluster, error) {
	file, env, err := s.workerFile()
	if err != nil {
		return nil, err
	}
	ready := filepath.Join(s.dir, "ready.json")
	c := &cluster{ended: make(chan struct{})}
	c.cmd = exec.Command(taskgrove, "dev", "--ephemeral", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--ready-file", ready, "--worker-file", file)
	c.cmd.Env = append(append(environ(), env...), "TASKGROVE_COMMAND_ALLOW=true", "TASKGROVE_PYTHON_ALLOW=true",
		"TASKGROVE_PYTHON_CACHE="+filepath.Join(s.dir, "python"), "TASKGROVE_DRAIN_GRACE=1s", "TMPDIR="+s.dir)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us: we stop it
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (make build makes the binary)", err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	address, err := c.address(ctx, ready)
	if err == nil {
		c.Client, err = client.New(address)
	}
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// environ is our environment without settings of a cluster that the user may have.
func environ() (out []string) {
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "TASKGROVE_") || strings.HasPrefix(variable, "AIPARTNERUPFLOW_") || strings.HasPrefix(variable, "DATABASE_URL=") {
			continue
		}
		out = append(out, variable)
	}
	return out
}

// address waits for the ready file, and returns where gRPC is served.
func (c *cluster) address(ctx context.Context, ready string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		if text, err := os.ReadFile(ready); err == nil {
			var at struct{ GRPC string }
			err := json.Unmarshal(text, &at)
			return at.GRPC, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the cluster is not ready: %w", ctx.Err())
		case <-c.ended:
			return "", errors.New("the cluster did not start")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the cluster with all that it runs.
func (c *cluster) stop() error {
	if c.Client != nil {
		_ = c.Close()
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	<-c.ended
	if c.err != nil {
		return fmt.Errorf("the cluster: %w\n%s", c.err, c.log.Bytes())
	}
	return nil
}
