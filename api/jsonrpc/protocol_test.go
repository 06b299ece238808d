package jsonrpc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

// UUIDs of version 4.
const (
	idA = "11111111-1111-4111-8111-111111111111"
	idB = "22222222-2222-4222-9222-222222222222"
	idC = "33333333-3333-4333-a333-333333333333"
)

// ask makes a call of the published protocol and returns the HTTP status and the whole answer.
func (s *site) ask(method, params string) (int, string) {
	s.Helper()
	status, header, answer := s.post("/tasks", `{"jsonrpc":"2.0","protocol":"1.0","id":7,"method":"`+method+`","params":`+params+`}`)
	const head = `{"jsonrpc":"2.0","protocol":"1.0","id":7,`
	if header.Get("X-Task-Protocol") != "1.0" || !strings.HasPrefix(answer, head) {
		s.Fatalf("%s: the version is not named: %v, %s", method, header, answer)
	}
	return status, strings.TrimSuffix(strings.TrimPrefix(answer, head), "}")
}

// Spec 12.5: each method answers in the protocol's shape.
func TestProtocolShapes(t *testing.T) {
	t.Parallel()
	s, e := edits(t)
	for _, step := range []struct{ method, params, want string }{
		{"tasks.create", `[{"id":"` + idA + `","name":"a"},{"id":"` + idB + `","name":"b","parent_id":"` + idA + `","dependencies":[{"id":"` + idA + `","required":true}]}]`, `"result":{"id":"` + idA + `","status":"pending"}`},
		{"tasks.update", `{"task_id":"` + idA + `","updates":{"name":"x"}}`, `"result":{"id":"` + idA + `","status":"pending"}`},
		{"tasks.execute", `{"task_id":"` + idA + `"}`, `"result":{"success":true,"protocol":"jsonrpc","root_task_id":"` + idA + `","task_id":"` + idA + `","status":"started","message":"Task execution started"}`},
		{"tasks.cancel", `{"task_id":"` + idA + `"}`, `"result":{"task_id":"` + idA + `","status":"cancelled","message":"Cancelled by user","force":false}`},
		{"tasks.delete", `{"task_id":"` + idA + `"}`, `"result":{"success":true}`},
		{"tasks.copy", `{"task_id":"` + idA + `"}`, `"result":{"original_task_id":"` + idA + `","copied_task_id":"c1","status":"pending"}`},
		{"tasks.create", `{"name":"n","parent_id":"` + idA + `"}`, `"result":{"id":"new","status":"pending"}`},
	} {
		if status, got := s.ask(step.method, step.params); status != 200 || got != step.want {
			t.Errorf("%s: got HTTP %d\n%s\nwant %s", step.method, status, got, step.want)
		}
	}
	if !e.deletes.Alone {
		t.Error("a task with children may be deleted, want that refused")
	}

	var tree struct {
		Result struct {
			Task     map[string]any
			Children []struct {
				Task     map[string]any
				Children []any
			}
		}
	}
	_, got := s.ask("tasks.tree", `{"task_id":"`+idB+`"}`)
	if err := json.Unmarshal([]byte("{"+got+"}"), &tree); err != nil || tree.Result.Task["id"] != idA || len(tree.Result.Children) != 1 ||
		tree.Result.Children[0].Task["id"] != idB || tree.Result.Children[0].Children == nil {
		t.Errorf("tree: got %s (%v)", got, err)
	}
	var list struct {
		Result struct {
			Tasks                []map[string]any
			Total, Limit, Offset int
		}
	}
	_, got = s.ask("tasks.list", `{"limit":1,"root_id":"`+idA+`"}`)
	if err := json.Unmarshal([]byte("{"+got+"}"), &list); err != nil || len(list.Result.Tasks) != 1 || list.Result.Total != 2 || list.Result.Limit != 1 || list.Result.Offset != 0 {
		t.Errorf("list: got %s (%v)", got, err)
	}
	if _, got = s.ask("tasks.children", `{"parent_id":"`+idA+`"}`); !strings.HasPrefix(got, `"result":{"children":[{"id":"`+idB+`",`) {
		t.Errorf("children: got %s", got)
	}
	if _, got = s.ask("tasks.get", `{"task_id":"`+idA+`"}`); !strings.HasPrefix(got, `"result":{"id":"`+idA+`",`) {
		t.Errorf("get: got %s", got)
	}
}

