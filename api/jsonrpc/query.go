package jsonrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// headerNextCursor holds the cursor of a list's next page; it is absent on the last.
const headerNextCursor = "X-Next-Cursor"

// get answers tasks.get and tasks.detail: the task, null when it is unknown. missing is the text when no id is given.
func (h *Handler) get(missing string) method {
	return func(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
		p, err := named(raw)
		if err != nil {
			return nil, err
		}
		id := p.first("task_id", "id")
		if p.err != nil {
			return nil, p.err
		}
		if id == "" {
			return nil, invalid("task_id", "%s", missing)
		}
		t, err := x.svc.Task(ctx, id)
		if errors.Is(err, coordinator.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var tree *coordinator.TreeStatus
		if t.ParentID == "" {
			if tree, err = x.svc.Tree(ctx, id); err != nil && !errors.Is(err, coordinator.ErrNotFound) {
				return nil, err
			}
		}
		return append(appendUsage(appendTask(nil, t, tree), t, tree), '}'), nil
	}
}

// children answers tasks.children: all direct children, or a page of them when limit or cursor is given.
func (h *Handler) children(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	parent := p.first("parent_id", "task_id")
	f := coordinator.TaskFilter{ParentID: parent, Limit: p.number("limit", 0, 1, pageSize), Cursor: p.text("cursor")}
	if p.err != nil {
		return nil, p.err
	}
	if parent == "" {
		return nil, invalid("parent_id", "Parent task ID is required. Please provide 'parent_id' or 'task_id' parameter.")
	}
	if _, err := x.svc.Task(ctx, parent); err != nil {
		return nil, named404(err, "Parent task "+parent+" not found")
	}
	if f.Limit > 0 || f.Cursor != "" {
		return h.page(ctx, x, f)
	}
	tasks, complete, err := h.collect(ctx, x.svc, f)
	if err != nil {
		return nil, err
	}
	if !complete {
		return nil, invalid("parent_id", "Parent task %s has too many children for one answer: give a limit, then the "+
			"cursor of the header %s", parent, headerNextCursor)
	}
	return appendTasks(nil, tasks), nil
}

// custom are own keys of tasks that a list is filtered by: the object custom, or parameters named custom.KEY.
func (p *params) custom() map[string]string {
	out := map[string]string{}
	take := func(name, key string, value json.RawMessage) {
		_, twice := out[key]
		switch kind(value) {
		case '{', '[', 'n', 0:
			p.refuse(name, "a text, a number, true or false")
		case '"':
			out[key] = p.unquote(name, value)
			p.checkText(name, key+out[key])
		default:
			out[key] = string(bytes.TrimSpace(value))
		}
		if twice {
			p.refuse(name, "there once")
		}
	}
	for name, value := range p.values {
		if key, ok := strings.CutPrefix(name, "custom."); ok && key != "" {
			take(name, key, value)
		}
	}
	if p.given("custom") {
		if kind(p.values["custom"]) != '{' {
			p.refuse("custom", "an object")
		}
		for quoted, value := range members(p.values["custom"]) {
			key := p.unquote("custom", quoted)
			take("custom."+key, key, value)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// list answers tasks.list (spec 5.3). It refuses parameters that it does not know: a filter that is misspelt would select everything.
func (h *Handler) list(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.TaskFilter{
		TreeOf:   p.text("root_id"),
		ParentID: p.text("parent_id"),
		UserID:   p.text("user_id"),
		Name:     p.text("name"),
		Executor: p.text("executor"),
		Since:    p.time("since"),
		Before:   p.time("before"),
		Limit:    p.number("limit", 100, 1, pageSize),
		Offset:   p.number("offset", 0, 0, 1<<31-1),
		Cursor:   p.text("cursor"),

		OriginalID: p.text("original_task_id"),
		Labels:     p.texts("labels"),
	}
	f.Custom, f.Approvals = p.custom(), p.flag("approvals", false)
	p.onlyOr(listParams{}, true)
	state := p.text("state")
	// Children, trees, and tasks by what they do are not asked for when nothing but roots is meant; the default is for all else.
	f.RootOnly = p.flag("root_only", f.ParentID == "" && f.TreeOf == "" && f.Executor == "" && f.OriginalID == "" && state == "" && !f.Approvals && len(f.Custom) == 0)
	if status := p.text("status"); status != "" {
		var ok bool
		if f.Status, ok = dag.ParseStatus(status); !ok {
			p.refuse("status", "one of pending, in_progress, completed, failed, cancelled")
		}
	}
	if state != "" {
		one, ok := dag.ParseState(state)
		if !ok {
			p.refuse("state", "one of held, waiting, delayed, ready, running, blocked, completed, failed, cancelled, skipped, expanded, awaiting")
		}
		f.States = one.Set()
	}
	if p.err != nil {
		return nil, p.err
	}
	if x.protocol {
		return h.listed(ctx, x, f)
	}
	return h.page(ctx, x, f)
}

// page answers one page of a list, and puts the next one's cursor into the headers.
func (h *Handler) page(ctx context.Context, x *exchange, f coordinator.TaskFilter) (json.RawMessage, error) {
	page, err := x.svc.Tasks(ctx, f)
	if err != nil {
		return nil, err
	}
	if page.Next != "" && x.single {
		x.w.Header().Set(headerNextCursor, page.Next)
	}
	return appendTasks(nil, page.Items), nil
}
