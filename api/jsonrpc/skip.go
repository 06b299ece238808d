package jsonrpc

import (
	"context"
	"encoding/json"
)

// skip answers tasks.skip: the task as it is then.
func (h *Handler) skip(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, err := taskID(raw)
	if err != nil {
		return nil, err
	}
	t, err := x.svc.Skip(ctx, id)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	return append(appendUsage(appendTask(nil, t, nil), t, nil), '}'), nil
}
