package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdkjson "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// versions are protocols that take different doors.
var versions = []string{"2026-07-28", "2025-11-25", "2025-03-26"}

const pair = `[{"id":"r","name":"root","dependencies":["a"]},{"id":"a","name":"first","parent_id":"r","inputs":{"x":1}}]`

func each(t *testing.T, cfg mcp.Config, test func(t *testing.T, s *served, session *sdk.ClientSession, heard told)) {
	t.Helper()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := serve(t, cfg)
			session, heard := s.connect(version)
			if got := session.InitializeResult().ProtocolVersion; got != version {
				t.Fatalf("got protocol %s, want %s", got, version)
			}
			if has := session.ID() != ""; has != (version < "2026") {
				t.Errorf("has a session: %t, with protocol %s", has, version)
			}
			test(t, s, session, heard)
		})
	}
}

func TestStoreRunAndRead(t *testing.T) {
	t.Parallel()
	each(t, mcp.Config{}, func(t *testing.T, s *served, session *sdk.ClientSession, _ told) {
		var root struct {
			ID, Status string
			Children   []struct{ ID string }
		}
		call(t, session, "create_task", json.RawMessage(`{"tasks":`+pair+`}`), &root)
		if root.ID != "r" || root.Status != "pending" || len(root.Children) != 1 || root.Children[0].ID != "a" {
			t.Fatalf("got %+v, want the root with its child", root)
		}
		var list struct{ Tasks []struct{ ID string } }
		res := call(t, session, "list_tasks", map[string]any{"limit": 10}, &list)
		if len(list.Tasks) != 1 || list.Tasks[0].ID != "r" {
			t.Errorf("got %+v, want the one root", list)
		}
		if text := texts(res); !strings.HasPrefix(text, "[\n  {\n    \"id\": \"r\",") {
			t.Errorf("got text %.60q, want an array indented by 2", text)
		}
		var started struct {
			Status     string
			RootTaskID string `json:"root_task_id"`
		}
		call(t, session, "execute_task", map[string]any{"task_id": "r"}, &started)
		if started.Status != "started" || started.RootTaskID != "r" {
			t.Errorf("got %+v, want r started", started)
		}
		s.svc.Start("a")
		call(t, session, "list_tasks", map[string]any{"status": "running", "root_id": "r"}, &list)
		if len(list.Tasks) != 1 || list.Tasks[0].ID != "a" {
			t.Errorf("got %+v for status running, want a", list)
		}
		s.svc.Complete("a", `{"n":1}`)
		var task struct {
			Status string
			Result json.RawMessage
		}
		call(t, session, "get_task", map[string]any{"task_id": "a"}, &task)
		if task.Status != "completed" || string(task.Result) != `{"n":1}` {
			t.Errorf("got %+v, want it completed with its result", task)
		}
		var states struct{ Tasks []struct{ Status string } }
		call(t, session, "get_task_status", map[string]any{"task_ids": []string{"a", "gone"}}, &states)
		if len(states.Tasks) != 2 || states.Tasks[0].Status != "completed" || states.Tasks[1].Status != "not_found" {
			t.Errorf("got %+v, want completed and not_found", states)
		}
		call(t, session, "get_task_tree", map[string]any{"task_id": "a"}, &root)
		if root.ID != "r" {
			t.Errorf("got tree %+v, want that of r", root)
		}
		call(t, session, "list_children", map[string]any{"task_id": "r"}, &list)
		if len(list.Tasks) != 1 || list.Tasks[0].ID != "a" {
			t.Errorf("got children %+v, want a", list)
		}
		var cancelled struct{ Status string }
		call(t, session, "cancel_task", map[string]any{"task_id": "r"}, &cancelled)
		if cancelled.Status != "cancelled" {
			t.Errorf("got %+v, want cancelled", cancelled)
		}
	})
}

