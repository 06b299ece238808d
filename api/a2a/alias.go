package a2a

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// alias answers methods that are skills (K16, spec 12.5): tasks.execute, execute_task_tree, cancel and the others. What they say comes as a
// message of A2A, or as the parameters of the task-tree protocol with metadata and configuration beside them.
func (h *Handler) alias(x *exchange, c *call) (method, bool) {
	operation := c.method
	if other, ok := operations[operation]; ok {
		operation = other
	}
	if !isSkill(operation) {
		return method{}, false
	}
	metadata, config := c.metadata, c.config
	read := func(params json.RawMessage) (*sending, error) {
		s, err := readAlias(x.line, params, metadata, config)
		if err == nil {
			s.operation = operation
		}
		return s, err
	}
	if strings.Contains(x.headers.Get("Accept"), "text/event-stream") {
		return method{line: x.line, stream: func(ctx context.Context, x *exchange, params json.RawMessage, tell emit) error {
			s, err := read(params)
			if err != nil {
				return err
			}
			return h.sendStreaming(ctx, x, s, tell)
		}}, true
	}
	return method{line: x.line, waits: true, answer: func(ctx context.Context, x *exchange, params json.RawMessage) (any, error) {
		s, err := read(params)
		if err != nil {
			return nil, err
		}
		task, err := h.send(ctx, x, s)
		if err != nil {
			return nil, err
		}
		return x.line.event(task)
	}}, true
}

// ofExecution are the parameters of tasks.execute that metadata has for A2A.
var ofExecution = []string{"task_id", "copy_execution", "copy_children", "use_demo", "no_cache", "user_id", "idempotency_key", "require_existing_tasks"}

// readAlias reads the parameters of a skill's method.
func readAlias(l line, params, metadata, config json.RawMessage) (*sending, error) {
	if isMessage(params) {
		return readSending(l, params)
	}
	s := &sending{blocking: true, message: a2a.NewMessage(a2a.MessageRoleUser)}
	var err error
	if s.metadata, err = valuesOf(metadata, "metadata", nil); err != nil {
		return nil, err
	}
	if err := s.readConfig(config); err != nil {
		return nil, err
	}
	if absent(params) {
		return s, nil
	}
	if params[0] == '[' {
		params = encode(map[string]json.RawMessage{"tasks": params})
	}
	given, err := valuesOf(params, "params", nil)
	if err != nil {
		return nil, err
	}
	if _, has := given["webhook_config"]; has {
		return nil, invalid("webhook_config goes with tasks.execute on /tasks: configuration.pushNotificationConfig is what A2A has")
	}
	if id, has := given["id"]; has && given["name"] == nil && given["task_id"] == nil { // not of a task that is sent
		given["task_id"] = id
		delete(given, "id")
	}
	if _, has := given["name"]; !has {
		for _, name := range ofExecution {
			if value, has := given[name]; has && s.metadata[name] == nil {
				s.metadata[name] = value
			}
		}
	}
	data := given.object()
	s.data = []json.RawMessage{data}
	if given["name"] == nil && given["tasks"] == nil {
		s.data[0] = data
	}
	s.message.Parts = a2a.ContentParts{a2a.NewDataPart(data)}
	return s, nil
}

// isMessage reports whether parameters are those of message/send.
func isMessage(params json.RawMessage) bool {
	for name := range rawjson.Members(params) {
		if string(name) == `"message"` {
			return true
		}
	}
	return false
}
