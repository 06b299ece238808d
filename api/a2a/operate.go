package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// notArguments are the members of metadata that say how, and not with what (spec 6.3).
var notArguments = []string{"method", "skill_id", "stream", "copy_execution", "copy_children"}

// notOptions are the members of configuration that are A2A's own.
var notOptions = []string{"acceptedOutputModes", "blocking", "returnImmediately", "historyLength", "pushNotificationConfig", "taskPushNotificationConfig"}

// arguments are what a skill's method is called with: the metadata, then what it lacks from the first part, then from the configuration.
func (s *sending) arguments() (values, error) {
	args := maps.Clone(s.metadata)
	for _, name := range notArguments {
		delete(args, name)
	}
	sources := []values{}
	if len(s.data) > 0 && !absent(s.data[0]) && s.data[0][0] == '{' {
		part, err := valuesOf(s.data[0], "data", nil)
		if err != nil {
			return nil, err
		}
		sources = append(sources, part)
	}
	options := maps.Clone(s.config)
	for _, name := range notOptions {
		delete(options, name)
	}
	for _, source := range append(sources, options) {
		for name, value := range source {
			if _, has := args[name]; !has {
				args[name] = value
			}
		}
	}
	return args, nil
}

// operate answers a message that names another skill than an execution: the method of the task-tree protocol answers, and its answer becomes
// a task of A2A.
func (h *Handler) operate(ctx context.Context, x *exchange, s *sending) (*a2a.Task, error) {
	if !isSkill(s.operation) {
		return nil, invalid("Unknown skill: %.200s", s.operation)
	}
	args, err := s.arguments()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.RequestTimeout)
	defer cancel()
	info := a2a.TaskInfo{TaskID: a2a.NewTaskID(), ContextID: s.message.ContextID}
	if s.operation == "tasks.cancel" {
		return h.operateCancel(ctx, x, s, info, args)
	}
	if id := string(s.message.TaskID); id != "" && !args.names() {
		if args["task_id"], err = x.treeTask(ctx, id); err != nil {
			return nil, err
		}
	}
	params := args.object()
	if s.operation == "tasks.create" {
		if params, err = s.creation(args); err != nil {
			return nil, err
		}
	}
	result, err := h.call(ctx, x, s.operation, params)
	if err != nil {
		return h.failed(ctx, s, info, err)
	}
	task := answered(s, info, result)
	return task, h.tie(ctx, x, s, task)
}

// call makes a call of the task-tree protocol.
func (h *Handler) call(ctx context.Context, x *exchange, operation string, params json.RawMessage) (json.RawMessage, error) {
	answer, fault := h.tasks.Call(ctx, x.svc, jsonrpc.Call{Method: operation, Params: params, LLMKeys: x.headers.Values(modelkey.Header)})
	if fault != nil {
		return nil, fault
	}
	return answer.Result, nil
}

// naming are the parameters that name tasks.
var naming = []string{"task_id", "id", "root_id", "parent_id", "task_ids", "context_ids"}

func (v values) names() bool {
	for _, name := range naming {
		if !absent(v[name]) {
			return true
		}
	}
	return false
}

// treeTask is the id, in JSON, of the tree's task that a task of A2A stands for. An id that is none of A2A is the tree's own.
func (x *exchange) treeTask(ctx context.Context, id string) (json.RawMessage, error) {
	kept, err := x.svc.AgentTask(ctx, id)
	if errors.Is(err, coordinator.ErrNotFound) {
		return encode(id), nil
	}
	if err != nil {
		return nil, err
	}
	return encode(kept.TaskID), nil
}

// creation is what tasks.create is called with: one task, whose keys may stand in the metadata, too, or several.
func (s *sending) creation(args values) (json.RawMessage, error) {
	if _, has := args["tasks"]; has || len(s.data) == 1 && !absent(s.data[0]) && s.data[0][0] == '{' || len(s.data) == 0 {
		return args.object(), nil
	}
	return s.document()
}

