package generate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Bounds of a generated tree, below those of a submitted one.
const (
	maxTaskBytes    = 64 << 10 // each of a task's inputs, params and schemas
	maxDependencies = 200      // of a task
	maxAttempts     = 10
	maxDelay        = time.Hour
	maxTimeout      = 24 * time.Hour
	maxWarnings     = 20
)

// The keys of a task, and of its schemas, that a model may set. What else it writes is left out: owner, pool, times and deadlines of the
// tree, and everything that changes how often or where a task runs.
var (
	taskKeys   = []string{"id", "name", "parent_id", "dependencies", "inputs", "schemas", "params", "priority", "timeout", "retry"}
	schemaKeys = []string{"method", "type", "input_schema", "output_schema"}
	quietly    = []string{"user_id", "status", "progress", "result", "error", "description"} // left out without a word
)

// judge turns a model's answer into a valid tree of allowed executors.
type judge struct {
	owner   string
	most    int                     // tasks
	all     []executors.Description // that there are
	allowed []executors.Description
	tools   bool // agents within the tree may have tools
	newID   func() string

	known    dag.Known
	warnings []string
}

// tree is a valid one.
type tree struct {
	tasks []*dag.Task
	graph *dag.Graph
}

// check reads the tasks of an answer and finds every fault in them (spec 2.1, 3.12, and what a generated tree may not hold).
func (j *judge) check(array []byte) (*tree, error) {
	j.warnings = nil
	for _, d := range j.all {
		j.known.Add(d.ID, d.Type)
	}
	array, n := j.filter(array)
	if n > j.most {
		return nil, fmt.Errorf("the tree has %d tasks, and at most %d were asked for", n, j.most)
	}
	limits := dag.Limits{Tasks: j.most, Edges: j.most * maxDependencies, Dependencies: maxDependencies, PayloadBytes: maxTaskBytes}
	var tasks []*dag.Task
	for t, err := range treedoc.Parse(array, treedoc.Options{Limits: limits, Executors: j.known}) {
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	byName(tasks)
	violations := inputs.NewSubmitted(slices.Values(j.allowed)).Tree()
	b := dag.NewBuilder(limits, j.newID)
	for i, t := range tasks {
		j.bound(i, t)
		j.policy(i, t)
		if len(t.Faults) == 0 {
			j.inputs(i, t, violations)
		}
		if _, err := b.Add(t); err != nil {
			return nil, err
		}
	}
	g, err := b.Build()
	if err != nil {
		return nil, err
	}
	return &tree{tasks, g}, nil
}

// filter leaves out the keys that a model may not set, and counts the tasks.
func (j *judge) filter(array []byte) (out []byte, n int) {
	out = append(out, '[')
	for element := range rawjson.Elements(array) {
		if n > 0 {
			out = append(out, ',')
		}
		out = j.only(out, element, fmt.Sprintf("tasks[%d].", n), taskKeys)
		n++
	}
	return append(out, ']'), n
}

// only appends an object with no other keys than those; anything else as it is.
func (j *judge) only(out, value []byte, prefix string, keys []string) []byte {
	if value[0] != '{' {
		return append(out, value...)
	}
	out = append(out, '{')
	first := len(out)
	for quotedName, member := range rawjson.Members(value) {
		name, _ := rawjson.Unquote(quotedName)
		if !slices.Contains(keys, name) {
			if !slices.Contains(quietly, name) {
				j.warn("%s%s was left out: a generated tree can't set it", prefix, treedoc.Short(name))
			}
			continue
		}
		if len(out) > first {
			out = append(out, ',')
		}
		out = append(append(out, quotedName...), ':')
		if name == "schemas" {
			out = j.only(out, member, prefix+"schemas.", schemaKeys)
			continue
		}
		out = append(out, member...)
	}
	return append(out, '}')
}

func (j *judge) warn(format string, args ...any) {
	if len(j.warnings) < maxWarnings {
		j.warnings = append(j.warnings, fmt.Sprintf(format, args...))
	}
}

// byName lets tasks that have ids be referred to by their names, where these are unique, as models do (spec 8.12).
func byName(tasks []*dag.Task) {
	ids, named := map[string]bool{}, map[string][]string{}
	for _, t := range tasks {
		ids[t.ID] = true
		if t.ID != "" {
			named[t.Name] = append(named[t.Name], t.ID)
		}
	}
	meant := func(ref *string) {
		if all := named[*ref]; !ids[*ref] && len(all) == 1 {
			*ref = all[0]
		}
	}
	for _, t := range tasks {
		meant(&t.ParentRef)
		for k := range t.Dependencies {
			meant(&t.Dependencies[k].Ref)
		}
	}
}

// bound lowers what would make a task run too often or too long.
func (j *judge) bound(i int, t *dag.Task) {
	lower := func(field string, value *time.Duration, most time.Duration) {
		if *value > most {
			*value = most
			j.warn("tasks[%d].%s was lowered to %g seconds", i, field, most.Seconds())
		}
	}
	lower("timeout", &t.Timeout, maxTimeout)
	lower("retry.initial_delay", &t.Retry.InitialDelay, maxDelay)
	lower("retry.max_delay", &t.Retry.MaxDelay, maxDelay)
	if t.Retry.MaxAttempts > maxAttempts {
		t.Retry.MaxAttempts = maxAttempts
		j.warn("tasks[%d].retry.max_attempts was lowered to %d", i, maxAttempts)
	}
}

// policy finds what a task may not do, and leaves out arguments that its executor does not take.
func (j *judge) policy(i int, t *dag.Task) {
	fault := func(field, format string, args ...any) {
		reason := fmt.Sprintf("tasks[%d].%s: ", i, field) + fmt.Sprintf(format, args...)
		t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: dag.InvalidField, Index: i, Task: t.Name, Field: field, Reason: reason})
	}
	if t.Executor == "" {
		if strings.HasSuffix(t.Name, "_executor") {
			fault("name", "a task that names no executor must not be called like one: set schemas.method")
		}
	} else if !slices.ContainsFunc(j.allowed, func(d executors.Description) bool { return d.ID == t.Executor }) {
		fault("schemas.method", "%s may not be used here; there are %s", quoted(t.Executor), strings.Join(idsOf(j.allowed), ", "))
		return
	}
	j.params(i, t)
	for name := range t.InputNames() {
		if strings.EqualFold(name, "connection") {
			fault("inputs."+treedoc.Short(name), "a generated task can't name a connection")
		}
	}
	if !bytes.ContainsRune(append(t.Inputs, t.Params...), '{') {
		return
	}
	for field, payload := range map[string]json.RawMessage{"inputs": t.Inputs, "params": t.Params} {
		var value any
		if json.Unmarshal(payload, &value) != nil {
			continue
		}
		if holds(value, isSecret) {
			fault(field, "a generated task can't name a secret")
		}
		if !j.tools && holds(value, hasTools) && talks(t.Executor) {
			fault(field, "agents of a generated task can't have tools, unless the task says allow_commands")
		}
	}
}

