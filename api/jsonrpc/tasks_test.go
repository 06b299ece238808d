package jsonrpc_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

const chain = `[{"id":"r","name":"root"},{"id":"b","name":"b","parent_id":"r","priority":3,"dependencies":["a"],"inputs":{"x":1}},` +
	`{"id":"a","name":"a","parent_id":"r","priority":0,"project_id":"p1","name2":null}]`

// The 20 keys of spec 1.1, and what each of them holds for a new task.
func TestTaskObject(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	root := s.object("tasks.create", chain)
	want := map[string]any{
		"id": "r", "parent_id": nil, "user_id": nil, "name": "root", "status": "pending", "priority": 2.0,
		"dependencies": []any{}, "inputs": map[string]any{}, "params": map[string]any{}, "result": nil, "error": nil,
		"schemas": map[string]any{}, "progress": 0.0, "started_at": nil, "completed_at": nil, "has_children": true,
		"original_task_id": nil, "has_copy": false,
		"origin_type": "create", "has_references": false, "attempt": 0.0, "blocked_by": []any{}, "executor": nil, "pool": nil,
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got, ok := root[key]; !ok || !reflect.DeepEqual(got, want[key]) {
			t.Errorf("%s: got %v (there: %t), want %v", key, got, ok, want[key])
		}
	}
	for _, key := range []string{"created_at", "updated_at"} {
		if text, _ := root[key].(string); !strings.HasSuffix(text, "+00:00") {
			t.Errorf("%s: got %q, want ISO 8601 with offset", key, text)
		}
	}
	children := root["children"].([]any)
	if len(children) != 2 {
		t.Fatalf("got %d children, want 2", len(children))
	}
	a, b := children[0].(map[string]any), children[1].(map[string]any)
	if a["id"] != "a" || b["id"] != "b" {
		t.Errorf("got children %v, %v, want a before b by priority", a["id"], b["id"])
	}
	if _, ok := a["children"]; ok {
		t.Error("a node without children has the key children (K26)")
	}
	if a["dependencies"] != nil {
		t.Errorf("got %v, want null for a child without dependencies", a["dependencies"])
	}
	if want := []any{map[string]any{"id": "a", "required": true, "type": "result"}}; !reflect.DeepEqual(b["dependencies"], want) {
		t.Errorf("got dependencies %v, want %v", b["dependencies"], want)
	}
	if a["project_id"] != "p1" {
		t.Errorf("got project_id %v, want the custom key echoed", a["project_id"])
	}
}

