package jsonrpc_test

import (
	"context"
	"fmt"
	"iter"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// editor notes what it is asked to change, and answers as it is told.
type editor struct {
	*apitest.Service
	change  coordinator.TaskChange
	deletes coordinator.DeleteOptions
	copies  coordinator.CopyOptions
	hook    *coordinator.Webhook
	parent  string
	added   *dag.Task
	err     error
}

func (e *editor) Update(ctx context.Context, id string, change coordinator.TaskChange) (*coordinator.Task, error) {
	if e.change = change; len(change.Faults) > 0 {
		return nil, &coordinator.UpdateError{Faults: change.Faults}
	}
	if e.err != nil {
		return nil, e.err
	}
	return e.Task(ctx, id)
}

func (e *editor) Delete(_ context.Context, _ string, opts coordinator.DeleteOptions) (*coordinator.Deletion, error) {
	if e.deletes = opts; e.err != nil {
		return nil, e.err
	}
	return &coordinator.Deletion{Tasks: 3}, nil
}

func (e *editor) Copy(ctx context.Context, id string, opts coordinator.CopyOptions) (*coordinator.Copied, error) {
	if e.copies = opts; e.err != nil {
		return nil, e.err
	}
	tasks := []*coordinator.Task{
		{ID: "c1", Name: "a", OriginalID: id, Inputs: []byte(`{"k":1}`), Custom: []byte(`{"team":"x"}`), CreatedAt: time.Now()},
		{ID: "c2", Name: "b", ParentID: "c1", OriginalID: "b", Dependencies: []coordinator.Dependency{{ID: "c1", Required: true}}},
	}
	out := &coordinator.Copied{TreeID: "c1", Tasks: tasks}
	if opts.Execute != nil {
		e.hook = opts.Execute.Webhook
		out.Execution = &coordinator.Execution{TreeID: "c1", Outcome: coordinator.Started, Tasks: 2}
	}
	return out, nil
}

func (e *editor) Add(_ context.Context, parent string, _ coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	if e.parent = parent; e.err != nil {
		return nil, e.err
	}
	for t, err := range tasks {
		if err != nil {
			return nil, err
		}
		e.added = t
	}
	return &coordinator.Submitted{TreeID: "root", Tasks: 1, Shown: []*coordinator.Task{{ID: "new", TreeID: "root", ParentID: parent, Name: e.added.Name}}}, nil
}

func (e *editor) Execute(ctx context.Context, id string, opts coordinator.ExecuteOptions) (*coordinator.Execution, error) {
	e.hook = opts.Webhook
	return e.Service.Execute(ctx, id, opts)
}

// edits is a handler on an editor that has one task, t.
func edits(t *testing.T) (*site, *editor) {
	t.Helper()
	e := &editor{Service: apitest.New()}
	server := httptest.NewServer(jsonrpc.New(coordinator.NewAccess(e, coordinator.AllowAll), jsonrpc.Config{}))
	t.Cleanup(server.Close)
	s := &site{T: t, svc: e.Service, url: server.URL}
	s.call("tasks.create", `[{"id":"t","name":"t"}]`)
	return s, e
}

// Spec 2.3: both forms of the request, null leaves, all types.
func TestUpdateReadsAllFields(t *testing.T) {
	t.Parallel()
	fields := `"name":"n","priority":0,"status":"completed","error":"e","result":[1],"progress":0.5,"started_at":"2026-01-02T03:04:05",` +
		`"completed_at":"2026-01-02T05:04:05+01:00","inputs":{"a": 1},"params":null,"schemas":{},"labels":{"k":"v"},"nonsense":1,` +
		`"dependencies":["a",{"id":"b","name":"x","required":false,"type":"t"},{"name":"c"}]`
	for name, params := range map[string]string{"beside": `{"task_id":"t",` + fields + `}`, "updates": `{"task_id":"t","updates":{` + fields + `}}`} {
		t.Run(name, func(t *testing.T) {
			s, e := edits(t)
			if got := s.object("tasks.update", params); got["id"] != "t" {
				t.Fatalf("got %v, want the task", got)
			}
			c := e.change
			if *c.Name != "n" || *c.Priority != dag.Urgent || c.Status != dag.StatusCompleted || *c.Error != "e" || string(c.Result) != "[1]" || *c.Progress != 0.5 ||
				string(c.Inputs) != `{"a":1}` || c.Params != nil || string(c.Schemas) != "{}" || c.Labels["k"] != "v" || !c.HasLabels {
				t.Errorf("got %+v", c)
			}
			if got := []string{c.StartedAt.UTC().Format(time.RFC3339), c.CompletedAt.UTC().Format(time.RFC3339)}; got[0] != "2026-01-02T03:04:05Z" || got[1] != "2026-01-02T04:04:05Z" {
				t.Errorf("got times %v", got)
			}
			want := []dag.Dependency{{Ref: "a", Type: "result", Legacy: true}, {Ref: "b", Type: "t", Optional: true}, {Ref: "c", Type: "result", ByName: true}}
			if !c.HasDependencies || !reflect.DeepEqual(c.Dependencies, want) {
				t.Errorf("got dependencies %+v, want %+v", c.Dependencies, want)
			}
		})
	}
}

// TestUpdateReadsLimits: what is there replaces what the task asks for, an empty list or object takes it away, and null leaves it; all faults are told.
func TestUpdateReadsLimits(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]string{
		`"limits":[{"key":"k","max":5}],"lock":{"key":"l","on_contention":"skip"},"rates":[{"key":"r","per":"hour","max":1}]`: `true true true {"limits":[{"key":"k","max":5}],` +
			`"lock":{"key":"l","on_contention":2},"rates":[{"key":"r","per":3600000000000,"max":1}]}`,
		`"limits":[],"lock":{ },"rates":[]`: `true true true `,
		`"limits":null,"lock":null`:         `false false false `,
		`"lock":{"key":"l"}`:                `false true false {"lock":{"key":"l"}}`,
	} {
		s, e := edits(t)
		s.object("tasks.update", `{"task_id":"t",`+params+`}`)
		if c := e.change; fmt.Sprintf("%t %t %t %s", c.HasLimits, c.HasLock, c.HasRates, c.Limiting.Stored()) != want {
			t.Errorf("%s: got %t %t %t %s", params, c.HasLimits, c.HasLock, c.HasRates, c.Limiting.Stored())
		}
	}
	s, _ := edits(t)
	got := s.refused("tasks.update", `{"task_id":"t","limits":[{"key":1},{"max":0}],"lock":"x","rates":[{"key":"r","per":"day","max":1}]}`, -32602, 400)
	for _, want := range []string{"- Cannot update 'limits[0].key': must be a string", "- Cannot update 'limits[1].max': must be 1 to 1000000, got 0", "- Cannot update 'limits[1].key': is required",
		"- Cannot update 'lock': must be an object", "- Cannot update 'rates[0].per': must be second, minute or hour"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
}

// Spec 2.3: all faults in one text.
func TestUpdateTellsAllFaults(t *testing.T) {
	t.Parallel()
	s, e := edits(t)
	got := s.refused("tasks.update", `{"task_id":"t","parent_id":"p","user_id":"u","dependencies":{},"name":1,"progress":"x","inputs":[],"started_at":"soon","priority":1.5,"labels":[]}`, -32602, 400)
	want := strings.Join([]string{"Update failed:",
		"- Cannot update 'parent_id': field cannot be modified (task hierarchy is fixed)",
		"- Cannot update 'user_id': field cannot be modified (task ownership is fixed)",
		"- Cannot update 'dependencies': must be a list, got dict",
		"- Cannot update 'name': must be a string",
		"- Cannot update 'inputs': must be an object",
		"- Cannot update 'progress': must be a number",
		"- Cannot update 'priority': must be an integer from 0 to 3",
		"- Cannot update 'started_at': must be a time, such as 2026-01-31T12:00:00Z",
		"- Cannot update 'labels': must be an object of strings, each key once"}, "\n")
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := s.refused("tasks.update", `{"task_id":"t","dependencies":[1,{"required":true}]}`, -32602, 400); strings.Count(got, "- Dependency must have 'id' field or be a string task ID") != 2 {
		t.Errorf("got %s", got)
	}
	for word, list := range map[string]string{"str": `"a"`, "int": "1", "float": "1.5", "bool": "true"} {
		if got := s.refused("tasks.update", `{"task_id":"t","dependencies":`+list+`}`, -32602, 400); !strings.HasSuffix(got, "must be a list, got "+word) {
			t.Errorf("dependencies %s: got %s", list, got)
		}
	}
	s.refused("tasks.update", `{"task_id":"t","name":"x","updates":{"name":"y"}}`, -32602, 400)
	for params, want := range map[string]string{`{}`: "Task ID is required", `{"task_id":"gone"}`: "Task gone not found", `{"task_id":"t","updates":3}`: "updates must be an object, each name once"} {
		if got := s.refused("tasks.update", params, -32602, 400); got != want {
			t.Errorf("%s: got %q, want %q", params, got, want)
		}
	}
	e.err = &coordinator.UpdateError{Faults: []string{"Dependency reference 'x' not found in task tree"}}
	if got := s.refused("tasks.update", `{"task_id":"t"}`, -32602, 400); got != "Update failed:\n- Dependency reference 'x' not found in task tree" {
		t.Errorf("got %q", got)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s, e := edits(t)
	got := s.object("tasks.delete", `{"task_id":"t","force":true}`)
	if fmt.Sprint(got) != "map[children_deleted:2 deleted_count:3 success:true task_id:t]" || !e.deletes.Force || e.deletes.Alone {
		t.Errorf("got %v by %+v", got, e.deletes)
	}
	if got := s.refused("tasks.delete", `{}`, -32602, 400); got != "Task ID is required" {
		t.Errorf("got %q", got)
	}
	e.err = &coordinator.DeleteError{Reasons: []string{"task status is 'completed' (must be 'pending')", "1 tasks depend on this task: [x]"}}
	if got := s.refused("tasks.delete", `{"task_id":"t"}`, -32602, 400); got != "Cannot delete task: task status is 'completed' (must be 'pending'); 1 tasks depend on this task: [x]" {
		t.Errorf("got %q", got)
	}
	e.err = coordinator.ErrNotFound
	if got := s.refused("tasks.delete", `{"task_id":"t"}`, -32602, 400); got != "Task t not found" {
		t.Errorf("got %q", got)
	}
}

// Spec 4.1 and 4.3.
func TestCopy(t *testing.T) {
	t.Parallel()
	s, e := edits(t)
	got := s.object("tasks.copy", `{"task_id":"t","copy_children":true}`)
	if got["id"] != "c1" || got["copied_task_id"] != "c1" || got["original_task_id"] != "t" || got["origin_type"] != "copy" || len(got["children"].([]any)) != 1 {
		t.Errorf("got %v", got)
	}
	if want := (coordinator.CopyOptions{Mode: coordinator.CopyMinimal, Children: true}); !reflect.DeepEqual(e.copies, want) {
		t.Errorf("asked %+v, want %+v", e.copies, want)
	}
	_, _, text := s.post("/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.copy","params":{"task_id":"t","copy_mode":"custom","custom_task_ids":"a, b",`+
		`"custom_include_children":true,"reset_fields":["status"],"save":false}}`)
	want := `{"jsonrpc":"2.0","id":1,"result":{"tasks":[` +
		`{"id":"c1","name":"a","status":"pending","priority":0,"dependencies":[],"inputs":{"k":1},"params":{},"schemas":{},"progress":0.0,"original_task_id":"t","team":"x"},` +
		`{"id":"c2","parent_id":"c1","name":"b","status":"pending","priority":0,"dependencies":[{"id":"c1","required":true,"type":"result"}],"inputs":{},"params":{},"schemas":{},"progress":0.0,"original_task_id":"b"}],"saved":false}}`
	if text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if want := (coordinator.CopyOptions{Mode: coordinator.CopyCustom, TaskIDs: []string{"a", "b"}, IncludeChildren: true, ResetFields: []string{"status"}, Preview: true}); !reflect.DeepEqual(e.copies, want) {
		t.Errorf("asked %+v, want %+v", e.copies, want)
	}
	for params, want := range map[string]string{
		`{}`: "Task ID is required", `{"task_id":"t","copy_mode":"all"}`: "copy_mode must be one of minimal, full, custom",
		`{"task_id":"t","copy_mode":"custom"}`:       "custom_task_ids is required when copy_mode='custom'",
		`{"task_id":"t","reset_fields":["started"]}`: "reset_fields must be some of status, progress, result, error, started_at, completed_at, updated_at",
	} {
		if got := s.refused("tasks.copy", params, -32602, 400); got != want {
			t.Errorf("%s: got %q, want %q", params, got, want)
		}
	}
}

func TestCreateBelowAStoredTask(t *testing.T) {
	t.Parallel()
	s, e := edits(t)
	if got := s.object("tasks.create", `{"name":"n","parent_id":"t"}`); got["id"] != "new" || got["parent_id"] != "t" || e.parent != "t" || e.added.ParentRef != "" {
		t.Errorf("got %v for %+v below %q", got, e.added, e.parent)
	}
	e.err = coordinator.ErrNotFound
	if got := s.refused("tasks.create", `{"name":"n","parent_id":"t"}`, -32602, 400); !strings.HasPrefix(got, "Task 'n' at index 0 has parent_id 't' which is not in the tasks array (not found as id or name). ") {
		t.Errorf("got %q", got)
	}
}

// Spec 5.4 and 5.5.
func TestExecuteWithCopyAndWebhook(t *testing.T) {
	t.Parallel()
	s, e := edits(t)
	got := s.object("tasks.execute", `{"task_id":"t","copy_execution":true,"copy_children":true,"webhook_config":{"url":"https://x.test/h","method":"put","headers":{"A":"b"},"timeout":2.5,"max_retries":7}}`)
	if got["task_id"] != "c1" || got["root_task_id"] != "c1" || got["original_task_id"] != "t" || got["streaming"] != true || got["webhook_url"] != "https://x.test/h" ||
		got["message"] != "Task execution started with webhook callbacks. Updates will be sent to https://x.test/h" {
		t.Errorf("got %v", got)
	}
	if want := (coordinator.Webhook{URL: "https://x.test/h", Method: "PUT", Headers: map[string]string{"A": "b"}, Timeout: 2500 * time.Millisecond, MaxAttempts: 7}); !reflect.DeepEqual(*e.hook, want) {
		t.Errorf("got %+v, want %+v", *e.hook, want)
	}
	if got := s.object("tasks.execute", `{"task_id":"t","webhook_config":{}}`); got["streaming"] != nil || got["webhook_url"] != nil || e.hook != nil {
		t.Errorf("with {}: got %v and %v, want no webhook", got, e.hook)
	}
	for config, want := range map[string]string{
		`{"method":"POST"}`:             "webhook_config.url is required",
		`3`:                             "webhook_config must be an object",
		`{"url":"u","method":"GET"}`:    "webhook_config.method must be POST or PUT",
		`{"url":"u","headers":{"a":1}}`: "webhook_config.headers must be an object of strings, each key once",
		`{"url":"u","timeout":-1}`:      "webhook_config.timeout must be a number of seconds above 0, at most 1e9",
		`{"url":"u","timeout":61}`:      "webhook_config.timeout must be at most 60 seconds",
		`{"url":"u","max_retries":1.5}`: "webhook_config.max_retries must be an integer from 0 to 100",
	} {
		if got := s.refused("tasks.execute", `{"task_id":"t","webhook_config":`+config+`}`, -32602, 400); got != want {
			t.Errorf("%s: got %q, want %q", config, got, want)
		}
	}
	s.call("tasks.execute", `{"tasks":[{"name":"x"}],"webhook_config":{"url":"https://x.test/h"},"require_existing_tasks":true}`)
	if got := e.LastSubmit(); got.Webhook == nil || !got.RequireExisting {
		t.Errorf("submitted with %+v, want the webhook, and that tasks exist", got)
	}
}

func TestListRefusesUnknownParameters(t *testing.T) {
	t.Parallel()
	s, _ := edits(t)
	for params, want := range map[string]string{
		`{"statsu":"failed"}`: "unknown parameter 'statsu': did you mean 'status'?",
		`{"project":"x"}`:     "unknown parameter 'project'; an own key of tasks is 'custom.project'",
		`{"custom":3}`:        "custom must be an object",
		`{"custom.a":{}}`:     "custom.a must be a text, a number, true or false",
	} {
		if got := s.refused("tasks.list", params, -32602, 400); got != want {
			t.Errorf("%s: got %q, want %q", params, got, want)
		}
	}
}

func TestStoredKeys(t *testing.T) {
	t.Parallel()
	s, _ := edits(t)
	system := func(method, params string) string {
		_, _, answer := s.post("/system", `{"jsonrpc":"2.0","id":1,"method":"config.llm_key.`+method+`","params":`+params+`}`)
		return strings.TrimSuffix(strings.TrimPrefix(answer, `{"jsonrpc":"2.0","id":1,`), "}")
	}
	for _, step := range [][3]string{
		{"get", `{}`, `"result":{"has_key":false,"user_id":"default","provider":null,"providers":{}}`},
		{"set", `{"user_id":"u"}`, `"error":{"code":-32602,"message":"Invalid params","data":"api_key is required"}`},
		{"set", `{"api_key":"sk-canary"}`, `"error":{"code":-32602,"message":"Invalid params","data":"user_id is required (not authenticated)"}`},
		{"set", `{"api_key":"sk-canary","user_id":"u"}`, `"result":{"success":true,"user_id":"u","provider":"default"}`},
		{"set", `{"api_key":"sk-canary","user_id":"u","provider":"openai"}`, `"result":{"success":true,"user_id":"u","provider":"openai"}`},
		{"get", `{"user_id":"u"}`, `"result":{"has_key":true,"user_id":"u","provider":null,"providers":{"default":"***","openai":"***"}}`},
		{"get", `{"user_id":"u","provider":"google"}`, `"result":{"has_key":false,"user_id":"u","provider":"google","providers":{"default":"***","openai":"***"}}`},
		{"delete", `{"user_id":"u","provider":"google"}`, `"result":{"success":true,"user_id":"u","deleted":false,"provider":"google"}`},
		{"delete", `{"user_id":"u"}`, `"result":{"success":true,"user_id":"u","deleted":true,"provider":"all"}`},
		{"delete", `{}`, `"error":{"code":-32602,"message":"Invalid params","data":"user_id is required (not authenticated)"}`},
	} {
		if got := system(step[0], step[1]); got != step[2] {
			t.Errorf("%s %s: got %s, want %s", step[0], step[1], got, step[2])
		}
	}
}

func TestRunningStatusTellsOfTheTree(t *testing.T) {
	t.Parallel()
	s, _ := edits(t)
	got := s.call("tasks.running.status", `{"task_ids":["t","gone"]}`).([]any)
	if one := got[0].(map[string]any); one["tree_status"] != "pending" || one["tree_progress"] != 0.0 {
		t.Errorf("got %v", one)
	}
	if one := got[1].(map[string]any); one["status"] != "not_found" || one["tree_status"] != nil || one["is_running"] != false {
		t.Errorf("got %v", one)
	}
}