// params leaves out all params of executors that take none: which executor runs the task, schemas.method says.
func (j *judge) params(i int, t *dag.Task) {
	takes := t.Executor != "" && !slices.Contains(plain, t.Executor) && !slices.Contains(commanding, t.Executor)
	out := []byte{'{'}
	for quotedName, value := range rawjson.Members(t.Params) {
		switch name, _ := rawjson.Unquote(quotedName); {
		case name == "executor_id":
		case !takes:
			j.warn("tasks[%d].params.%s was left out: the executor takes none", i, treedoc.Short(name))
		default:
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, quotedName...), ':'), value...)
		}
	}
	if t.Params = nil; len(out) > 1 {
		t.Params = append(out, '}')
	}
}

// inputs finds the faults of a task's inputs by the schema of its executor, and by its own.
func (j *judge) inputs(i int, t *dag.Task, violations func(inputs.Task) []inputs.Violation) {
	task := inputs.Task{Executor: t.Executor, Inputs: t.Inputs, Schemas: t.Schemas}
	if len(t.Dependencies) > 0 {
		task.Overwrites = t.Overwrites
	}
	for _, v := range violations(task) {
		field, by := "inputs", t.Executor
		if v.Field != "" {
			field += "." + treedoc.Short(v.Field)
		}
		if v.Own {
			by = "schemas.input_schema"
		}
		t.Faults = append(t.Faults, &dag.InvalidTaskError{
			Code: dag.InvalidField, Index: i, Task: t.Name, Field: field,
			Reason: fmt.Sprintf("tasks[%d].%s: %s (%s of task '%s')", i, field, v.Reason, by, treedoc.Short(t.Name)),
		})
	}
}

// talks reports whether an executor asks models, whose inputs may give them tools.
func talks(executor string) bool {
	return executor == "llm_executor" || strings.Contains(executor, "crewai") || strings.Contains(executor, "agent")
}

// holds reports whether a value or one within it is such.
func holds(value any, such func(map[string]any) bool) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(member any) bool { return holds(member, such) })
	case map[string]any:
		if such(v) {
			return true
		}
		for _, member := range v {
			if holds(member, such) {
				return true
			}
		}
	}
	return false
}

// isSecret reports whether an object names a secret of the worker: {"secret": "name"}.
func isSecret(object map[string]any) bool {
	for name, value := range object {
		_, text := value.(string)
		return len(object) == 1 && text && strings.EqualFold(name, "secret")
	}
	return false
}

// hasTools reports whether an object gives somebody tools.
func hasTools(object map[string]any) bool {
	for name, value := range object {
		list, isList := value.([]any)
		if strings.EqualFold(name, "tools") && value != nil && (!isList || len(list) > 0) {
			return true
		}
	}
	return false
}

func idsOf(all []executors.Description) (ids []string) {
	for _, d := range all {
		ids = append(ids, d.ID)
	}
	return ids
}
