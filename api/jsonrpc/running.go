package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// runningList answers tasks.running.list: the roots of trees with an execution in progress, newest first.
func (h *Handler) runningList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	limit := p.number("limit", 100, 1, pageSize)
	f := coordinator.TreeFilter{Running: true, UserID: p.text("user_id"), Cursor: p.text("cursor"), Labels: p.texts("labels")}
	if p.err != nil {
		return nil, p.err
	}
	out := []byte{'['}
	for left := limit; left > 0 && len(out) < runningBytes; left -= f.Limit {
		f.Limit = min(left, runningStep)
		page, err := x.svc.Trees(ctx, f)
		if err != nil {
			return nil, err
		}
		if out, err = appendRoots(ctx, x.svc, out, page.Items); err != nil {
			return nil, err
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if f.Cursor != "" && x.single {
		x.w.Header().Set(headerNextCursor, f.Cursor)
	}
	return append(out, ']'), nil
}

// The list ends at so many bytes, which it looks at after every few trees.
const (
	runningBytes = 3 << 20
	runningStep  = 10
)

// appendRoots appends the roots of trees to an array that is open.
func appendRoots(ctx context.Context, svc coordinator.Reader, out []byte, trees []*coordinator.TreeStatus) ([]byte, error) {
	for _, tree := range trees {
		root, err := svc.Task(ctx, tree.ID)
		if errors.Is(err, coordinator.ErrNotFound) { // gone since
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendTask(out, root, tree), '}')
	}
	return out, nil
}

// runningTask is the answer of tasks.running.status for one id (spec 5.3).
type runningTask struct {
	TaskID    string   `json:"task_id"`
	ContextID string   `json:"context_id"`
	Status    string   `json:"status"`
	Progress  fraction `json:"progress"`
	Error     *string  `json:"error"`
	IsRunning bool     `json:"is_running"`
	StartedAt *isoTime `json:"started_at"`
	UpdatedAt *isoTime `json:"updated_at"`

	TreeStatus   dag.Status `json:"tree_status,omitempty"`
	TreeProgress *fraction  `json:"tree_progress,omitempty"`
}

// runningStatus answers tasks.running.status: an array in the order of the ids.
func (h *Handler) runningStatus(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	ids, _ := p.ids()
	if p.err != nil {
		return nil, p.err
	}
	answers := make([]*runningTask, 0, len(ids))
	for _, id := range ids {
		answer, err := runningStatusOne(ctx, x.svc, id)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return appendJSON(nil, answers), nil
}

// runningStatusOne tells about one task. A root runs while its tree has an execution in progress, another task while
// it has to come to an end itself.
func runningStatusOne(ctx context.Context, svc coordinator.Reader, id string) (*runningTask, error) {
	answer := &runningTask{TaskID: id, ContextID: id, Status: "not_found"}
	t, err := svc.Task(ctx, id)
	switch {
	case errors.Is(err, coordinator.ErrNotFound):
		return answer, nil
	case errors.Is(err, coordinator.ErrDenied):
		text := err.Error()
		answer.Status, answer.Error = "permission_denied", &text
		return answer, nil
	case err != nil:
		return nil, err
	}
	shown := taskOf(t, nil)
	answer.Status, answer.Progress, answer.Error = string(shown.Status), shown.Progress, shown.Error
	answer.StartedAt, answer.UpdatedAt = shown.StartedAt, shown.UpdatedAt
	answer.IsRunning = t.State.Unfinished()
	tree, err := svc.Tree(ctx, id)
	if errors.Is(err, coordinator.ErrNotFound) { // gone since
		return &runningTask{TaskID: id, ContextID: id, Status: "not_found"}, nil
	}
	if err != nil {
		return nil, err
	}
	progress := fraction(tree.Progress)
	answer.TreeStatus, answer.TreeProgress = tree.Status, &progress
	if t.ParentID == "" {
		answer.IsRunning = tree.Unfinished > 0
	}
	return answer, nil
}

// runningCount answers tasks.running.count.
func (h *Handler) runningCount(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	user := p.text("user_id")
	if p.err != nil {
		return nil, p.err
	}
	n, err := x.svc.Running(ctx, user)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, runningTotal{n, user}), nil
}

// runningTotal is the answer of tasks.running.count.
type runningTotal struct {
	Count  int    `json:"count"`
	UserID string `json:"user_id,omitempty"`
}
