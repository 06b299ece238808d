package inputs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/taskgrove/taskgrove/executors"
)

// Submitted checks the inputs of tasks before anybody has taken them, as far as it is known what they will be: results of dependencies may
// still be laid over them, {"secret": "name"} stands for whatever fits, and so does a template. Safe for concurrent use.
type Submitted struct {
	known map[string]*submitted
	tasks *Checker
}

// submitted is an executor whose inputs can be checked.
type submitted struct {
	executors.Description
	once   sync.Once
	schema *compiled // nil: it can't be used
}

// NewSubmitted makes one that knows these executors. Tasks of others are not checked.
func NewSubmitted(all iter.Seq[executors.Description]) *Submitted {
	s := &Submitted{known: map[string]*submitted{}, tasks: NewChecker(0)}
	for d := range all {
		s.known[d.ID] = &submitted{Description: d}
	}
	return s
}

// Task is a task as it was submitted.
type Task struct {
	Executor        string
	Inputs, Schemas json.RawMessage // valid JSON objects, or nil
	// Overwrites reports whether a result of a dependency may take the place of an input; nil: the task has no dependencies.
	Overwrites func(input string) bool
	// Templates: strings of the inputs that hold {{ are to be rendered, and may become anything.
	Templates bool
}

// maxViolations is how many of a task are told.
const maxViolations = 20

// Violation is a fault of a task's inputs. It shows no value.
type Violation struct {
	Field   string // path within the inputs: "files[0].path"; empty: the inputs as a whole
	Reason  string
	Missing bool // Field, which the inputs as a whole must have, is not there
	Own     bool // it violates schemas.input_schema, not the schema of the executor
}

// A task's own schema may be anything. What it costs to check by one that refers to nothing is bounded by the product of its size and
// that of the inputs, for which a task and a tree have room. What is beyond is left to the worker.
const (
	maxOwnCost     = 1 << 22
	maxOwnTreeCost = 1 << 28
	patternCost    = 64 // times more, as a pattern may be larger than it is written
)

// Tree gives what checks the tasks of one tree, for one goroutine: at most [maxViolations] of each are told.
func (s *Submitted) Tree() func(Task) []Violation {
	room := maxOwnTreeCost
	return func(t Task) []Violation {
		e := s.known[t.Executor]
		if e == nil {
			return nil
		}
		if len(t.Inputs) == 0 {
			t.Inputs = json.RawMessage("{}")
		}
		all := e.violations(t)
		if len(all) == 0 && t.Overwrites == nil {
			all = s.own(e, t, &room)
		}
		return all
	}
}

// violations are those of the executor's schema.
func (e *submitted) violations(t Task) []Violation {
	if len(e.Inputs) == 0 {
		return nil
	}
	e.once.Do(func() { e.schema, _ = compile(standard, e.Inputs) })
	if e.schema == nil || e.schema.keeps(t.Inputs) || e.schema.flat.accepts(t.Inputs, t.Overwrites == nil) {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(t.Inputs))
	object, isObject := value.(map[string]any)
	if err != nil || !isObject {
		return nil // others say so
	}
	given := e.connected(object)
	return faultsIn(e.schema, object, func(v *jsonschema.ValidationError) bool {
		switch at := v.InstanceLocation; {
		case len(at) == 0 && t.Overwrites != nil:
			return false // more may come
		case len(at) > 0 && (t.Overwrites != nil && t.Overwrites(at[0]) || slices.Contains(given, at[0])):
			return false
		case t.Templates && about(object, v, isTemplate):
			return false
		}
		return !e.Secrets || !about(object, v, isSecret)
	}, given)
}

// connected are the fields that the connection sets which inputs name.
func (e *submitted) connected(inputs map[string]any) []string {
	if e.Connection == nil || inputs["connection"] == nil {
		return nil
	}
	return append(e.Connection.Fields[:len(e.Connection.Fields):len(e.Connection.Fields)], e.Connection.TypeField)
}

