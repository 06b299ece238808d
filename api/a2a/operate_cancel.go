package a2a

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/coordinator"
)

// operateCancel answers a message that asks to cancel (spec 6.4).
func (h *Handler) operateCancel(ctx context.Context, x *exchange, s *sending, info a2a.TaskInfo, args values) (*a2a.Task, error) {
	reason, err := cancelReason(args)
	if err != nil {
		return nil, err
	}
	_, many := args["task_ids"]
	if _, contexts := args["context_ids"]; many || contexts {
		result, err := h.call(ctx, x, s.operation, args.object())
		if err != nil {
			return h.failed(ctx, s, info, err)
		}
		return answered(s, info, result), nil
	}
	id, err := h.cancelled(ctx, x, s, args)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return h.failed(ctx, s, info, invalid("Task ID not found in context. Give the message's taskId or contextId, or task_id or context_id in the metadata"))
	}
	result, err := h.call(ctx, x, s.operation, encode(map[string]any{"task_id": id, "error_message": reason, "force": args["force"], "cascade": args["cascade"]}))
	if err != nil {
		return h.failed(ctx, s, info, err)
	}
	var done struct {
		Status     string
		Message    string
		Error      string
		Result     json.RawMessage
		TokenUsage json.RawMessage `json:"token_usage"`
	}
	if err := json.Unmarshal(result, &done); err != nil {
		return nil, err
	}
	data := map[string]any{"protocol": "a2a", "status": done.Status, "message": done.Message, "timestamp": timestamp()}
	state := a2a.TaskStateCanceled
	if done.Status != "cancelled" {
		state, data["status"] = a2a.TaskStateFailed, "failed"
		data["error"] = done.Message
		if done.Error != "" {
			data["error"] = done.Error
		}
	}
	for name, value := range map[string]json.RawMessage{"token_usage": done.TokenUsage, "result": done.Result} {
		if !absent(value) {
			data[name] = value
		}
	}
	task := transient(s, info, state, data)
	task.Metadata["task_id"] = id
	return task, nil
}

// cancelled is the id of what a message asks to cancel: of its task, its context, or in the metadata, the first that is known; else the first;
// empty: none is given.
func (h *Handler) cancelled(ctx context.Context, x *exchange, s *sending, args values) (string, error) {
	taskID, err := args.text("task_id")
	if err != nil {
		return "", err
	}
	if taskID == "" {
		if taskID, err = args.text("id"); err != nil {
			return "", err
		}
	}
	contextID, err := args.text("context_id")
	if err != nil {
		return "", err
	}
	first := ""
	for _, id := range []string{string(s.message.TaskID), s.message.ContextID, taskID, contextID} {
		if id == "" {
			continue
		}
		if first == "" {
			first = id
		}
		found, err := x.find(ctx, id)
		if err != nil || found != "" {
			return found, err
		}
	}
	return first, nil
}

// find is the tree's task that an id stands for: of a task of A2A, of a task of a tree, or of a context, whose newest task counts; empty:
// none. What is no task of A2A may be one of a tree: who does not see all is refused the first in the words for another's.
func (x *exchange) find(ctx context.Context, id string) (string, error) {
	kept, err := x.svc.AgentTask(ctx, id)
	if err == nil {
		return kept.TaskID, nil
	}
	if !hidden(err) {
		return "", err
	}
	if _, err = x.svc.Task(ctx, id); err == nil {
		return id, nil
	}
	if !hidden(err) {
		return "", err
	}
	page, err := x.svc.AgentTasks(ctx, coordinator.AgentTaskFilter{Context: id, Limit: 1})
	if err != nil || len(page.Items) == 0 {
		return "", err
	}
	return page.Items[0].TaskID, nil
}

// hidden reports whether something is not there for the caller.
func hidden(err error) bool {
	return errors.Is(err, coordinator.ErrNotFound) || errors.Is(err, coordinator.ErrDenied)
}