// TestSchedulesByTools: schedules are listed, shown, triggered, paused and resumed.
func TestSchedulesByTools(t *testing.T) {
	t.Parallel()
	each(t, mcp.Config{}, func(t *testing.T, s *served, session *sdk.ClientSession, _ told) {
		if _, err := s.svc.CreateSchedule(t.Context(), scheduledoc.Spec{ID: "nightly", Cron: "0 2 * * *", Tree: []byte(`[{"name":"a"}]`)}); err != nil {
			t.Fatal(err)
		}
		var list struct{ Schedules []struct{ ID, Cron string } }
		if call(t, session, "list_schedules", map[string]any{"limit": 10}, &list); len(list.Schedules) != 1 || list.Schedules[0].ID != "nightly" || list.Schedules[0].Cron != "0 2 * * *" {
			t.Errorf("got %+v", list)
		}
		var one struct {
			ID          string
			Tree        json.RawMessage
			Paused      bool
			PauseReason string `json:"pause_reason"`
			Next        string
		}
		if call(t, session, "get_schedule", map[string]any{"id": "nightly"}, &one); string(one.Tree) != `[{"name":"a"}]` || one.Next == "" {
			t.Errorf("got %+v", one)
		}
		if call(t, session, "pause_schedule", map[string]any{"id": "nightly", "reason": "the warehouse moves"}, &one); !one.Paused || one.PauseReason != "the warehouse moves" {
			t.Errorf("paused: %+v", one)
		}
		var run, again struct {
			Schedule, Kind string
			FireTime       string `json:"fire_time"`
		}
		ask := map[string]any{"id": "nightly", "parameters": map[string]any{"day": "x"}, "overlap": "queue_one", "idempotency_key": "k"}
		call(t, session, "trigger_schedule", ask, &run)
		if call(t, session, "trigger_schedule", ask, &again); run != again || run.Schedule != "nightly" || run.Kind != "trigger" || run.FireTime == "" {
			t.Errorf("got %+v, then %+v", run, again)
		}
		var runs struct{ Runs []struct{ Kind string } }
		if call(t, session, "list_schedule_runs", map[string]any{"id": "nightly"}, &runs); len(runs.Runs) != 1 {
			t.Errorf("got %+v", runs)
		}
		one.PauseReason = ""
		if call(t, session, "resume_schedule", map[string]any{"id": "nightly"}, &one); one.Paused || one.PauseReason != "" {
			t.Errorf("resumed: %+v", one)
		}
		var next struct{ Instants []string }
		if call(t, session, "next_instants", map[string]any{"cron": "30 2 * * *", "timezone": "Europe/Berlin", "n": 2, "after": "2026-03-28T12:00:00Z"}, &next); !slices.Equal(next.Instants, []string{"2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}) {
			t.Errorf("got %q", next.Instants)
		}
		res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "get_schedule", Arguments: map[string]any{"id": "nobody's"}})
		if err != nil || !res.IsError || !strings.Contains(texts(res), "Schedule nobody's not found") {
			t.Errorf("one that is not there: %v %v", res, err)
		}
	})
}

// Of the executors a list has what one reads, one alone has all.
// TestTasksAskForLimits: what a task asks for before it starts is taken from a tool's tasks, and shown with its keys.
func TestTasksAskForLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("")
	call(t, session, "create_task", json.RawMessage(`{"tasks":[{"id":"a","name":"a","schemas":{"method":"x"},"inputs":{"c":"acme"},"limits":[{"key":"c-{{inputs.c}}","max":5}],`+
		`"lock":{"key":"{{task.id}}","on_contention":"skip"},"rates":[{"key":"api","per":"hour","max":9}]}]}`), nil)
	var got struct{ Limits, Lock, Rates json.RawMessage }
	call(t, session, "get_task", map[string]any{"task_id": "a"}, &got)
	if text := fmt.Sprintf("%s %s %s", got.Limits, got.Lock, got.Rates); text != `[{"key":"c-acme","max":5}] {"key":"a","on_contention":"skip"} [{"key":"api","max":9,"per":"hour"}]` {
		t.Errorf("got %s", text)
	}
}

