package mcp

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// made is a call of the task-tree protocol that shows the client the events of what it waits for.
func (u *use) made(method string, params json.RawMessage) jsonrpc.Call {
	c := jsonrpc.Call{Method: method, Params: params, LLMKeys: u.llmKeys}
	if u.progress != nil {
		c.See = u.progress.see
	}
	return c
}

// argument is the value of an argument, nil when it is not there or null.
func (u *use) argument(name string) json.RawMessage {
	for quoted, value := range rawjson.Members(u.arguments) {
		if known, _ := rawjson.Unquote(quoted); known == name && value[0] != 'n' {
			return value
		}
	}
	return nil
}

func (u *use) text(names ...string) string {
	for _, name := range names {
		if value := u.argument(name); value != nil {
			if s, _ := rawjson.Unquote(value); s != "" {
				return s
			}
		}
	}
	return ""
}

// with is the arguments without some, and with others in their place.
func (u *use) with(without []string, others members) json.RawMessage {
	out := members{}
	drop := map[string]bool{}
	for _, name := range without {
		drop[name] = true
	}
	for _, m := range others {
		drop[m.name] = true
	}
	for quoted, value := range rawjson.Members(u.arguments) {
		if name, _ := rawjson.Unquote(quoted); !drop[name] {
			out = append(out, member{name, json.RawMessage(value)})
		}
	}
	return must(append(out, others...))
}

// patience is how long a use waits that does not say. Most clients give up after a minute, those that see progress later.
func (h *Handler) patience(u *use) time.Duration {
	if u.progress != nil {
		return h.cfg.MaxWait
	}
	return min(50*time.Second, h.cfg.MaxWait)
}

const goesOn = "The tree goes on: wait_for_task waits for it again."

// executeTask runs a tree. use_streaming and wait both wait for the end; what the client is told meanwhile is its own wish.
func (h *Handler) executeTask(ctx context.Context, u *use) (answer, *api.Fault) {
	waits := string(u.argument("use_streaming")) == "true" || string(u.argument("wait")) == "true"
	params := u.with([]string{"use_streaming", "wait", "timeout"}, nil)
	if waits {
		others := members{{"wait", true}, {"timeout", h.patience(u).Seconds()}}
		if given := u.argument("timeout"); given != nil {
			others[1].value = given
		}
		params = u.with([]string{"use_streaming"}, others)
	}
	got, fault := h.ask(ctx, u, u.tool.method, params)
	if fault == nil && ctx.Err() != nil { // whoever waited is gone, or is told to ask another coordinator
		return answer{}, api.Classify(ctx, h.cfg.Log, u.tool.name, context.Cause(ctx))
	}
	if waits && timedOut(got.value) {
		got.hint = goesOn
	}
	return got, fault
}

func timedOut(value json.RawMessage) bool {
	for name, v := range rawjson.Members(value) {
		if string(name) == `"timed_out"` {
			return string(v) == "true"
		}
	}
	return false
}

// waitForTask waits for a tree that runs.
func (h *Handler) waitForTask(ctx context.Context, u *use) (answer, *api.Fault) {
	id := u.text("task_id", "id")
	if id == "" {
		return answer{}, api.InvalidParameter("task_id", "Task ID is required. Please provide 'task_id' or 'id' parameter.")
	}
	most := h.patience(u)
	if given := u.argument("timeout"); given != nil {
		seconds, err := strconv.ParseFloat(string(given), 64)
		if err != nil || !(seconds > 0) || seconds > h.cfg.MaxWait.Seconds() {
			return answer{}, api.InvalidParameter("timeout", "timeout must be above 0 and at most "+strconv.Itoa(int(h.cfg.MaxWait.Seconds()))+" seconds")
		}
		most = time.Duration(seconds * float64(time.Second))
	}
	value, fault := h.calls.Wait(ctx, u.svc, id, most, u.made("", nil).See)
	if fault == nil && ctx.Err() != nil {
		return answer{}, api.Classify(ctx, h.cfg.Log, u.tool.name, context.Cause(ctx))
	}
	got := answer{value: value}
	if timedOut(value) {
		got.hint = goesOn
	}
	return got, fault
}

// getTask shows a task. The protocol's null for an unknown one is a fault here: a model shall not take it for a task.
func (h *Handler) getTask(ctx context.Context, u *use) (answer, *api.Fault) {
	got, fault := h.call(ctx, u)
	if fault == nil && got.value == nil {
		fault = &api.Fault{Kind: api.NotFound, Text: "Task " + u.text("task_id", "id") + " not found", Field: "task_id"}
	}
	return got, fault
}

// updateTask takes a description, as the protocol's first server does, and leaves it (spec 7).
func (h *Handler) updateTask(ctx context.Context, u *use) (answer, *api.Fault) {
	return h.ask(ctx, u, u.tool.method, u.with([]string{"description"}, nil))
}

// listTasks knows running as another word for in_progress (spec 7).
func (h *Handler) listTasks(ctx context.Context, u *use) (answer, *api.Fault) {
	params := u.arguments
	if u.text("status") == "running" {
		params = u.with(nil, members{{"status", "in_progress"}})
	}
	return h.ask(ctx, u, u.tool.method, params)
}

// listChildren lists a page, so that no number of children is too large.
func (h *Handler) listChildren(ctx context.Context, u *use) (answer, *api.Fault) {
	params := u.arguments
	if u.argument("limit") == nil {
		params = u.with(nil, members{{"limit", 100}})
	}
	return h.ask(ctx, u, u.tool.method, params)
}

// getTree shows a tree, if it is not too large.
func (h *Handler) getTree(ctx context.Context, u *use) (answer, *api.Fault) {
	got, fault := h.call(ctx, u)
	if fault == nil && got.value == nil {
		fault = &api.Fault{Kind: api.NotFound, Text: "Task " + u.text("task_id", "id", "root_id") + " not found", Field: "task_id"}
	}
	return got, fault
}

// listExecutors shows executors without their schemas and examples, which would be too much to read.
func (h *Handler) listExecutors(ctx context.Context, u *use) (answer, *api.Fault) {
	got, fault := h.call(ctx, u)
	if fault != nil {
		return got, fault
	}
	var page struct {
		Executors []struct {
			ID          string   `json:"id"`
			Type        string   `json:"type"`
			Name        string   `json:"name"`
			Description string   `json:"description"`
			Tags        []string `json:"tags"`
			Workers     int      `json:"workers"`
			Pools       []string `json:"pools"`
		} `json:"executors"`
		Next string `json:"next_cursor"`
	}
	if err := json.Unmarshal(got.value, &page); err != nil {
		return got, api.Classify(ctx, h.cfg.Log, u.tool.name, err)
	}
	return answer{value: must(page.Executors), next: page.Next}, nil
}