func TestProgressHasTwoDecimals(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	var tasks []string
	for i := range 3 {
		tasks = append(tasks, fmt.Sprintf(`{"id":"c%d","name":"c","parent_id":"r"}`, i))
	}
	s.object("tasks.execute", `[{"id":"r","name":"root"},`+strings.Join(tasks, ",")+`]`)
	s.svc.Complete("c0", "1")
	for _, want := range []string{`"tree_progress":0.33`, `"progress":0.0,`, `"tree_status":"in_progress"`} {
		if _, _, got := s.post("/tasks", `{"id":1,"method":"tasks.get","params":{"id":"r"}}`); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
	if _, _, got := s.post("/tasks", `{"id":1,"method":"tasks.get","params":{"id":"c0"}}`); !strings.Contains(got, `"progress":1.0,`) {
		t.Errorf("got %s, want progress 1.0", got)
	}
}

// Spec K5, 2.2 and 5.3: what tasks.create takes.
func TestCreateForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, params string }{
		{"array", `[{"name":"x"}]`},
		{"one object", `{"name":"x"}`},
		{"object with tasks", `{"tasks":[{"name":"x"}]}`},
		{"object with tasks and key", `{"idempotency_key":"k","tasks":[{"name":"x"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, jsonrpc.Config{})
			root := s.object("tasks.create", tt.params)
			if root["name"] != "x" || !s.svc.LastSubmit().Hold {
				t.Errorf("got %v and hold %t, want task x held (K1)", root["name"], s.svc.LastSubmit().Hold)
			}
			if n, _ := s.svc.Running(t.Context(), ""); n != 0 {
				t.Errorf("got %d running trees, want none (K1)", n)
			}
		})
	}
}

// Spec 2.1 and 2.2: each fault is -32602 with its text, and nothing is stored.
func TestCreateFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, params, want string }{
		{"2.2 #1 params", `3`, `Params must be a dict (single task) or list (tasks array)`},
		{"2.2 #2 owners", `[{"name":"a","user_id":"u"},{"name":"b","parent_id":"a","user_id":"v"}]`, `All tasks must have the same user_id.`},
		{"#1 empty", `[]`, `Tasks array cannot be empty`},
		{"#2 name", `[{}]`, `Task at index 0 must have a 'name' field`},
		{"#2 name of one object", `{}`, `Task at index 0 must have a 'name' field`},
		{"#3 mixed", `[{"id":"a","name":"a"},{"name":"b","parent_id":"a"}]`, `Mixed mode not supported`},
		{"#4 ids", `[{"id":"a","name":"a"},{"id":"a","name":"b"}]`, `Duplicate task id 'a' at index 1`},
		{"#9 cycle", `[{"id":"a","name":"a","dependencies":["b"]},{"id":"b","name":"b","parent_id":"a","dependencies":["a"]}]`, `Circular dependency detected:`},
		{"#12 roots", `[{"name":"a"},{"name":"b"}]`, `Multiple root tasks found:`},
		{"not a task", `[1]`, `tasks[0]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, jsonrpc.Config{})
			if got := s.refused("tasks.create", tt.params, -32602, 400); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if list := s.call("tasks.list", `{}`); len(list.([]any)) != 0 {
				t.Errorf("got %v stored, want nothing", list)
			}
		})
	}
}

// TestCreateTakesSeveralTrees, in each of the forms, and stores all of them or none.
func TestCreateTakesSeveralTrees(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	const file = `{"file":"taskgrove: 1\nname: c\nparameters: {p: {}}\ntasks:\n- {name: d, executor: noop, inputs: {p: '{{parameters.p}}'}}\n","parameters":{"p":"1"}}`
	got := s.object("tasks.create", `{"trees":[[{"id":"a","name":"a"}],{"tasks":[{"id":"b","name":"b","pririty":1}],"idempotency_key":"k"},`+file+`,{"id":"e","name":"e"}]}`)
	trees, _ := got["trees"].([]any)
	if len(trees) != 4 {
		t.Fatalf("got %v", got)
	}
	second, third := trees[1].(map[string]any), trees[2].(map[string]any)
	if trees[0].(map[string]any)["root_task_id"] != "a" || second["root_task_id"] != "b" || second["warnings"] == nil || third["tasks"] != 2.0 {
		t.Errorf("got %v", got)
	}
	text := s.refused("tasks.create", `{"trees":[[{"id":"f","name":"f"}],{"file":"taskgrove: 1\nname: c\ntasks: [{name: d, executor: noop, time_out: 3}]\n"},[{"id":"g","name":"g","dependencies":["zzz"]}]]}`, -32602, 400)
	for _, want := range []string{"trees[1]: file:3:35: tasks[0].time_out: there is no such key; did you mean timeout?", "trees[2]: ", "zzz"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want %s", text, want)
		}
	}
	if _, err := s.svc.Task(t.Context(), "f"); err == nil {
		t.Error("a tree beside faulty ones is stored")
	}
	for params, want := range map[string]string{`{"trees":[]}`: "trees must be 1 to 100 trees", `{"trees":[[{"name":"a"}],{"name":"b","parent_id":"a"}]}`: "trees[1]: a tree beside others has a root of its own"} {
		if got := s.refused("tasks.create", params, -32602, 400); !strings.Contains(got, want) {
			t.Errorf("%s: got %v", params, got)
		}
	}
}