// Spec 12.4: code, name, HTTP status and data of each fault.
func TestProtocolErrors(t *testing.T) {
	t.Parallel()
	s, e := edits(t)
	s.ask("tasks.create", `[{"id":"`+idA+`","name":"a"}]`)
	s.ask("tasks.create", `[{"id":"`+idB+`","name":"b"}]`)
	s.ask("tasks.execute", `{"task_id":"`+idB+`"}`)
	for _, tt := range []struct {
		name, method, params string
		err                  error
		status               int
		want                 string
	}{
		{"unknown", "tasks.get", `{"task_id":"` + idC + `"}`, nil, 404, `{"code":-32001,"message":"Task not found","data":{"reason":"Task ` + idC + ` not found"}}`},
		{"unknown to cancel", "tasks.cancel", `{"task_id":"` + idC + `"}`, nil, 404, `{"code":-32001,"message":"Task not found","data":{"reason":"Task ` + idC + ` not found"}}`},
		{"cycle", "tasks.create", `[{"id":"` + idA + `","name":"a","dependencies":["` + idB + `"]},{"id":"` + idB + `","name":"b","parent_id":"` + idA + `","dependencies":["` + idA + `"]}]`, nil, 400,
			`{"code":-32002,"message":"Circular dependency","data":{"code":-32002,"cycle":["a","b","a"],`},
		{"not your own", "tasks.delete", `{"task_id":"` + idA + `"}`, coordinator.ErrDenied, 403, `{"code":-32004,"message":"Unauthorized","data":{"reason":`},
		{"nobody", "tasks.delete", `{"task_id":"` + idA + `"}`, coordinator.ErrUnauthenticated, 401, `{"code":-32004,"message":"Unauthorized","data":{"reason":`},
		{"no name", "tasks.create", `[{"id":"` + idC + `"}]`, nil, 400, `{"code":-32005,"message":"Invalid task schema","data":{"code":-32005,"field":"name","path":["tasks",0,"name"],`},
		{"id", "tasks.create", `[{"id":"a","name":"a"}]`, nil, 400, `{"code":-32005,"message":"Invalid task schema","data":{"code":-32005,"field":"id","path":["tasks",0,"id"],"reason":"id must be a version 4 UUID"}}`},
		{"id of one task", "tasks.create", `{"id":"a","name":"a"}`, nil, 400, `{"code":-32005,"message":"Invalid task schema","data":{"code":-32005,"field":"id",`},
		{"id of a parameter", "tasks.get", `{"task_id":"a"}`, nil, 400, `{"code":-32602,"message":"Invalid params","data":{"field":"task_id","reason":"task_id must be a version 4 UUID"}}`},
		{"ids of a parameter", "tasks.cancel", `{"task_ids":["a"]}`, nil, 400, `{"code":-32602,"message":"Invalid params","data":{"field":"task_ids",`},
		{"transition", "tasks.update", `{"task_id":"` + idA + `"}`, &coordinator.UpdateError{Transition: true, Faults: []string{"Cannot update 'status': Invalid state transition: cannot transition from 'completed' to 'failed'"}}, 409,
			`{"code":-32006,"message":"Invalid state transition","data":{"field":"status","reason":"Cannot update 'status': Invalid state transition: cannot transition from 'completed' to 'failed'"}}`},
		{"several faults", "tasks.update", `{"task_id":"` + idA + `","name":1,"progress":"x"}`, nil, 400,
			`{"code":-32005,"message":"Invalid task schema","data":{"errors":[{"field":"name","reason":"Cannot update 'name': must be a string"},{"field":"progress","reason":"Cannot update 'progress': must be a number"}]}}`},
		{"dependency of an update", "tasks.update", `{"task_id":"` + idA + `","updates":{"dependencies":["b"]}}`, nil, 400, `{"code":-32011,"message":"Invalid dependency reference","data":{"code":-32011,"field":"dependencies[0]",`},
		{"running", "tasks.execute", `{"task_id":"` + idB + `"}`, nil, 409,
			`{"code":-32008,"message":"Task already executing","data":{"attempted_transition":"in_progress","current_status":"in_progress","reason":"Task ` + idB + ` is already running","task_id":"` + idB + `"}}`},
		{"not to be deleted", "tasks.delete", `{"task_id":"` + idA + `"}`, &coordinator.DeleteError{Reasons: []string{"task status is 'failed' (must be 'pending')"}}, 409,
			`{"code":-32009,"message":"Cannot delete task","data":{"reason":"Cannot delete task: task status is 'failed' (must be 'pending')","reasons":"task status is 'failed' (must be 'pending')"}}`},
		{"parent", "tasks.create", `[{"id":"` + idA + `","name":"a"},{"id":"` + idB + `","name":"b","parent_id":"` + idC + `"}]`, nil, 400, `{"code":-32010,"message":"Invalid parent reference","data":{"code":-32010,"field":"parent_id",`},
		{"parent in the store", "tasks.create", `{"name":"b","parent_id":"` + idC + `"}`, coordinator.ErrNotFound, 400, `{"code":-32010,"message":"Invalid parent reference","data":{`},
		{"dependency", "tasks.create", `[{"id":"` + idA + `","name":"a","dependencies":[{"id":"` + idC + `"}]}]`, nil, 400, `{"code":-32011,"message":"Invalid dependency reference","data":{"code":-32011,`},
		{"two roots", "tasks.create", `[{"id":"` + idA + `","name":"a"},{"id":"` + idC + `","name":"b"}]`, nil, 400, `{"code":-32012,"message":"Task tree validation failed","data":{"code":-32012,`},
		{"method", "tasks.nope", `{}`, nil, 400, `{"code":-32601,"message":"Method not found","data":{"reason":"Unknown task method: tasks.nope"}}`},
		{"params", "tasks.get", `{}`, nil, 400, `{"code":-32602,"message":"Invalid params","data":{"field":"task_id","reason":"Task ID is required. Please provide 'task_id' or 'id' parameter."}}`},
	} {
		e.err = tt.err
		status, got := s.ask(tt.method, tt.params)
		got = strings.TrimPrefix(got, `"error":`)
		if status != tt.status || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: got HTTP %d and %s\nwant HTTP %d and %s", tt.name, status, got, tt.status, tt.want)
		}
	}
	e.err = nil
	s.ask("tasks.cancel", `{"task_id":"`+idA+`"}`)
	if status, got := s.ask("tasks.cancel", `{"task_id":"`+idA+`"}`); status != 409 || got != fmt.Sprintf(`"error":{"code":-32006,"message":"Invalid state transition",`+
		`"data":{"attempted_transition":"cancelled","current_status":"cancelled","reason":"Task %s is already cancelled, cannot cancel","task_id":%[1]q}}`, idA) {
		t.Errorf("cancelled again: got HTTP %d and %s", status, got)
	}
}

