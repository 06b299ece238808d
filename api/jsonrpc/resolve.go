package jsonrpc

import (
	"context"
	"encoding/json"

	"github.com/taskgrove/taskgrove/dag"
)

// matches is the answer of tasks.resolve, which is ours.
type matches struct {
	Tasks []match `json:"tasks"` // one if the text is unambiguous
	More  bool    `json:"more"`
}

type match struct {
	ID     string     `json:"id"`
	TreeID string     `json:"tree_id"`
	Name   string     `json:"name"`
	Status dag.Status `json:"status"`
}

// resolve answers tasks.resolve: the tasks that a text may stand for, by id, by the beginning of an id, or by TREE/name.
func (h *Handler) resolve(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	ref := p.text("ref")
	if p.err != nil {
		return nil, p.err
	}
	if ref == "" {
		return nil, invalid("ref", "ref is required: an id, the beginning of an id, or TREE/name")
	}
	got, err := x.svc.Resolve(ctx, ref, "")
	if err != nil {
		return nil, named404(err, "Task "+ref+" not found")
	}
	answer := matches{Tasks: make([]match, len(got.Tasks)), More: got.More}
	for i, m := range got.Tasks {
		answer.Tasks[i] = match(m)
	}
	return appendJSON(nil, answer), nil
}
