package jsonrpc

import (
	"context"
	"encoding/json"
)

// healthAnswer is the answer of system.health.
type healthAnswer struct {
	Status    string   `json:"status"`
	Message   string   `json:"message"`
	Version   string   `json:"version"`
	Timestamp isoTime  `json:"timestamp"`
	Running   int      `json:"running_tasks_count"` // trees with an execution in progress
	Protocols []string `json:"protocol_versions"`   // of the published protocol
}

// health answers system.health (spec 5.8). A service that can't be reached is an answer, not an error.
func (h *Handler) health(ctx context.Context, x *exchange, _ json.RawMessage) (json.RawMessage, error) {
	answer := healthAnswer{"healthy", "taskgrove is healthy", h.cfg.Version, now(), 0, []string{protocolVersion}}
	err := x.svc.Ready(ctx)
	if err == nil {
		answer.Running, err = x.svc.Running(ctx, "")
	}
	if err != nil {
		h.cfg.Log.WarnContext(ctx, "the service is unhealthy", "error", err)
		answer.Status, answer.Message = "unhealthy", "taskgrove can't reach its store or bus"
	}
	return appendJSON(nil, answer), nil
}
