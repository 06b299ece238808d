package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/mcp"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// errNoToolbox is the fault of executors as tools where nobody lends them.
var errNoToolbox = executors.Permanent(errors.New("executors can't be used as tools here"))

// ofObject makes what an object of a list stands for.
func (s *Session) ofObject(ctx context.Context, one json.RawMessage) ([]*entry, error) {
	f, err := readForm(one)
	if err != nil {
		return nil, executors.Permanent(err)
	}
	switch {
	case f.tool != "":
		kind, ok := s.registry.kinds[f.tool]
		if !ok {
			return nil, executors.Permanent(errors.New(s.registry.notFound(f.tool)))
		}
		arguments, err := connected("arguments", f.arguments, f.connection)
		if err != nil {
			return nil, executors.Permanent(err)
		}
		return approved(f)(s.ofKind(kind, arguments))
	case f.mcp != nil:
		return approved(f)(s.ofServer(ctx, f))
	}
	return approved(f)(s.ofExecutor(f))
}

// approved marks tools each use of which needs an approval.
func approved(f *form) func([]*entry, error) ([]*entry, error) {
	return func(all []*entry, err error) ([]*entry, error) {
		for _, e := range all {
			e.asks = f.approve
		}
		return all, err
	}
}

// form is a tool that is written as an object.
type form struct {
	tool, executor    string
	name, description string
	inputs, arguments json.RawMessage // objects, or nil
	connection        json.RawMessage // text, or nil
	mcp               json.RawMessage // an object, or nil
	approve           bool            // each use needs an approval
}

// readForm reads one, names exactly as they are written.
func readForm(one json.RawMessage) (*form, error) {
	f := &form{}
	texts := map[string]*string{"tool": &f.tool, "executor": &f.executor, "name": &f.name, "description": &f.description}
	objects := map[string]*json.RawMessage{"inputs": &f.inputs, "arguments": &f.arguments, "mcp": &f.mcp}
	var has []string
	for _, m := range members(one) {
		if m.schema[0] == 'n' {
			continue
		}
		has = append(has, m.name)
		switch {
		case texts[m.name] != nil:
			if m.schema[0] != '"' {
				return nil, fmt.Errorf("%s: must be text", m.name)
			}
			*texts[m.name], _ = rawjson.Unquote(m.schema)
		case objects[m.name] != nil:
			if m.schema[0] != '{' {
				return nil, fmt.Errorf("%s: must be an object", m.name)
			}
			*objects[m.name] = m.schema
		case m.name == "connection":
			if m.schema[0] != '"' {
				return nil, errors.New("connection: must be the name of a connection, as text")
			}
			f.connection = m.schema
		case m.name == "approve":
			if m.schema[0] != 't' && m.schema[0] != 'f' {
				return nil, errors.New("approve: must be true or false")
			}
			f.approve = m.schema[0] == 't'
		default:
			return nil, fmt.Errorf("%s: there is no such field in a tool", shown(m.name))
		}
	}
	return f, f.check(has)
}

// fields are what each way to name a tool goes with.
var fields = map[string][]string{
	"tool": {"arguments", "connection", "approve"}, "executor": {"name", "description", "inputs", "connection", "approve"}, "mcp": {"connection", "approve"},
}

// check says that the fields which a form has don't fit one another.
func (f *form) check(has []string) error {
	var ways []string
	for _, way := range []string{"tool", "executor", "mcp"} {
		if slices.Contains(has, way) {
			ways = append(ways, way)
		}
	}
	if len(ways) != 1 {
		return errors.New("must name one of tool, executor and mcp")
	}
	for _, field := range has {
		if field != ways[0] && !slices.Contains(fields[ways[0]], field) {
			return fmt.Errorf("%s: does not go with %s, but %s", field, ways[0], strings.Join(fields[ways[0]], ", "))
		}
	}
	if f.tool == "" && f.executor == "" && f.mcp == nil {
		return fmt.Errorf("%s: is empty", ways[0])
	}
	return nil
}