func TestExecutors(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("")
	var list struct{ Executors []map[string]any }
	call(t, session, "list_executors", nil, &list)
	if len(list.Executors) == 0 {
		t.Fatal("no executors")
	}
	id, _ := list.Executors[0]["id"].(string)
	if list.Executors[0]["input_schema"] != nil || id == "" {
		t.Errorf("got %v, want an id and no schema", list.Executors[0])
	}
	var one map[string]any
	call(t, session, "get_executor", map[string]any{"executor_id": id}, &one)
	if _, has := one["input_schema"]; one["id"] != id || !has {
		t.Errorf("got %v, want %s with its schema", one, id)
	}
}

// A tree that is waited for tells how far it is: always more, to the end.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"execute_task", "wait_for_task"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			each(t, mcp.Config{}, func(t *testing.T, s *served, session *sdk.ClientSession, heard told) {
				arguments := json.RawMessage(`{"use_streaming":true,"tasks":` + pair + `}`)
				if tool == "wait_for_task" {
					call(t, session, "execute_task", json.RawMessage(`{"tasks":`+pair+`}`), nil)
					arguments = json.RawMessage(`{"task_id":"a"}`)
				}
				type answer struct {
					res *sdk.CallToolResult
					err error
				}
				done := make(chan answer, 1)
				go func() {
					params := &sdk.CallToolParams{Name: tool, Arguments: arguments}
					params.SetProgressToken("p1")
					res, err := session.CallTool(context.Background(), params)
					done <- answer{res, err}
				}()
				waitFor(t, func() bool {
					task, err := s.svc.Task(context.Background(), "a")
					return err == nil && task.State.Unfinished()
				})
				s.svc.Start("a")
				time.Sleep(150 * time.Millisecond) // so that the next is not too soon to be told
				s.svc.Complete("a", `1`)
				s.svc.Complete("r", `{"all":true}`)
				got := <-done
				if got.err != nil || got.res.IsError {
					t.Fatal(got.err, got.res)
				}
				var end struct {
					Status, TreeStatus string
					Result             json.RawMessage
				}
				decode(t, got.res, &end)
				if end.Status != "completed" || string(end.Result) != `{"all":true}` {
					t.Errorf("got %+v, want completed with the root's result", end)
				}
				last, n := -1.0, 0
				for last < 1 {
					var p *sdk.ProgressNotificationParams
					select {
					case p = <-heard:
					case <-time.After(20 * time.Second):
						t.Fatalf("heard %d times, at last %v, want 1 at the end", n, last)
					}
					if n++; p.Progress <= last || p.ProgressToken != "p1" || p.Message == "" {
						t.Errorf("got %+v after %v, want more", p, last)
					}
					last = p.Progress
				}
				if n < 2 || last < 1 {
					t.Errorf("heard %d times, at last %v, want several up to 1", n, last)
				}
			})
		})
	}
}

func waitFor(t testing.TB, what func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !what(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited too long")
		}
	}
}

// When the time is up the tree goes on, and the model is told what to do.
func TestTimedOut(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("")
	var got struct {
		Status   string
		TimedOut bool `json:"timed_out"`
	}
	res := call(t, session, "execute_task", json.RawMessage(`{"wait":true,"timeout":0.05,"tasks":`+pair+`}`), &got)
	if !got.TimedOut || got.Status != "started" || !strings.Contains(texts(res), "wait_for_task") {
		t.Errorf("got %+v, %s; want timed_out and a hint", got, texts(res))
	}
	call(t, session, "wait_for_task", map[string]any{"task_id": "r", "timeout": 0.05}, &got)
	if !got.TimedOut {
		t.Errorf("got %+v, want timed_out", got)
	}
}

