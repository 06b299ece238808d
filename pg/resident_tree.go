package pg

import (
	"slices"
	"time"
	"unsafe"

	"github.com/taskgrove/taskgrove/dag"
)

// residentTree is one tree as it began. A large one has its edges only.
type residentTree struct {
	id         identity
	dependents []dag.Dependent // of task i: from unlocks[i] to unlocks[i+1]
	unlocks    []int32         // nil: the tree has no edges

	// Of small trees only.
	work         []Work   // by index, without what changes: attempt, execution, results
	refs         []string // by index: what the inputs of others call a task
	dependencies []int32  // of task i, by index, in their order: from needs[i] to needs[i+1]
	needs        []int32
	order        []bool // like dependencies: which of them carry order only; nil: none

	// What is below changes: it is guarded by the mutex of residentTrees.
	size    int // bytes
	used    time.Time
	results []residentResultOf // of small trees, by index; nil: none yet

	// What may be assumed of the tasks that wait (see [dag.Optimistic]): as they began, and as this process left them. Another
	// process may have changed them since.
	lastExecution int32                   // that a transaction found the tree in; 0: it is cancelled
	remaining     []int32                 // of a small tree, by index: how many dependencies a task waits for; 0: unknown
	waiting       map[dag.Key]waitingTask // of a large tree: at most maxWaiting
}

// residentResultOf is what a task completed with in an execution of its tree; 0: it is not known to have completed.
type residentResultOf struct {
	execution int32
	value     []byte // nil: null
}

// waitingTask is a task of a large tree that waits.
type waitingTask struct {
	facts     dag.Facts
	remaining int32
}

// maxWaiting is how many waiting tasks of a large tree are remembered, in some 5 KiB that are not counted.
const maxWaiting = 128

// newResidentTree is a small tree that has just been stored. work is what workers are sent of its tasks, without what changes;
// refs are what inputs call them; size is how many bytes they carry.
func newResidentTree(g *dag.Graph, tree dag.TreeKey, id identity, work []Work, refs []string, size int) *residentTree {
	t := newLargeResidentTree(g, tree, id)
	t.work, t.refs, t.dependencies, t.needs = work, refs, make([]int32, len(g.Dep)), g.DepStart
	t.size += size
	t.remaining = make([]int32, len(g.IDs))
	for i := range t.work {
		t.remaining[i] = int32(len(g.Dependencies(i)))
		t.size += len(t.work[i].ID) + len(refs[i]) + int(unsafe.Sizeof(Work{})+unsafe.Sizeof(residentResultOf{})) + 8
	}
	for n, e := range g.Dep {
		t.dependencies[n] = e.Task
		if e.Mode.OrderOnly() {
			if t.order == nil {
				t.order = make([]bool, len(g.Dep))
				t.size += len(g.Dep)
			}
			t.order[n] = true
		}
		t.size += 4
	}
	return t
}

// newLargeResidentTree is a large tree that has just been stored.
func newLargeResidentTree(g *dag.Graph, tree dag.TreeKey, id identity) *residentTree {
	id.revision = 1
	t := &residentTree{id: id, size: largeResidentSize(g), lastExecution: 1}
	if len(g.Dep) == 0 {
		return t
	}
	n := len(g.IDs)
	t.dependents, t.unlocks = make([]dag.Dependent, len(g.Dep)), make([]int32, n+1)
	for _, e := range g.Dep {
		t.unlocks[e.Task+1]++
	}
	for i := range n {
		t.unlocks[i+1] += t.unlocks[i]
	}
	next := slices.Clone(t.unlocks[:n])
	for i := range n {
		for _, e := range g.Dependencies(i) {
			t.dependents[next[e.Task]] = dag.Dependent{Key: tree.Key(i), Required: e.Required, Mode: e.Mode}
			next[e.Task]++
		}
	}
	return t
}

// largeResidentSize is the size of what newLargeResidentTree gives, in bytes.
func largeResidentSize(g *dag.Graph) int {
	size := int(unsafe.Sizeof(residentTree{}))
	if len(g.Dep) > 0 {
		size += len(g.Dep)*int(unsafe.Sizeof(dag.Dependent{})) + (len(g.IDs)+1)*4
	}
	return size
}

