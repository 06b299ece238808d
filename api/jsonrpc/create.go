package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/api/treefiles"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// create answers tasks.create: it stores a tree, starts nothing (spec K1), and shows the root node.
func (h *Handler) create(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	if trees, several, err := severalTrees(raw); several {
		if err != nil {
			return nil, err
		}
		return h.createTrees(ctx, x, trees)
	}
	document, file, key, err := h.creation(x, raw)
	if err != nil {
		return nil, err
	}
	if parent, name := parentOf(document); parent != "" {
		return h.add(ctx, x, document, parent, name, key)
	}
	root := dag.Task{Priority: dag.Normal}
	options := coordinator.SubmitOptions{IdempotencyKey: key, Hold: true,
		Show: coordinator.ShowLimits{Tasks: h.cfg.MaxAnswerTasks, Bytes: h.cfg.MaxAnswerBytes}}
	sub, err := x.svc.Submit(ctx, options, h.read(document, func(t *dag.Task) {
		if t.ParentRef == "" {
			root = *t
		}
	}))
	if err != nil && file != nil {
		err = file.Explain(err)
	}
	if err != nil {
		return nil, err
	}

	extra := map[string]any{}
	if len(sub.IDMap) > 0 {
		extra["id_map"] = sub.IDMap
	}
	if len(sub.Warnings) > 0 {
		extra["warnings"] = warningsOf(sub)
	}
	if sub.Existing {
		extra["existing"] = true
	}
	if sub.Shown != nil {
		return h.answerTree(x, sub.Shown, nil, extra)
	}
	if (sub.Replayed || sub.Existing) && sub.Tasks <= h.cfg.MaxAnswerTasks { // it may have gone on since
		tasks, complete, err := h.collect(ctx, x.svc, coordinator.TaskFilter{TreeOf: sub.TreeID})
		if err == nil && complete {
			return h.answerTree(x, tasks, nil, extra)
		}
		if err != nil {
			h.cfg.Log.WarnContext(ctx, "a tree was stored, and could not be read", "tree_id", sub.TreeID, "error", err)
		}
	}
	// The tree is stored, so this must not be an error: the root alone, which says so.
	extra["children_omitted"] = true
	shown, err := x.svc.Task(ctx, sub.TreeID)
	if err != nil {
		shown = &coordinator.Task{
			ID: sub.TreeID, TreeID: sub.TreeID, Name: root.Name, UserID: root.UserID, Priority: root.Priority,
			Inputs: root.Inputs, Params: root.Params, Schemas: root.Schemas, Custom: root.Custom, Labels: root.Labels,
			Executor: root.Executor, Pool: root.QueueName(), HasChildren: sub.Tasks > 1,
		}
	}
	return append(appendExtra(appendTask(nil, shown, nil), extra), '}'), nil
}

// parentOf is the stored task that one task, sent alone, goes below, and that one's name; empty: none (spec 12.5).
func parentOf(document json.RawMessage) (parent, name string) {
	if kind(document) != '{' {
		return "", ""
	}
	p, err := named(document)
	if err != nil || p.given("tasks") {
		return "", ""
	}
	if parent = p.text("parent_id"); p.err != nil {
		return "", ""
	}
	return parent, p.text("name")
}

// add stores one task below a stored one, and shows it.
func (h *Handler) add(ctx context.Context, x *exchange, document json.RawMessage, parent, name, key string) (json.RawMessage, error) {
	sub, err := x.svc.Add(ctx, parent, coordinator.SubmitOptions{IdempotencyKey: key, Hold: true,
		Show: coordinator.ShowLimits{Tasks: 1, Bytes: h.cfg.MaxAnswerBytes}}, h.read(document, func(t *dag.Task) {
		t.ParentRef = ""
	}))
	if errors.Is(err, coordinator.ErrNotFound) { // the text of spec 2.1, #6
		return nil, &dag.InvalidTaskError{Code: dag.InvalidParent, Task: name, Field: "parent_id", Reason: fmt.Sprintf(
			"Task '%s' at index 0 has parent_id '%s' which is not in the tasks array (not found as id or name). No stored task has this id, either", name, parent)}
	}
	if err != nil {
		return nil, err
	}
	extra := map[string]any{}
	if len(sub.IDMap) > 0 {
		extra["id_map"] = sub.IDMap
	}
	if len(sub.Warnings) > 0 {
		extra["warnings"] = warningsOf(sub)
	}
	if len(sub.Shown) > 0 {
		return append(appendExtra(appendTask(nil, sub.Shown[0], nil), extra), '}'), nil
	}
	shown, err := x.svc.Task(ctx, sub.TreeID) // replayed: what is known is its tree
	if err != nil {
		return nil, err
	}
	extra["replayed"] = sub.Replayed
	return append(appendExtra(appendTask(nil, shown, nil), extra), '}'), nil
}

// creation finds the tasks and the idempotency key in what tasks.create was given (spec K5, 2.2): an array, one task,
// an object with the array, or one with a tree file.
func (h *Handler) creation(x *exchange, raw json.RawMessage) (document json.RawMessage, file *treefiles.File, key string, err error) {
	document = raw
	switch kind(raw) {
	case '[':
	case '{':
		p, err := named(raw)
		if err != nil {
			return nil, nil, "", err
		}
		_, isTask := p.values["name"]
		if !isTask {
			p.misspelt("file", "tasks", "trees", "parameters", "idempotency_key")
			if p.err != nil {
				return nil, nil, "", p.err
			}
		}
		switch {
		case isTask:
		case p.hasFile():
			key = p.text("idempotency_key")
			if file, err = h.treeFile(p); err != nil {
				return nil, nil, "", err
			}
			document = file.Document()
		case kind(p.values["tasks"]) == '[':
			document = p.values["tasks"]
			key = p.text("idempotency_key")
			p.withoutFile()
			if p.err != nil {
				return nil, nil, "", p.err
			}
		}
	default:
		return nil, nil, "", invalid("params", "Params must be a dict (single task) or list (tasks array)")
	}
	key, err = x.idempotencyKey(key)
	return document, file, key, err
}

// treeFile is the tree file of a request, instead of tasks.
func (h *Handler) treeFile(p *params) (*treefiles.File, error) {
	if k := kind(p.values["file"]); k != '"' && k != '{' {
		p.refuse("file", "a tree file: its text, or an object")
	}
	if p.given("tasks") {
		p.refuse("tasks", "alone: a tree comes as tasks or as a file")
	}
	if p.err != nil {
		return nil, p.err
	}
	return treefiles.Read(p.values["file"], p.value("parameters"), h.cfg.Known)
}

// warning is about something that was accepted and is likely a mistake.
type warning struct {
	Field  string `json:"field"` // "tasks[3].dependecies"
	Reason string `json:"reason"`
}

func warningsOf(sub *coordinator.Submitted) (all []warning) {
	for _, w := range sub.Warnings {
		all = append(all, warning(w))
	}
	return all
}
