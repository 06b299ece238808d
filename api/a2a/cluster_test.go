package a2a_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// start starts a cluster whose coordinators serve HTTP and gRPC.
func start(t testing.TB, coordinators int) *cluster.Cluster {
	t.Helper()
	return cluster.Start(t, cluster.Options{Coordinators: coordinators, Coordinator: func(c *config.Coordinator) {
		c.HTTPAddr, c.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0"
	}})
}

// post sends a body and gives the whole answer, which comes with HTTP 200 (spec 6.2).
func post(t testing.TB, url, body string) []byte {
	t.Helper()
	res, err := http.Post(url, "application/json", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("HTTP status: got %d, want 200: %s", res.StatusCode, out)
	}
	return out
}

// called makes a call of the JSON-RPC binding and decodes its result.
func called(t testing.TB, url, method, params string, result any) {
	t.Helper()
	answer := post(t, url, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`)
	var envelope struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal(answer, &envelope); err != nil {
		t.Fatalf("%s: %v: %s", method, err, answer)
	}
	if envelope.Error != nil {
		t.Fatalf("%s: got error %s", method, envelope.Error)
	}
	if err := json.Unmarshal(envelope.Result, result); err != nil {
		t.Fatalf("%s: %v: %s", method, err, answer)
	}
}

// task is a task of A2A, as both lines write it.
type task struct {
	ID        string
	ContextID string
	Status    struct{ State string }
	Artifacts []struct {
		Parts []struct{ Data map[string]any }
	}
	Metadata map[string]any
	History  []struct{ MessageID string }
}

const pair = `{"tasks":[{"name":"a","schemas":{"method":"aggregate_results_executor"},"dependencies":["b"]},{"name":"b","parent_id":"a"}]}`

// TestTasksAreStored: a message of either line runs a tree, and every coordinator answers for its task, also one that started later.
func TestTasksAreStored(t *testing.T) {
	t.Parallel()
	c := start(t, 2)
	first := c.Coordinators[0].P.HTTP
	var old task
	called(t, first, "message/send", `{"message":{"messageId":"m1","role":"user","contextId":"talk","parts":[{"kind":"data","data":`+pair+`}]}}`, &old)
	var wrapped struct{ Task task }
	called(t, first, "SendMessage", `{"message":{"messageId":"m2","role":"ROLE_USER","parts":[{"data":`+pair+`}]}}`, &wrapped)
	if err := c.Coordinators[0].Stop(); err != nil {
		t.Fatal(err)
	}
	second := c.Coordinators[1].P.HTTP
	for _, want := range []struct {
		method, state string
		task          task
	}{{"tasks/get", "completed", old}, {"GetTask", "TASK_STATE_COMPLETED", wrapped.Task}} {
		var got task
		called(t, second, want.method, `{"id":"`+want.task.ID+`"}`, &got)
		root, _ := want.task.Metadata["root_task_id"].(string)
		if got.Status.State != want.state || got.ID != want.task.ID || got.ContextID != want.task.ContextID || got.Metadata["root_task_id"] != root || root == "" {
			t.Errorf("%s: got %+v, want what the first coordinator said: %+v", want.method, got, want.task)
		}
		if len(got.Artifacts) != 1 || got.Artifacts[0].Parts[0].Data["task_count"] != 2.0 || got.Artifacts[0].Parts[0].Data["result"] == nil {
			t.Errorf("%s: artifacts: got %+v, want the root's result", want.method, got.Artifacts)
		}
	}
	if old.ContextID != "talk" || wrapped.Task.ContextID != wrapped.Task.Metadata["root_task_id"] {
		t.Errorf("contexts: got %q and %q, want the client's own, and the root's id", old.ContextID, wrapped.Task.ContextID)
	}
}

// TestTasksAskForLimits: what a task asks for before it starts is taken from a message's tasks, and all that is wrong with it is told.
func TestTasksAskForLimits(t *testing.T) {
	t.Parallel()
	c := start(t, 1)
	send := func(asks string) string {
		return `{"message":{"messageId":"m1","role":"ROLE_USER","parts":[{"data":{"tasks":[{"name":"a","schemas":{"method":"aggregate_results_executor"},` + asks + `}]}}]}}`
	}
	var got struct{ Task task }
	called(t, c.Coordinators[0].P.HTTP, "SendMessage", send(`"lock":{"key":"ledger"},"limits":[{"key":"{{task.name}}","max":2}]`), &got)
	root, _ := got.Task.Metadata["root_task_id"].(string)
	shown, err := c.Service().Task(t.Context(), root)
	if err != nil || shown.Limiting == nil || shown.Limiting.Lock == nil || shown.Limiting.Lock.Key != "ledger" || shown.Limiting.Limits[0].Key != "a" || got.Task.Status.State != "TASK_STATE_COMPLETED" {
		t.Errorf("got %+v, %v of %+v", shown, err, got.Task)
	}
	_, text := refused(t, c.Coordinators[0].P.HTTP, "SendMessage", send(`"limits":[{"key":"nobody"},{"key":"k","max":1,"cost":2}]`))
	for _, want := range []string{"tasks[0].limits[0].max: is required", "tasks[0].limits[1].cost: must be at most max"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

// TestTreeFilesInMessages: a data part may hold a tree file and values for its parameters in place of tasks. All that is wrong with it is told where it stands.
func TestTreeFilesInMessages(t *testing.T) {
	t.Parallel()
	c := start(t, 1)
	send := func(data string) string {
		return `{"message":{"messageId":"m1","role":"ROLE_USER","parts":[{"data":` + data + `}]}}`
	}
	const file = `"file":"taskgrove: 1\nname: nightly\nparameters: {day: {required: true}}\ntasks:\n- {name: a, executor: aggregate_results, inputs: {day: '{{parameters.day}}'}}\n"`
	var got struct{ Task task }
	called(t, c.Coordinators[0].P.HTTP, "SendMessage", send(`{`+file+`,"parameters":{"day":"monday"}}`), &got)
	if root, _ := got.Task.Metadata["root_task_id"].(string); root == "" || got.Task.Status.State != "TASK_STATE_COMPLETED" {
		t.Errorf("got %+v", got.Task)
	} else if shown, err := c.Service().Task(t.Context(), root); err != nil || shown.Name != "nightly" {
		t.Errorf("got %+v, %v", shown, err)
	}
	_, text := refused(t, c.Coordinators[0].P.HTTP, "SendMessage", send(`{`+file+`,"parameters":{"dai":"monday"}}`))
	for _, want := range []string{"parameters.dai: there is no such parameter; there is day", "file:3:14: parameters.day: is required"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %q, want %q", text, want)
		}
	}
	if _, text := refused(t, c.Coordinators[0].P.HTTP, "SendMessage", send(`{"file":3}`)); !strings.Contains(text, "file must be a tree file") {
		t.Errorf("got %q", text)
	}
}

// refused makes a call of the JSON-RPC binding that is refused.
func refused(t testing.TB, url, method, params string) (code int, text string) {
	t.Helper()
	answer := post(t, url, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`)
	var envelope struct {
		Error struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || envelope.Error.Code == 0 {
		t.Fatalf("%s: got %s, want an error", method, answer)
	}
	return envelope.Error.Code, envelope.Error.Message
}
