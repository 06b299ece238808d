package pg

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// residentView is what one transaction uses of the resident trees. It belongs to the transaction's goroutine.
type residentView struct {
	all   *residentTrees
	trees map[dag.TreeKey]viewedTree // nil: none of the transaction's trees is resident
}

// viewedTree is a resident tree, and the execution that the transaction finds it in.
type viewedTree struct {
	*residentTree
	execution int32 // 0: nothing of it is published from here: it is cancelled, or gone
}

// view is a view of those of the trees that are resident.
func (r *residentTrees) view(trees []dag.TreeKey) *residentView {
	v := &residentView{all: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.trees) == 0 {
		return v
	}
	now := time.Now()
	for _, key := range trees {
		if t := r.trees[key]; t != nil {
			if v.trees == nil {
				v.trees = make(map[dag.TreeKey]viewedTree, len(trees))
			}
			t.used = now
			v.trees[key] = viewedTree{t, 0}
		}
	}
	return v
}

// assume hands in the rows of results and of what they unlock, as they are remembered, and gives a view of their trees. false:
// query Postgres.
func (r *residentTrees) assume(o *dag.Optimistic, results []dag.Result) (v *residentView, ok bool) {
	v = &residentView{all: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	return v, o.AssumeResults(results, &residentMemory{v, time.Now()})
}

// residentMemory answers from the resident trees, and adds each that it is asked for to its view. The mutex of residentTrees is
// locked as long as it is in use.
type residentMemory struct {
	*residentView
	now time.Time
}

// Dependents implements [dag.Memory].
func (m *residentMemory) Dependents(k dag.Key) (dependents []dag.Dependent, execution int32) {
	tree := k.Tree()
	t, seen := m.trees[tree]
	if !seen {
		if t.residentTree = m.all.trees[tree]; t.residentTree == nil {
			return nil, 0
		}
		if m.trees == nil {
			m.trees = map[dag.TreeKey]viewedTree{}
		}
		t.used, t.execution = m.now, t.lastExecution
		m.trees[tree] = t
	}
	return t.dependentsOf(k), t.execution
}

// Waiting implements [dag.Memory]: for the dependents of tasks that it was asked for.
func (m *residentMemory) Waiting(k dag.Key) (f dag.Facts, remaining int32) {
	return m.trees[k.Tree()].wait(k)
}

// withDependents gives those of the tasks that are of resident trees, with what they unlock, and the others. keys are sorted,
// and so is what is given.
func (v *residentView) withDependents(keys []dag.Key) (resident, others []dag.Key) {
	if len(v.trees) == 0 {
		return []dag.Key{}, keys
	}
	resident = make([]dag.Key, 0, 2*len(keys))
	for _, k := range keys {
		if _, has := v.trees[k.Tree()]; has {
			resident = append(resident, k)
		} else {
			others = append(others, k)
		}
	}
	v.eachDependent(resident, func(_ dag.Key, d dag.Dependent) { resident = append(resident, d.Key) })
	slices.Sort(resident)
	return slices.Compact(resident), others
}

// eachDependent gives the dependents of those of the tasks that are of resident trees.
func (v *residentView) eachDependent(keys []dag.Key, f func(dag.Key, dag.Dependent)) {
	if len(v.trees) == 0 {
		return
	}
	for _, k := range keys {
		if t, has := v.trees[k.Tree()]; has {
			for _, d := range t.dependentsOf(k) {
				f(k, d)
			}
		}
	}
}

// found tells what the transaction found a tree to be: its identity, and its execution, 0 if it is cancelled. false: it is
// not the one that is resident, which is removed; the view must not be used any more.
func (v *residentView) found(key dag.TreeKey, id identity, execution int32) (same bool) {
	t := v.trees[key]
	t.execution = execution
	v.trees[key] = t
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	t.lastExecution = execution
	if !t.id.equal(id) {
		v.all.remove(key)
		return false
	}
	return true
}

// identity is that of a tree of the view; zero of others.
func (v *residentView) identity(key dag.TreeKey) identity {
	if t, has := v.trees[key]; has {
		return t.id
	}
	return identity{}
}

// fill puts what to publish for stretches into work, as far as it is resident or among the results that the transaction
// brings, and gives the stretches for which Postgres has to be queried.
func (v *residentView) fill(stretches []Stretch, brought map[dag.Key][]byte, work map[dag.Key]*Work) (missing []Stretch) {
	if len(v.trees) == 0 {
		return stretches
	}
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	return slices.DeleteFunc(stretches, func(s Stretch) bool {
		t, has := v.trees[s.First.Tree()]
		if !has {
			return false
		}
		resident := t.workOf(s, t.execution, brought)
		for _, w := range resident {
			work[w.Key] = w
		}
		return resident != nil
	})
}

// brought are the results in this transaction that dependents may start from, of tasks of resident trees.
func (v *residentView) brought(ended []dag.Ended) map[dag.Key][]byte {
	if len(v.trees) == 0 {
		return nil
	}
	out := map[dag.Key][]byte{}
	for _, e := range ended {
		if e.Outcome != dag.OutcomeCompleted || e.Chunked {
			continue
		}
		if t, has := v.trees[e.Task.Tree()]; has && t.execution > 0 && !t.large() && len(t.dependentsOf(e.Task)) > 0 {
			out[e.Task] = e.Result
		}
	}
	return out
}

// committed takes over what the transaction left: rows, results that it brought, and trees that it advanced, of which those
// that ended are removed.
func (v *residentView) committed(changed []*dag.Row, brought map[dag.Key][]byte, trees []TreeSequence) {
	if len(changed)+len(brought)+len(trees) == 0 {
		return
	}
	r := v.all
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each(changed, (*residentTree).remember)
	for key, value := range brought {
		t := v.trees[key.Tree()]
		if r.trees[key.Tree()] != t.residentTree {
			continue
		}
		result := residentResultOf{t.execution, value}
		if len(value) > residentResult || r.size+len(value) > residentBytes {
			result = residentResultOf{} // and forget what it completed with before
		}
		r.size += t.setResult(key, result)
	}
	for _, t := range trees {
		if t.Final {
			r.remove(t.Tree)
		}
	}
}
