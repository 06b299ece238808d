package apflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// begun is what tasks.execute answers, or, of its id, tasks.create.
type begun struct {
	ID         string `json:"id"`
	TaskID     string `json:"task_id"`
	RootTaskID string `json:"root_task_id"`
	Status     string `json:"status"`
}

// run makes the call, waits if it was told to, and cancels what it started if the attempt ends before. With an error, the result may hold what
// is left of that.
func (c *client) run(ctx context.Context, call *executors.Call) (*Result, error) {
	if c.in.Method != methodExecute {
		answer, err := c.call(ctx, c.in.Method, c.in.Params)
		if err != nil {
			return nil, err
		}
		return &Result{Success: true, BaseURL: c.shown, Method: c.in.Method, Result: answer}, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	answer, id, err := c.start(ctx, call.Attempt)
	if id != "" {
		defer c.watchOver(ctx, id)
	}
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !c.in.Wait || id == "":
		return &Result{Success: true, BaseURL: c.shown, Method: c.in.Method, Result: answer}, nil
	}
	c.waiting = id
	waited, err := c.wait(ctx, id)
	if err != nil && c.seen != nil {
		left := &Waited{TaskID: id, Status: c.seen.outcome(), Task: c.seen.raw, PollCount: c.polls, TotalFailures: c.failed}
		return &Result{BaseURL: c.shown, Waited: left}, err
	}
	if err != nil {
		return nil, err
	}
	result := &Result{Success: waited.Status == "completed", BaseURL: c.shown, Waited: waited}
	if !result.Success {
		return nil, c.notCompleted(result)
	}
	return result, nil
}

// start executes, and tells what is to be waited for. What is under way when the attempt ends is still waited for, within the grace: else nobody
// would know what to cancel.
func (c *client) start(ctx context.Context, attempt int) (answer json.RawMessage, id string, err error) {
	going, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			cancel()
		case <-over:
		}
	})()
	params := any(c.in.Params)
	if c.in.Wait {
		if params, id, err = c.stored(going, attempt); err != nil {
			return nil, id, err
		}
	}
	if answer, err = c.call(going, methodExecute, params); err != nil {
		return nil, id, err
	}
	var b begun
	_ = json.Unmarshal(answer, &b) // what is no such object has no id
	c.ours = b.Status != "already_running" || attempt > 1
	return answer, cmp.Or(id, b.TaskID, b.RootTaskID), nil
}

// stored makes the parameters of an execution that can be waited for. Tasks that come with the call are stored first: the protocol's first server
// answers an execution of tasks with an id that is of none of them. The idempotency key finds what an earlier attempt has stored, and the execution
// runs again what has failed in it.
func (c *client) stored(ctx context.Context, attempt int) (params map[string]any, id string, err error) {
	params = map[string]any{}
	var tasks json.RawMessage
	if json.Unmarshal(c.in.Params, &params) != nil {
		tasks = c.in.Params // a list
	} else if params["task_id"] == nil && params["id"] == nil {
		var with struct {
			Tasks json.RawMessage `json:"tasks"`
			Key   string          `json:"idempotency_key"`
		}
		_ = json.Unmarshal(c.in.Params, &with) // it is an object; what is wrong in it, the other cluster says
		if tasks = with.Tasks; with.Key != "" {
			c.headers.Set(executors.HeaderKey, with.Key)
		}
		delete(params, "idempotency_key")
	}
	if tasks != nil {
		answer, err := c.call(ctx, "tasks.create", tasks)
		if err != nil {
			return nil, "", err
		}
		var root begun
		if json.Unmarshal(answer, &root) != nil || root.ID == "" {
			return nil, "", &failure{text: "API answered tasks.create without an id", permanent: true}
		}
		delete(params, "tasks")
		params["task_id"], id, c.ours = root.ID, root.ID, true
	}
	delete(params, "use_streaming") // the answer would be a stream
	delete(params, "wait")
	if _, said := params["rerun_cancelled"]; attempt > 1 && !said {
		params["rerun_cancelled"] = true // by the end of an earlier attempt
	}
	return params, id, nil
}

// notCompleted is the failure of a task that has ended otherwise.
func (c *client) notCompleted(r *Result) error {
	var t task
	_ = json.Unmarshal(r.Task, &t) // it was read before
	text := fmt.Sprintf("Task %s at %s %s", r.TaskID, c.shown, map[string]string{"failed": "failed", "cancelled": "was cancelled"}[r.Status])
	if r.Status == "pending" {
		text = fmt.Sprintf("Task %s at %s can't run", r.TaskID, c.shown)
		if len(t.BlockedBy) > 0 {
			text += ": blocked by " + t.BlockedBy[0]
		}
	}
	if t.Error != "" {
		text += ": " + t.Error
	}
	return &failure{text: text, permanent: r.Status == "cancelled", facts: map[string]any{
		"task_id": r.TaskID, "status": r.Status, "task": r.Task, "poll_count": r.PollCount, "total_failures": r.TotalFailures,
	}}
}

// watchOver, called when the attempt is over, cancels a task if it was cancelled or its time was up. A worker that drains or has lost its lease
// leaves the task alone: the next attempt goes on with it.
func (c *client) watchOver(ctx context.Context, id string) {
	if cause := context.Cause(ctx); cause == nil || !c.ours || errors.Is(cause, executors.ErrDraining) || errors.Is(cause, executors.ErrLeaseLost) {
		return
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	said := fmt.Sprintf("task %s at %s was cancelled", id, c.shown)
	if err := c.cancel(ending, id); err != nil {
		said = fmt.Sprintf("task %s at %s could not be cancelled: %v", id, c.shown, err)
	}
	c.reporter.Log("log", c.headers.Mask(cut(said, maxText)))
}

// node is a task in the answer of tasks.tree.
type node struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Children []node `json:"children"`
}

const maxCancelled = 1000 // tasks of a tree that are named one by one

// cancel ends a task there with all that belongs to it. A Taskgrove does so by itself; other servers cancel what is named, so all tasks of the
// tree are.
func (c *client) cancel(ctx context.Context, id string) error {
	ids := []string{id}
	if t, err := c.get(ctx, id); err == nil && t != nil && t.TreeStatus == "" {
		if answer, err := c.call(ctx, "tasks.tree", map[string]any{"task_id": id}); err == nil {
			var root node
			if json.Unmarshal(answer, &root) == nil {
				ids = unfinished(root, nil)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := c.call(ctx, "tasks.cancel", map[string]any{"task_ids": ids, "error_message": "Cancelled by the cluster that started it"})
	return err
}

// unfinished are the tasks of a tree that have not ended, the root first.
func unfinished(n node, ids []string) []string {
	if n.ID != "" && (n.Status == "pending" || n.Status == "in_progress") && len(ids) < maxCancelled {
		ids = append(ids, n.ID)
	}
	for _, child := range n.Children {
		ids = unfinished(child, ids)
	}
	return ids
}
