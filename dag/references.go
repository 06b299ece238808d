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

// References are the keys of a task's merged inputs whose values may name secrets or a connection: of those that hold such names, the ones
// that are as the task was submitted. What a dependency's result has written is data, whatever it looks like: a service that a task asks must
// not get at secrets by its answer. A name that is written with escapes is none.
//
// Both arguments are valid JSON objects, or null or empty.
func References(submitted, merged json.RawMessage) (keys []string) {
	if !bytes.Contains(submitted, quotedSecret) && !bytes.Contains(submitted, quotedConnection) {
		return nil
	}
	for m := range members(submitted) {
		if !bytes.Contains(m.value, quotedSecret) && !bytes.Equal(m.key, quotedConnection) {
			continue
		}
		if name := m.name(); bytes.Equal(lookup(merged, name), m.value) && !slices.Contains(keys, name) {
			keys = append(keys, name)
		}
	}
	return keys
}
