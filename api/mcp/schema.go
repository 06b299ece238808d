package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// members is a JSON object whose members keep their order.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements [json.Marshaler].
func (m members) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(one.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(one.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// must encodes what this package has made itself.
func must(value any) []byte {
	b, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("mcp: %v", err))
	}
	return b
}

// schema is the JSON Schema of the tool's arguments. It has no anyOf and the like at its top: services of models refuse them there.
func (t *tool) schema() []byte {
	var properties members
	required := []string{}
	for _, a := range t.arguments {
		if a.hidden {
			continue
		}
		properties = append(properties, member{a.name, a.schema()})
		if a.required {
			required = append(required, a.name)
		}
	}
	if properties == nil {
		properties = members{}
	}
	out := members{{"type", "object"}, {"properties", properties}}
	if len(required) > 0 {
		out = append(out, member{"required", required})
	}
	return must(append(out, member{"additionalProperties", t.loose}))
}

func (a *argument) schema() members {
	described := member{"description", a.description}
	switch a.kind {
	case texts:
		return members{{"type", "array"}, {"items", members{{"type", "string"}}}, described}
	case tasks:
		return members{{"type", "array"}, {"items", taskSchema}, described}
	case depends:
		return members{{"type", "array"}, {"items", dependencySchema}, described}
	case anyJSON:
		return members{described}
	}
	out := members{{"type", string(a.kind)}, described}
	if a.of != nil {
		out = append(out, member{"enum", a.of})
	}
	return out
}

func typed(kind, description string) members {
	return members{{"type", kind}, {"description", description}}
}

var dependencySchema = members{
	{"type", "object"},
	{"properties", members{
		{"id", typed("string", "id of a task of the same tree; its name, where tasks have no ids")},
		{"required", typed("boolean", "true if left out; false: the task also runs when that one has failed")},
	}},
}

// taskSchema is one task of a tree. It names what a model needs; docs/tree.md has all keys.
var taskSchema = members{
	{"type", "object"},
	{"properties", members{
		{"id", typed("string", "short word of its own, such as fetch-orders; all tasks have one, or none has")},
		{"name", typed("string", "what people call it")},
		{"parent_id", typed("string", "id of the task that it is shown under; the root has none. It says nothing about what runs when")},
		{"dependencies", members{{"type", "array"}, {"items", dependencySchema}, {"description", "tasks that must have ended before it starts; their results become inputs, under their ids"}}},
		{"schemas", members{{"type", "object"}, {"description", "what runs it"}, {"properties", members{
			{"method", typed("string", "id of an executor (list_executors); a task without one runs nothing and only groups others")},
		}}}},
		{"inputs", typed("object", "what the executor is given (get_executor tells what it takes)")},
		{"params", typed("object", "how the executor is made, where it takes such")},
		{"priority", typed("integer", "0 urgent, 1 high, 2 normal, 3 low; 2 if left out")},
		{"timeout", typed("number", "seconds of one attempt")},
		{"retry", typed("object", "max_attempts, backoff (exponential, linear, fixed), initial_delay and max_delay in seconds")},
		{"user_id", typed("string", "owner")},
	}},
	{"required", []string{"name"}},
}

// output is the JSON Schema of the tool's structured content. It binds little, as long values may be cut.
func (t *tool) output() []byte {
	if t.list == "" {
		return must(members{{"type", "object"}})
	}
	return must(members{{"type", "object"}, {"properties", members{
		{t.list, members{{"type", "array"}, {"items", members{{"type", "object"}}}}},
		{"next_cursor", typed("string", "for the next page; absent on the last")},
		{"omitted", typed("integer", "how many are left out, as the answer would be too long")},
	}}, {"required", []string{t.list}}})
}

// check finds what is wrong with the arguments of a call, all at once. Which are missing the methods say in their own words, if nothing else is wrong.
func (t *tool) check(arguments []byte) *api.Fault {
	if err := rawjson.CheckNames(arguments); err != nil {
		return &api.Fault{Kind: api.Invalid, Text: "arguments: " + err.Error(), Field: "arguments"}
	}
	var problems []*dag.InvalidTaskError
	given := map[string]bool{}
	for quoted, value := range rawjson.Members(arguments) {
		name, _ := rawjson.Unquote(quoted)
		given[name] = true
		if reason := t.refusal(name, value); reason != "" && len(problems) < dag.MaxProblems {
			problems = append(problems, &dag.InvalidTaskError{Field: shortened(name), Reason: reason})
		}
	}
	if problems == nil {
		return nil
	}
	for _, a := range t.arguments {
		if a.required && !given[a.name] {
			problems = append(problems, &dag.InvalidTaskError{Field: a.name, Reason: "is required"})
		}
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.Field + " " + p.Reason
	}
	return &api.Fault{Kind: api.Invalid, Text: strings.Join(lines, "\n"), Field: problems[0].Field, Problems: problems}
}

// refusal is why the tool does not take an argument, or empty.
func (t *tool) refusal(name string, value []byte) string {
	i := slices.IndexFunc(t.arguments, func(a argument) bool { return a.name == name })
	switch {
	case i >= 0:
		return t.arguments[i].refusal(value)
	case t.loose:
		return ""
	}
	var takes []string
	for _, a := range t.arguments {
		if !a.hidden {
			takes = append(takes, a.name)
		}
	}
	return "is no argument of " + t.name + ", which takes " + strings.Join(takes, ", ")
}

// refusal is why a value is none for the argument, or empty. null is as if it was not there.
func (a *argument) refusal(value []byte) string {
	begins := value[0]
	fits := false
	switch a.kind {
	case text:
		fits = begins == '"'
	case texts:
		fits = begins == '[' || begins == '"' // with commas
	case tasks, depends:
		fits = begins == '['
	case object:
		fits = begins == '{'
	case flag:
		fits = begins == 't' || begins == 'f'
	case whole, number:
		fits = begins == '-' || begins >= '0' && begins <= '9'
	case anyJSON:
		fits = true
	}
	switch {
	case begins == 'n':
		return ""
	case !fits:
		return "must be of type " + string(a.kind)
	case a.of != nil:
		if word, _ := rawjson.Unquote(value); !slices.Contains(a.of, word) {
			return "must be one of " + strings.Join(a.of, ", ")
		}
	}
	return ""
}

// shortened is a name of a client's making, as an answer shows it.
func shortened(name string) string {
	if len(name) > 100 {
		return strings.ToValidUTF8(name[:100], "") + "…"
	}
	return name
}