// Spec 12.5: the dialect is chosen per request, and versions that are not served are refused.
func TestProtocolIsChosenPerRequest(t *testing.T) {
	t.Parallel()
	s, _ := edits(t)
	for name, tt := range map[string]struct{ body, header, want string }{
		"classic":       {`{"jsonrpc":"2.0","id":1,"method":"tasks.get","params":{"task_id":"x"}}`, "", `{"jsonrpc":"2.0","id":1,"result":null}`},
		"the header":    {`{"jsonrpc":"2.0","id":1,"method":"tasks.children","params":{"parent_id":"` + idA + `"}}`, "1.0", `{"jsonrpc":"2.0","protocol":"1.0","id":1,"error":{"code":-32001,"message":"Task not found","data":{"reason":"Parent task ` + idA + ` not found"}}}`},
		"other version": {`{"jsonrpc":"2.0","protocol":"2.0","id":1,"method":"tasks.get"}`, "", `{"jsonrpc":"2.0","protocol":"1.0","id":1,"error":{"code":-32600,"message":"Invalid Request","data":{"actual":"2.0","expected":"1.0","field":"protocol","reason":"version is not served"}}}`},
		"in a batch": {`[{"jsonrpc":"2.0","protocol":"1.0","id":1,"method":"tasks.children","params":{"parent_id":"` + idA + `"}},{"jsonrpc":"2.0","id":2,"method":"tasks.get","params":{"task_id":"x"}}]`, "",
			`[{"jsonrpc":"2.0","protocol":"1.0","id":1,"error":{"code":-32001,"message":"Task not found","data":{"reason":"Parent task ` + idA + ` not found"}}},{"jsonrpc":"2.0","id":2,"result":null}]`},
		"no text": {`{"jsonrpc":"2.0","protocol":1,"id":1,"method":"tasks.get"}`, "", `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid Request","data":"protocol must be \"1.0\""}}`},
	} {
		if _, _, got := s.post("/tasks", tt.body, "X-Task-Protocol", tt.header); got != tt.want {
			t.Errorf("%s: got %s\nwant %s", name, got, tt.want)
		}
	}
	if _, _, got := s.post("/system", `{"jsonrpc":"2.0","id":1,"method":"system.health"}`); !strings.Contains(got, `"protocol_versions":["1.0"]`) {
		t.Errorf("health: got %s, want the version served", got)
	}
}
