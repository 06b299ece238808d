package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/coordinator"
)

// resettable are the fields that a copy can reset (spec 4.1).
var resettable = []string{"status", "progress", "result", "error", "started_at", "completed_at", "updated_at"}

// copyTask answers tasks.copy (spec 4): the root node of the copy, or with save false what it would store.
func (h *Handler) copyTask(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.text("task_id")
	opts := coordinator.CopyOptions{
		Mode: coordinator.CopyMode(p.text("copy_mode")), TaskIDs: p.list("custom_task_ids"), IncludeChildren: p.flag("custom_include_children", false),
		Children: p.flag("children", false) || p.flag("copy_children", false), ResetFields: p.list("reset_fields"), Preview: !p.flag("save", true),
	}
	key := p.text("idempotency_key")
	if opts.Mode == "" {
		opts.Mode = coordinator.CopyMinimal
	}
	if !slices.Contains([]coordinator.CopyMode{coordinator.CopyMinimal, coordinator.CopyFull, coordinator.CopyCustom}, opts.Mode) {
		p.refuse("copy_mode", "one of minimal, full, custom")
	}
	for _, field := range opts.ResetFields {
		if !slices.Contains(resettable, field) {
			p.refuse("reset_fields", "some of "+strings.Join(resettable, ", "))
		}
	}
	switch {
	case p.err != nil:
		return nil, p.err
	case id == "":
		return nil, invalid("task_id", "Task ID is required")
	case opts.Mode == coordinator.CopyCustom && len(opts.TaskIDs) == 0:
		return nil, invalid("custom_task_ids", "custom_task_ids is required when copy_mode='custom'")
	}
	if key, err = x.idempotencyKey(key); err != nil {
		return nil, err
	}
	if !opts.Preview {
		opts.IdempotencyKey = key
	}
	got, err := x.svc.Copy(ctx, id, opts)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	if opts.Preview {
		return appendPreview(nil, got.Tasks), nil
	}
	return h.answerCopy(ctx, x, got)
}

// answerCopy shows a stored copy.
func (h *Handler) answerCopy(ctx context.Context, x *exchange, got *coordinator.Copied) (json.RawMessage, error) {
	extra := map[string]any{"copied_task_id": got.TreeID}
	if got.Replayed {
		extra["replayed"] = true
	}
	tasks, omitted := got.Tasks, got.Omitted > 0
	if omitted {
		all, complete, err := h.collect(ctx, x.svc, coordinator.TaskFilter{TreeOf: got.TreeID})
		if err == nil && complete {
			tasks, omitted = all, false
		}
	}
	if root, _ := family(tasks); root != nil && !omitted {
		return h.answerTree(x, tasks, nil, extra)
	}
	// The copy is stored, so this must not be an error: the root alone, which says so.
	extra["children_omitted"] = true
	root, err := x.svc.Task(ctx, got.TreeID)
	if err != nil {
		if !errors.Is(err, coordinator.ErrNotFound) {
			h.cfg.Log.WarnContext(ctx, "a copy was stored, and could not be read", "tree_id", got.TreeID, "error", err)
		}
		root = &coordinator.Task{ID: got.TreeID, TreeID: got.TreeID}
	}
	return append(appendExtra(appendTask(nil, root, nil), extra), '}'), nil
}

// leftOut are the keys that a preview has not.
var leftOut = map[string]bool{"created_at": true, "updated_at": true, "has_copy": true, "has_references": true, "has_children": true,
	"ref": true, "origin_type": true, "executor": true, "pool": true, "attempt": true, "blocked_by": true, "usage": true}

// appendPreview appends the answer of a preview (spec 4.3): tasks as tasks.create takes them, without what is null.
func appendPreview(b []byte, tasks []*coordinator.Task) []byte {
	b = append(b, `{"tasks":[`...)
	for i, t := range tasks {
		b = append(comma(b, i), '{')
		first := true
		for quoted, value := range members(append(appendTask(nil, t, nil), '}')) {
			if isNull(value) || leftOut[strings.Trim(string(quoted), `"`)] {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(append(append(b, quoted...), ':'), value...)
		}
		b = append(b, '}')
	}
	return append(b, `],"saved":false}`...)
}
