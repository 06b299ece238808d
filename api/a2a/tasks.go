package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// The calls of the JSON-RPC binding: parameters are read here, and answered by what all bindings share.

func (h *Handler) rpcSend(ctx context.Context, x *exchange, params json.RawMessage) (any, error) {
	s, err := readSending(x.line, params)
	if err != nil {
		return nil, err
	}
	task, err := h.send(ctx, x, s)
	if err != nil {
		return nil, err
	}
	return x.line.event(task)
}

func (h *Handler) rpcStream(ctx context.Context, x *exchange, params json.RawMessage, tell emit) error {
	s, err := readSending(x.line, params)
	if err != nil {
		return err
	}
	return h.sendStreaming(ctx, x, s, tell)
}

// named reads parameters that name a task of A2A.
func named(params json.RawMessage) (v values, id string, err error) {
	if v, err = valuesOf(params, "params", camel); err != nil {
		return nil, "", err
	}
	if id, err = v.text("id"); err != nil {
		return nil, "", err
	}
	if id == "" {
		return nil, "", invalid("id is required")
	}
	return v, id, nil
}

func (h *Handler) rpcGet(ctx context.Context, x *exchange, params json.RawMessage) (any, error) {
	v, id, err := named(params)
	if err != nil {
		return nil, err
	}
	history, err := historyLength(v["historyLength"])
	if err != nil {
		return nil, err
	}
	task, err := h.task(ctx, x, id, history)
	if err != nil {
		return nil, err
	}
	return x.line.task(task), nil
}

func (h *Handler) rpcCancel(ctx context.Context, x *exchange, params json.RawMessage) (any, error) {
	v, id, err := named(params)
	if err != nil {
		return nil, err
	}
	metadata, err := valuesOf(v["metadata"], "metadata", nil)
	if err != nil {
		return nil, err
	}
	reason, err := cancelReason(metadata)
	if err != nil {
		return nil, err
	}
	task, err := h.cancel(ctx, x, id, reason)
	if err != nil {
		return nil, err
	}
	return x.line.task(task), nil
}

func (h *Handler) rpcSubscribe(ctx context.Context, x *exchange, params json.RawMessage, tell emit) error {
	v, id, err := named(params)
	if err != nil {
		return err
	}
	metadata, err := valuesOf(v["metadata"], "metadata", nil)
	if err != nil {
		return err
	}
	after, err := lastEventID(x.headers, metadata)
	if err != nil {
		return err
	}
	return h.subscribe(ctx, x, id, after, tell)
}

func (h *Handler) rpcList(ctx context.Context, x *exchange, params json.RawMessage) (any, error) {
	v, err := valuesOf(params, "params", camel)
	if err != nil {
		return nil, err
	}
	request := &a2a.ListTasksRequest{}
	if err := json.Unmarshal(v.object(), request); err != nil {
		return nil, invalid("params: %v", err)
	}
	list, err := h.list(ctx, x, request)
	if err != nil {
		return nil, err
	}
	if x.line == line03 {
		return a2av0.FromV1ListTasksResponse(list), nil
	}
	return list, nil
}

// cancelReason is what is recorded as the error of what is cancelled (spec 3.8).
func cancelReason(metadata values) (string, error) {
	reason, err := metadata.text("error_message")
	if err != nil || reason != "" {
		return reason, err
	}
	force, err := metadata.flag("force")
	if force {
		return "Force cancelled by user", err
	}
	return coordinator.DefaultCancelReason, err
}

// cancelWait is how long the answer to a cancellation waits for the tree's end.
const cancelWait = 5 * time.Second

// cancel answers tasks/cancel: it cancels the tree, by its root.
func (h *Handler) cancel(ctx context.Context, x *exchange, id, reason string) (*a2a.Task, error) {
	kept, err := x.agentTask(ctx, id)
	if err != nil {
		return nil, err
	}
	got, err := x.svc.Cancel(ctx, kept.Tree.ID, coordinator.CancelOptions{Reason: reason})
	switch {
	case errors.Is(err, coordinator.ErrNotFound):
		return nil, fault(codeNotFound, "Task %s not found", id)
	case err != nil:
		return nil, err
	case got.Outcome == coordinator.AlreadyEnded:
		return nil, fault(codeNotCancelable, "Task %s is already %s, cannot cancel", id, got.Status)
	}
	waiting, stop := context.WithTimeout(ctx, cancelWait)
	defer stop()
	if tree, err := x.svc.Tree(ctx, kept.Tree.ID); err == nil && tree.Unfinished > 0 { // what is left is cancelled in the background
		_ = h.follow(waiting, x.svc, kept.Tree.ID, tree.Sequence, func(*coordinator.Event) error { return nil })
	}
	return h.task(ctx, x, id, nil)
}

// Bounds of a page of tasks (A2A 1.0, 3.1.4).
const (
	defaultPage = 50
	maxPage     = 100
)

// list answers ListTasks.
func (h *Handler) list(ctx context.Context, x *exchange, r *a2a.ListTasksRequest) (*a2a.ListTasksResponse, error) {
	f := coordinator.AgentTaskFilter{Context: r.ContextID, Limit: r.PageSize, Cursor: r.PageToken}
	if r.PageSize == 0 {
		f.Limit = defaultPage
	}
	if f.Limit < 1 || f.Limit > maxPage {
		return nil, invalid("pageSize must be 1 to %d", maxPage)
	}
	if r.HistoryLength != nil && *r.HistoryLength < 0 {
		return nil, invalid("historyLength must be an integer from 0 on")
	}
	if r.StatusTimestampAfter != nil {
		f.Since = *r.StatusTimestampAfter
	}
	out := &a2a.ListTasksResponse{Tasks: []*a2a.Task{}, PageSize: f.Limit}
	if r.Status != a2a.TaskStateUnspecified {
		status, ok := statusOfState(r.Status)
		if !ok { // no task of ours is ever in it
			return out, nil
		}
		f.Status = status
	}
	page, err := x.svc.AgentTasks(ctx, f)
	if err != nil {
		return nil, err
	}
	out.NextPageToken, out.TotalSize = page.Next, page.Total
	for _, kept := range page.Items {
		task, err := h.listed(ctx, x, kept, r)
		if err != nil {
			return nil, err
		}
		if task != nil {
			out.Tasks = append(out.Tasks, task)
		}
	}
	return out, nil
}

// listed is a task in a list; nil when its tree was deleted just now.
func (h *Handler) listed(ctx context.Context, x *exchange, kept *coordinator.AgentTask, r *a2a.ListTasksRequest) (*a2a.Task, error) {
	root := &coordinator.Task{TreeID: kept.Tree.ID, UserID: kept.Tree.UserID}
	if r.IncludeArtifacts {
		var err error
		if root, err = x.svc.Task(ctx, kept.Tree.ID); errors.Is(err, coordinator.ErrNotFound) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	task := shown(kept, root, r.HistoryLength)
	if !r.IncludeArtifacts {
		task.Artifacts = nil
	}
	return task, nil
}

func statusOfState(state a2a.TaskState) (dag.Status, bool) {
	for status, s := range states {
		if s == state {
			return status, true
		}
	}
	return "", false
}
