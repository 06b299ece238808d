package apflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/apflow"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

type object map[string]any

func newExecutor(t testing.TB) *apflow.Executor {
	e := apflow.New(apflow.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// attempt runs one attempt; change may change its call.
func attempt(ctx context.Context, t testing.TB, in any, change func(*executors.Call)) (*apflow.Result, *conformance.Recorder, error) {
	t.Helper()
	e := newExecutor(t)
	call, said := conformance.Call(t, in)
	if change != nil {
		change(call)
	}
	if err := inputs.NewChecker(0).Check(e.Describe(), call); err != nil {
		return nil, said, err
	}
	got, err := e.Run(ctx, call)
	result, _ := got.Value().(*apflow.Result)
	return result, said, err
}

// other is another cluster, for which nothing but its API is known.
func other(t *testing.T) (c *cluster.Cluster, url string) {
	c = cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.HTTPAddr = "127.0.0.1:0" }})
	return c, c.Coordinators[0].P.HTTP
}

func sleeping(more object) object {
	in := object{"seconds": 600}
	for name, value := range more {
		in[name] = value
	}
	return object{"id": "root", "name": "root", "schemas": object{"method": "sleep_executor"}, "inputs": in}
}

func execute(url string, tasks ...object) object {
	return object{"base_url": url, "method": "tasks.execute", "wait_for_completion": true, "params": object{"tasks": tasks}}
}

func (o object) with(more object) object {
	out := object{}
	for _, all := range []object{o, more} {
		for name, value := range all {
			out[name] = value
		}
	}
	return out
}

