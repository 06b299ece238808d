package dag

import (
	"bytes"
	"encoding/json"
	"slices"
)

// How inputs name what a worker has: secrets at any depth, and a connection at the top.
var (
	quotedSecret     = []byte(`"secret"`)
	quotedConnection = []byte(`"connection"`)
)

// granting are inputs by which people allow what no result of a dependency may.
var granting = [...][]byte{[]byte(`"allow_commands"`), []byte(`"executors"`)}

// References are the keys of a task's merged inputs whose values may name secrets or a connection, or allow something: of those that do, the
// ones that are as the task was submitted. What a dependency's result has written is data, whatever it looks like: a service that a task asks must
// not get at secrets by its answer. A name that is written with escapes is none.
//
// Inputs that hold tasks ([Unrendered]) always count: what these name, they name when they are made. c, nil for none, is what the task says
// beyond the protocol: inputs into which an item was put are data, too.
//
// submitted and merged are valid JSON objects, or null or empty.
func References(executor string, c *Control, submitted, merged json.RawMessage) (keys []string) {
	tasks := unrendered[executor] != nil
	if !tasks && !bytes.Contains(submitted, quotedSecret) && !bytes.Contains(submitted, quotedConnection) && !grants(submitted) {
		return nil
	}
	for m := range members(submitted) {
		if !bytes.Contains(m.value, quotedSecret) && !bytes.Equal(m.key, quotedConnection) && !grants(m.key) && !(tasks && holdsTasks(executor, m.name())) {
			continue
		}
		name := m.name()
		if c != nil && slices.Contains(c.Data, name) {
			continue
		}
		if bytes.Equal(lookup(merged, name), m.value) && !slices.Contains(keys, name) {
			keys = append(keys, name)
		}
	}
	return keys
}

// holdsTasks reports whether an input holds tasks, or names the tree that has them.
func holdsTasks(executor, input string) bool {
	return Unrendered(executor, input) || executor == SubtreeExecutor && (input == "copy_of" || input == "flow")
}

// grants reports whether a text has the name of an input that allows something.
func grants(text []byte) bool {
	for _, name := range granting {
		if bytes.Contains(text, name) {
			return true
		}
	}
	return false
}
