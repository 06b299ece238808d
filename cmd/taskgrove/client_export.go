package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
)

// exported is a tree as "tree -o json" prints it: what it is, and its tasks. Submitted again, it is the same tree, see [imported].
type exported struct {
	Tree  any              `json:"tree"`
	Tasks []map[string]any `json:"tasks"`
}

// documentKeys are the keys of an exported task that say what was submitted. Those of "custom" do, too; all others say what became
// of it.
var documentKeys = []string{"id", "name", "parent_id", "user_id", "priority", "dependencies", "inputs", "params", "schemas", "pool", "retry",
	"timeout", "schedule_to_start", "tree_timeout", "not_before", "on_lost", "repeatable", "when", "fold", "allow_failure",
	"template", "outputs", "repeat", "artifacts", "limits", "lock", "rates", "retention", "cache"}

// endKeys are the keys by which a document says that a task has ended before it is submitted.
var endKeys = []string{"outcome", "result", "error", "attempts"}

// export makes a document of a tree and its tasks, which are as they were submitted.
func export(tree *client.Tree, tasks []*client.Task) exported {
	out := exported{Tree: plain(reflect.ValueOf(tree)), Tasks: make([]map[string]any, len(tasks))}
	for i, t := range tasks {
		out.Tasks[i] = exportTask(t)
	}
	return out
}

func exportTask(t *client.Task) map[string]any {
	out := plain(reflect.ValueOf(t)).(map[string]any)
	if t.Executor != "" && dag.ChooseExecutor(t.Name, t.Params, t.Schemas, dag.Known{}) != t.Executor {
		out["schemas"] = withMember(t.Schemas, "method", t.Executor)
	}
	delete(out, "outputs") // in a document they are templates
	if t.Outputs != nil {
		out["output_values"] = t.Outputs
	}
	if t.Outcome != "" {
		out["attempts"] = min(t.Attempt, dag.MaxRetryAttempts) // a loop may have made more than a document may say
	}
	if o := t.Options; o != nil {
		addOptions(out, o)
	}
	return out
}

// addOptions adds what was given, in the document's words.
func addOptions(out map[string]any, o *client.TaskOptions) {
	for key, d := range map[string]time.Duration{"timeout": o.Timeout, "schedule_to_start": o.ScheduleToStart, "tree_timeout": o.TreeTimeout} {
		if d > 0 {
			out[key] = d.Seconds()
		}
	}
	if !o.NotBefore.IsZero() {
		out["not_before"] = o.NotBefore
	}
	if o.Retention != "" {
		out["retention"] = o.Retention
	}
	if o.FailLost {
		out["on_lost"] = "fail"
	}
	if o.Outputs != nil {
		out["outputs"] = o.Outputs
	}
	if o.Artifacts != nil {
		out["artifacts"] = o.Artifacts
	}
	if o.FlowStep != nil {
		out["flow_step"] = o.FlowStep
	}
	if o.Imported != nil {
		out["imported"] = true
	}
	if o.Found {
		out["found"] = true
	}
	if r := o.Retry; !r.IsZero() {
		retry := map[string]any{"max_attempts": max(r.MaxAttempts, 1)}
		if r.Backoff != "" {
			retry["backoff"] = r.Backoff
		}
		for key, d := range map[string]time.Duration{"initial_delay": r.InitialDelay, "max_delay": r.MaxDelay} {
			if d > 0 {
				retry[key] = d.Seconds()
			}
		}
		if r.NoDelay {
			retry["initial_delay"] = 0
		}
		if r.Multiplier > 0 {
			retry["multiplier"] = r.Multiplier
		}
		if r.NoJitter {
			retry["jitter"] = "none"
		}
		for key, kinds := range map[string][]string{"retry_on": r.RetryOn, "no_retry_on": r.NoRetryOn} {
			if len(kinds) > 0 {
				retry[key] = kinds
			}
		}
		out["retry"] = retry
	}
}

