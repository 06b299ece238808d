package a2a

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// states are the protocol's words for statuses (spec 6.4).
var states = map[dag.Status]a2a.TaskState{
	dag.StatusPending: a2a.TaskStateSubmitted, dag.StatusInProgress: a2a.TaskStateWorking, dag.StatusCompleted: a2a.TaskStateCompleted,
	dag.StatusFailed: a2a.TaskStateFailed, dag.StatusCancelled: a2a.TaskStateCanceled,
}

// statusOf is the status that a tree's task of A2A shows: terminal only once nothing of the tree is unfinished.
func statusOf(tree *coordinator.TreeStatus) dag.Status {
	if tree.Unfinished > 0 {
		return dag.StatusInProgress
	}
	return tree.ExecutionStatus()
}

// task shows a stored task of A2A, made of its tree as it is now.
func (h *Handler) task(ctx context.Context, x *exchange, id string, history *int) (*a2a.Task, error) {
	kept, err := x.agentTask(ctx, id)
	if err != nil {
		return nil, err
	}
	root, err := x.svc.Task(ctx, kept.Tree.ID)
	if errors.Is(err, coordinator.ErrNotFound) { // the tree was deleted just now
		return nil, fault(codeNotFound, "Task %s not found", id)
	}
	if err != nil {
		return nil, err
	}
	return shown(kept, root, history), nil
}

// shown is a task of A2A as clients see it; history says how many messages, nil all.
func shown(kept *coordinator.AgentTask, root *coordinator.Task, history *int) *a2a.Task {
	tree := kept.Tree
	at := tree.ChangedAt()
	task := &a2a.Task{
		ID: a2a.TaskID(kept.ID), ContextID: kept.Context, Metadata: metadataOf(root),
		Status:  a2a.TaskStatus{State: states[statusOf(tree)], Message: statusMessage(kept, a2a.NewDataPart(summary(tree))), Timestamp: &at},
		History: historyOf(kept.History, history),
	}
	if task.Status.State.Terminal() {
		task.Artifacts = []*a2a.Artifact{resultOf(tree, root)}
	}
	return task
}

// summary is the data of a task's status (spec 6.4).
func summary(tree *coordinator.TreeStatus) map[string]any {
	return map[string]any{"protocol": "a2a", "status": string(statusOf(tree)), "progress": tree.Progress, "root_task_id": tree.ID, "task_count": tree.Tasks}
}

// resultOf is the artifact of a tree that has ended: the result of its root. Its id is the same whenever it is asked for.
func resultOf(tree *coordinator.TreeStatus, root *coordinator.Task) *a2a.Artifact {
	data := summary(tree)
	delete(data, "protocol")
	data["result"] = orNull(root.Result)
	if root.Error != "" {
		data["error"] = root.Error
	}
	return &a2a.Artifact{ID: "result", Name: root.Name, Parts: a2a.ContentParts{a2a.NewDataPart(data)}}
}

// metadataOf is the metadata of a tree's task.
func metadataOf(root *coordinator.Task) map[string]any {
	m := map[string]any{"protocol": "a2a", "root_task_id": root.TreeID}
	if root.UserID != "" {
		m["user_id"] = root.UserID
	}
	if root.OriginalID != "" {
		m["original_task_id"] = root.OriginalID
	}
	return m
}

// statusMessage is the agent's message of a status. Its id is the same whenever the same status is shown.
func statusMessage(kept *coordinator.AgentTask, parts ...*a2a.Part) *a2a.Message {
	message := a2a.NewMessageForTask(a2a.MessageRoleAgent, a2a.TaskInfo{TaskID: a2a.TaskID(kept.ID), ContextID: kept.Context}, parts...)
	if kept.Tree != nil {
		message.ID = fmt.Sprintf("%s-%d", kept.ID, kept.Tree.Sequence)
	}
	return message
}

// historyOf are the last messages that were kept, as many as are wanted.
func historyOf(kept json.RawMessage, want *int) (messages []*a2a.Message) {
	if err := json.Unmarshal(kept, &messages); err != nil {
		return nil
	}
	if want != nil && *want < len(messages) {
		messages = messages[len(messages)-*want:]
	}
	return messages
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// encode is the value as JSON, with <, > and & as they are. What is encoded here always can be.
func encode(value any) json.RawMessage {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func timestamp() string { return time.Now().UTC().Format(time.RFC3339Nano) }
