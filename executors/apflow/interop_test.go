package apflow_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

// python starts the protocol's first server, the package aipartnerupflow, and gives its URL. make interop installs it.
func python(t *testing.T) string {
	program := os.Getenv("TASKGROVE_INTEROP")
	if program == "" {
		t.Skip("the package aipartnerupflow is not installed: make interop does that, and runs this test")
	}
	port := strconv.Itoa(porttest.Port(t))
	dir := t.TempDir()
	cmd := exec.Command(program)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "AIPARTNERUPFLOW_DB_PATH="+dir+"/tasks.duckdb", "AIPARTNERUPFLOW_API_HOST=127.0.0.1",
		"AIPARTNERUPFLOW_API_PORT="+port, "AIPARTNERUPFLOW_STDIO_ALLOW_COMMAND=true")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	url := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Post(url+"/system", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"system.health","params":{}}`))
		if err == nil {
			resp.Body.Close()
			return url
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("it does not answer: %s", out.String())
		}
	}
}

func TestThePythonServer(t *testing.T) {
	url := python(t)
	command := func(id, text string, more object) object {
		return object{"id": id, "name": id, "schemas": object{"method": "command_executor"}, "inputs": object{"command": text}}.with(more)
	}
	t.Run("waits by looking", func(t *testing.T) {
		in := execute(url, command("root", "echo hello", object{"dependencies": []object{{"id": "child", "required": true}}}),
			command("child", "sleep 0.2", object{"parent_id": "root"})).with(object{"poll_interval": 0.1, "timeout": 60})
		got, _, err := attempt(t.Context(), t, in, nil)
		if err != nil || got.Status != "completed" || !strings.Contains(string(got.Task), `"stdout":"hello"`) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("fails with the task", func(t *testing.T) {
		in := execute(url, object{"id": "bad", "name": "bad", "schemas": object{"method": "system_info_executor"}, "inputs": object{"resource": "nonsense"}})
		_, _, err := attempt(t.Context(), t, in.with(object{"poll_interval": 0.1, "timeout": 60}), nil)
		if err == nil || !strings.Contains(err.Error(), " failed: Unknown resource: nonsense") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an unknown task", func(t *testing.T) {
		got, _, err := attempt(t.Context(), t, object{"base_url": url, "method": "tasks.get", "params": object{"task_id": "nobody"}}, nil)
		if err != nil || string(got.Result) != "null" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a cancel is passed on", func(t *testing.T) {
		hanging := make(chan struct{})
		asked := make(chan struct{}, 10)
		service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			asked <- struct{}{}
			<-hanging
		}))
		defer service.Close()
		defer close(hanging)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-asked; cancel(executors.ErrCancelled) }()
		in := execute(url, object{"id": "slow", "name": "slow", "schemas": object{"method": "rest_executor"}, "inputs": object{"url": service.URL, "timeout": 600}})
		left, said, err := attempt(ctx, t, in.with(object{"poll_interval": 0.1, "timeout": 60}), nil)
		if !errors.Is(err, executors.ErrCancelled) || !strings.Contains(fmt.Sprint(said.Lines()), " was cancelled") {
			t.Fatalf("got %v, %v, %v", left, err, said.Lines())
		}
		got, _, err := attempt(t.Context(), t, object{"base_url": url, "method": "tasks.list", "params": object{}}, nil)
		if err != nil || !strings.Contains(string(got.Result), `"name":"slow","status":"cancelled"`) {
			t.Errorf("there it is %s, %v", got.Result, err)
		}
	})
}
