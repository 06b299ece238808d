package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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
func (h *Handler) cancel(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	ids, single := p.ids()
	force := p.flag("force", false)
	options := coordinator.CancelOptions{Reason: p.text("error_message")}
	switch {
	case options.Reason != "":
	case force:
		options.Reason = "Force cancelled by user"
	default:
		options.Reason = "Cancelled by user"
	}
	if p.given("cascade") {
		cascade := p.flag("cascade", false)
		options.Cascade = &cascade
	}
	if p.err != nil {
		return nil, p.err
	}
	if single {
		answer, err := cancelOne(ctx, x.svc, ids[0], force, options)
		if err != nil {
			return nil, err
		}
		return appendJSON(nil, answer), nil
	}
	answers := make([]*cancelled, 0, len(ids))
	for _, id := range ids {
		answer, err := cancelOne(ctx, x.svc, id, force, options)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return appendJSON(nil, answers), nil
}

// cancelOne cancels one task, and puts the outcome into the protocol's words. force changes none but those.
func cancelOne(ctx context.Context, svc coordinator.Steerer, id string, force bool, options coordinator.CancelOptions) (*cancelled, error) {
	got, err := svc.Cancel(ctx, id, options)
	switch {
	case errors.Is(err, coordinator.ErrNotFound):
		return &cancelled{TaskID: id, Status: "failed", Message: "Task " + id + " not found", Error: "Task not found", Force: force}, nil
	case errors.Is(err, coordinator.ErrDenied):
		return &cancelled{TaskID: id, Status: "failed", Message: err.Error(), Error: err.Error(), Force: force}, nil
	case err != nil:
		return nil, err
	case got.Outcome == coordinator.AlreadyEnded:
		return &cancelled{TaskID: id, Status: "failed", CurrentStatus: got.Status, Force: force,
			Message: fmt.Sprintf("Task %s is already %s, cannot cancel", id, got.Status)}, nil
	}
	return &cancelled{TaskID: id, Status: "cancelled", Message: got.Reason, Force: force}, nil
}

// ids are the tasks named by task_ids, else by context_ids, else by the singular task_id; single tells the last. A list and a
// single id together are refused: one of them would be dropped without a word.
func (p *params) ids() (ids []string, single bool) {
	for _, name := range []string{"task_ids", "context_ids"} {
		if p.given(name) {
			if p.first("task_id", "id", "context_id") != "" {
				p.refuse(name, "alone: one task is named beside it")
			}
			return p.list(name), false
		}
	}
	if id := p.first("task_id", "id", "context_id"); id != "" {
		return []string{id}, true
	}
	return nil, false
}