// large reports whether only the edges are resident.
func (t *residentTree) large() bool { return t.work == nil }

// dependentsOf are the dependents of a task that are unlocked at once, as LockTasksAndDependents finds them.
func (t *residentTree) dependentsOf(k dag.Key) []dag.Dependent {
	i := k.Index()
	if i+1 >= len(t.unlocks) {
		return nil
	}
	if all := t.dependents[t.unlocks[i]:t.unlocks[i+1]]; len(all) <= dag.InlineDependents {
		return all
	}
	return nil
}

// workAt is what to publish for a task of a stretch of first attempts, without the results that it starts from.
func (t *residentTree) workAt(k dag.Key, s Stretch, execution int32) *Work {
	w := t.work[k.Index()]
	w.Attempt, w.Priority, w.Pool, w.Execution = s.Attempt, s.Priority, s.Pool, execution
	return &w
}

// workOf is what to publish for a stretch in an execution: with the results that are resident, and those that this transaction
// brings. nil: something of it is not resident (such as the runs that later attempts are of), or execution is 0. The mutex is
// locked.
func (t *residentTree) workOf(s Stretch, execution int32, brought map[dag.Key][]byte) []*Work {
	from := s.First.Index()
	if execution == 0 || s.Attempt != 1 || from+int(s.N) > len(t.work) {
		return nil
	}
	out := make([]*Work, s.N)
	for n := range out {
		w := t.workAt(s.First+dag.Key(n), s, execution)
		out[n] = w
		if w.Deps == 0 || w.Deps > MaxInlineDeps {
			continue
		}
		for at := t.needs[from+n]; at < t.needs[from+n+1]; at++ {
			if t.order != nil && t.order[at] {
				continue
			}
			on := t.dependencies[at]
			value, ok := brought[s.First.Tree().Key(int(on))]
			if !ok && t.results != nil {
				had := t.results[on]
				value, ok = had.value, had.execution == execution
			}
			if !ok {
				return nil
			}
			if value != nil {
				w.Results = append(w.Results, dag.DependencyResult{Ref: t.refs[on], Result: value})
			}
		}
	}
	return out
}

// setResult replaces what a task completed with, and returns how many bytes the tree grows by. The mutex is locked.
func (t *residentTree) setResult(k dag.Key, r residentResultOf) (more int) {
	if t.results == nil {
		t.results = make([]residentResultOf, len(t.work))
	}
	more = len(r.value) - len(t.results[k.Index()].value)
	t.results[k.Index()] = r
	t.size += more
	return more
}

// wait gives the facts of a task that waits, and for how many dependencies: 0 if that is unknown. The mutex is locked.
func (t *residentTree) wait(k dag.Key) (f dag.Facts, remaining int32) {
	if t.large() {
		w := t.waiting[k]
		return w.facts, w.remaining
	}
	w := &t.work[k.Index()]
	return dag.FactsOf(1, w.Flags, w.Priority, w.Pool), t.remaining[k.Index()]
}

// remember notes how a transaction left a task, if that may be assumed later. The mutex is locked.
func (t *residentTree) remember(r *dag.Row) {
	switch {
	case !r.Memorable():
		t.forget(r.Key)
	case !t.large():
		if i := r.Key.Index(); i < len(t.remaining) { // else the key is another tree's since
			t.remaining[i] = r.Remaining
		}
	default:
		if _, has := t.waiting[r.Key]; t.waiting == nil || !has && len(t.waiting) == maxWaiting { // other processes may have settled those
			t.waiting = map[dag.Key]waitingTask{}
		}
		t.waiting[r.Key] = waitingTask{dag.FactsOf(r.Attempt, r.Flags, r.Priority, r.Pool), r.Remaining}
	}
}

// forget forgets how a task waits. The mutex is locked.
func (t *residentTree) forget(k dag.Key) {
	delete(t.waiting, k)
	if i := k.Index(); i < len(t.remaining) {
		t.remaining[i] = 0
	}
}