// TestAnotherTaskgrove drives another cluster over its API.
func TestAnotherTaskgrove(t *testing.T) {
	c, url := other(t)
	trees := func() int {
		list, err := c.Service().Trees(t.Context(), coordinator.TreeFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	status := func(id string) string {
		task, err := c.Service().Task(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return string(task.State.Status())
	}
	key := func(key string, attempt int) func(*executors.Call) {
		return func(call *executors.Call) { call.IdempotencyKey, call.Attempt = key, attempt }
	}

	t.Run("waits until a tree has completed", func(t *testing.T) {
		tasks := []object{sleeping(object{"seconds": 0.3}).with(object{"dependencies": []object{{"id": "child"}}}),
			{"id": "child", "name": "child", "parent_id": "root", "schemas": object{"method": "noop_executor"}}}
		got, said, err := attempt(t.Context(), t, execute(url, tasks...).with(object{"poll_interval": 60}), key("completes", 1))
		if err != nil || !got.Success || got.Status != "completed" || got.PollCount > 3 || got.TotalFailures != 0 || status(got.TaskID) != "completed" {
			t.Fatalf("got %+v, %v", got, err) // by events: polls come but once a minute
		}
		if lines := strings.Join(said.Lines(), "\n"); !strings.Contains(lines, "task_completed ") {
			t.Errorf("the log is %s", lines)
		}
	})

	t.Run("does not wait unless told to", func(t *testing.T) {
		got, _, err := attempt(t.Context(), t, execute(url, object{"name": "a", "schemas": object{"method": "noop_executor"}}).with(object{"wait_for_completion": false}), key("starts", 1))
		if err != nil || !got.Success || got.Waited != nil || !strings.Contains(string(got.Result), `"status":"started"`) {
			t.Errorf("got %+v, %v", got, err)
		}
	})

	t.Run("fails with a tree, and runs again what has failed", func(t *testing.T) {
		in := execute(url, sleeping(object{"seconds": 0, "fail": "boom", "fail_times": 1}))
		before := trees()
		_, _, err := attempt(t.Context(), t, in, key("fails", 1))
		if err == nil || !strings.HasSuffix(err.Error(), " failed: boom") || executors.IsPermanent(err) {
			t.Fatalf("got %v", err)
		}
		var detail struct {
			Success *bool
			Status  string
			Task    struct{ Error string }
		}
		if bad := json.Unmarshal([]byte(executors.DetailOf(err)), &detail); bad != nil || detail.Success == nil || *detail.Success || detail.Status != "failed" || detail.Task.Error != "boom" {
			t.Errorf("the detail is %s", executors.DetailOf(err))
		}
		got, _, err := attempt(t.Context(), t, in, key("fails", 2))
		if err != nil || got.Status != "completed" || trees() != before+1 {
			t.Errorf("again: got %+v, %v, %d trees, want one more than %d", got, err, trees(), before)
		}
	})

	for name, row := range map[string]struct {
		more  object
		cause error
		want  string
	}{
		"cancel":           {nil, executors.ErrCancelled, executors.ErrCancelled.Error()},
		"the task's limit": {nil, executors.ErrTimeout, executors.ErrTimeout.Error()},
		"its own limit":    {object{"timeout": 1.5}, nil, "Timeout waiting for task completion after 1.5 seconds"},
	} {
		t.Run("passes on: "+name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			in := execute(url, sleeping(nil).with(object{"dependencies": []object{{"id": "child"}}}),
				object{"id": "child", "name": "child", "parent_id": "root", "schemas": object{"method": "sleep_executor"}, "inputs": object{"seconds": 600}})
			call, said := conformance.Call(t, in.with(row.more))
			call.IdempotencyKey = name
			go func() {
				for row.cause != nil && ctx.Err() == nil && !strings.Contains(strings.Join(said.Lines(), "\n"), "task_start ") {
					time.Sleep(5 * time.Millisecond)
				}
				if row.cause != nil {
					cancel(row.cause)
				}
			}()
			got, err := newExecutor(t).Run(ctx, call)
			if err == nil || err.Error() != row.want {
				t.Fatalf("got %v, want %s", err, row.want)
			}
			left := got.Value().(*apflow.Result)
			for id, task := range c.Tasks(left.TaskID) {
				if string(task.State.Status()) != "cancelled" {
					t.Errorf("task %s there is %s", id, task.State)
				}
			}
			c.Eventually("the worker there has stopped", func() error {
				for _, task := range c.Tasks(left.TaskID) {
					if task.State == dag.Running {
						return errors.New("it runs")
					}
				}
				return nil
			})
		})
	}

	t.Run("a drain leaves the tree to the next attempt", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		in := execute(url, sleeping(object{"seconds": 1.5}))
		before := trees()
		call, said := conformance.Call(t, in)
		call.IdempotencyKey = "drains"
		go func() {
			for !strings.Contains(strings.Join(said.Lines(), "\n"), "task_start ") {
				time.Sleep(5 * time.Millisecond)
			}
			cancel(executors.ErrDraining)
		}()
		if _, err := newExecutor(t).Run(ctx, call); !errors.Is(err, executors.ErrDraining) {
			t.Fatalf("got %v", err)
		}
		got, _, err := attempt(t.Context(), t, in, key("drains", 2))
		if err != nil || got.Status != "completed" || trees() != before+1 {
			t.Errorf("got %+v, %v, %d trees", got, err, trees()-before)
		}
	})

	t.Run("other methods", func(t *testing.T) {
		got, _, err := attempt(t.Context(), t, object{"base_url": url + "/", "method": "tasks.running.count", "params": object{}}, nil)
		if err != nil || !strings.Contains(string(got.Result), "count") {
			t.Errorf("got %+v, %v", got, err)
		}
		_, _, err = attempt(t.Context(), t, object{"base_url": url, "method": "tasks.nonsense", "params": object{}}, nil)
		if err == nil || !executors.IsPermanent(err) || !strings.Contains(executors.DetailOf(err), `"error_code":-32601`) {
			t.Errorf("an unknown method: got %v, %s", err, executors.DetailOf(err))
		}
		_, _, err = attempt(t.Context(), t, object{"base_url": url, "method": "tasks.execute", "wait_for_completion": true, "params": object{"task_id": "nobody"}}, nil)
		if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("an unknown task: got %v", err)
		}
	})

	t.Run("examples", func(t *testing.T) {
		for i, example := range newExecutor(t).Describe().Examples {
			in := strings.ReplaceAll(string(example.Inputs), "https://tasks.example.com", url)
			if got, _, err := attempt(t.Context(), t, in, key(fmt.Sprintf("example %d", i), 1)); err != nil || !got.Success {
				t.Errorf("%s: got %+v, %v", example.Title, got, err)
			}
		}
	})
}