// TestCreateTakesTreeFiles, as a text or as an object, with values for parameters, and tells every fault where it stands.
func TestCreateTakesTreeFiles(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	for _, params := range []string{
		`{"file":"taskgrove: 1\nname: nightly\nparameters: {day: {required: true}}\ntasks:\n- name: a\n  executor: noop\n  inputs: {day: '{{parameters.day}}'}\n","parameters":{"day":"monday"}}`,
		`{"file":{"name":"nightly","tasks":[{"name":"a","executor":"noop","inputs":{"day":"{{parameters.day}}"}}],"parameters":{"day":{"default":"monday"}},"taskgrove":1},"idempotency_key":"k"}`,
	} {
		root := s.object("tasks.create", params)
		child, _ := root["children"].([]any)
		if root["name"] != "nightly" || len(child) != 1 || !reflect.DeepEqual(child[0].(map[string]any)["inputs"], map[string]any{"day": "monday"}) {
			t.Errorf("%s: got %v", params, root)
		}
	}
	if started := s.object("tasks.execute", `{"file":"taskgrove: 1\nname: now\ntasks: [{name: a, executor: noop}]\n"}`); started["success"] != true || started["root_task_id"] == "" {
		t.Errorf("got %v", started)
	}
	const keyed = `{"tasks":[{"id":"ID","name":"a","unique":{"key":"k","for":60,"on_conflict":"return"}}]}`
	s.object("tasks.execute", strings.Replace(keyed, "ID", "first", 1))
	if got := s.object("tasks.execute", strings.Replace(keyed, "ID", "second", 1)); got["status"] != "existing" || got["existing"] != true || got["root_task_id"] != "first" {
		t.Errorf("nothing was started, and the answer is %v", got)
	}
	if got := s.refused("tasks.execute", `{"file":"taskgrove: 1\nname: now\ntasks: []\n"}`, -32602, 400); !strings.Contains(got, "file:3:8: tasks: has no task") {
		t.Errorf("got %s", got)
	}
	for params, want := range map[string][]string{
		`{"file":3}`:                         {"file must be a tree file: its text, or an object"},
		`{"file":"a: 1"}`:                    {"file:1:1: is no tree file: its first key must be taskgrove: 1"},
		`{"file":"[","parameters":[]}`:       {"parameters: must be an object: a value for each name"},
		`{"file":"taskgrove: 1","tasks":[]}`: {"tasks must be alone"},
		`{"file":"taskgrove: 1\nname: n\nparameters: {day: {type: integer}}\ntasks:\n- {name: a, executor: noop, need: []}\n","parameters":{"day":"x","dya":1}}`: {
			"parameters.dya: there is no such parameter; did you mean day?", "parameters.day: must be an integer, and is a string", "file:5:29: tasks[0].need: there is no such key; did you mean needs?"},
	} {
		answer := s.refused("tasks.create", params, -32602, 400)
		for _, one := range want {
			if !strings.Contains(answer, one) {
				t.Errorf("%s: got %s, want %q", params, answer, one)
			}
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	first := s.object("tasks.execute", `{"tasks":[{"name":"x"}],"idempotency_key":"k"}`)
	second := s.object("tasks.execute", `{"tasks":[{"name":"x"}]}`, "Idempotency-Key", "k")
	if first["root_task_id"] != second["root_task_id"] || second["replayed"] != true {
		t.Errorf("got %v then %v, want the same tree", first, second)
	}
	if created := s.object("tasks.create", `[{"name":"x"}]`, "Idempotency-Key", "k"); created["id"] != first["root_task_id"] {
		t.Errorf("got %v, want %v", created["id"], first["root_task_id"])
	}
	s.refused("tasks.execute", `{"tasks":[{"name":"x"}],"idempotency_key":"other"}`, -32602, 400, "Idempotency-Key", "k")
	s.refused("tasks.create", `[{"name":"x"}]`, -32602, 400, "Idempotency-Key", strings.Repeat("k", 256))
	_, _, batch := s.post("/tasks", `[{"id":1,"method":"tasks.create","params":[{"name":"y"}]}]`, "Idempotency-Key", "k")
	if !strings.Contains(batch, "-32602") {
		t.Errorf("got %s, want the header refused for a batch", batch)
	}
}

// A tree that was stored is never answered with an error. A new one is shown as it was submitted, without being read; one that was stored
// before has to be read, and is the root alone if that fails.
func TestCreateIsAnsweredWhenTheTreeCanNotBeRead(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.svc.FailNext("Tasks", coordinator.ErrUnavailable)
	s.svc.FailNext("Task", coordinator.ErrUnavailable)
	root := s.object("tasks.create", chain, "Idempotency-Key", "k")
	if root["id"] != "r" || root["children_omitted"] != nil || len(root["children"].([]any)) != 2 {
		t.Errorf("got %v, want the tree", root)
	}
	root = s.object("tasks.create", chain, "Idempotency-Key", "k")
	if root["id"] != "r" || root["name"] != "root" || root["children_omitted"] != true || root["children"] != nil {
		t.Errorf("got %v, want the root alone", root)
	}
}

// Spec 5.3: reading.
func TestQueries(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.create", chain)
	if got := s.call("tasks.get", `{"id":"nope"}`); got != nil {
		t.Errorf("get unknown: got %v, want null", got)
	}
	if got := s.object("tasks.detail", `{"task_id":"a"}`); got["name"] != "a" || got["tree_status"] != nil {
		t.Errorf("detail: got %v", got)
	}
	if got := s.object("tasks.tree", `{"root_id":"b"}`); got["id"] != "r" || len(got["children"].([]any)) != 2 || got["tree_status"] != "pending" {
		t.Errorf("tree: got %v", got)
	}
	if got := s.call("tasks.children", `{"parent_id":"r"}`).([]any); len(got) != 2 || got[0].(map[string]any)["id"] != "a" {
		t.Errorf("children: got %v", got)
	}
	for _, tt := range []struct{ method, params, want string }{
		{"tasks.get", `{}`, "Task ID is required. Please provide 'task_id' or 'id' parameter."},
		{"tasks.detail", `{}`, "Task ID is required"},
		{"tasks.tree", `{}`, "Task ID or root_id is required"},
		{"tasks.tree", `{"task_id":"x"}`, "Task x not found"},
		{"tasks.children", `{}`, "Parent task ID is required. "},
		{"tasks.children", `{"task_id":"x"}`, "Parent task x not found"},
		{"tasks.get", `{"task_id":7}`, "task_id must be a string"},
		{"tasks.get", `{"task_id":"a\u0000"}`, "task_id must be text without NUL"},
		{"tasks.list", `{"limit":1001}`, "limit must be an integer from 1 to 1000"},
		{"tasks.list", `{"limit":1.5}`, "limit must be an integer from 1 to 1000"},
		{"tasks.list", `{"offset":-1}`, "offset must be"},
		{"tasks.list", `{"status":"odd"}`, "status must be one of"},
		{"tasks.list", `{"root_only":"yes"}`, "root_only must be true or false"},
		{"tasks.list", `{"state":"odd"}`, "state must be one of held, waiting"},
		{"tasks.list", `{"executor":7}`, "executor must be a string"},
		{"tasks.list", `{"since":"yesterday"}`, "since must be a time with its zone, such as 2026-01-31T12:00:00Z"},
		{"tasks.list", `{"before":1}`, "before must be a string"},
		{"tasks.list", `{"root_id":"r","since":"2026-01-31T12:00:00Z"}`, "since: selects trees by their age"},
	} {
		if got := s.refused(tt.method, tt.params, -32602, 400); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s %s: got %q, want %q", tt.method, tt.params, got, tt.want)
		}
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	for i := range 5 {
		s.object("tasks.create", fmt.Sprintf(`[{"id":"t%d","name":"n","user_id":"u%d"},{"id":"c%d","name":"c","parent_id":"t%d"}]`, i, i%2, i, i))
	}
	for _, tt := range []struct {
		params string
		want   []string
	}{
		{`{}`, []string{"t4", "t3", "t2", "t1", "t0"}},
		{`{"limit":2,"offset":1}`, []string{"t3", "t2"}},
		{`{"user_id":"u1"}`, []string{"t3", "t1"}},
		{`{"root_only":false,"name":"c","limit":1}`, []string{"c4"}},
		{`{"parent_id":"t2"}`, []string{"c2"}},
		{`{"status":"completed"}`, nil},
		{`{"state":"running"}`, nil},
		{`{"state":"held","limit":3}`, []string{"t4", "c4", "t3"}}, // not roots alone
		{`{"root_only":true,"state":"held","limit":2}`, []string{"t4", "t3"}},
		{`{"executor":"nope"}`, nil},
		{`{"since":"2100-01-31T12:00:00+01:00"}`, nil},
		{`{"before":"2100-01-31T12:00:00Z","limit":1}`, []string{"t4"}},
		{`{"original_task_id":"t1"}`, nil},
	} {
		if got := ids(s.call("tasks.list", tt.params)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.params, got, tt.want)
		}
	}
}

func ids(list any) (out []string) {
	for _, t := range list.([]any) {
		out = append(out, t.(map[string]any)["id"].(string))
	}
	return out
}

// Spec 3.8.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.execute", chain)
	s.svc.Complete("a", `{}`)
	got := s.call("tasks.cancel", `{"task_ids":["a","nope","b"],"force":true}`)
	want := []any{
		map[string]any{"task_id": "a", "status": "failed", "message": "Task a is already completed, cannot cancel", "current_status": "completed", "force": true},
		map[string]any{"task_id": "nope", "status": "failed", "message": "Task nope not found", "error": "Task not found", "force": true},
		map[string]any{"task_id": "b", "status": "cancelled", "message": "Force cancelled by user", "force": true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := s.call("tasks.running.cancel", `{"context_ids":"a, b"}`).([]any); len(got) != 2 {
		t.Errorf("a list with commas: got %v", got)
	}
	if got := s.object("tasks.cancel", `{"task_id":"r","error_message":"enough"}`); got["message"] != "enough" || got["task_id"] != "r" {
		t.Errorf("singular: got %v, want one object", got)
	}
	if got := s.call("tasks.cancel", `{}`).([]any); len(got) != 0 {
		t.Errorf("no ids: got %v, want []", got)
	}
	s.refused("tasks.cancel", `{"task_ids":[1]}`, -32602, 400)
	s.refused("tasks.cancel", `{"task_ids":["a"],"task_id":"b"}`, -32602, 400)
}

// Spec 5.3: tasks.running.*.
func TestRunning(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.create", `[{"id":"idle","name":"idle"}]`)
	s.object("tasks.execute", `[{"id":"r1","name":"r","user_id":"u"}]`)
	s.object("tasks.execute", `[{"id":"r2","name":"r"}]`)
	s.svc.Start("r1")
	if got := ids(s.call("tasks.running.list", `{}`)); !slices.Equal(got, []string{"r2", "r1"}) {
		t.Errorf("list: got %v", got)
	}
	if got := ids(s.call("tasks.running.list", `{"user_id":"u","limit":1}`)); !slices.Equal(got, []string{"r1"}) {
		t.Errorf("list of u: got %v", got)
	}
	if got := s.call("tasks.running.count", `{}`); !reflect.DeepEqual(got, map[string]any{"count": 2.0}) {
		t.Errorf("count: got %v", got)
	}
	if got := s.call("tasks.running.count", `{"user_id":"u"}`); !reflect.DeepEqual(got, map[string]any{"count": 1.0, "user_id": "u"}) {
		t.Errorf("count of u: got %v", got)
	}
	status := s.call("tasks.running.status", `{"task_ids":["r1","idle","nope"]}`).([]any)
	for i, want := range []map[string]any{
		{"task_id": "r1", "context_id": "r1", "status": "in_progress", "is_running": true, "progress": 0.0, "error": nil},
		{"task_id": "idle", "status": "pending", "is_running": false, "started_at": nil},
		{"task_id": "nope", "status": "not_found", "is_running": false, "progress": 0.0, "started_at": nil, "updated_at": nil},
	} {
		for key, value := range want {
			if got := status[i].(map[string]any)[key]; got != value {
				t.Errorf("status of %v: %s is %v, want %v", want["task_id"], key, got, value)
			}
		}
	}
}
