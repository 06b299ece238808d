package jsonrpc

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/treefiles"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// createdTree is the answer for one of several trees.
type createdTree struct {
	RootTaskID string            `json:"root_task_id"`
	Tasks      int               `json:"tasks"`
	Replayed   bool              `json:"replayed,omitempty"`
	IDMap      map[string]string `json:"id_map,omitempty"`
	Warnings   []warning         `json:"warnings,omitempty"`
}

// severalTrees are the trees of tasks.create, if it was given several.
func severalTrees(raw json.RawMessage) (trees []json.RawMessage, several bool, err error) {
	if kind(raw) != '{' {
		return nil, false, nil
	}
	p, err := named(raw)
	if err != nil || p.values["name"] != nil || p.given("tasks") || p.given("file") || kind(p.values["trees"]) != '[' {
		return nil, false, nil
	}
	if err := json.Unmarshal(p.values["trees"], &trees); err != nil {
		return nil, false, nil
	}
	p.misspelt("file", "tasks", "trees", "parameters", "idempotency_key")
	p.withoutFile()
	return trees, true, p.err
}

// createTrees stores several trees, all or none, and starts nothing. All that is wrong with them is told, each fault with its tree.
func (h *Handler) createTrees(ctx context.Context, x *exchange, raw []json.RawMessage) (json.RawMessage, error) {
	switch {
	case len(raw) == 0 || len(raw) > coordinator.MaxTogether:
		return nil, invalid("trees", "trees must be 1 to %d trees", coordinator.MaxTogether)
	case x.key != "":
		return nil, invalid("idempotency_key", "each of several trees has its own idempotency_key, and no header")
	}
	trees, files := make([]coordinator.NewTree, len(raw)), make([]*treefiles.File, len(raw))
	for i, one := range raw {
		document, file, key, err := h.creation(x, one)
		files[i], trees[i] = file, coordinator.NewTree{IdempotencyKey: key, Tasks: h.read(document, nil)}
		if err == nil {
			if parent, _ := parentOf(document); parent != "" {
				err = api.InvalidParameter("parent_id", "a tree beside others has a root of its own, without parent_id")
			}
		}
		if err != nil {
			fault := treefiles.Faults(err) // which is told among those of the other trees
			trees[i].Tasks = func(yield func(*dag.Task, error) bool) { yield(nil, fault) }
		}
	}
	sub, err := x.svc.Submit(ctx, coordinator.SubmitOptions{IdempotencyKey: trees[0].IdempotencyKey, Hold: true, More: trees[1:]}, trees[0].Tasks)
	if err != nil {
		return nil, treefiles.Together(err, func(tree int) *treefiles.File { return files[tree] })
	}
	answer := make([]createdTree, 0, len(raw))
	for _, one := range append([]*coordinator.Submitted{sub}, sub.More...) {
		answer = append(answer, createdTree{one.TreeID, one.Tasks, one.Replayed, one.IDMap, warningsOf(one)})
	}
	text, err := json.Marshal(map[string]any{"trees": answer})
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	return text, nil
}