// TestAWaitGivesUp plays a server whose answers break, as no real one does on demand.
func TestAWaitGivesUp(t *testing.T) {
	for name, row := range map[string]struct {
		look      func(n int32) (status int, body string) // of the n-th tasks.get
		want      string
		kind      string
		permanent bool
		looks     int32
	}{
		"an unknown task": {func(int32) (int, string) { return 200, `{"result": null}` }, "Task t is unknown at ", "", true, 1},
		"client errors":   {func(int32) (int, string) { return 404, `no` }, "Polling failed: API returned status 404", "client_error", true, 3},
		"ten in a row":    {func(int32) (int, string) { return 503, `` }, "Polling circuit breaker: 10 consecutive failures. Last error: API returned status 503", "circuit_breaker", false, 10},
		"twenty in all": {func(n int32) (int, string) {
			if n%4 == 0 {
				return 200, `{"result": {"status": "in_progress"}}`
			}
			return 500, ``
		}, "Polling failed: 20 total failures. Last error: API returned status 500", "max_failures", false, 26},
		"blocked": {func(int32) (int, string) { return 200, `{"result": {"status": "pending", "blocked_by": ["x"]}}` }, "Task t at ", "", false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var looks atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var call struct{ Method string }
				_ = json.NewDecoder(r.Body).Decode(&call)
				switch call.Method {
				case "tasks.execute":
					fmt.Fprint(w, `{"result": {"success": true, "task_id": "t", "status": "started"}}`)
				case "tasks.get":
					status, body := row.look(looks.Add(1))
					w.WriteHeader(status)
					fmt.Fprint(w, body)
				default:
					w.WriteHeader(http.StatusNotFound) // it has no events
				}
			}))
			defer server.Close()
			in := object{"base_url": server.URL, "method": "tasks.execute", "wait_for_completion": true, "params": object{"task_id": "t"}, "poll_interval": 0.01, "timeout": 60}
			_, _, err := attempt(t.Context(), t, in, nil)
			if err == nil || !strings.HasPrefix(err.Error(), row.want) || executors.IsPermanent(err) != row.permanent || looks.Load() != row.looks {
				t.Fatalf("got %v (permanent: %v) after %d looks, want %s after %d", err, executors.IsPermanent(err), looks.Load(), row.want, row.looks)
			}
			if row.kind != "" && !strings.Contains(executors.DetailOf(err), `"error_type":"`+row.kind+`"`) {
				t.Errorf("the detail is %s", executors.DetailOf(err))
			}
		})
	}
}

// TestACancelWhileItStarts: what is under way is found out, and cancelled.
func TestACancelWhileItStarts(t *testing.T) {
	var cancel context.CancelCauseFunc
	var cancelled atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			Method string
			Params json.RawMessage
		}
		_ = json.NewDecoder(r.Body).Decode(&call)
		switch call.Method {
		case "tasks.execute":
			cancel(executors.ErrCancelled)
			time.Sleep(100 * time.Millisecond)
			fmt.Fprint(w, `{"result": {"task_id": "t", "status": "started"}}`)
		case "tasks.get":
			fmt.Fprint(w, `{"result": {"status": "in_progress"}}`)
		case "tasks.tree":
			fmt.Fprint(w, `{"result": {"id": "t", "status": "in_progress", "children": [{"id": "a", "status": "completed"}, {"id": "b", "status": "pending"}]}}`)
		case "tasks.cancel":
			cancelled.Store(string(call.Params))
			fmt.Fprint(w, `{"result": []}`)
		}
	}))
	defer server.Close()
	for _, wait := range []bool{true, false} {
		ctx, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		cancel = stop
		_, said, err := attempt(ctx, t, object{"base_url": server.URL, "method": "tasks.execute", "wait_for_completion": wait, "params": object{"task_id": "t"}}, nil)
		if !errors.Is(err, executors.ErrCancelled) || !strings.Contains(fmt.Sprint(cancelled.Load()), `"task_ids":["t","b"]`) {
			t.Errorf("got %v; cancelled was %v; %v", err, cancelled.Load(), said.Lines())
		}
		cancelled.Store("")
	}
}

