package treetest

import (
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// submit stores a tree and starts it: the case's, or one that a task submits. The error says what is wrong with it.
func (w *world) submit(document []byte, waiter *task, detach bool) (*tree, error) {
	in := w.check(document)
	if len(in.faults) > 0 {
		var all []string
		for _, bad := range in.faults {
			all = append(all, bad.Reason)
		}
		if in.more > 0 {
			all = append(all, fmt.Sprintf("and %d more", in.more))
		}
		return nil, fmt.Errorf("the tree is invalid: %s", strings.Join(all, "; "))
	}
	g := in.graph
	if !w.room(len(in.tasks)) {
		return nil, errFull
	}
	tr := &tree{key: dag.TreeKey(len(w.trees) + 1), waiter: waiter, detach: detach, tasks: make([]*task, len(in.tasks))}
	if waiter != nil {
		tr.name, tr.depth, tr.attempt = waiter.path(), waiter.tree.depth+1, waiter.row.Attempt
	}
	w.trees = append(w.trees, tr)
	dependents := make([]int32, len(in.tasks))
	for _, e := range g.Dep {
		dependents[e.Task]++
	}
	for i, t := range in.tasks {
		one := w.make(tr, i, t, g.Flags(i, dependents[i], ownFlags(t)))
		one.ref, one.deps = g.Refs[i], g.Dependencies(i)
		if t.ID != "" {
			one.id = t.ID
		}
	}
	tr.root = tr.tasks[g.Root]
	tr.id = tr.root.id
	for i, one := range tr.tasks {
		if p := g.Parent[i]; p >= 0 {
			one.parent = tr.tasks[p]
		}
		for _, e := range one.deps {
			on := tr.tasks[e.Task]
			on.dependents = append(on.dependents, dag.Dependent{Key: one.row.Key, Required: e.Required, Mode: e.Mode})
		}
	}
	w.bear(tr, g)
	if limit := tr.root.TreeTimeout; limit > 0 {
		w.at(limit, func() { w.cancelTree(tr, "Tree timeout") })
	}
	return tr, nil
}

// errFull says that a case has too many tasks.
var errFull = fmt.Errorf("a case may have %d tasks, in all its trees", maxTasks)

// room reports whether there may be so many more tasks; else the case is given up.
func (w *world) room(n int) bool {
	if len(w.tasks)+n > maxTasks {
		w.giveUp("%v", errFull)
		return false
	}
	return true
}

// ownFlags are those that a task has by itself.
func ownFlags(t *dag.Task) dag.Flags {
	f := t.Beyond() &^ dag.FlagLimited // who asks is granted at once
	if t.Executor == "" {
		f |= dag.FlagGroup
	}
	if !t.NotBefore.IsZero() || t.ScheduleToStart > 0 {
		f |= dag.FlagTimed
	}
	if t.Timeout > 0 {
		f |= dag.FlagTimeout
	}
	if t.OnLost == dag.FailLost {
		f |= dag.FlagOnce
	}
	return f
}

// make makes the task of an index, which waits.
func (w *world) make(tr *tree, index int, t *dag.Task, flags dag.Flags) *task {
	one := &task{Task: t, tree: tr, id: w.newID(), policy: dag.Policy{Executor: t.Executor, Retry: t.Retry, OnLost: t.OnLost, Timeout: t.Timeout, ScheduleToStart: t.ScheduleToStart,
		NotBefore: t.NotBefore}}
	one.row = dag.Row{Key: tr.key.Key(index), State: dag.Waiting, Flags: flags, Priority: t.Priority, Pool: 1, Attempt: 1}
	tr.tasks[index] = one
	w.tasks = append(w.tasks, one)
	return one
}

// bear gives the tasks of a new tree their first states, and lets those go that wait for nothing.
func (w *world) bear(tr *tree, g *dag.Graph) {
	births := g.Births(func(i int) dag.State {
		if imported := tr.tasks[i].Imported; imported != nil {
			return imported.State
		}
		return dag.Held
	}, func(i int) dag.Flags { return tr.tasks[i].row.Flags })
	delta := &dag.TreeDelta{}
	var free []*task
	for i, one := range tr.tasks {
		b := births[i]
		if one.row.Remaining = b.Remaining; b.State.Settled() {
			one.row.State = b.State
			one.ended, one.endedAt = w.now, w.moment
			if b.State == dag.Blocked && b.BlockedBy >= 0 {
				one.row.BlockedBy = tr.key.Key(b.BlockedBy)
			}
		}
		if one.Imported != nil {
			if e, ok := one.Imported.Ended(one.row.Key); ok {
				one.last, one.row.Attempt = &e, e.Attempt
			}
		}
		delta.Count(one.row.State, one.row.Flags, 1)
		if one.row.State == dag.Waiting && one.row.Remaining == 0 {
			free = append(free, one)
		}
	}
	w.later(func() { w.release(free) })
	w.count(tr, delta)
}

// release lets tasks go that wait for nothing.
func (w *world) release(tasks []*task) {
	w.decide(func(d *dag.Decision) {
		for _, t := range tasks {
			d.Release(t.row.Key)
		}
	}, tasks...)
}
