package jsonrpc_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

var errUnavailable, errOverload = coordinator.ErrUnavailable, api.ErrOverload

// policed serves a coordinator whose policy refuses everything with an error.
func policed(t *testing.T, svc coordinator.Service, err error) (url string) {
	refuse := func(context.Context, coordinator.Caller, coordinator.Call) (coordinator.Grant, error) {
		return coordinator.Grant{}, err
	}
	server := httptest.NewServer(jsonrpc.New(coordinator.NewAccess(svc, refuse), jsonrpc.Config{Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	return server.URL
}

// validParams are parameters of each method about what is amy's.
var validParams = map[string]string{
	"tasks.create": `[{"id":"#90","name":"x","user_id":"amy"}]`, "tasks.execute": `{"task_id":"#10"}`, "tasks.generate": `{"requirement":"x","user_id":"amy"}`,
	"tasks.get": `{"task_id":"#10"}`, "tasks.detail": `{"task_id":"#10"}`, "tasks.tree": `{"task_id":"#10"}`, "tasks.children": `{"parent_id":"#10"}`,
	"tasks.list": `{"user_id":"amy"}`, "tasks.update": `{"task_id":"#10","name":"x"}`, "tasks.delete": `{"task_id":"#13"}`, "tasks.copy": `{"task_id":"#20"}`,
	"tasks.cancel": `{"task_ids":["#30","#99"]}`, "tasks.running.cancel": `{"task_ids":["#30","#99"]}`, "tasks.running.list": `{"user_id":"amy"}`,
	"tasks.running.status": `{"task_ids":["#30","#99"]}`, "tasks.running.count": `{"user_id":"amy"}`, "tasks.resolve": `{"ref":"#10"}`,
	"tasks.skip": `{"task_id":"#13"}`, "artifacts.list": `{"task_id":"#10"}`, "artifacts.get": `{"task_id":"#10","name":"n"}`,
	"tasks.signal": `{"task_id":"#10","name":"go"}`, "tasks.approve": `{"task_id":"#10","choice":"approve"}`, "tasks.approval.link": `{"task_id":"#10","name":"ops"}`,
	"tasks.why": `{"task_id":"#10"}`, "system.health": `{}`, "config.llm_key.set": `{"user_id":"amy","api_key":"sk-other"}`,
	"config.llm_key.get": `{"user_id":"amy"}`, "config.llm_key.delete": `{"user_id":"amy"}`, "executors.list": `{}`,
	"webhooks.create": `{"url":"https://example.com","events":["task_failed"]}`, "webhooks.list": `{"task_id":"#10"}`, "webhooks.get": `{"webhook_id":"#99"}`,
	"webhooks.update": `{"webhook_id":"#99","name":"x"}`, "webhooks.delete": `{"webhook_id":"#99"}`, "webhooks.test": `{"webhook_id":"#99"}`,
	"webhooks.deliveries": `{"webhook_id":"#99"}`, "webhooks.resend": `{"delivery_id":"#99"}`,
	"limits.set": `{"key":"k","max":1}`, "limits.list": `{}`, "limits.delete": `{"key":"k"}`, "limits.weight": `{"user_id":"amy","weight":2}`, "locks.list": `{}`, "locks.break": `{"key":"k","token":1}`,
	"pauses.set": `{"tree_id":"#13"}`, "pauses.delete": `{"tree_id":"#13"}`, "pauses.list": `{}`, "schedules.next": `{"cron":"@daily"}`,
	"schedules.create": `{"id":"#97","cron":"@yearly","tree":{"name":"n"},"user_id":"amy"}`, "schedules.get": `{"id":"#98"}`, "schedules.list": `{"user_id":"amy"}`,
	"schedules.update": `{"id":"#98","cron":"@yearly","tree":{"name":"n"}}`, "schedules.pause": `{"id":"#98"}`, "schedules.resume": `{"id":"#98"}`, "schedules.trigger": `{"id":"#98"}`, "schedules.secret": `{"id":"#98"}`,
	"schedules.backfill": `{"id":"#98","from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"}`, "schedules.delete": `{"id":"#98"}`, "schedules.runs": `{"id":"#98"}`,
	"flows.validate": `{"flow":"#96"}`, "flows.apply": `{"text":"flow: {id: amys}","user_id":"amy"}`, "flows.get": `{"id":"#96"}`, "flows.list": `{"user_id":"amy"}`, "flows.delete": `{"id":"#96"}`, "flows.run": `{"text":"flow: {id: amys}","user_id":"amy"}`,
	"bundles.apply": `{"id":"b","fingerprint":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","files":[{"path":"f","sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"entry_flow":"f","profiles_file":"f","user_id":"amy"}`, "bundles.put_file": `{"data":"e30="}`, "bundles.list": `{"user_id":"amy"}`, "bundles.delete": `{"id":"#94"}`,
	"profiles.apply": `{"text":"amys: {}","user_id":"amy"}`, "profiles.get": `{"name":"amys"}`, "profiles.list": `{"user_id":"amy"}`, "profiles.delete": `{"name":"amys"}`,
	"runs.get": `{"run":"#95"}`, "runs.list": `{"user_id":"amy"}`, "runs.cancel": `{"run":"#95"}`, "runs.resume": `{"run":"#95"}`, "runs.restart": `{"run":"#95"}`,
	"holds.set": `{"tree_id":"#13","reason":"case 7"}`, "holds.delete": `{"tree_id":"#13"}`, "holds.list": `{}`,
	"erasures.start": `{"user_id":"amy","preview":true}`, "erasures.get": `{"erasure_id":"#99"}`, "erasures.list": `{}`,
	"executors.get": `{"id":"sleep_executor"}`, "usage.list": `{"user_id":"amy"}`,
}

// errorRow is a call and what it gets: the code and text of the classic dialect, and those of the protocol where they differ. 0 is no error; then the
// text is the result.
type errorRow struct {
	method, params string
	code           int
	text           string
	protocol       int
	reason         string
	only           string // "classic" or "protocol"; empty: both
}

// errorRows are the rows of the table.
func errorRows() (all []errorRow) {
	for _, tt := range treeRows {
		for method, params := range map[string]string{"tasks.create": tt.params, "tasks.execute": `{"tasks":` + tt.params + `}`} {
			one := tt
			one.method, one.params, one.code = method, params, -32602
			all = append(all, one)
		}
	}
	for _, m := range jsonrpc.Methods() { // of all methods
		if m.Name != "tasks.create" && m.Name != "tasks.execute" && m.Name != "system.health" {
			all = append(all, errorRow{method: m.Name, params: `["x"]`, code: -32602, text: "params must be an object"})
		}
		if m.Name != "tasks.create" {
			all = append(all, errorRow{method: m.Name, params: `3`, code: -32602, text: "params must be an object or an array"})
		}
		if m.Name != "system.health" { // which takes none, and looks at none
			all = append(all, errorRow{method: m.Name, params: `{"x":1,"x":2}`, code: -32602, text: "x must not be there twice"})
		}
		all = append(all, errorRow{method: m.Name + ".nope", params: `{}`, code: -32601, text: "Unknown task method: " + m.Name + ".nope"})
	}
	return append(append(all, methodRows...), editRows...)
}

// treeRows are the faults of a tree (spec 2.1, 2.2), of tasks.create and tasks.execute; params is the array. After the text of the specification stands what to do.
var treeRows = []errorRow{
	{params: `[]`, text: "Tasks array cannot be empty…", protocol: -32012},
	{params: `[{"id":"#1"}]`, text: "Task at index 0 must have a 'name' field", protocol: -32005},
	{params: `[{"id":"#1","name":""}]`, text: "Task at index 0 must have a 'name' field", protocol: -32005},
	{params: `[{"id":"#1","name":"a"},{"name":"b","parent_id":"#1"}]`, protocol: -32012,
		text: "Mixed mode not supported: either all tasks must have 'id', or all tasks must not have 'id'. Found 1 tasks with id and 1 tasks without id.…"},
	{params: `[{"id":"#1","name":"a"},{"id":"#1","name":"b","parent_id":"#1"}]`, text: "Duplicate task id '#1' at index 1…", protocol: -32012},
	{params: `[{"name":"a"},{"name":"a"}]`, text: "Task at index 1 has no 'id' but name 'a' is not unique. …", protocol: -32012},
	{params: `[{"id":"#1","name":"a"},{"id":"#2","name":"b","parent_id":"#3"}]`, protocol: -32010,
		text: "Task 'b' at index 1 has parent_id '#3' which is not in the tasks array (not found as id or name). …"},
	{params: `[{"id":"#1","name":"a","dependencies":[{"required":true}]}]`, text: "Task 'a' dependency must have 'id' or 'name' field", protocol: -32011},
	{params: `[{"id":"#1","name":"a","dependencies":[{"id":"#2"}]}]`, protocol: -32011,
		text: "Task 'a' at index 0 has dependency reference '#2' which is not in the tasks array (not found as id or name)…"},
	{params: `[{"id":"#1","name":"a","dependencies":["#2"]}]`, protocol: -32011,
		text: "Task 'a' at index 0 has dependency '#2' which is not in the tasks array (not found as id or name)…"},
	{params: `[{"id":"#1","name":"a","dependencies":["#1"]}]`, text: "Circular dependency detected: a -> a. …", protocol: -32002},
	{params: `[{"id":"#1","name":"a","dependencies":["#2"]},{"id":"#2","name":"b","parent_id":"#1","dependencies":["#1"]}]`,
		text: "Circular dependency detected: a -> b -> a. …", protocol: -32002},
	{params: `[{"id":"#1","name":"a","parent_id":"#1"}]`, text: "No root task found (task with no parent_id). …", protocol: -32012},
	{params: `[{"id":"#1","name":"a"},{"id":"#2","name":"b"}]`, protocol: -32012,
		text: "Multiple root tasks found: ['a', 'b']. All tasks must be in a single task tree. …"},
	{params: `[{"id":"#1","name":"a"},{"id":"#2","name":"x","parent_id":"#3"},{"id":"#3","name":"y","parent_id":"#2"}]`,
		text: "Tasks not in the same tree: ['x', 'y']. …", protocol: -32012},
	{params: `[{"id":"#1","name":"a","user_id":"amy"},{"id":"#2","name":"b","parent_id":"#1","user_id":"eve"}]`,
		text: "All tasks must have the same user_id. Found multiple user_ids: …", protocol: -32012},
	{params: `[{"id":"#1","name":"a","priority":7}]`, text: "tasks[0].priority: must be 0 to 3, got 7", protocol: -32005},
	{params: `[{"id":"#1","name":"a","inputs":3}]`, text: "tasks[0].inputs: must be an object", protocol: -32005},
	{params: `[{"id":"x","name":"a"}]`, text: "id must be a version 4 UUID", protocol: -32005, only: "protocol"},
	{params: `[{"id":"#1","name":"a"},{"id":"#2","name":"b","parent_id":"a"}]`, text: "parent_id must be a version 4 UUID", protocol: -32010, only: "protocol"},
	{params: `[{"id":"#1","name":"a","dependencies":["b"]}]`, text: "dependencies[0] must be a version 4 UUID", protocol: -32011, only: "protocol"},
}

// methodRows are the faults of each method's own parameters (spec 3.8, 5.3, 5.4, 5.8).
var methodRows = []errorRow{
	{method: "tasks.create", params: `3`, code: -32602, text: "Params must be a dict (single task) or list (tasks array)"},
	{method: "tasks.create", params: `"x"`, code: -32602, text: "Params must be a dict (single task) or list (tasks array)"},
	{method: "erasures.get", params: `{"erasure_id":5,"foo":1,"bar":2}`, code: -32602, text: "erasure_id must be a string; unknown parameter 'bar'; unknown parameter 'foo'"},
	{method: "erasures.get", params: `{"erasureid":"x"}`, code: -32602, text: "erasure_id is required; unknown parameter 'erasureid': did you mean 'erasure_id'?"},
	{method: "erasures.start", params: `{"user_id":5,"cancel":7,"preview":"x","custom.a":1}`, code: -32602, text: "user_id must be a string; cancel must be true or false; preview must be true or false; unknown parameter 'custom.a'"},
	{method: "holds.delete", params: `{"foo":1}`, code: -32602, text: "tree_id is required; unknown parameter 'foo'"},
	{method: "webhooks.resend", params: `{"delivery_id":5}`, code: -32602, text: "delivery_id must be a string"},
	{method: "pauses.list", params: `{"limit":"x","cursor":5}`, code: -32602, text: "limit must be an integer from 0 to 1000; cursor must be a string"},
	{method: "tasks.create", params: `{"file":null}`, code: -32602, text: "file must be a tree file: its text, or an object"},
	{method: "tasks.create", params: `{"file":null,"parameters":{"a":1}}`, code: -32602, text: "file must be a tree file: its text, or an object"},
	{method: "tasks.execute", params: `{"file":null}`, code: -32602, text: "file must be a tree file: its text, or an object"},
	{method: "tasks.create", params: `{"filee":"x"}`, code: -32602, text: "there is no parameter filee; did you mean file?"},
	{method: "tasks.create", params: `{"tasks":[{"name":"a"}],"parameters":{"a":1}}`, code: -32602, text: "parameters are of a tree file, …"},
	{method: "tasks.create", params: `{"tasks":[{"name":"a"}],"idempotencyKey":"a"}`, code: -32602, text: "there is no parameter idempotencyKey; did you mean idempotency_key?"},
	{method: "tasks.create", params: `{"trees":[[{"name":"a"}]],"parameters":{"a":1}}`, code: -32602, text: "parameters are of a tree file, …"},
	{method: "tasks.execute", params: `{"filee":"x"}`, code: -32602, text: "there is no parameter filee; did you mean file?"},
	{method: "tasks.execute", params: `{"tasks":[{"name":"a"}],"parameters":{"a":1}}`, code: -32602, text: "parameters are of a tree file, …"},
	{method: "tasks.create", params: `{"name":"n","parent_id":"#99"}`, code: -32602, protocol: -32010,
		text: "Task 'n' at index 0 has parent_id '#99' which is not in the tasks array (not found as id or name). …"},
	{method: "tasks.create", params: `{"name":"n","parent_id":"#20"}`, code: -32602, protocol: -32010,
		text: "Cannot add to task '#20': a task of its tree '#20' has started, or was cancelled"},
	{method: "tasks.create", params: `{"name":"n","parent_id":"#40"}`, code: -32602, protocol: -32010,
		text: "Cannot add to task '#40': a task of its tree '#40' has started, or was cancelled"},
	{method: "tasks.create", params: `{"name":"n","parent_id":"#10","dependencies":["#20"]}`, code: -32602, protocol: -32011,
		text: "Task 'n' at index 0 has dependency '#20' which is not in the tasks array (not found as id or name)…"},
	{method: "tasks.create", params: `{"parent_id":"#10"}`, code: -32602, text: "Task at index 0 must have a 'name' field", protocol: -32005},

	{method: "tasks.execute", params: `{}`, code: -32602, text: "Either task_id or tasks array is required"},
	{method: "tasks.execute", params: `{"task_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.execute", params: `{"task_id":"#99","copy_execution":true}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.execute", params: `{"task_id":"#99","use_streaming":true}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.execute", params: `{"task_id":"#10","webhook_config":{"method":"POST"}}`, code: -32602, text: "webhook_config.url is required"},
	{method: "tasks.execute", params: `{"task_id":"#10","webhook_config":{"url":"https://x.test","method":"GET"}}`, code: -32602, text: "webhook_config.method must be POST or PUT"},
	{method: "tasks.execute", params: `{"tasks":{"name":"x"}}`, code: -32602, text: "tasks must be an array"},
	{method: "tasks.execute", params: `{"task_id":"#30"}`, code: 0, protocol: -32008, reason: "Task #30 is already running",
		text: `{"success":false,"protocol":"jsonrpc","root_task_id":"#30","status":"already_running","message":"Task #30 is already running"}`},
	{method: "tasks.execute", params: `{"task_id":"#30","use_streaming":true}`, code: 0, protocol: -32008, reason: "Task #30 is already running",
		text: `{"success":false,"protocol":"jsonrpc","root_task_id":"#30","status":"already_running","message":"Task #30 is already running"}`},
	{method: "tasks.execute", params: `{"task_id":"#40"}`, code: 0, protocol: -32006, reason: "Task #40 was cancelled: copy it to run it again…",
		text: `{"success":false,"protocol":"jsonrpc","root_task_id":"#40","task_id":"#40","status":"cancelled","message":"Task #40 was cancelled: copy it to run it again…`},

	{method: "tasks.generate", params: `{}`, code: -32602, text: "Requirement is required"},
	{method: "tasks.generate", params: `{"requirement":" "}`, code: -32602, text: "Requirement is required"},
	{method: "tasks.generate", params: `{"requirement":"x","temperature":3}`, code: -32602, text: "temperature: must be a number from 0 to 2"},

	{method: "tasks.get", params: `{}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "tasks.get", params: `{"task_id":"#99"}`, text: "null", protocol: -32001, reason: "Task #99 not found"},
	{method: "tasks.get", params: `{"id":"#99"}`, text: "null", protocol: -32001, reason: "Task #99 not found"},
	{method: "tasks.get", params: `{"task_id":3}`, code: -32602, text: "task_id must be a string"},
	{method: "tasks.get", params: `{"task_id":"x"}`, code: -32602, text: "task_id must be a version 4 UUID", only: "protocol"},
	{method: "tasks.detail", params: `{}`, code: -32602, text: "Task ID is required"},
	{method: "tasks.detail", params: `{"task_id":"#99"}`, text: "null", protocol: -32001, reason: "Task #99 not found"},
	{method: "tasks.tree", params: `{}`, code: -32602, text: "Task ID or root_id is required"},
	{method: "tasks.tree", params: `{"root_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.children", params: `{}`, code: -32602, text: "Parent task ID is required. …"},
	{method: "tasks.children", params: `{"task_id":"#99"}`, code: -32602, text: "Parent task #99 not found", protocol: -32001},
	{method: "tasks.list", params: `{"limit":1001}`, code: -32602, text: "limit must be an integer from 1 to 1000"},
	{method: "tasks.list", params: `{"offset":-1}`, code: -32602, text: "offset must be an integer from 0 to 2147483647"},
	{method: "tasks.list", params: `{"status":"done"}`, code: -32602, text: "status must be one of pending, in_progress, completed, failed, cancelled"},
	{method: "tasks.list", params: `{"statsu":"failed"}`, code: -32602, text: "unknown parameter 'statsu': did you mean 'status'?"},
	{method: "tasks.list", params: `{"cursor":"x"}`, code: -32602, text: "cursor: is not a cursor of this list"},
	{method: "tasks.list", params: `{"root_id":"#99"}`, code: -32602, text: "…", protocol: -32001},

	{method: "tasks.running.list", params: `{"limit":0}`, code: -32602, text: "limit must be an integer from 1 to 1000"},
	{method: "tasks.running.status", params: `{"task_ids":[3]}`, code: -32602, text: "task_ids must be an array of strings or a list with commas"},
	{method: "tasks.running.count", params: `{"user_id":3}`, code: -32602, text: "user_id must be a string"},
	{method: "tasks.resolve", params: `{}`, code: -32602, text: "ref is required: an id, the beginning of an id, or TREE/name"},
	{method: "tasks.resolve", params: `{"ref":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.skip", params: `{}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "tasks.skip", params: `{"task_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.skip", params: `{"task_id":"#20"}`, code: -32602, text: "conflict: task #20 can't be skipped: it has ended (completed)", protocol: -32006},
	{method: "artifacts.list", params: `{}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "artifacts.list", params: `{"task_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "artifacts.get", params: `{"name":"n"}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "artifacts.get", params: `{"task_id":"#99","name":"n"}`, code: -32602, text: "Artifact n of task #99 not found", protocol: -32001},
	{method: "tasks.signal", params: `{"name":"go"}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "tasks.signal", params: `{"task_id":"#99","name":"go"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.approve", params: `{"choice":"approve"}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "tasks.approve", params: `{"task_id":"#99","choice":"approve"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.approve", params: `{"token":"none","choice":"approve"}`, code: -32602, text: "The link is none, or its time is over", protocol: -32001},
	{method: "tasks.approval.link", params: `{"name":"ops"}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "tasks.approval.link", params: `{"task_id":"#99","name":"ops"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.why", params: `{}`, code: -32602, text: "Task ID is required. Please provide 'task_id' or 'id' parameter."},
	{method: "tasks.why", params: `{"task_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},

	{method: "tasks.cancel", params: `{"task_id":"#99"}`, protocol: -32001, reason: "Task #99 not found",
		text: `{"task_id":"#99","status":"failed","message":"Task #99 not found","error":"Task not found","force":false}`},
	{method: "tasks.cancel", params: `{"task_id":"#20"}`, protocol: -32006, reason: "Task #20 is already completed, cannot cancel",
		text: `{"task_id":"#20","status":"failed","message":"Task #20 is already completed, cannot cancel","current_status":"completed","force":false}`},
	{method: "tasks.cancel", params: `{"task_id":"#40"}`, protocol: -32006, reason: "Task #40 is already cancelled, cannot cancel",
		text: `{"task_id":"#40","status":"failed","message":"Task #40 is already cancelled, cannot cancel","current_status":"cancelled","force":false}`},
	{method: "tasks.cancel", params: `{"task_ids":["#31","#99"],"force":true}`, text: `[{"task_id":"#31","status":"failed","message":"Task #31 is already failed, cannot cancel",` +
		`"current_status":"failed","force":true},{"task_id":"#99","status":"failed","message":"Task #99 not found","error":"Task not found","force":true}]`},
	{method: "tasks.cancel", params: `{"task_ids":[]}`, text: `[]`},
	{method: "tasks.cancel", params: `{"task_ids":["#99"],"task_id":"#99"}`, code: -32602, text: "task_ids must be alone: one task is named beside it"},
	{method: "tasks.running.cancel", params: `{"context_ids":"#99"}`, text: `[{"task_id":"#99","status":"failed","message":"Task #99 not found","error":"Task not found","force":false}]`},
	{method: "tasks.running.cancel", params: `{"task_ids":3}`, code: -32602, text: "task_ids must be an array of strings or a list with commas"},

	{method: "config.llm_key.set", params: `{"user_id":"eve"}`, code: -32602, text: "api_key is required"},
	{method: "config.llm_key.set", params: `{"api_key":"sk-x"}`, code: -32602, text: "user_id is required (not authenticated)"},
	{method: "config.llm_key.get", params: `{"user_id":3}`, code: -32602, text: "user_id must be a string"},
	{method: "config.llm_key.delete", params: `{}`, code: -32602, text: "user_id is required (not authenticated)"},
	{method: "executors.get", params: `{}`, code: -32602, text: "Executor ID is required. Please provide 'executor_id' or 'id' parameter."},
	{method: "executors.get", params: `{"id":"nope"}`, code: -32602, text: "Executor nope not found", protocol: -32001},
	{method: "executors.list", params: `{"cursor":3}`, code: -32602, text: "cursor must be a string"},
	{method: "webhooks.create", params: `{"events":["task_failed"]}`, code: -32602, text: "webhook.…"},
	{method: "webhooks.create", params: `{"url":"https://example.com","events":["nope"]}`, code: -32602, text: "webhook.…"},
	{method: "webhooks.create", params: `{"url":"http://10.0.0.1/x","events":["task_failed"]}`, code: -32602, text: "webhook.…"},
	{method: "webhooks.list", params: `{"task_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "webhooks.get", params: `{}`, code: -32602, text: "webhook_id is required"},
	{method: "webhooks.get", params: `{"id":"#99"}`, code: -32602, text: "Webhook #99 not found", protocol: -32001},
	{method: "webhooks.update", params: `{}`, code: -32602, text: "webhook_id is required"},
	{method: "webhooks.update", params: `{"webhook_id":"#99","name":"x"}`, code: -32602, text: "Webhook #99 not found", protocol: -32001},
	{method: "webhooks.delete", params: `{}`, code: -32602, text: "webhook_id is required"},
	{method: "webhooks.delete", params: `{"webhook_id":"#99"}`, code: -32602, text: "Webhook #99 not found", protocol: -32001},
	{method: "webhooks.test", params: `{"webhook_id":"#99"}`, code: -32602, text: "Webhook #99 not found", protocol: -32001},
	{method: "webhooks.deliveries", params: `{"webhook_id":"#99"}`, code: -32602, text: "Webhook #99 not found", protocol: -32001},
	{method: "webhooks.resend", params: `{}`, code: -32602, text: "delivery_id is required"},
	{method: "webhooks.resend", params: `{"delivery_id":"#99"}`, code: -32602, text: "Delivery #99 not found", protocol: -32001},
	{method: "limits.set", params: `{}`, code: -32602, text: "target: is required: one of key, rate, pool and user_id"},
	{method: "limits.set", params: `{"rate":"r","max":-1,"per":"day"}`, code: -32602, text: "max: must be 0 to 1000000; per: must be second, minute or hour"},
	{method: "limits.set", params: `{"key":"k","max":"1"}`, code: -32602, text: "max must be an integer from -2147483648 to 2147483647"},
	{method: "limits.set", params: `{"key":"k","mx":1}`, code: -32602, text: "unknown parameter 'mx'…"},
	{method: "limits.delete", params: `{"key":"k","rate":"k"}`, code: -32602, text: "target: must be one of key, rate, pool and user_id, not several"},
	{method: "limits.delete", params: `{"key":"nope"}`, code: -32602, text: "Limit of nope not found", protocol: -32001},
	{method: "limits.weight", params: `{"weight":0}`, code: -32602, text: "user_id: must not be empty; weight: must be 0.01 to 100"},
	{method: "limits.weight", params: `{"user_id":"amy","weight":101}`, code: -32602, text: "weight: must be 0.01 to 100"},
	{method: "limits.weight", params: `{"user_id":"amy","weight":"x"}`, code: -32602, text: "weight must be a number"},
	{method: "limits.list", params: `{"cursor":"x"}`, code: -32602, text: "cursor: is not a cursor of this list"},
	{method: "pauses.set", params: `{"pool":"not a pool","everything":true}`, code: -32602, text: "target: must be one of tree_id, pool and everything, not several; pool: must be 1 to …"},
	{method: "pauses.set", params: `{"tree_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "pauses.delete", params: `{"tree_id":"#99"}`, code: -32602, text: "Pause of #99 not found", protocol: -32001},
	{method: "pauses.delete", params: `{"everything":true}`, code: -32602, text: "Pause of everything not found", protocol: -32001},
	{method: "pauses.list", params: `{"cursor":"x"}`, code: -32602, text: "cursor: is not a cursor of this list"},
	{method: "schedules.next", params: `{}`, code: -32602, text: "cron: is empty: five fields, as 0 2 * * *"},
	{method: "schedules.next", params: `{"cron":"0 2 * * *","timezone":"utc","n":0}`, code: -32602, text: "n must be an integer from 1 to 1000"},
	{method: "schedules.next", params: `{"cron":"0 2 30 2 *","timezone":"utc"}`, code: -32602, text: `cron: never fires: no day of any year fits; timezone: "utc" is not the name of a time zone in IANA's database: did you mean UTC?`},
	{method: "schedules.next", params: `{"cron":"@daily","timezone":"Mars/Olympus"}`, code: -32602, text: `timezone: "Mars/Olympus" is not the name of a time zone in IANA's database, as Europe/Berlin`},
	{method: "schedules.next", params: `{"cron":"@daily","after":"today"}`, code: -32602, text: "after must be a time with its zone, such as 2026-01-31T12:00:00Z"},
	{method: "schedules.next", params: `{"cron":"@daily","zone":"UTC"}`, code: -32602, text: "unknown parameter 'zone'…"},
	{method: "schedules.next", params: `{"cron":"@daily","n":2,"after":"2026-11-29T12:00:00Z"}`, text: `{"instants":["2026-11-30T00:00:00Z","2026-12-01T00:00:00Z"]}`},
	{method: "schedules.create", params: `{}`, code: -32602, text: "id: is required; tree: is required, or flow; cron: one of cron, every and on must be there, and no more",
		reason: "is required\nis required, or flow\none of cron, every and on must be there, and no more"},
	{method: "schedules.create", params: `{"id":"#97","crontab":"@daily","tree":{"name":"n"}}`, code: -32602, text: "crontab: is no key of a schedule: write cron", reason: "is no key of a schedule: write cron"},
	{method: "schedules.create", params: `{"id":"#97","cron":"@daily","tree":{"name":"n","inputs":{"a":1,"a":2}}}`, code: -32602, text: "tree.inputs.a: must not be there twice", reason: "must not be there twice"},
	{method: "schedules.create", params: `{"id":"#97","cron":"@daily","tree":[{"name":"n","template":true,"schemas":{"method":"noop_executor"},"inputs":{"x":"{{schedule.what}}"}}]}`, code: -32602, text: "tree[0].inputs: …",
		reason: `x: "{{schedule.what}}": nothing is there…`},
	{method: "schedules.create", params: `{"id":"#97","cron":"0 0 30 2 *","timezone":"utc","due":"26:00","tree":{"name":"n","priority":9,"schemas":{"method":"noop_executor"}}}`, code: -32602,
		text:   `cron: never fires: no day of any year fits; timezone: "utc" is not the name of a time zone in IANA's database: did you mean UTC?; due: "26:00" is not a time of the day as 06:00; tree[0].priority: must be 0 to 3, got 9`,
		reason: "never fires: no day of any year fits\n\"utc\" is not the name of a time zone in IANA's database: did you mean UTC?\n\"26:00\" is not a time of the day as 06:00\nmust be 0 to 3, got 9"},
	{method: "schedules.get", params: `{}`, code: -32602, text: "id must be the id of a schedule"},
	{method: "schedules.get", params: `{"id":"#98"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.get", params: `{"id":"#98","x":1}`, code: -32602, text: "unknown parameter 'x'…"},
	{method: "schedules.list", params: `{"cursor":"x"}`, code: -32602, text: "cursor: is not a cursor of this list"},
	{method: "schedules.list", params: `{"limit":1001}`, code: -32602, text: "limit must be an integer from 0 to 1000"},
	{method: "schedules.update", params: `{"id":"#98","cron":"@yearly","tree":{"name":"n"},"revision":1}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.pause", params: `{"id":"#98","reason":"x"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.resume", params: `{"id":"#98"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.trigger", params: `{"id":"#98"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.trigger", params: `{"id":"#98","overlap":"maybe","parameters":[1]}`, code: -32602, text: "overlap: must be skip, queue_one, allow or cancel_other; parameters: must be an object"},
	{method: "schedules.backfill", params: `{"id":"#98","from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.backfill", params: `{"id":"#98","from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:00Z"}`, code: -32602, text: "to: must be after from"},
	{method: "schedules.backfill", params: `{"id":"#98","from":"monday"}`, code: -32602, text: "from must be a time with its zone, such as 2026-01-31T12:00:00Z"},
	{method: "schedules.delete", params: `{"id":"#98"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.secret", params: `{"id":"#98"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "schedules.secret", params: `{"id":"#98","secret":"hunter2","keep":2592001}`, code: -32602, text: "keep must be an integer from 0 to 2592000"},
	{method: "schedules.secret", params: `{"id":"#98","secret":"hunter2"}`, code: -32602, text: "secret: must be whsec_ and base64 of 24 to 64 bytes"},
	{method: "flows.apply", params: `{}`, code: -32602, text: "text must be the text of a flow"},
	{method: "flows.apply", params: `{"text":"flow: {}","x":1}`, code: -32602, text: "unknown parameter 'x'…"},
	{method: "locks.list", params: `{"limit":1001}`, code: -32602, text: "limit must be an integer from 0 to 1000"},
	{method: "locks.break", params: `{}`, code: -32602, text: "key must be the key of a lock"},
	{method: "locks.break", params: `{"key":"k"}`, code: -32602, text: "token: is required, or holder: whoever else has the lock by then is not to lose it"},
	{method: "locks.break", params: `{"key":"k","token":7}`, code: -32602, text: "Lock k not found", protocol: -32001},
	{method: "locks.break", params: `{"key":"k","holder":"#10"}`, code: -32602, text: "Lock k not found", protocol: -32001},
	{method: "flows.validate", params: `{"flow":"#96"}`, code: -32602, text: "Flow #96 not found", protocol: -32001},
	{method: "flows.validate", params: `{}`, code: -32602, text: "flow: is required: the id of a registered flow, or a text"},
	{method: "flows.validate", params: `{"text":"flow: {}","priority":4}`, code: -32602, text: "priority must be an integer from 0 to 3"},
	{method: "flows.run", params: `{"text":"flow: {}","priority":"high"}`, code: -32602, text: "priority must be an integer from 0 to 3"},
	{method: "bundles.apply", params: `{}`, code: -32602, text: "id must be the id of a bundle"},
	{method: "bundles.apply", params: `{"id":"b","files":7}`, code: -32602, text: "files must be an array of objects with path, sha256 and size"},
	{method: "bundles.put_file", params: `{"data":"%"}`, code: -32602, text: "data must be the content of a file, in base64"},
	{method: "bundles.list", params: `{"limit":1001}`, code: -32602, text: "limit must be an integer from 0 to 1000"},
	{method: "bundles.delete", params: `{}`, code: -32602, text: "id must be the id of a bundle"},
	{method: "bundles.delete", params: `{"id":"#94"}`, code: -32602, text: "Bundle #94 not found", protocol: -32001},
	{method: "profiles.apply", params: `{}`, code: -32602, text: "text must be the text of profiles"},
	{method: "profiles.apply", params: `{"text":"{}"}`, code: -32602, text: "not accepted:\n  profiles:1:1: spec.schema - has no profiles", reason: "1:1: spec.schema - has no profiles"},
	{method: "profiles.apply", params: `{"text":"a: {}","preview":1}`, code: -32602, text: "preview must be true or false"},
	{method: "profiles.get", params: `{}`, code: -32602, text: "name must be the name of a profile"},
	{method: "profiles.get", params: `{"name":"#93"}`, code: -32602, text: "Profile #93 not found", protocol: -32001},
	{method: "profiles.get", params: `{"name":"#93","version":-1}`, code: -32602, text: "version must be an integer from 0 to 2147483647"},
	{method: "profiles.list", params: `{"limit":1001}`, code: -32602, text: "limit must be an integer from 0 to 1000"},
	{method: "profiles.list", params: `{"cursor":"x"}`, code: -32602, text: "cursor: is not…"},
	{method: "profiles.delete", params: `{}`, code: -32602, text: "name must be the name of a profile"},
	{method: "profiles.delete", params: `{"name":"#93"}`, code: -32602, text: "Profile #93 not found", protocol: -32001},
	{method: "profiles.delete", params: `{"name":"#93","version":1}`, code: -32602, text: "unknown parameter 'version'…"},
	{method: "flows.run", params: `{"bundle":7}`, code: -32602, text: "bundle must be an object with the id of a bundle"},
	{method: "flows.get", params: `{}`, code: -32602, text: "id must be the id of a flow"},
	{method: "flows.get", params: `{"id":"#96"}`, code: -32602, text: "Flow #96 not found", protocol: -32001},
	{method: "flows.list", params: `{"limit":1001}`, code: -32602, text: "limit must be an integer from 0 to 1000"},
	{method: "flows.delete", params: `{"id":"#96"}`, code: -32602, text: "Flow #96 not found", protocol: -32001},
	{method: "flows.run", params: `{"flow":"#96"}`, code: -32602, text: "Flow #96 not found", protocol: -32001},
	{method: "flows.run", params: `{}`, code: -32602, text: "flow: is required: the id of a registered flow, or a text"},
	{method: "flows.run", params: `{"flow":"#96","set":"a=1"}`, code: -32602, text: "set must be an array of at most 1000 strings"},
	{method: "runs.get", params: `{}`, code: -32602, text: "run must be the id of a run, or FLOW/RUN"},
	{method: "runs.get", params: `{"run":"#95"}`, code: -32602, text: "Run #95 not found", protocol: -32001},
	{method: "runs.list", params: `{"outcome":"fine"}`, code: -32602, text: "outcome: must be RUNNING, SUCCESS, FAILED or CANCELLED"},
	{method: "runs.cancel", params: `{"run":"#95"}`, code: -32602, text: "Run #95 not found", protocol: -32001},
	{method: "runs.resume", params: `{"run":"#95"}`, code: -32602, text: "Run #95 not found", protocol: -32001},
	{method: "runs.restart", params: `{"run":"#95"}`, code: -32602, text: "Run #95 not found", protocol: -32001},
	{method: "schedules.runs", params: `{"id":"#98"}`, code: -32602, text: "Schedule #98 not found", protocol: -32001},
	{method: "holds.set", params: `{}`, code: -32602, text: "tree_id: is required; reason: is required: …"},
	{method: "holds.set", params: `{"tree_id":"#13"}`, code: -32602, text: "reason: is required: …"},
	{method: "holds.set", params: `{"tree_id":"#99","reason":"case 7"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "holds.set", params: `{"tree_id":"#13","reson":"case 7"}`, code: -32602, text: "unknown parameter 'reson'…"},
	{method: "holds.delete", params: `{}`, code: -32602, text: "tree_id is required"},
	{method: "holds.delete", params: `{"tree_id":"#10"}`, code: -32602, text: "Hold of #10 not found", protocol: -32001},
	{method: "holds.list", params: `{"cursor":"x"}`, code: -32602, text: "cursor: is not a cursor of this list"},
	{method: "erasures.start", params: `{}`, code: -32602, text: "user_id: must not be empty"},
	{method: "erasures.start", params: `{"user_id":"amy","all":true}`, code: -32602, text: "unknown parameter 'all'…"},
	{method: "erasures.get", params: `{}`, code: -32602, text: "erasure_id is required"},
	{method: "erasures.get", params: `{"erasure_id":"#99"}`, code: -32602, text: "Erasure #99 not found", protocol: -32001},
	{method: "erasures.list", params: `{"cursor":"x"}`, code: -32602, text: "cursor: is not a cursor of this list"},
	{method: "usage.list", params: `{"by":"nope"}`, code: -32602, text: "…"},
}

// editRows are the faults of updates, deletions and copies (spec 2.3, 2.4, 4.1).
var editRows = []errorRow{
	{method: "tasks.update", params: `{"name":"x"}`, code: -32602, text: "Task ID is required"},
	{method: "tasks.update", params: `{"task_id":"#99","name":"x"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	updates("#12", `"parent_id":"#11"`, -32005, "Cannot update 'parent_id': field cannot be modified (task hierarchy is fixed)"),
	updates("#12", `"user_id":"eve"`, -32005, "Cannot update 'user_id': field cannot be modified (task ownership is fixed)"),
	updates("#20", `"dependencies":["#21"]`, -32006, "Cannot update 'dependencies': task status is 'completed' (must be 'pending')"),
	updates("#33", `"dependencies":[]`, -32006, "Cannot update 'dependencies': task status is 'in_progress' (must be 'pending')"),
	updates("#12", `"dependencies":{}`, -32005, "Cannot update 'dependencies': must be a list, got dict"),
	updates("#12", `"dependencies":"#11"`, -32005, "Cannot update 'dependencies': must be a list, got str"),
	updates("#12", `"dependencies":[{"required":true}]`, -32011, "Dependency must have 'id' field or be a string task ID"),
	updates("#12", `"dependencies":["#20"]`, -32011, "Dependency reference '#20' not found in task tree"),
	updates("#11", `"dependencies":["#12"]`, -32002, "Circular dependency detected: first -> second -> first. …"),
	updates("#12", `"dependencies":["#12"]`, -32002, "Circular dependency detected: second -> second. …"),
	updates("#32", `"dependencies":[]`, -32006, "Cannot update dependencies: task '#32' has dependent tasks that are executing: ['#33']"),
	updates("#20", `"status":"failed"`, -32006, "Invalid state transition: cannot transition from 'completed' to 'failed'"),
	updates("#40", `"status":"completed"`, -32006, "Invalid state transition: cannot transition from 'cancelled' to 'completed'"),
	updates("#31", `"status":"pending"`, -32006, "Invalid state transition: cannot transition from 'failed' to 'pending'"),
	updates("#12", `"status":"in_progress"`, -32006, "Invalid state transition: cannot transition from 'pending' to 'in_progress'"),
	updates("#12", `"status":"done"`, -32005, "Cannot update 'status': must be pending, in_progress, completed, failed or cancelled"),
	updates("#12", `"priority":4`, -32005, "Cannot update 'priority': must be 0 to 3, got 4"),
	updates("#12", `"name":""`, -32005, "Cannot update 'name': must not be empty"),
	updates("#12", `"inputs":[]`, -32005, "Cannot update 'inputs': must be an object"),
	updates("#12", `"name":3,"progress":"x","user_id":"eve"`, -32005, "Cannot update 'user_id': field cannot be modified (task ownership is fixed)\n"+
		"Cannot update 'name': must be a string\nCannot update 'progress': must be a number"),
	{method: "tasks.update", params: `{"task_id":"#12","updates":3}`, code: -32602, text: "updates must be an object, each name once"},

	{method: "tasks.delete", params: `{}`, code: -32602, text: "Task ID is required"},
	{method: "tasks.delete", params: `{"task_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.delete", params: `{"task_id":"#20"}`, code: -32602, protocol: -32009, reason: "Cannot delete task: …",
		text: "Cannot delete task: task has 1 non-pending children: [#21: completed]; task status is 'completed' (must be 'pending')"},
	{method: "tasks.delete", params: `{"task_id":"#11"}`, code: -32602, protocol: -32009, reason: "Cannot delete task: …",
		text: "Cannot delete task: 1 tasks depend on this task: [#12]"},
	{method: "tasks.delete", params: `{"task_id":"#10"}`, code: -32009, only: "protocol", text: "Cannot delete task: …"},
	{method: "tasks.delete", params: `{"task_id":"#30"}`, code: -32602, protocol: -32009, reason: "Cannot delete task: …",
		text: "Cannot delete task: task has 2 non-pending children: [#31: failed, #33: in_progress]; task status is 'in_progress' (must be 'pending')"},

	{method: "tasks.copy", params: `{}`, code: -32602, text: "Task ID is required"},
	{method: "tasks.copy", params: `{"task_id":"#99"}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.copy", params: `{"task_id":"#99","save":false}`, code: -32602, text: "Task #99 not found", protocol: -32001},
	{method: "tasks.copy", params: `{"task_id":"#20","copy_mode":"all"}`, code: -32602, text: "copy_mode must be one of minimal, full, custom"},
	{method: "tasks.copy", params: `{"task_id":"#20","copy_mode":"custom"}`, code: -32602, text: "custom_task_ids is required when copy_mode='custom'"},
	{method: "tasks.copy", params: `{"task_id":"#20","copy_mode":"custom","custom_task_ids":["#99"]}`, code: -32602, text: "Task IDs not found in tree: {'#99'}"},
	{method: "tasks.copy", params: `{"task_id":"#20","copy_mode":"custom","custom_task_ids":["#11"],"save":false}`, code: -32602, text: "Task IDs not found in tree: {'#11'}"},
	{method: "tasks.copy", params: `{"task_id":"#20","reset_fields":["name"]}`, code: -32602,
		text: "reset_fields must be some of status, progress, result, error, started_at, completed_at, updated_at"},
}

// updates is an update that has faults, a line each.
func updates(task, fields string, protocol int, faults string) errorRow {
	return errorRow{method: "tasks.update", params: `{"task_id":"` + task + `","updates":{` + fields + `}}`, code: -32602,
		text: "Update failed:\n- " + strings.ReplaceAll(faults, "\n", "\n- "), protocol: protocol, reason: faults}
}

// testOwnKeys: stored tasks are found by their own keys, in both forms, and by nothing else.
func testOwnKeys(s *errorSite) {
	for params, want := range map[string]string{
		`{"custom.project":"x"}`: `[{"id":"#10",…`, `{"custom":{"project":"x"}}`: `[{"id":"#10",…`, `{"custom.project":"x","custom.area":7}`: `[]`,
		`{"custom.project":"y"}`: `[]`, `{"custom.other":"x"}`: `[]`, `{"custom.area":7}`: `[{"id":"#13",…`, `{"custom.area":"7"}`: `[{"id":"#13",…`,
	} {
		s.check("tasks.list "+params, s.ask(0, "tasks.list", params, false), false, 0, 0, want)
	}
}