// failed is the answer to a message whose method refused it (spec 6.4). What is no fault of the message is an error.
func (h *Handler) failed(ctx context.Context, s *sending, info a2a.TaskInfo, err error) (*a2a.Task, error) {
	f := h.faultOf(ctx, s.operation, err)
	if !theirs(f) {
		return nil, f
	}
	return transient(s, info, a2a.TaskStateFailed, map[string]any{
		"protocol": "a2a", "status": "failed", "error": "Error in " + s.operation + ": " + f.text, "timestamp": timestamp()}), nil
}

// transient is a task of A2A that is not kept.
func transient(s *sending, info a2a.TaskInfo, state a2a.TaskState, data map[string]any, parts ...*a2a.Part) *a2a.Task {
	if info.ContextID == "" {
		info.ContextID = a2a.NewContextID()
	}
	s.message.TaskID, s.message.ContextID = info.TaskID, info.ContextID
	if data != nil {
		parts = append(parts, a2a.NewDataPart(data))
	}
	now := time.Now()
	return &a2a.Task{ID: info.TaskID, ContextID: info.ContextID, History: historyOf(encode([]*a2a.Message{s.message}), nil), Metadata: map[string]any{"protocol": "a2a"},
		Status: a2a.TaskStatus{State: state, Message: a2a.NewMessageForTask(a2a.MessageRoleAgent, info, parts...), Timestamp: &now}}
}

// answered is the answer of a method as a task of A2A: a task of the tree with its state, a list as one artifact, anything else as data.
func answered(s *sending, info a2a.TaskInfo, result json.RawMessage) *a2a.Task {
	result = orNull(result)
	var node struct {
		ID, Name *string
		UserID   *string `json:"user_id"`
		ParentID *string `json:"parent_id"`
		Status   dag.Status
		Error    *string
		Progress json.RawMessage
		Result   json.RawMessage
	}
	if result[0] == '{' && json.Unmarshal(result, &node) == nil && node.ID != nil && node.Name != nil && states[node.Status] != "" {
		text := "Task " + string(node.Status)
		if node.Status == dag.StatusFailed && node.Error != nil {
			text = "Task failed: " + *node.Error
		}
		if info.ContextID == "" && node.ParentID == nil {
			info.ContextID = *node.ID
		}
		task := transient(s, info, states[node.Status], nil, a2a.NewTextPart(text))
		task.Metadata["task_id"] = *node.ID
		if node.UserID != nil {
			task.Metadata["user_id"] = *node.UserID
		}
		if node.ParentID == nil {
			task.Metadata["root_task_id"] = *node.ID
		}
		if !absent(node.Result) {
			task.Artifacts = append(task.Artifacts, artifact("result", map[string]any{
				"protocol": "a2a", "task_id": *node.ID, "status": string(node.Status), "result": node.Result, "progress": node.Progress}))
		}
		task.Artifacts = append(task.Artifacts, artifact("task", map[string]any{"protocol": "a2a", "task": result}))
		return task
	}
	if result[0] == '[' {
		var list []json.RawMessage
		_ = json.Unmarshal(result, &list) // it was encoded by us
		task := transient(s, info, a2a.TaskStateCompleted, map[string]any{"protocol": "a2a", "status": "completed", "count": len(list)})
		task.Artifacts = []*a2a.Artifact{artifact("result", map[string]any{"protocol": "a2a", "result": result})}
		return task
	}
	task := transient(s, info, a2a.TaskStateCompleted, nil)
	task.Status.Message.Parts = a2a.ContentParts{a2a.NewDataPart(map[string]any{
		"protocol": "a2a", "result": result, "task_id": string(task.ID), "context_id": task.ContextID})}
	return task
}

func artifact(id string, data map[string]any) *a2a.Artifact {
	return &a2a.Artifact{ID: a2a.ArtifactID(id), Parts: a2a.ContentParts{a2a.NewDataPart(data)}}
}

// tie keeps the task of A2A of a message that stored a tree, with that tree.
func (h *Handler) tie(ctx context.Context, x *exchange, s *sending, task *a2a.Task) error {
	root, _ := task.Metadata["root_task_id"].(string)
	if root == "" || s.operation != "tasks.create" && s.operation != "tasks.copy" {
		return nil
	}
	kept := coordinator.AgentTask{ID: string(task.ID), Context: task.ContextID, TaskID: root, History: encode([]json.RawMessage{h.kept(s.message)})}
	return x.svc.KeepAgentTask(ctx, kept)
}
