package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

// teller tells the events of a tree as those of its task of A2A (spec 6.4).
type teller struct {
	h     *Handler
	x     *exchange
	task  *a2a.Task
	every bool // else the end alone
	tell  emit
}

func (t *teller) event(ctx context.Context, e *coordinator.Event) error {
	if e.Type == coordinator.EventFinal {
		return t.final(ctx, e)
	}
	if !t.every {
		return nil
	}
	if e.Type == coordinator.EventAwaiting {
		asks, err := t.asks(ctx, e)
		if err != nil {
			return err
		}
		if asks != nil {
			return t.tell(e.Sequence, asks)
		}
	}
	return t.tell(e.Sequence, t.update(e))
}

// asks is the event that a task of the tree asks people, as long as it does: the task of A2A is input-required, and a message that names the skill
// tasks.approve answers. nil: it asks nobody.
func (t *teller) asks(ctx context.Context, e *coordinator.Event) (*a2a.TaskStatusUpdateEvent, error) {
	task, err := t.x.svc.Task(ctx, e.TaskID)
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w := task.Waiting
	if w == nil || w.Kind != "approval" || task.Attempt != e.Attempt {
		return nil, nil
	}
	var question struct{ Message string }
	_ = json.Unmarshal(w.Data, &question)
	data := eventData(e)
	data["waiting"] = map[string]any{"kind": w.Kind, "data": orNull(w.Data)}
	return t.status(a2a.TaskStateInputRequired, e, a2a.NewTextPart(question.Message), a2a.NewDataPart(data)), nil
}

// update is an intermediate event: the task works on, whatever became of one task of the tree, which the data tells. So no client stops
// early.
func (t *teller) update(e *coordinator.Event) *a2a.TaskStatusUpdateEvent {
	parts := []*a2a.Part{a2a.NewDataPart(eventData(e))}
	if e.Type == coordinator.EventFailed {
		parts = []*a2a.Part{a2a.NewTextPart(e.Error), parts[0]}
	}
	return t.status(a2a.TaskStateWorking, e, parts...)
}

// eventData is the event as the task-tree protocol has it.
func eventData(e *coordinator.Event) map[string]any {
	data := map[string]any{}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(jsonrpc.EncodeEvent(e), &members); err != nil {
		panic(err) // it was encoded just now
	}
	for name, value := range members {
		data[name] = value
	}
	data["protocol"] = "a2a"
	return data
}

func (t *teller) status(state a2a.TaskState, e *coordinator.Event, parts ...*a2a.Part) *a2a.TaskStatusUpdateEvent {
	message := a2a.NewMessageForTask(a2a.MessageRoleAgent, t.task, parts...)
	metadata := map[string]any{"protocol": "a2a", "root_task_id": e.TreeID, "actual_task_id": e.TaskID}
	if original, ok := t.task.Metadata["original_task_id"]; ok {
		metadata["original_task_id"] = original
	}
	if e.Sequence > 0 {
		message.ID = fmt.Sprintf("%s-%d", t.task.ID, e.Sequence)
		metadata["event_id"] = e.Sequence
	}
	at := e.At
	return &a2a.TaskStatusUpdateEvent{TaskID: t.task.ID, ContextID: t.task.ContextID, Metadata: metadata,
		Status: a2a.TaskStatus{State: state, Message: message, Timestamp: &at}}
}

// final is the tree's end: the artifact with its result, then the one terminal update.
func (t *teller) final(ctx context.Context, e *coordinator.Event) error {
	root, err := t.x.svc.Task(ctx, e.TreeID)
	if err != nil {
		return err
	}
	tree := e.Tree
	if tree == nil {
		if tree, err = t.x.svc.Tree(ctx, e.TreeID); err != nil {
			return err
		}
	}
	artifact := &a2a.TaskArtifactUpdateEvent{TaskID: t.task.ID, ContextID: t.task.ContextID, Artifact: resultOf(tree, root), LastChunk: true,
		Metadata: metadataOf(root)}
	if err := t.tell(0, artifact); err != nil {
		return err
	}
	data := summary(tree)
	if t.every {
		data = map[string]any{}
		var whole struct{ Result map[string]json.RawMessage }
		if err := json.Unmarshal(jsonrpc.EncodeEvent(e), &whole); err != nil {
			return err
		}
		for name, value := range whole.Result {
			data[name] = value
		}
	}
	return t.tell(e.Sequence, t.status(states[e.Status], e, a2a.NewDataPart(data)))
}