func TestFailures(t *testing.T) {
	answers := map[string]string{"/json": `{"error": {"code": -32602, "message": "Invalid params", "data": "tasks[0].name is missing hunter2-hunter2"}}`, "/text": "hello", "/large": strings.Repeat(" ", 5<<20)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client has gone
		path := strings.TrimSuffix(r.URL.Path, "/tasks")
		switch {
		case path == "/slow":
			<-r.Context().Done()
		case path == "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		case path == "/moved":
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
		case path == "/secret":
			http.Error(w, r.Header.Get("Authorization"), http.StatusForbidden)
		default:
			fmt.Fprint(w, answers[path])
		}
	}))
	defer server.Close()
	for path, row := range map[string]struct {
		want      string
		permanent bool
	}{
		"/json":   {"Invalid params: tasks[0].name is missing ***", true},
		"/text":   {"API did not answer with JSON", true},
		"/large":  {"API answered with more than 4194304 bytes", true},
		"/busy":   {"API returned status 503", false},
		"/moved":  {"API returned status 307", true},
		"/secret": {"API returned status 403", true},
		"/slow":   {"Request timeout after 0.3 seconds", false},
	} {
		in := object{"base_url": server.URL + path, "method": "tasks.get", "params": object{}, "auth_token": "hunter2-hunter2"}
		if path == "/slow" {
			in["timeout"] = 0.3
		}
		_, _, err := attempt(t.Context(), t, in, nil)
		if path == "/busy" && executors.RetryAfterOf(err) != 7*time.Second {
			t.Errorf("%s: retry after %v", path, executors.RetryAfterOf(err))
		}
		if err == nil || err.Error() != row.want || executors.IsPermanent(err) != row.permanent || strings.Contains(executors.DetailOf(err), "hunter2") {
			t.Errorf("%s: got %v (permanent: %v), %s", path, err, executors.IsPermanent(err), executors.DetailOf(err))
		}
	}
	_, _, err := attempt(t.Context(), t, object{"base_url": "http://me:hunter2@127.0.0.1:1", "method": "tasks.get", "params": object{}}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "Request error: ") || executors.IsPermanent(err) || strings.Contains(err.Error()+executors.DetailOf(err), "hunter2") {
		t.Errorf("nobody there: got %v", err)
	}
}

func TestInvalidInputs(t *testing.T) {
	for name, row := range map[string]struct{ in, want string }{
		"no base_url":            {`{"method": "m", "params": {}}`, `base_url is required in inputs`},
		"no method":              {`{"base_url": "http://x", "params": {}}`, `method is required in inputs`},
		"no params":              {`{"base_url": "http://x", "method": "m"}`, `params is required in inputs`},
		"several faults at once": {`{"base_url": "ws://x", "method": "m", "params": 1, "wait_for_completion": true, "poll_interval": 0, "headers": {"a b": 1}}`, `base_url must be http://host or https://host, with a path if need be; headers: "a b" is not a name that can be sent; params must be an object or a list; poll_interval must be from 0.01 to 3600 seconds; wait_for_completion is for tasks.execute only`},
		"TLS over plain text":    {`{"base_url": "http://x", "method": "m", "params": {}, "tls": true}`, `tls must not be set with http://, which is plain text: https:// is not`},
	} {
		call, _ := conformance.Call(t, row.in)
		_, err := newExecutor(t).Run(t.Context(), call)
		if err == nil || err.Error() != "[apflow_api_executor] "+row.want || !executors.IsPermanent(err) {
			t.Errorf("%s: got  %v\nwant %s", name, err, row.want)
		}
	}
	call, _ := conformance.Call(t, `{"base_url": "http://127.0.0.1:1", "method": "m", "params": {}}`)
	if _, err := apflow.New(apflow.Config{}, nil).Run(t.Context(), call); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("guard: got %v", err)
	}
}
