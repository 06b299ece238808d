package treetest

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// found is what a run found.
type found struct {
	plan    *expansion.Plan
	tm      *expansion.Template // nil: a list
	attempt int32
	first   int // index in the tree
	n, made int
	part    int // in which the next one is, and the place there
	within  int
	settled int    // all before this one have ended, and none of them failed
	direct  []bool // the tasks right below, of those that are made
}

func expandDocument(a *attempt, e *executors.Expand) expansion.Document {
	d := expansion.Document{Tasks: e.Tasks, Items: e.Items, Each: e.Each, Window: e.Window, Stop: e.StopOnFailure, Collect: e.Collect}
	if c := a.t.Control; c != nil && c.FlowStep != nil && e.Collect == executors.CollectCounted {
		d.Outputs = c.Outputs
		d.Values = dag.KeptValues(a.scope, e.Each, c.Outputs)
	}
	return d
}

// expand is how an attempt ends that found tasks.
func (w *world) expand(a *attempt, document json.RawMessage) dag.Result {
	t := a.t
	if t.above >= dag.MaxNestedExpansions {
		return permanent(dag.KindTreeFull, "%s: it is below %d tasks that found one another: does it find itself?", dag.KindTreeFull, dag.MaxNestedExpansions)
	}
	violations := w.submitted.Tree()
	plan, err := expansion.Read(document, expansion.Options{Name: t.Name, UserID: t.user(), Executors: w.executors, Check: func(index int, made *dag.Task) {
		treefile.Look(made, index, w.executors)
		w.look(made, index, violations)
	}})
	if err != nil {
		return permanent(dag.KindOutput, "%v", err)
	}
	if fault := a.unseen(plan.Collect == expansion.Counted && t.Control != nil && t.Control.FlowStep != nil); fault != nil {
		return *fault
	}
	if !w.room(plan.Tasks) {
		return permanent(dag.KindTreeFull, "%v", errFull)
	}
	f := &found{plan: plan, attempt: a.number, first: len(t.tree.tasks), n: plan.Tasks}
	if plan.Template != nil {
		if f.tm, err = expansion.ReadTemplate(plan.Template, w.executors); err != nil {
			return permanent(dag.KindOutput, "%v", err)
		}
	}
	t.found = f
	t.tree.tasks = append(t.tree.tasks, make([]*task, f.n)...)
	return dag.Result{Outcome: dag.OutcomeExpanded, After: dag.After{First: int32(f.first), Children: int32(f.n)}}
}

// below are the tasks that were made of what a task found.
func (f *found) below(tr *tree) []*task { return tr.tasks[f.first : f.first+f.made] }

// grow makes the next tasks of what a task found, as many as there is room for.
func (w *world) grow(t *task) {
	f := t.found
	if f == nil || t.row.State != dag.Expanded || t.row.Attempt != f.attempt || t.tree.cancelled || f.made == f.n {
		return
	}
	if f.plan.Stop && f.failed(t.tree) {
		left := f.n - f.made
		w.note(t, "makes no further items, as one has failed: %d are left", left)
		f.n = f.made
		w.decide(func(d *dag.Decision) { d.Shrink(t.row.Key, int32(left)) }, t)
		return
	}
	room := expansion.Room(int64(f.n-f.made), int64(f.plan.Window), f.busy(t.tree, t.row.Remaining), int64(f.plan.PerItem))
	var fresh []*task
	for room > 0 && f.part < len(f.plan.Parts) {
		part := f.plan.Parts[f.part]
		made, err := expansion.Tasks(f.tm, part.Body, f.made-f.within, f.within, int(room), w.executors)
		if err != nil || len(made) == 0 {
			w.giveUp("%s: %v", t.path(), err)
			return
		}
		fresh = append(fresh, w.add(t, f, made)...)
		room -= int64(len(made))
		if f.made, f.within = f.made+len(made), f.within+len(made); f.within >= part.Tasks {
			f.part, f.within = f.part+1, 0
		}
	}
	var free []*task
	for _, one := range fresh {
		if one.row.Remaining == 0 {
			free = append(free, one)
		}
	}
	if len(free) > 0 {
		w.release(free)
	}
}

// failed reports whether one of what was made has failed, or was cancelled.
func (f *found) failed(tr *tree) bool {
	for _, one := range f.open(tr) {
		if expansion.Fails(one.row.State, one.row.Flags) {
			return true
		}
	}
	return false
}