// A client that takes a call back, or leaves, ends the wait and not the tree.
func TestCancelledCallEndsTheWait(t *testing.T) {
	t.Parallel()
	each(t, mcp.Config{MaxCalls: 3}, func(t *testing.T, s *served, session *sdk.ClientSession, _ told) {
		call(t, session, "execute_task", json.RawMessage(`{"tasks":`+pair+`}`), nil)
		for range 10 { // more than may wait at once
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() {
				_, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "wait_for_task", Arguments: map[string]any{"task_id": "r", "timeout": 60}})
				done <- err
			}()
			time.Sleep(10 * time.Millisecond)
			cancel()
			if err := <-done; err == nil {
				t.Fatal("got an answer, want the call cancelled")
			}
		}
		waitFor(t, func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			res, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "wait_for_task", Arguments: map[string]any{"task_id": "r", "timeout": 0.01}})
			return err == nil && !res.IsError
		})
		if tree, err := s.svc.Tree(context.Background(), "r"); err != nil || tree.Unfinished == 0 {
			t.Errorf("got %+v, %v; want the tree running", tree, err)
		}
	})
}

// What a model gets wrong it is told in a result, with field and reason, all at once.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("")
	for _, test := range []struct{ name, tool, arguments, kind, field, reason string }{
		{"unknown task", "get_task", `{"task_id":"gone"}`, "not_found", "task_id", "Task gone not found"},
		{"no id", "get_task", `{}`, "invalid", "task_id", "Task ID is required"},
		{"wrong type", "get_task", `{"task_id":7}`, "invalid", "task_id", "must be of type string"},
		{"unknown argument", "get_task", `{"task_id":"a","colour":"red"}`, "invalid", "colour", "which takes task_id"},
		{"all at once", "list_tasks", `{"limit":"x","status":"done"}`, "invalid", "limit", "status must be one of pending"},
		{"twice", "get_task", `{"task_id":"a","task_id":"b"}`, "invalid", "arguments", "task_id"},
		{"bound", "list_tasks", `{"limit":100000}`, "invalid", "limit", "from 1 to 1000"},
		{"not an object", "get_task", `["a"]`, "invalid", "arguments", "must be an object"},
		{"null", "get_task", `null`, "invalid", "task_id", "Task ID is required"},
		{"bad tree", "create_task", `{"tasks":[{"id":"a","name":"a","dependencies":["zzz"]}]}`, "invalid", "", "which is not in the tasks array"},
		{"limits", "create_task", `{"tasks":[{"name":"a","schemas":{"method":"x"},"limits":[{"key":"nobody"},{"key":"k","max":1,"cost":2}]}]}`, "invalid", "", "tasks[0].limits[0].max: is required"},
		{"limits, all at once", "create_task", `{"tasks":[{"name":"a","schemas":{"method":"x"},"limits":[{"key":"nobody"},{"key":"k","max":1,"cost":2}]}]}`, "invalid", "", "tasks[0].limits[1].cost: must be at most max"},
		{"no tree", "create_task", `{"tasks":[]}`, "invalid", "", "Tasks array cannot be empty"},
		{"no tasks", "execute_task", `{}`, "invalid", "task_id", "Either task_id or tasks array is required"},
		{"wait too long", "wait_for_task", `{"task_id":"a","timeout":1e9}`, "invalid", "timeout", "at most 3600 seconds"},
		{"wait for nothing", "wait_for_task", `{"task_id":"gone"}`, "not_found", "", "Task gone not found"},
		{"no such executor", "get_executor", `{"executor_id":"gone"}`, "not_found", "", "Executor gone not found"},
		{"skip nothing", "skip_task", `{}`, "invalid", "task_id", "Task ID is required"},
		{"skip what there is not", "skip_task", `{"task_id":"gone"}`, "not_found", "", "Task gone not found"},
		{"a signal for nobody", "signal_task", `{"task_id":"gone","name":"go"}`, "not_found", "", "Task gone not found"},
		{"an answer for nobody", "answer_approval", `{"task_id":"gone","choice":"approve"}`, "not_found", "", "Task gone not found"},
		{"pause what there is not", "pause_tree", `{"tree_id":"gone","reason":"x"}`, "not_found", "", "Task gone not found"},
		{"pause nothing", "pause_tree", `{}`, "invalid", "", "target: is required"},
		{"resume what is not paused", "resume_tree", `{"tree_id":"gone"}`, "not_found", "", "Pause of gone not found"},
		{"two ways", "cancel_task", `{"task_id":"a","task_ids":["b"]}`, "invalid", "task_ids", "alone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: test.tool, Arguments: json.RawMessage(test.arguments)})
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Error struct{ Kind, Field, Reason string }
			}
			decode(t, res, &got)
			if !res.IsError || got.Error.Kind != test.kind || test.field != "" && got.Error.Field != test.field ||
				!strings.Contains(got.Error.Reason, test.reason) || !strings.Contains(texts(res), test.reason) {
				t.Errorf("got %+v, text %q, error %t; want %s of %q: %s", got.Error, texts(res), res.IsError, test.kind, test.field, test.reason)
			}
		})
	}
	t.Run("nothing was stored", func(t *testing.T) {
		if page, err := s.svc.Tasks(t.Context(), coordinator.TaskFilter{}); err != nil || len(page.Items) > 0 {
			t.Errorf("got %v, %v; want nothing stored", page.Items, err)
		}
	})
	t.Run("the service is away", func(t *testing.T) {
		s.svc.FailNext("Task", fmt.Errorf("dial secret-host: %w", coordinator.ErrUnavailable))
		res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "get_task", Arguments: map[string]any{"task_id": "a"}})
		if err != nil || !res.IsError || !strings.Contains(texts(res), "try again") || strings.Contains(texts(res), "secret-host") {
			t.Errorf("got %v, %v; want to try again, without the cause", res, err)
		}
	})
}

