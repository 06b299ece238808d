package a2a

import (
	"encoding/json"

	legacy "github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// line is a version of the protocol. They differ in names of methods, in how parts and roles are written, and in what errors hold.
type line int

const (
	line1  line = iota // 1.0
	line03             // 0.3
)

// sending is what a message asks for (spec 6.3).
type sending struct {
	operation string
	message   *a2a.Message
	data      []json.RawMessage // of the data parts, as they were sent: numbers keep all their digits
	metadata  values            // beside the message
	own       values            // the message's own metadata
	config    values
	blocking  bool
	history   *int
	push      json.RawMessage // nil: none
}

// readSending reads the parameters of message/send and message/stream, in either line; names may be written with underscores.
func readSending(l line, params json.RawMessage) (*sending, error) {
	top, err := valuesOf(params, "params", camel)
	if err != nil {
		return nil, err
	}
	s := &sending{blocking: true}
	if s.metadata, err = valuesOf(top["metadata"], "metadata", nil); err != nil {
		return nil, err
	}
	if err := s.readMessage(l, top["message"]); err != nil {
		return nil, err
	}
	if err := s.readConfig(top["configuration"]); err != nil {
		return nil, err
	}
	return s, s.readOperation()
}

func (s *sending) readMessage(l line, raw json.RawMessage) error {
	if absent(raw) {
		return invalid("message is required")
	}
	message, err := valuesOf(raw, "message", camel)
	if err != nil {
		return err
	}
	if s.own, err = valuesOf(message["metadata"], "message.metadata", nil); err != nil {
		return err
	}
	if message["parts"], err = s.readParts(l, message["parts"]); err != nil {
		return err
	}
	if s.message, err = decodeMessage(l, message.object()); err != nil {
		return err
	}
	if s.message.ID == "" {
		return invalid("message.messageId is required")
	}
	return nil
}

// readParts keeps what the data parts hold, and gives all parts as the line's decoder wants them.
func (s *sending) readParts(l line, raw json.RawMessage) (json.RawMessage, error) {
	if absent(raw) {
		return json.RawMessage("[]"), nil
	}
	if raw[0] != '[' {
		return nil, invalid("message.parts must be an array")
	}
	parts := []json.RawMessage{}
	for element := range rawjson.Elements(raw) {
		part, err := valuesOf(element, "message.parts", camel)
		if err != nil {
			return nil, err
		}
		data, has := part["data"]
		if l == line03 {
			kind := kindOf(part)
			part["kind"] = encode(kind)
			has = kind == "data"
		}
		if has {
			s.data = append(s.data, data)
		}
		parts = append(parts, part.object())
	}
	return encode(parts), nil
}

// kindOf is a part's kind: what it says, or what it holds.
func kindOf(part values) string {
	for _, name := range []string{"kind", "type"} {
		if kind, err := part.text(name); err == nil && kind != "" {
			return kind
		}
	}
	for _, kind := range []string{"data", "text", "file"} {
		if _, has := part[kind]; has {
			return kind
		}
	}
	return ""
}

func decodeMessage(l line, raw json.RawMessage) (*a2a.Message, error) {
	if l == line1 {
		message := &a2a.Message{}
		if err := json.Unmarshal(raw, message); err != nil {
			return nil, invalid("message: %v", err)
		}
		return message, nil
	}
	old := &legacy.Message{}
	if err := json.Unmarshal(raw, old); err != nil {
		return nil, invalid("message: %v", err)
	}
	message, err := a2av0.ToV1Message(old)
	if err != nil {
		return nil, invalid("message: %v", err)
	}
	return message, nil
}

func (s *sending) readConfig(raw json.RawMessage) (err error) {
	if s.config, err = valuesOf(raw, "configuration", camel); err != nil {
		return err
	}
	if value := s.config["blocking"]; !absent(value) {
		if s.blocking, err = s.config.flag("blocking"); err != nil {
			return err
		}
	}
	now, err := s.config.flag("returnImmediately")
	if err != nil {
		return err
	}
	s.blocking = s.blocking && !now
	if s.history, err = historyLength(s.config["historyLength"]); err != nil {
		return err
	}
	for _, name := range []string{"pushNotificationConfig", "taskPushNotificationConfig"} {
		if value := s.config[name]; !absent(value) {
			s.push = value
		}
	}
	return nil
}

// historyLength is how many messages are wanted; nil: all.
func historyLength(raw json.RawMessage) (*int, error) {
	if absent(raw) {
		return nil, nil
	}
	var n int
	if err := json.Unmarshal(raw, &n); err != nil || n < 0 {
		return nil, invalid("historyLength must be an integer from 0 on")
	}
	return &n, nil
}

// executes is the operation of messages that name none.
const executes = "tasks.execute"

// operations are other names of operations (spec 6.1, K16).
var operations = map[string]string{"execute_task_tree": executes, "cancel": "tasks.cancel", "tasks.running.cancel": "tasks.cancel"}

// readOperation reads what is to be done: method, else skill_id, else an execution.
func (s *sending) readOperation() error {
	for _, name := range []string{"method", "skill_id"} {
		value, err := s.metadata.text(name)
		if err != nil {
			return err
		}
		if s.operation == "" {
			s.operation = value
		}
	}
	if s.operation == "" {
		s.operation = executes
	}
	if other, ok := operations[s.operation]; ok {
		s.operation = other
	}
	return nil
}

// treeFile is the tree file that the message holds in place of tasks, and the values of its parameters; nil: none.
func (s *sending) treeFile() (file, parameters json.RawMessage, err error) {
	if len(s.data) != 1 || absent(s.data[0]) || s.data[0][0] != '{' {
		return nil, nil, nil
	}
	part, err := valuesOf(s.data[0], "data", nil)
	if err != nil || absent(part["file"]) || part["name"] != nil || part["tasks"] != nil {
		return nil, nil, err
	}
	if first := part["file"][0]; first != '"' && first != '{' {
		return nil, nil, invalid("file must be a tree file: its text, or an object")
	}
	return part["file"], part["parameters"], nil
}

// document is the array of tasks that the message holds (spec 6.3); nil: none.
func (s *sending) document() (json.RawMessage, error) {
	if len(s.data) == 0 {
		return nil, nil
	}
	first := s.data[0]
	if !absent(first) && first[0] == '[' {
		return first, nil
	}
	if !absent(first) && first[0] == '{' {
		part, err := valuesOf(first, "data", nil)
		if err != nil {
			return nil, err
		}
		if tasks, has := part["tasks"]; has {
			if absent(tasks) || tasks[0] != '[' {
				return nil, invalid("Tasks must be a list")
			}
			return tasks, nil
		}
		if len(part) == 0 && len(s.data) == 1 {
			return nil, nil
		}
	}
	return encode(s.data), nil
}
