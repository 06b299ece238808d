package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
)

// nameKind says what a task names.
type nameKind uint8

const (
	namesSecret nameKind = iota + 1
	namesConnection
	namesTool         // an executor that an agent may use
	mayNameSecret     // a tool that is written as text, whose arguments may hold anything
	mayNameConnection // likewise
)

// naming is a name that a task says, and where.
type naming struct {
	kind nameKind
	name string
	at   []string // the steps of its path; shared with the next one
}

// maxPathBytes bounds a path that is shown.
const maxPathBytes = 255

// path is "inputs.auth.token".
func (n naming) path() string {
	var b strings.Builder
	for i, step := range n.at {
		if i > 0 && step[0] != '[' {
			b.WriteByte('.')
		}
		if b.Len()+len(step) > maxPathBytes {
			b.WriteString("…")
			break
		}
		b.WriteString(printable(step))
	}
	return b.String()
}

// names yields what a task names: each {"secret": "name"} at any depth; the input "connection", or the secrets that it names as {{env.NAME}}; and of each list "tools" in params, which
// are those of agents, the connections and the executors of its objects, and texts that may name some. Both arguments are valid JSON, or empty.
// The bytes "secret" are literal where they name one (see [References]); other names may be written with escapes.
func names(inputs, params json.RawMessage) iter.Seq[naming] {
	return func(yield func(naming) bool) {
		w := &nameWalk{yield: yield}
		w.at = append(w.at, "inputs")
		for m := range members(inputs) {
			switch {
			case !m.is("connection"):
			case isText(m.value) && !w.say(namesConnection, unquote(m.value), "connection"),
				InlineConnection(m.value) && !w.into("connection", m.value, w.inline):
				return
			}
		}
		if !w.secrets(inputs) {
			return
		}
		w.at = append(w.at[:0], "params")
		_ = w.secrets(params) && w.tools(params)
	}
}

// nameWalk goes through the values of one task. Its methods report whether to go on.
type nameWalk struct {
	yield func(naming) bool
	at    []string
}

// say yields a name below the current place.
func (w *nameWalk) say(kind nameKind, name string, below ...string) bool {
	n := len(w.at)
	w.at = append(w.at, below...)
	more := w.yield(naming{kind, name, w.at})
	w.at = w.at[:n]
	return more
}

// into goes on with a value one step deeper.
func (w *nameWalk) into(step string, value []byte, next func([]byte) bool) bool {
	if step == "" {
		step = `""`
	}
	w.at = append(w.at, step)
	more := next(value)
	w.at = w.at[:len(w.at)-1]
	return more
}

// each goes on with all that a value holds.
func (w *nameWalk) each(value []byte, next func([]byte) bool) bool {
	for m := range members(value) {
		if !w.into(m.name(), m.value, next) {
			return false
		}
	}
	i := 0
	for element := range elements(value) {
		if !w.into(fmt.Sprintf("[%d]", i), element, next) {
			return false
		}
		i++
	}
	return true
}

// secrets yields the secrets of a value.
func (w *nameWalk) secrets(value []byte) bool {
	if !bytes.Contains(value, quotedSecret) {
		return true
	}
	if name, is := secretOf(value); is {
		return w.say(namesSecret, name)
	}
	return w.each(value, w.secrets)
}

// secretOf is the name of {"secret": "name"}. An object with any other member is data.
func secretOf(value []byte) (name string, is bool) {
	for m := range members(value) {
		if !bytes.Equal(m.key, quotedSecret) || !isText(m.value) {
			return "", false
		}
		name, is = unquote(m.value), true
	}
	return name, is
}

// tools yields what the lists of tools in a value name.
func (w *nameWalk) tools(value []byte) bool {
	for m := range members(value) {
		next := w.tools
		if m.is("tools") {
			next = w.list
		}
		if !w.into(m.name(), m.value, next) {
			return false
		}
	}
	i := 0
	for element := range elements(value) {
		if !w.into(fmt.Sprintf("[%d]", i), element, w.tools) {
			return false
		}
		i++
	}
	return true
}

// list yields what one list of tools names.
func (w *nameWalk) list(value []byte) bool {
	if isText(value) {
		return w.text(unquote(value))
	}
	return w.each(value, func(one []byte) bool {
		if isText(one) {
			return w.text(unquote(one))
		}
		return w.tool(one)
	})
}

// tool yields what a tool names that is written as an object: beside its own fields, the connection among what it fixes.
func (w *nameWalk) tool(one []byte) bool {
	for m := range members(one) {
		more := true
		switch {
		case m.is("connection") && isText(m.value):
			more = w.say(namesConnection, unquote(m.value), "connection")
		case m.is("connection") && InlineConnection(m.value):
			more = w.into("connection", m.value, w.inline)
		case m.is("executor") && isText(m.value):
			more = w.say(namesTool, unquote(m.value), "executor")
		case m.is("mcp") && isObject(m.value):
			more = w.say(namesTool, "mcp_executor", "mcp") && w.into("mcp", m.value, w.tool)
		case isObject(m.value):
			more = w.into(m.name(), m.value, w.tool)
		}
		if !more {
			return false
		}
	}
	return true
}

// text yields what a tool may name that is written as text: "Name(1, b='x')". A secret needs a dictionary among the arguments; a connection is
// called so, or is an argument without a name, which may be any of the tool's.
func (w *nameWalk) text(tool string) bool {
	_, arguments, _ := strings.Cut(tool, "(")
	if strings.Contains(arguments, "{") && !w.say(mayNameSecret, "") {
		return false
	}
	first, _, equals := strings.Cut(arguments, "=")
	plain := equals && !strings.ContainsAny(first, "'\"[({,0123456789")
	empty := strings.Trim(arguments, " \t\r\n)") == ""
	if !empty && (!plain || strings.Contains(arguments, "connection")) {
		return w.say(mayNameConnection, "")
	}
	return true
}

// isText reports whether valid JSON is a string.
func isText(value []byte) bool { return len(value) > 1 && value[0] == '"' }

// elements yields the elements of a valid JSON array. Of anything else it yields nothing.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(array, 0)
		if i >= len(array) || array[i] != '[' {
			return
		}
		for i = skipSpace(array, i+1); i < len(array) && array[i] != ']'; i = skipSpace(array, i+1) {
			end := skipValue(array, i)
			if end == i || !yield(array[i:end]) {
				return
			}
			if i = skipSpace(array, end); i >= len(array) || array[i] != ',' {
				return
			}
		}
	}
}
