package dag

import (
	"bytes"
	"encoding/json"

	"github.com/taskgrove/taskgrove/dag/template"
)

// The input "connection" names a connection of a worker's operator, or defines one inline: an object with the texts kind and driver. Secrets are named in its texts as
// {{env.NAME}}, which the worker that runs the task renders, by [ConnectionTemplates]. For the templates of the task such an object is a value like any other.

var connectionRules = template.Rules{Roots: template.Roots{"env": {Names: 1}}, Plain: true}

// ConnectionTemplates are how the texts of an inline connection are read.
func ConnectionTemplates() *template.Rules { return &connectionRules }

// InlineConnection reports whether a value of the input "connection", which is valid JSON, defines one.
func InlineConnection(value json.RawMessage) bool {
	kind, driver := false, false
	for m := range members(value) {
		kind = kind || m.is("kind") && isText(m.value)
		driver = driver || m.is("driver") && isText(m.value)
	}
	return kind && driver
}

// inline is [InlineConnection] of a decoded value.
func inline(value any) bool {
	object, _ := value.(map[string]any)
	_, kind := object["kind"].(string)
	_, driver := object["driver"].(string)
	return kind && driver
}

// connectsInline reports whether inputs define a connection.
func connectsInline(inputs json.RawMessage) bool {
	if !bytes.Contains(inputs, quotedConnection) {
		return false
	}
	for m := range members(inputs) {
		if m.is("connection") && InlineConnection(m.value) {
			return true
		}
	}
	return false
}

// inline yields the secrets that the texts of an inline connection name, at any depth, also those of keys that are there twice. A text that can't be read names none:
// workers refuse it.
func (w *nameWalk) inline(value []byte) bool {
	if !mayHoldToken(value) {
		return true
	}
	if !isText(value) {
		return w.each(value, w.inline)
	}
	parsed, err := connectionRules.Parse(unquote(value))
	if err != nil {
		return true
	}
	for _, path := range parsed.Refs() {
		if len(path) > 1 && path[0] == "env" && !w.say(namesSecret, path[1]) {
			return false
		}
	}
	return true
}
