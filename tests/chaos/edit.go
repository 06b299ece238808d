package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// edited is a stored tree whose client changes it while the tasks that it changes can't have started.
type edited struct {
	rng  *rand.Rand
	held bool // else they wait for a gate
	// trees are all that it may be by the answers: one, and the one that a last change without an answer makes of it.
	trees   []oracle.Tree
	changed map[int]bool // tasks that were changed by status or dependencies: once is enough
}

// edit is one change.
type edit struct {
	what  string
	call  func(context.Context, *client.Client) error
	after oracle.Tree
	// found: that the task is not there says that an earlier call, which had no answer, has deleted it.
	found bool
	late  bool // it may come late, when the tree runs, and changes no more than what it says
	once  bool // it can't be asked for again
}

// edit makes changes of a stored tree, at random. Each is asked for until it has an answer, but for the last one now and then.
func (g *game) edit(ctx context.Context, s Story, rng *rand.Rand) (*edited, error) {
	e := &edited{rng: rng, held: s.How == Held, trees: []oracle.Tree{s.Tree}, changed: map[int]bool{}}
	giveUp := rng.IntN(2) == 0
	for n := range s.Edits {
		change, ok := e.next(s.Prefix)
		if !ok {
			continue
		}
		last := giveUp && n == s.Edits-1 && change.late || change.once
		sure, err := g.change(ctx, change, last)
		switch {
		case err != nil:
			return nil, err
		case sure:
			e.trees = []oracle.Tree{change.after}
		default: // what comes after it would have to know
			e.trees = append(e.trees, change.after)
			return e, nil
		}
		time.Sleep(upTo(rng, 100*time.Millisecond))
	}
	return e, nil
}