// TestDenied: who may not look at a task is told so, by tools and resources, in other words than those of a fault of ours.
func TestDenied(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("")
	for kind, fault := range map[string]error{
		"denied": &coordinator.DeniedError{User: "bob", Operation: "access", Permission: "trees.read", Own: true}, "unauthenticated": coordinator.ErrUnauthenticated,
	} {
		s.svc.FailNext("Task", fault)
		res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "get_task", Arguments: map[string]any{"task_id": "a"}})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Error struct{ Kind, Reason string }
		}
		decode(t, res, &got)
		if !res.IsError || got.Error.Kind != kind || got.Error.Reason == "" {
			t.Errorf("%s: a tool answers %+v", kind, got)
		}
		s.svc.FailNext("Task", fault)
		_, err = session.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: "task://a"})
		if told, ok := errors.AsType[*sdkjson.Error](err); !ok || told.Code != -32001 {
			t.Errorf("%s: a resource answers %v, want the code -32001", kind, err)
		}
	}
}

// The declaration of each tool: what it says to hosts and models.
func TestDeclarations(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("")
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*sdk.Tool{}
	for _, tool := range list.Tools {
		byName[tool.Name] = tool
		if tool.Description == "" || tool.Title == "" || tool.Annotations == nil || tool.OutputSchema == nil {
			t.Errorf("%s lacks words: %+v", tool.Name, tool)
		}
		for name, schema := range tool.InputSchema.(map[string]any)["properties"].(map[string]any) {
			if text, _ := schema.(map[string]any)["description"].(string); text == "" {
				t.Errorf("%s: %s has no description", tool.Name, name)
			}
		}
	}
	for _, name := range strings.Fields("execute_task create_task get_task update_task delete_task list_tasks get_task_status cancel_task " +
		"get_task_tree list_children copy_task generate_task_tree wait_for_task explain_task list_executors get_executor skip_task signal_task answer_approval pause_tree resume_tree") {
		if byName[name] == nil {
			t.Errorf("there is no tool %s", name)
		}
	}
	for name, want := range map[string][2]bool{"get_task": {true, false}, "create_task": {false, false}, "delete_task": {false, true}, "cancel_task": {false, true},
		"skip_task": {false, true}, "signal_task": {false, false}, "answer_approval": {false, true}} {
		if a := byName[name].Annotations; a.ReadOnlyHint != want[0] || *a.DestructiveHint != want[1] {
			t.Errorf("%s: got %+v, want read-only %t, destructive %t", name, a, want[0], want[1])
		}
	}
}
