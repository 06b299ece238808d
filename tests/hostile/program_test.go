package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// build makes the program as it is shipped.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "taskgrove")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../cmd/taskgrove").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// addresses are what a ready file holds.
type addresses struct{ HTTP, GRPC, NATS string }

// child is a process of the program.
type child struct {
	addresses
	name   string
	cmd    *exec.Cmd
	out    bytes.Buffer
	exited chan struct{}
}

// patience is how long anything may take on a busy machine before it counts as stuck.
const patience = 90 * time.Second

func startChild(t *testing.T, path, name string, env []string, args ...string) *child {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	c := &child{name: name, cmd: exec.Command(path, append(args, "--ready-file", ready)...), exited: make(chan struct{})}
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TASKGROVE_LOG_LEVEL=error"}, env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, c.cmd.Start())
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.exited:
		case <-time.After(patience):
			_ = c.cmd.Process.Kill()
			<-c.exited
			t.Errorf("%s did not end", name)
		}
		if t.Failed() {
			text := c.out.String()
			t.Logf("%s:\n%s", name, text[:min(len(text), 8<<10)])
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(ready); err == nil {
			must(t, json.Unmarshal(text, &c.addresses))
			return c
		}
		select {
		case <-c.exited:
			t.Fatalf("%s ended early:\n%s", name, c.out.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not ready within %s", name, patience)
		}
	}
}

// memory is the most that was resident since forget, in MiB.
func (c *child) memory() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib >> 10, nil
		}
	}
	return 0, errors.New("no VmHWM")
}

// forget makes memory begin anew from what is resident now.
func (c *child) forget() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", c.cmd.Process.Pid), []byte("5"), 0)
}

// program is the shipped binary in processes: a coordinator that has NATS and a worker within itself (dev), and one more worker.
type program struct {
	t           *testing.T
	dev, worker *child
	trees       atomic.Int64
}

// startProgram starts both; dev has the settings, too.
func startProgram(t *testing.T, settings ...string) *program {
	t.Helper()
	path := build(t)
	settings = append(settings, "TASKGROVE_POSTGRES_URL="+pgtest.Database(t), "TASKGROVE_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_GRPC_ADDR=127.0.0.1:0")
	dev := startChild(t, path, "dev", settings, "dev", "--ephemeral")
	worker := startChild(t, path, "worker", []string{"TASKGROVE_NATS_URL=" + dev.NATS, "TASKGROVE_WORKER_ID=second", "TASKGROVE_WORKER_HTTP_ADDR=127.0.0.1:0"}, "worker")
	return &program{t: t, dev: dev, worker: worker}
}

// honest runs a small tree over JSON-RPC to its end, and asks both processes how they are.
func (c *program) honest(ctx context.Context) error {
	id := fmt.Sprintf("honest-%d", c.trees.Add(1))
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"wait":true,"timeout":60,"tasks":[
		{"id":%q,"name":"a","schemas":{"method":"noop_executor"},"dependencies":[{"id":"%[2]s.b","required":true}]},
		{"id":"%[2]s.b","name":"b","parent_id":%[1]q,"schemas":{"method":"noop_executor"}}]}}`, id, id)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.dev.HTTP+"/tasks", strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("honest client: %w", err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if !bytes.Contains(text, []byte(`"status":"completed"`)) {
		return fmt.Errorf("honest client: got %s", text)
	}
	for _, url := range []string{c.dev.HTTP + "/health", c.dev.HTTP + "/metrics", c.worker.HTTP + "/health", c.worker.HTTP + "/ready"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(r)
		if err != nil {
			return fmt.Errorf("honest client: %w", err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("honest client: %s: %s", url, answer.Status)
		}
	}
	return nil
}

// client connects anew for each request: it must be let in beside the others.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
