package jsonrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// update answers tasks.update (spec 2.3): the fields stand beside task_id, or in updates.
func (h *Handler) update(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.text("task_id")
	fields := p
	if p.given("updates") {
		if fields, err = named(p.values["updates"]); err != nil {
			return nil, invalid("updates", "updates must be an object, each name once")
		}
		for _, name := range updated {
			if p.given(name) {
				return nil, invalid(name, "%s must be in updates, or updates must not be there", name)
			}
		}
	}
	switch {
	case p.err != nil:
		return nil, p.err
	case id == "":
		return nil, invalid("task_id", "Task ID is required")
	}
	t, err := x.svc.Update(ctx, id, changeOf(fields))
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	return append(appendUsage(appendTask(nil, t, nil), t, nil), '}'), nil
}

// updated are the fields of an update; null leaves what is stored. Other keys are ignored (spec 2.3).
var updated = []string{"parent_id", "user_id", "dependencies", "status", "error", "result", "progress", "started_at", "completed_at",
	"inputs", "params", "schemas", "name", "priority", "labels", "limits", "lock", "rates"}

// changeOf reads the fields of an update. What is wrong stands in the change's Faults, so that all faults are told at once.
func changeOf(p *params) (c coordinator.TaskChange) {
	u := updates{p, &c}
	for _, name := range []string{"parent_id", "user_id"} {
		if !p.given(name) {
			continue
		}
		what := "task hierarchy is fixed"
		if name == "user_id" {
			what = "task ownership is fixed"
		}
		u.fault(name, "field cannot be modified (%s)", what)
	}
	u.dependencies()
	if s := u.text("status"); s != nil {
		c.Status = dag.Status(*s)
	}
	c.Name, c.Error = u.text("name"), u.text("error")
	c.Inputs, c.Params, c.Schemas = u.object("inputs"), u.object("params"), u.object("schemas")
	if p.given("result") {
		c.Result = p.values["result"]
	}
	c.Progress = u.number("progress")
	if n := u.number("priority"); n != nil {
		if *n != float64(int16(*n)) {
			u.fault("priority", "must be an integer from 0 to 3")
		} else {
			priority := dag.Priority(*n)
			c.Priority = &priority
		}
	}
	u.limiting()
	c.StartedAt, c.CompletedAt = u.time("started_at"), u.time("completed_at")
	if p.given("labels") {
		c.Labels, c.HasLabels = p.texts("labels"), true
		if c.Labels == nil {
			u.fault("labels", "must be an object of strings, each key once")
		}
	}
	return c
}

// updates reads fields into a change.
type updates struct {
	*params
	change *coordinator.TaskChange
}

// fault notes what is wrong with a field, in the form of spec 2.3.
func (u updates) fault(name, format string, args ...any) {
	u.change.Faults = append(u.change.Faults, fmt.Sprintf("Cannot update '%s': %s", name, fmt.Sprintf(format, args...)))
}

func (u updates) text(name string) *string {
	value := u.values[name]
	if isNull(value) {
		return nil
	}
	s, whole := "", false
	if kind(value) == '"' {
		s, whole = rawjson.Unquote(value)
	}
	if !whole || strings.ContainsRune(s, 0) {
		u.fault(name, "must be a string")
		return nil
	}
	return &s
}

func (u updates) number(name string) *float64 {
	value := u.values[name]
	if isNull(value) {
		return nil
	}
	var f float64
	if json.Unmarshal(value, &f) != nil {
		u.fault(name, "must be a number")
		return nil
	}
	return &f
}

func (u updates) object(name string) json.RawMessage {
	value, err := treedoc.Object(u.values[name])
	if err != nil {
		u.fault(name, "%v", err)
	}
	return value
}

// time reads ISO 8601; without a zone it is UTC.
func (u updates) time(name string) time.Time {
	text := u.text(name)
	if text == nil {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", time.DateOnly} {
		if at, err := time.Parse(layout, *text); err == nil {
			return at
		}
	}
	u.fault(name, "must be a time, such as 2026-01-31T12:00:00Z")
	return time.Time{}
}

// dependencies reads the whole new list, in all forms of spec 1.4.
func (u updates) dependencies() {
	list := u.values["dependencies"]
	if isNull(list) {
		return
	}
	if kind(list) != '[' {
		u.fault("dependencies", "must be a list, got %s", typeWord(list))
		return
	}
	u.change.HasDependencies, u.change.Dependencies = true, []dag.Dependency{}
	k := 0
	for element := range elements(list) {
		d, ok := dependencyOf(element)
		if !ok {
			u.change.Faults = append(u.change.Faults, "Dependency must have 'id' field or be a string task ID")
		} else if !d.Legacy {
			var faults []*dag.InvalidTaskError
			d.Mode, faults = treedoc.EdgeMode(element)
			for _, f := range faults {
				u.fault(fmt.Sprintf("dependencies[%d]%s", k, f.Field), "%s", f.Reason)
			}
		}
		if ok {
			u.change.Dependencies = append(u.change.Dependencies, d)
		}
		k++
	}
}

// dependencyOf reads one dependency; ok is false when it names no task.
func dependencyOf(element json.RawMessage) (d dag.Dependency, ok bool) {
	d.Type = "result"
	if kind(element) == '"' {
		d.Legacy = true
		d.Ref, ok = rawjson.Unquote(element)
		return d, ok && d.Ref != ""
	}
	var object struct {
		ID, Name, Type *string
		Required       *bool
	}
	if kind(element) != '{' || json.Unmarshal(element, &object) != nil {
		return d, false
	}
	switch { // if both, id wins
	case object.ID != nil && *object.ID != "":
		d.Ref = *object.ID
	case object.Name != nil:
		d.Ref, d.ByName = *object.Name, true
	}
	d.Optional = object.Required != nil && !*object.Required
	if object.Type != nil {
		d.Type = *object.Type
	}
	return d, d.Ref != ""
}

// typeWord is how the protocol's texts name the type of a value.
func typeWord(value json.RawMessage) string {
	switch kind(value) {
	case '"':
		return "str"
	case '{':
		return "dict"
	case '[':
		return "list"
	case 't', 'f':
		return "bool"
	}
	if strings.ContainsAny(string(value), ".eE") {
		return "float"
	}
	return "int"
}

// deleted is the answer of tasks.delete (spec 5.3).
type deleted struct {
	Success  bool   `json:"success"`
	TaskID   string `json:"task_id"`
	Count    int    `json:"deleted_count"`
	Children int    `json:"children_deleted"`
}

// remove answers tasks.delete (spec 2.4).
func (h *Handler) remove(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.text("task_id")
	opts := coordinator.DeleteOptions{Force: p.flag("force", false), Alone: x.protocol}
	switch {
	case p.err != nil:
		return nil, p.err
	case id == "":
		return nil, invalid("task_id", "Task ID is required")
	}
	got, err := x.svc.Delete(ctx, id, opts)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	return appendJSON(nil, deleted{true, id, got.Tasks, max(got.Tasks-1, 0)}), nil
}
