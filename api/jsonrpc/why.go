package jsonrpc

import (
	"context"
	"encoding/json"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// explanation is the answer of tasks.why, which is ours.
type explanation struct {
	TaskID  string     `json:"task_id"`
	TreeID  string     `json:"tree_id"`
	Name    string     `json:"name"`
	Status  dag.Status `json:"status"`
	State   string     `json:"state"`
	Summary string     `json:"summary"`
	Waits   []wait     `json:"waits"` // [] when it waits for nothing
}

// wait is one thing that a task waits for; what does not belong to its kind is left out.
type wait struct {
	Kind      string   `json:"kind"`
	Text      string   `json:"text"`
	TaskID    string   `json:"task_id,omitempty"`
	TaskName  string   `json:"task_name,omitempty"`
	TaskState string   `json:"task_state,omitempty"`
	Error     string   `json:"error,omitempty"`
	Pool      string   `json:"pool,omitempty"`
	Until     *isoTime `json:"until,omitempty"`
	Since     *isoTime `json:"since,omitempty"`
	Ahead     *int     `json:"ahead,omitempty"`
	Capacity  *int     `json:"capacity,omitempty"`
	Attempt   int      `json:"attempt,omitempty"`
	Worker    string   `json:"worker,omitempty"`
}

// waitKinds are the kinds' names on this wire.
var waitKinds = map[coordinator.WaitKind]string{
	coordinator.WaitExecute: "execute", coordinator.WaitDependency: "dependency", coordinator.WaitNotBefore: "not_before",
	coordinator.WaitRetry: "retry", coordinator.WaitPool: "pool", coordinator.WaitCapacity: "capacity",
	coordinator.WaitDispatch: "dispatch", coordinator.WaitWorker: "worker", coordinator.WaitBlocked: "blocked",
	coordinator.WaitSlot: "slot", coordinator.WaitSignal: "signal", coordinator.WaitApproval: "approval", coordinator.WaitTime: "time", coordinator.WaitTree: "tree",
	coordinator.WaitLimit: "limit", coordinator.WaitLock: "lock", coordinator.WaitRate: "rate", coordinator.WaitPause: "pause",
}

// why answers tasks.why: what a task that is not running waits for.
func (h *Handler) why(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, err := taskID(raw)
	if err != nil {
		return nil, err
	}
	got, err := x.svc.Why(ctx, id)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	answer := explanation{TaskID: got.TaskID, TreeID: got.TreeID, Name: got.Name, Status: got.State.Status(), State: got.State.String(),
		Summary: got.Summary, Waits: make([]wait, len(got.Waits))}
	for i, w := range got.Waits {
		answer.Waits[i] = wait{Kind: waitKinds[w.Kind], Text: w.Text, TaskID: w.TaskID, TaskName: w.TaskName, Error: w.Error, Pool: w.Pool,
			Until: timeOf(&w.Until), Since: timeOf(&w.Since), Attempt: w.Attempt, Worker: w.Worker}
		if w.TaskID != "" {
			answer.Waits[i].TaskState = w.TaskState.String()
		}
		if w.Kind == coordinator.WaitCapacity { // 0 ahead says something there
			answer.Waits[i].Ahead, answer.Waits[i].Capacity = &w.Ahead, &w.Capacity
		}
	}
	return appendJSON(nil, answer), nil
}