// own are the violations of the task's own schema. It sees neither secrets nor what a connection sets, so where such are named it is left
// to the worker.
func (s *Submitted) own(e *submitted, t Task, room *int) []Violation {
	schema, err := taskSchema(t.Schemas)
	if err != nil || len(schema) == 0 || bytes.Contains(schema, []byte("ef\"")) || bytes.Contains(schema, []byte(`\u`)) || t.Templates ||
		e.Secrets && bytes.Contains(t.Inputs, []byte(`"secret"`)) || e.Connection != nil && bytes.Contains(t.Inputs, []byte(`"connection"`)) {
		return nil
	}
	cost := len(schema) * (len(t.Inputs) + 16)
	if bytes.Contains(schema, []byte(`"pattern`)) {
		cost *= patternCost
	}
	if cost > maxOwnCost || cost > *room {
		return nil
	}
	*room -= cost
	owns, err := s.tasks.compiled(either, schema)
	if err != nil {
		return []Violation{{Reason: fmt.Sprintf("schemas.input_schema can't be used: %v", err), Own: true}}
	}
	if owns.keeps(t.Inputs) || owns.flat.accepts(t.Inputs, true) {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(t.Inputs))
	if err != nil {
		return nil
	}
	all := faultsIn(owns, value, func(*jsonschema.ValidationError) bool { return true }, nil)
	for i := range all {
		all[i].Own = true
	}
	return all
}

// faultsIn is what is wrong with a value, of what is to be told, without fields that are not missed.
func faultsIn(c *compiled, value any, tell func(*jsonschema.ValidationError) bool, given []string) (all []Violation) {
	invalid, ok := c.validate(value).(*jsonschema.ValidationError)
	if !ok {
		return nil // the worker says what
	}
	leaves(invalid, func(e *jsonschema.ValidationError) {
		if !tell(e) {
			return
		}
		if k, ok := e.ErrorKind.(*kind.Required); ok && len(e.InstanceLocation) == 0 {
			for _, name := range k.Missing {
				if !slices.Contains(given, name) {
					all = append(all, Violation{Field: name, Reason: "is required", Missing: true})
				}
			}
			return
		}
		all = append(all, Violation{Field: path(value, e.InstanceLocation), Reason: bareReason(e)})
	})
	slices.SortStableFunc(all, func(a, b Violation) int { return strings.Compare(a.Field, b.Field) })
	all = slices.Compact(all)
	return all[:min(len(all), maxViolations)]
}

// path names a place in a value as people do: "files[0].path".
func path(value any, at []string) string {
	text := ""
	for _, step := range at {
		switch v := value.(type) {
		case []any:
			text += "[" + step + "]"
			i, _ := strconv.Atoi(step) // the library's own number
			value = v[i]
			continue
		case map[string]any:
			value = v[step]
		}
		if text != "" {
			text += "."
		}
		text += step
	}
	return text
}

// about reports whether a violation is of a value that stands for another one, or of a choice that depends on one.
func about(value any, e *jsonschema.ValidationError, stands func(any) bool) bool {
	for _, step := range e.InstanceLocation {
		if stands(value) {
			return true
		}
		switch v := value.(type) {
		case []any:
			i, _ := strconv.Atoi(step) // the library's own number
			value = v[i]
		case map[string]any:
			value = v[step]
		}
	}
	return stands(value) || chooses(e) && holds(value, stands)
}

// isSecret reports whether a value is {"secret": "name"}.
func isSecret(value any) bool {
	object, _ := value.(map[string]any)
	_, named := object["secret"].(string)
	return named && len(object) == 1
}

// isTemplate reports whether a value is a string that a template may make another of.
func isTemplate(value any) bool {
	text, is := value.(string)
	return is && strings.Contains(text, "{{")
}

// holds reports whether a value stands for another one, or has one within that does.
func holds(value any, stands func(any) bool) bool {
	if stands(value) {
		return true
	}
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holds(e, stands) })
	case map[string]any:
		for _, member := range v {
			if holds(member, stands) {
				return true
			}
		}
	}
	return false
}