// connected are fixed inputs with the connection that stands beside them.
func connected(field string, fixed, connection json.RawMessage) (json.RawMessage, error) {
	if fixed == nil {
		fixed = json.RawMessage(`{}`)
	}
	if connection == nil {
		return fixed, nil
	}
	if member(fixed, "connection") != nil {
		return nil, fmt.Errorf("connection: is in %s, too", field)
	}
	return object(append(members(fixed), property{"connection", connection})), nil
}

// ofExecutor makes a tool of an executor: its schema is that of the inputs that the author left open.
func (s *Session) ofExecutor(f *form) ([]*entry, error) {
	if s.call.Toolbox == nil {
		return nil, errNoToolbox
	}
	if f.executor == mcp.ID || f.executor+"_executor" == mcp.ID { // a model would choose the server
		return nil, executors.Permanent(fmt.Errorf("executor: %s is used by {\"mcp\": {…}}", mcp.ID))
	}
	d, err := s.call.Toolbox.Tool(f.executor)
	if err != nil {
		return nil, fmt.Errorf("executor: %w", err)
	}
	fixed, err := connected("inputs", f.inputs, f.connection)
	if err != nil {
		return nil, executors.Permanent(err)
	}
	var taken []string
	for _, m := range members(fixed) {
		taken = append(taken, m.name)
	}
	if err := unknownInput(&d, taken); err != nil {
		return nil, executors.Permanent(err)
	}
	known := d
	known.Inputs = only(d.Inputs, taken)
	if _, err := s.call.Toolbox.Resolve(known, fixed); err != nil { // what is wrong now is wrong at each use
		return nil, err
	}
	closed := secrets.Closed(d, fixed)
	if open := missing(d.Inputs, closed, taken); len(open) > 0 {
		return nil, executors.Permanent(fmt.Errorf("inputs: must have %s, too, as they say where to go or name a secret: a model must not choose who gets it", strings.Join(open, ", ")))
	}
	taken = append(append(taken, "connection"), closed...)
	spec := model.Tool{Name: f.name, Description: f.description, Schema: without(d.Inputs, taken)}
	if spec.Name == "" {
		spec.Name = d.ID
	}
	if spec.Description == "" {
		spec.Description = d.Description
	}
	return []*entry{{Tool: &executorTool{session: s, id: d.ID, fixed: fixed, spec: spec}, spec: spec, call: s.call}}, nil
}

// missing are the fields that a schema requires, and that are closed to a model, though the author has neither set them nor named a connection.
func missing(schema json.RawMessage, closed, taken []string) []string {
	if slices.Contains(taken, "connection") {
		return nil
	}
	var required []string
	_ = json.Unmarshal(member(schema, "required"), &required) // a faulty schema requires nothing
	return slices.DeleteFunc(required, func(name string) bool { return !slices.Contains(closed, name) || slices.Contains(taken, name) })
}

// unknownInput is the fault of a fixed input that the executor does not have: it would fix nothing, and leave to the model what it was to fix.
// What a model may say beside the schema, an author may fix: without says when.
func unknownInput(d *executors.Description, fixed []string) error {
	var names []string
	for _, p := range properties(d.Inputs) {
		names = append(names, p.name)
	}
	if further := member(d.Inputs, "additionalProperties"); len(names) == 0 || further != nil && string(further) != "false" {
		return nil
	}
	for _, name := range fixed {
		if name == "connection" || slices.Contains(names, name) {
			continue
		}
		text := fmt.Sprintf("inputs.%s: %s has no such input", shown(name), d.ID)
		if near := nearest(name, names); near != "" {
			text += fmt.Sprintf("; did you mean %s?", near)
		}
		return errors.New(text)
	}
	return nil
}

// executorTool is an executor as a tool.
type executorTool struct {
	session *Session
	id      string
	fixed   json.RawMessage
	spec    model.Tool
}

// Spec implements [Tool].
func (t *executorTool) Spec() model.Tool { return t.spec }

// Run implements [Tool].
func (t *executorTool) Run(ctx context.Context, call *executors.Call, args json.RawMessage) (Answer, error) {
	use := executors.ToolUse{Executor: t.id, Name: t.spec.Name, Fixed: t.fixed, Arguments: args}
	use.Number = t.session.number(ctx, use)
	result, err := call.Toolbox.Use(ctx, use)
	return Answer{JSON: result}, err
}
