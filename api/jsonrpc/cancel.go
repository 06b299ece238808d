package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// cancelled is the answer of tasks.cancel for one id (spec 3.8).
type cancelled struct {
	TaskID        string     `json:"task_id"`
	Status        string     `json:"status"` // cancelled or failed
	Message       string     `json:"message"`
	Error         string     `json:"error,omitempty"`
	CurrentStatus dag.Status `json:"current_status,omitempty"`
	Force         bool       `json:"force"`
}

// cancel answers tasks.cancel and tasks.running.cancel: an array in the order of the ids, or one object when the
// singular task_id is given.
func (h *Handler) cancel(ctx context.Context, _ *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	ids, single := p.ids()
	options := coordinator.CancelOptions{Force: p.flag("force", false), Message: p.text("error_message")}
	if p.given("cascade") {
		cascade := p.flag("cascade", false)
		options.Cascade = &cascade
	}
	if p.err != nil {
		return nil, p.err
	}
	if single {
		answer, err := h.cancelOne(ctx, ids[0], options)
		if err != nil {
			return nil, err
		}
		return appendJSON(nil, answer), nil
	}
	answers := make([]*cancelled, 0, len(ids))
	for _, id := range ids {
		answer, err := h.cancelOne(ctx, id, options)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return appendJSON(nil, answers), nil
}

func (h *Handler) cancelOne(ctx context.Context, id string, options coordinator.CancelOptions) (*cancelled, error) {
	got, err := h.svc.Cancel(ctx, id, options)
	switch {
	case errors.Is(err, coordinator.ErrNotFound):
		got = coordinator.CancelResult{NotFound: true}
	case err != nil:
		return nil, err
	}
	answer := &cancelled{
		TaskID: id, Status: got.Status, Message: got.Message, CurrentStatus: got.CurrentStatus, Force: options.Force,
	}
	if got.NotFound {
		answer.Status, answer.Message, answer.Error = "failed", "Task "+id+" not found", "Task not found"
	}
	return answer, nil
}

// ids are the tasks named by task_ids, else by context_ids, else by the singular task_id; single tells the last.
func (p *params) ids() (ids []string, single bool) {
	for _, name := range []string{"task_ids", "context_ids"} {
		if p.given(name) {
			return p.list(name), false
		}
	}
	if id := p.first("task_id", "id", "context_id"); id != "" {
		return []string{id}, true
	}
	return nil, false
}
