package dag

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"slices"
)

// DependencyResult is what one completed dependency gives to its dependent.
type DependencyResult struct {
	Ref     string          // what the submission calls the dependency: its id as given there, or its name where tasks have no ids
	Result  json.RawMessage // any JSON; null or empty adds nothing
	Skipped bool            // it was skipped: its result goes under Ref, whatever it is called in the schemas (control 13)
	Legacy  bool            // the edge is stored as a plain string: an object's keys go straight into the inputs
}

// Merge lays the results of a task's completed dependencies, in the order of its list, over its submitted inputs
// (spec 3.6). A later value replaces an earlier one of the same key and takes its place; new keys follow in the order
// of their arrival, those that a schema names in the schema's order. Values are copied byte for byte, so that no number
// loses a digit.
//
// Empty or null inputs are {}. Without results the inputs come back as they are; the caller must not change them.
// All arguments must be valid JSON, as what comes from the store is. The error says that inputs is no object.
func Merge(inputs, schemas json.RawMessage, deps []DependencyResult) (json.RawMessage, error) {
	deps = withResult(deps)
	if len(deps) == 0 {
		if isNull(inputs) {
			return json.RawMessage("{}"), nil
		}
		return inputs, nil
	}
	m, err := newMerged(inputs)
	if err != nil {
		return nil, err
	}
	properties, mapped := schemaProperties(schemas)
	for _, dep := range deps {
		switch object := isObject(dep.Result) && !dep.Skipped; {
		case object && dep.Legacy:
			for v := range members(dep.Result) {
				m.set(v.name(), v)
			}
		case object && mapped:
			m.pick(properties, dep.Result)
		default:
			m.set(dep.Ref, member{appendQuoted(nil, dep.Ref), bytes.TrimSpace(dep.Result)})
		}
	}
	return m.encode(), nil
}

// Overwrites reports whether the result of one of the task's dependencies may become an input of this name (see [Merge]).
func (t *Task) Overwrites(input string) bool {
	for _, d := range t.Dependencies {
		if d.Legacy || d.Ref == input {
			return true
		}
	}
	if len(t.Dependencies) == 0 {
		return false
	}
	properties, _ := schemaProperties(t.Schemas)
	_, picked := properties[input]
	return picked
}

// InputNames are the names of the inputs that the task was submitted with.
func (t *Task) InputNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for m := range members(t.Inputs) {
			if !yield(m.name()) {
				return
			}
		}
	}
}

// withResult leaves out the dependencies that have nothing to give; it copies only when there are such.
func withResult(deps []DependencyResult) []DependencyResult {
	null := func(d DependencyResult) bool { return isNull(d.Result) }
	if !slices.ContainsFunc(deps, null) {
		return deps
	}
	return slices.DeleteFunc(slices.Clone(deps), null)
}

// schemaProperties numbers the keys of input_schema.properties in their order. mapped tells whether that exists, even
// if it is empty.
func schemaProperties(schemas json.RawMessage) (numbers map[string]int, mapped bool) {
	properties := lookup(lookup(schemas, "input_schema"), "properties")
	if !isObject(properties) {
		return nil, false
	}
	numbers = map[string]int{}
	for p := range members(properties) {
		name := p.name()
		if _, seen := numbers[name]; !seen {
			numbers[name] = len(numbers)
		}
	}
	return numbers, true
}

// merged is an object under construction, its keys in the order of their first arrival.
type merged struct {
	members []member
	at      map[string]int // index in members by decoded key; nil while they are few
	picked  map[int]member // scratch of pick
}

func newMerged(inputs json.RawMessage) (*merged, error) {
	m := &merged{members: make([]member, 0, few)}
	if isNull(inputs) {
		return m, nil
	}
	if !isObject(inputs) {
		return nil, errors.New("merge into inputs: not an object")
	}
	for v := range members(inputs) {
		m.set(v.name(), v)
	}
	return m, nil
}

// few is how many members are looked through one by one.
const few = 8

func (m *merged) set(name string, v member) {
	if i := m.find(name); i >= 0 {
		m.members[i].value = v.value
		return
	}
	m.members = append(m.members, v)
	if m.at != nil {
		m.at[name] = len(m.members) - 1
	}
}

// find is the index of a key in members, or -1.
func (m *merged) find(name string) int {
	if len(m.members) <= few {
		return slices.IndexFunc(m.members, func(v member) bool { return v.is(name) })
	}
	if m.at == nil {
		m.at = make(map[string]int, 2*len(m.members))
		for i, v := range m.members {
			m.at[v.name()] = i
		}
	}
	if i, known := m.at[name]; known {
		return i
	}
	return -1
}

// pick copies the numbered keys of the object's "result" member, if that is an object, else of the object itself.
func (m *merged) pick(numbers map[string]int, object []byte) {
	if inner := lookup(object, "result"); isObject(inner) {
		object = inner
	}
	if m.picked == nil {
		m.picked = map[int]member{}
	}
	clear(m.picked)
	var order []int
	for v := range members(object) {
		n, named := numbers[v.name()]
		if !named {
			continue
		}
		if _, repeated := m.picked[n]; !repeated {
			order = append(order, n)
		}
		m.picked[n] = v
	}
	slices.Sort(order)
	for _, n := range order {
		m.set(m.picked[n].name(), m.picked[n])
	}
}

func (m *merged) encode() json.RawMessage {
	size := 2
	for _, v := range m.members {
		size += len(v.key) + len(v.value) + 2
	}
	out := append(make([]byte, 0, size), '{')
	for i, v := range m.members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v.key...)
		out = append(out, ':')
		out = append(out, v.value...)
	}
	return append(out, '}')
}