// open are the tasks that were made, without those at the beginning that have ended well.
func (f *found) open(tr *tree) []*task {
	all := f.below(tr)
	for f.settled < len(all) && all[f.settled].row.State.Settled() && !expansion.Fails(all[f.settled].row.State, all[f.settled].row.Flags) {
		f.settled++
	}
	return all[f.settled:]
}

// busy is how many items are in progress; remaining is how many tasks have not ended, with those that are not made.
func (f *found) busy(tr *tree, remaining int32) (n int64) {
	switch {
	case f.plan.Window == 0 || f.plan.PerItem == 0:
		return 0
	case f.plan.PerItem == 1:
		return int64(f.made - (f.n - int(remaining)))
	}
	open, last := f.open(tr), -1
	for i, one := range open {
		if item := (f.settled + i) / f.plan.PerItem; item != last && one.row.State.Unfinished() {
			n++
			last = item
		}
	}
	return n
}

// add adds tasks that were found to their tree.
func (w *world) add(t *task, f *found, made []expansion.Made) (fresh []*task) {
	delta := &dag.TreeDelta{}
	g := &dag.Graph{Leaf: make([]bool, len(made)), Judged: make([]bool, len(made))}
	for i := range made {
		g.Leaf[i], g.Judged[i] = made[i].Leaf, made[i].Judged
	}
	for i := range made {
		m := &made[i]
		flags := g.Flags(i, m.Dependents+1, ownFlags(m.Task)|dag.FlagChild) // the one that found it is told of its end, too
		one := w.make(t.tree, f.first+f.made+i, m.Task, flags)
		one.ref, one.parent, one.finder, one.above = m.Ref, t, t, t.above+1
		one.row.Remaining = int32(len(m.Edges))
		one.dependents = append(one.dependents, dag.Dependent{Key: t.row.Key, Mode: dag.ChildEdge})
		for _, e := range m.Edges {
			e.Task += int32(f.first)
			one.deps = append(one.deps, e)
		}
		f.direct = append(f.direct, m.Parent < 0)
		delta.Count(dag.Waiting, flags, 1)
		fresh = append(fresh, one)
	}
	for i, one := range fresh {
		if p := made[i].Parent; p >= 0 {
			one.parent = t.tree.tasks[f.first+int(p)]
		}
		for _, e := range one.deps {
			on := t.tree.tasks[e.Task]
			on.dependents = append(on.dependents, dag.Dependent{Key: one.row.Key, Required: e.Required, Mode: e.Mode})
		}
	}
	w.count(t.tree, delta)
	return fresh
}

// collect ends a task once all that it found has ended.
func (w *world) collect(t *task) {
	f := t.found
	if f == nil || t.row.State != dag.Expanded || t.row.Remaining != 0 {
		return
	}
	end := w.collected(t, f)
	w.decide(func(d *dag.Decision) { d.Answer(t.row.Key, f.attempt, end) }, t)
}

func (w *world) collected(t *task, f *found) dag.Answer {
	all := expansion.NewCollecting(f.plan.Collect, f.plan.PerItem)
	for i, one := range f.below(t.tree) {
		if expansion.Fails(one.row.State, one.row.Flags) {
			return expansion.Failed(one.Name, one.id, one.row.State, one.failure())
		}
		if !f.direct[i] {
			continue
		}
		if err := all.Add(i, one.ref, one.row.State, one.result()); err != nil {
			return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindOutput, Error: err.Error()}
		}
	}
	end := all.Answer()
	if f.plan.Collect == expansion.Counted && f.tm != nil {
		end = expansion.AddOutputs(f.plan.Template, &dag.Rendering{TaskID: t.id, Name: t.Name, TreeID: t.tree.id, UserID: t.user(), Attempt: int64(f.attempt)}, end)
	}
	return end
}

// cancelFound cancels what a task found that was cancelled.
func (w *world) cancelFound(t *task) {
	if t.found == nil || t.row.State != dag.Cancelled {
		return
	}
	var all []*task
	for _, one := range t.found.below(t.tree) {
		if one.row.State.Unfinished() {
			all = append(all, one)
		}
	}
	w.decide(func(d *dag.Decision) {
		for _, one := range all {
			d.Cancel(one.row.Key, "the task that found it was cancelled", false)
		}
	}, all...)
}