// change makes one change. sure: it has taken effect.
func (g *game) change(ctx context.Context, change edit, once bool) (sure bool, err error) {
	for tries := 1; ; tries++ {
		err = g.once(ctx, change.what, change.call)
		switch {
		case err == nil:
			g.count()
			return true, nil
		case change.found && tries > 1 && errors.Is(err, client.ErrNotFound):
			return true, nil
		case !errors.Is(err, client.ErrUnavailable) || ctx.Err() != nil:
			return false, fmt.Errorf("%s: %w", change.what, err)
		case once:
			return false, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// count counts a change that had its answer.
func (g *game) count() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out.Counts.Edits++
}

// tree is what the next change is about.
func (e *edited) tree() oracle.Tree { return e.trees[0] }

// idle are the tasks that can't have started, nor can before the client lets them, and were not changed yet.
func (e *edited) idle(t oracle.Tree) (out []int) {
	for i := range t.Tasks {
		if !e.changed[i] && e.free(t, i) {
			out = append(out, i)
		}
	}
	return out
}

// free reports whether neither a task nor anything that depends on it can have started: what waits for a blocked task may have, without its result.
func (e *edited) free(t oracle.Tree, i int) bool {
	waiting := waiting(t, e.held)
	if e.held {
		return waiting[i]
	}
	for j := range dependents(t, i) {
		if !waiting[j] {
			return false
		}
	}
	return true
}

// waiting tells which tasks can't have started: of a held tree all, else those behind the gate. What is to be cancelled still waits.
func waiting(t oracle.Tree, held bool) []bool {
	t = copyOf(t)
	for i := range t.Tasks {
		t.Tasks[i].Cancelled = false
	}
	idle := t.Idle()
	if held {
		for i, task := range t.Tasks {
			idle[i] = !task.Deleted && task.ByHand == nil
		}
	}
	return idle
}

// copyOf is a tree that may be changed.
func copyOf(t oracle.Tree) oracle.Tree {
	t.Tasks = slices.Clone(t.Tasks)
	for i := range t.Tasks {
		t.Tasks[i].Deps = slices.Clone(t.Tasks[i].Deps)
	}
	return t
}

// next draws a change. It is none if what it would set free is to be cancelled later.
func (e *edited) next(prefix string) (edit, bool) {
	idle := e.idle(e.tree())
	if len(idle) == 0 {
		return edit{}, false
	}
	i := idle[e.rng.IntN(len(idle))]
	kinds := []func(i int) (edit, bool){e.inputs, e.priority, e.dependencies, e.dependencies, e.byHand, e.byHand, e.remove, e.forget}
	if e.held {
		kinds = append(kinds, func(i int) (edit, bool) { return e.add(i, prefix) })
	}
	change, ok := kinds[e.rng.IntN(len(kinds))](i)
	if !ok {
		return edit{}, false
	}
	still := waiting(change.after, e.held)
	for j, task := range change.after.Tasks {
		if task.Cancelled && !task.Deleted && task.ByHand == nil && !still[j] {
			return edit{}, false
		}
	}
	return change, true
}

// update is a change of fields of a task.
func (e *edited) update(i int, what string, fields client.Change, after oracle.Tree) edit {
	id := after.Tasks[i].ID
	return edit{what: fmt.Sprintf("update %s: %s", id, what), after: after, call: func(ctx context.Context, c *client.Client) error {
		_, err := c.Update(ctx, id, fields)
		return err
	}}
}

func (e *edited) inputs(i int) (edit, bool) {
	after := copyOf(e.tree())
	task := &after.Tasks[i]
	if task.Group {
		return edit{}, false
	}
	task.Script.Add = e.rng.IntN(1000)
	change := e.update(i, "inputs", client.Change{Inputs: map[string]any{oracle.ScriptKey: task.Script}}, after)
	change.late = true
	return change, true
}

func (e *edited) priority(i int) (edit, bool) {
	p := client.Priority(dag.Priority(e.rng.IntN(dag.Priorities)) - dag.Normal)
	change := e.update(i, "priority", client.Change{Priority: &p}, copyOf(e.tree()))
	change.late = true
	return change, true
}

// dependencies are all replaced: by some that come earlier, and, while the tree runs, the gate.
func (e *edited) dependencies(i int) (edit, bool) {
	after := copyOf(e.tree())
	task := &after.Tasks[i]
	task.Deps = nil
	behind := dependents(e.tree(), i)
	for j, on := range e.tree().Tasks {
		if !e.held && on.Script.Gate || !on.Deleted && !behind[j] && e.rng.IntN(len(after.Tasks)) < 3 {
			task.Deps = append(task.Deps, oracle.Dep{On: j, Optional: e.rng.IntN(2) == 0})
		}
	}
	list := []client.Dependency{}
	for _, d := range task.Deps {
		list = append(list, client.Dependency{Ref: after.Tasks[d.On].ID, Optional: d.Optional})
	}
	e.changed[i] = true
	return e.update(i, fmt.Sprintf("dependencies %+v", list), client.Change{Dependencies: &list}, after), true
}

// dependents are a task and all that depend on it, directly or not.
func dependents(t oracle.Tree, i int) map[int]bool {
	behind := map[int]bool{i: true}
	for grown := true; grown; {
		grown = false
		for j, task := range t.Tasks {
			if !behind[j] && slices.ContainsFunc(task.Deps, func(d oracle.Dep) bool { return behind[d.On] }) {
				behind[j], grown = true, true
			}
		}
	}
	return behind
}

// byHand ends a task by a word. In a held tree it completes, as what failed is run again when the tree is executed.
func (e *edited) byHand(i int) (edit, bool) {
	after := copyOf(e.tree())
	end := &oracle.End{State: dag.Completed, Attempts: 1, Result: map[string]any{"sum": float64(e.rng.IntN(1000)), "keys": []any{}}}
	fields := client.Change{Status: client.StatusCompleted}
	switch kind := e.rng.IntN(3); {
	case e.held || kind == 0:
		fields.Result, _ = json.Marshal(end.Result)
	case kind == 1:
		text := "by hand"
		end, fields = &oracle.End{State: dag.Failed, Attempts: 1}, client.Change{Status: client.StatusFailed, Error: &text}
	default:
		end, fields = &oracle.End{State: dag.Cancelled}, client.Change{Status: client.StatusCancelled}
	}
	after.Tasks[i].ByHand = end
	e.changed[i] = true
	return e.update(i, "status "+string(fields.Status), fields, after), true
}

// below are a task and all below it.
func below(t oracle.Tree, i int) map[int]bool {
	in := map[int]bool{i: true}
	for grown := true; grown; {
		grown = false
		for j, task := range t.Tasks {
			if !task.Deleted && !in[j] && in[task.Parent] {
				in[j], grown = true, true
			}
		}
	}
	return in
}

// remove deletes a task, with all below it, on which nothing else depends.
func (e *edited) remove(i int) (edit, bool) {
	after, ok := e.without(i)
	if !ok {
		return edit{}, false
	}
	for j, task := range e.tree().Tasks {
		if !after.Tasks[j].Deleted && len(task.Deps) != len(after.Tasks[j].Deps) {
			return edit{}, false
		}
	}
	return e.delete(i, after), true
}

// forget deletes a task, with all below it, also from what depends on them.
func (e *edited) forget(i int) (edit, bool) {
	after, ok := e.without(i)
	if !ok {
		return edit{}, false
	}
	return e.delete(i, after, client.ForceDelete()), true
}

func (e *edited) delete(i int, after oracle.Tree, options ...client.DeleteOption) edit {
	id := after.Tasks[i].ID
	return edit{what: fmt.Sprintf("delete %s, forced %v", id, len(options) > 0), after: after, found: true, call: func(ctx context.Context, c *client.Client) error {
		_, err := c.Delete(ctx, id, options...)
		return err
	}}
}

// without is the tree without a task and all below it. Of these none can have started, and none is the first, which the tree is called by here.
func (e *edited) without(i int) (oracle.Tree, bool) {
	after := copyOf(e.tree())
	gone := below(after, i)
	if after.Tasks[i].Parent < 0 {
		return after, false
	}
	for j := range gone {
		if j == 0 || !e.free(after, j) {
			return after, false
		}
	}
	for j := range after.Tasks {
		task := &after.Tasks[j]
		if gone[j] {
			task.Deleted, task.Deps = true, nil
			continue
		}
		task.Deps = slices.DeleteFunc(task.Deps, func(d oracle.Dep) bool { return gone[d.On] })
	}
	return after, true
}

// add stores tasks below one of a held tree. A call that was repeated would add them again under other ids.
func (e *edited) add(i int, prefix string) (edit, bool) {
	after := copyOf(e.tree())
	if slices.ContainsFunc(after.Tasks, func(t oracle.Task) bool { return t.ByHand != nil }) { // what has ended bars it
		return edit{}, false
	}
	first := len(after.Tasks)
	for n := range 1 + e.rng.IntN(3) {
		task := oracle.Task{ID: fmt.Sprintf("%s-%d", prefix, first+n), Parent: i, MaxAttempts: 1 + e.rng.IntN(3), Script: oracle.Script{Add: e.rng.IntN(1000)}}
		for j, on := range after.Tasks {
			if !on.Deleted && e.rng.IntN(len(after.Tasks)) < 2 {
				task.Deps = append(task.Deps, oracle.Dep{On: j, Optional: e.rng.IntN(2) == 0})
			}
		}
		after.Tasks = append(after.Tasks, task)
	}
	requiredFirst(oracle.Tree{Tasks: after.Tasks[first:]})
	var tasks []client.NewTask
	for _, t := range faults.TasksOf(after, time.Now())[first:] {
		tasks = append(tasks, newTask(t, true))
	}
	parent := after.Tasks[i].ID
	return edit{what: fmt.Sprintf("add %d tasks to %s", len(tasks), parent), after: after, once: true, call: func(ctx context.Context, c *client.Client) error {
		_, err := c.Add(ctx, parent, tasks)
		return err
	}}, true
}
