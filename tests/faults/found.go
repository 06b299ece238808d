package faults

import (
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// FindTasks writes into scripts what runs of their tasks find.
func FindTasks(tree oracle.Tree) {
	for i := len(tree.Tasks) - 1; i >= 0; i-- { // what is found comes after what finds it
		if script := &tree.Tasks[i].Script; script.Collect != "" {
			if script.Found = foundBy(tree, i); script.Map != nil {
				script.Found = itemsOf(tree, i)
			}
		}
	}
}

// alike is the index by which a task gets its pool, and whether it is repeatable: what is made for items is alike.
func alike(tree oracle.Tree, i int) int {
	if by := tree.Tasks[i].By; by > 0 && tree.Tasks[by-1].Script.Map != nil {
		return by - 1
	}
	return i
}

// mapping is what a map makes tasks for, and what is made for each.
type mapping struct{ Items, Each json.RawMessage }

// itemsOf is what the run of a task finds that is a map.
func itemsOf(tree oracle.Tree, finder int) json.RawMessage {
	items, each := []map[string]any{}, oracle.Task{}
	for _, t := range tree.Tasks {
		if t.By == finder+1 {
			items, each = append(items, map[string]any{"name": t.ID, oracle.ScriptKey: t.Script}), t
		}
	}
	task := map[string]any{"name": "{{item.name}}", "schemas": map[string]any{"method": ScriptedID}, "pool": Pools[finder%len(Pools)], "repeatable": Repeatable(finder),
		"inputs": map[string]any{oracle.ScriptKey: "{{item." + oracle.ScriptKey + "}}"}, "retry": retryOf(each), "allow_failure": each.AllowFailure}
	limitFound(task, each.Limiting)
	var out mapping
	out.Items, _ = json.Marshal(items)
	out.Each, _ = json.Marshal(task)
	text, err := json.Marshal(out)
	if err != nil {
		panic(fmt.Sprintf("task %s: %v", tree.Tasks[finder].ID, err))
	}
	return text
}

// retryOf is the policy of a task that is found.
func retryOf(t oracle.Task) map[string]any {
	retry := map[string]any{"max_attempts": max(1, t.MaxAttempts), "initial_delay": 0.005, "max_delay": 0.04}
	if t.RetryOn != nil {
		retry["retry_on"] = t.RetryOn
	}
	if t.NoRetryOn != nil {
		retry["no_retry_on"] = t.NoRetryOn
	}
	return retry
}

// foundBy is the document of what the run of a task finds.
func foundBy(tree oracle.Tree, finder int) json.RawMessage {
	list := []map[string]any{}
	for i, t := range tree.Tasks {
		if t.By != finder+1 {
			continue
		}
		task := map[string]any{"id": t.Local, "name": t.ID, "repeatable": Repeatable(i)}
		if t.Parent != finder {
			task["parent_id"] = tree.Tasks[t.Parent].Local
		}
		var deps []map[string]any
		for _, d := range t.Deps {
			dep := map[string]any{"id": tree.Tasks[d.On].Local, "required": !d.Optional, "merge": !d.Order}
			if d.Accept != nil {
				dep["accept"] = d.Accept
				if d.Accept[0] == oracle.Any {
					dep["accept"] = oracle.Any
				}
			}
			if d.Otherwise != "" {
				dep["otherwise"] = d.Otherwise
			}
			deps = append(deps, dep)
		}
		if deps != nil {
			task["dependencies"] = deps
		}
		if t.When != nil {
			task["when"] = t.When.CEL(tree.Tasks[t.Deps[t.When.Dep].On].Local)
		}
		if t.AllowFailure {
			task["allow_failure"] = true
		}
		if t.Group {
			delete(task, "repeatable")
		} else {
			schemas := map[string]any{"method": ScriptedID}
			if t.Mapped {
				schemas["input_schema"] = map[string]any{"properties": map[string]any{"sum": map[string]any{"type": "integer"}, "keys": map[string]any{"type": "array"}}}
			}
			task["schemas"], task["pool"], task["inputs"] = schemas, Pools[i%len(Pools)], map[string]any{oracle.ScriptKey: t.Script}
			task["retry"] = retryOf(t)
		}
		limitFound(task, t.Limiting)
		if r := t.Script.Repeat; r != nil {
			task["repeat"] = map[string]any{"until": until(r), "max": r.Max, "delay": 0.001}
		}
		list = append(list, task)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("task %s: %v", tree.Tasks[finder].ID, err))
	}
	return text
}

// limitFound writes what a task that is found asks for before it starts.
func limitFound(task map[string]any, l *dag.Limiting) {
	if l == nil {
		return
	}
	var limits, rates []map[string]any
	for _, k := range l.Limits {
		limits = append(limits, map[string]any{"key": k.Key, "max": k.Max, "cost": max(1, k.Cost)})
	}
	for _, r := range l.Rates {
		rates = append(rates, map[string]any{"key": r.Key, "per": "second", "max": r.Max, "burst": r.Burst})
	}
	if limits != nil {
		task["limits"] = limits
	}
	if rates != nil {
		task["rates"] = rates
	}
	if l.Lock != nil {
		lock := map[string]any{"key": l.Lock.Key, "on_contention": Contentions[l.Lock.OnContention]}
		if l.Lock.WaitTimeout > 0 {
			lock["wait_timeout"] = l.Lock.WaitTimeout.Seconds()
		}
		task["lock"] = lock
	}
}

// Contentions are the words for what becomes of a task whose lock is held.
var Contentions = map[dag.OnContention]string{dag.WaitForLock: "wait", dag.FailOnContention: "fail", dag.SkipOnContention: "skip"}

// Submitted are the tasks of a tree that are submitted, and not found.
func Submitted(tasks []*dag.Task, tree oracle.Tree) (out []*dag.Task) {
	for i, t := range tasks {
		if tree.Tasks[i].By == 0 {
			out = append(out, t)
		}
	}
	return out
}

// Named is what a tree calls a task that the system calls by an id, as runs find tasks by their names.
func Named(tree oracle.Tree) func(id, name string) string {
	ids := map[string]bool{}
	for _, t := range tree.Tasks {
		ids[t.ID] = t.By == 0
	}
	return func(id, name string) string {
		if submitted, is := ids[name]; is && !submitted && !ids[id] {
			return name
		}
		return id
	}
}

// Rename notes the runs of a task under another name.
func Rename(runs map[string][]*Run, id, name string) {
	if id == name {
		return
	}
	for _, r := range runs[id] {
		r.Task = name
	}
	runs[name] = runs[id]
}