// withMember is a JSON object with one more member.
func withMember(object json.RawMessage, key, value string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	_ = json.Unmarshal(object, &out) // the cluster has checked it
	out[key] = json.RawMessage(asJSON(value))
	return out
}

// imported makes the document of an exported tree, which can be submitted again; other documents stay as they are. What tasks found when they ran is left
// out: they find it anew. With ended, tasks that have ended stay so, with their results; else only those that had ended when the tree was submitted.
func imported(ended bool) func(document []byte) (made []byte, was bool, err error) {
	return func(document []byte) (made []byte, was bool, err error) { return importTree(document, ended) }
}

func importTree(document []byte, ended bool) (made []byte, was bool, err error) {
	if !bytes.HasPrefix(bytes.TrimLeft(document, " \t\r\n"), []byte("{")) || !bytes.Contains(document, []byte(`"tree"`)) {
		return document, false, nil
	}
	var e struct {
		Tree  map[string]json.RawMessage
		Tasks []map[string]json.RawMessage
	}
	if json.Unmarshal(document, &e) != nil || e.Tree == nil || e.Tasks == nil {
		return document, false, nil
	}
	refs := refsOf(e.Tasks)
	tasks := make([]map[string]any, 0, len(e.Tasks))
	for i, from := range e.Tasks {
		if string(from["found"]) == "true" {
			continue
		}
		task, err := importTask(from, refs)
		if err != nil {
			return nil, false, fmt.Errorf("tasks[%d].%w", i, err)
		}
		if ended || string(from["imported"]) == "true" {
			addMembers(task, from, endKeys)
		}
		tasks = append(tasks, task)
	}
	made, err = json.Marshal(map[string]any{"tasks": tasks})
	return made, true, err
}

// ids says how the tasks of an exported tree are called: in a copy as in the submission that the tree comes from, so that results get into
// inputs by the same references.
type ids struct {
	refs  map[string]string // by id
	names bool              // they are names: the submission had no ids
}

func refsOf(tasks []map[string]json.RawMessage) ids {
	out := ids{refs: map[string]string{}, names: true}
	for _, t := range tasks {
		id, ref := textOf(t["id"]), textOf(t["ref"])
		if ref == "" {
			ref = id
		}
		out.refs[id] = ref
		out.names = out.names && ref == textOf(t["name"]) && ref != id
	}
	return out
}

func textOf(raw json.RawMessage) (text string) {
	_ = json.Unmarshal(raw, &text) // what is no text is told when it is submitted
	return text
}

// addMembers adds members of an exported task that say something.
func addMembers(task map[string]any, from map[string]json.RawMessage, keys []string) {
	for _, key := range keys {
		if value, ok := from[key]; ok && string(value) != "null" && string(value) != `""` {
			task[key] = value
		}
	}
}

// importTask is what was submitted of an exported task.
func importTask(from map[string]json.RawMessage, refs ids) (map[string]any, error) {
	task := map[string]any{}
	if custom, ok := from["custom"]; ok {
		if err := json.Unmarshal(custom, &task); err != nil || task == nil {
			task = map[string]any{}
			if string(custom) != "null" {
				return nil, errors.New("custom: must be an object")
			}
		}
	}
	addMembers(task, from, documentKeys)
	for _, key := range []string{"id", "parent_id"} {
		if ref, ok := refs.refs[textOf(from[key])]; ok {
			task[key] = ref
		}
	}
	if refs.names {
		delete(task, "id")
	}
	var dependencies []map[string]any
	if raw, ok := from["dependencies"]; ok && json.Unmarshal(raw, &dependencies) == nil && len(dependencies) > 0 {
		for _, d := range dependencies {
			if id, ok := d["id"].(string); ok && refs.refs[id] != "" {
				d["id"] = refs.refs[id]
			}
		}
		task["dependencies"] = dependencies
	}
	return task, nil
}
