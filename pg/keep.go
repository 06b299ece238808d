package pg

import (
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// keeper holds trees that this process stored, until it ends them or others need the room, so that Postgres need not be asked
// for what it was told a moment ago: who depends on a task, and, of small trees, what a worker is sent of it and the results
// that it starts from. None of it is state: a tree's tasks and edges never change, and a result holds for the execution that it
// came in. What isn't here is asked for; trees that other processes stored never are.
//
// After Postgres came back from a backup, or from a replica that lacks the last commits, a key may stand for another tree,
// or a result be lost. So each transaction compares the tree's [origin], after its locks and before its writes.
type keeper struct {
	mu    sync.Mutex
	trees map[dag.TreeKey]*keptTree
	size  int // bytes of all
	edges int // bytes of large trees
	swept time.Time
}

const (
	keptBytes  = 64 << 20         // of all trees; then the newest are not kept, as the oldest are what runs
	keptEdges  = keptBytes / 4    // of all large trees
	keptResult = 16 << 10         // the largest result that is kept
	keptIdle   = 10 * time.Second // then an unused tree may make room: other processes ended it, or it waits for long
)

// origin tells a tree from another one of its key, and the server that it is on from an older one with more commits.
type origin struct{ created, server time.Time } // when each began, by Postgres's clock

func (o origin) is(p origin) bool { return o.created.Equal(p.created) && o.server.Equal(p.server) }

// keptTree is one tree that began as it was stored. It never changes but for what the keeper's mutex guards.
type keptTree struct {
	origin
	dependents []dag.Dependent // of task i: from unlocks[i] to unlocks[i+1]
	unlocks    []int32         // nil: the tree has no edges

	// Of small trees only:
	work         []Work  // by index, but for what changes: attempt, execution, results
	dependencies []int32 // of task i, by index, in their order: from needs[i] to needs[i+1]
	needs        []int32

	// Guarded by the keeper's mutex:
	results []keptResultOf // by index; nil: none yet
	size    int
	used    time.Time
	supposed
}

// keptResultOf is what a task completed with in an execution of its tree; 0: it is not known to have completed.
type keptResultOf struct {
	execution int32
	value     []byte // nil: null
}

func newKeeper() *keeper { return &keeper{trees: map[dag.TreeKey]*keptTree{}} }

// newKeptTree is a small tree: work is what workers are sent of its tasks, but for what changes; size, in bytes, what they carry.
func newKeptTree(g *dag.Graph, tree dag.TreeKey, o origin, work []Work, size int) *keptTree {
	t := newKeptEdges(g, tree, o)
	t.work, t.dependencies, t.needs = work, make([]int32, len(g.Dep)), g.DepStart
	t.size += size
	t.remaining = make([]int32, len(g.IDs))
	for i := range t.work {
		t.remaining[i] = int32(len(g.Dependencies(i)))
		t.size += len(t.work[i].ID) + int(unsafe.Sizeof(Work{})+unsafe.Sizeof(keptResultOf{})) + 8
	}
	for n, e := range g.Dep {
		t.dependencies[n] = e.Task
		t.size += 4
	}
	return t
}

// edgesSize is the size of what newKeptEdges gives.
func edgesSize(g *dag.Graph) int {
	size := int(unsafe.Sizeof(keptTree{}))
	if len(g.Dep) > 0 {
		size += len(g.Dep)*int(unsafe.Sizeof(dag.Dependent{})) + (len(g.IDs)+1)*4
	}
	return size
}

// newKeptEdges is what is kept of a large tree.
func newKeptEdges(g *dag.Graph, tree dag.TreeKey, o origin) *keptTree {
	t := &keptTree{origin: o, size: edgesSize(g), supposed: supposed{execution: 1}}
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
			t.dependents[next[e.Task]] = dag.Dependent{Key: tree.Key(i), Required: e.Required}
			next[e.Task]++
		}
	}
	return t
}

// large reports whether only the edges are kept.
func (t *keptTree) large() bool { return t.work == nil }

// of are the dependents of a task that are unlocked at once, as LockTasksAndDependents finds them.
func (t *keptTree) of(k dag.Key) []dag.Dependent {
	i := k.Index()
	if i+1 >= len(t.unlocks) {
		return nil
	}
	if all := t.dependents[t.unlocks[i]:t.unlocks[i+1]]; len(all) <= dag.InlineDependents {
		return all
	}
	return nil
}

// keep adds a tree, if there is room for it.
func (k *keeper) keep(key dag.TreeKey, t *keptTree) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(key)
	now := time.Now()
	if (k.size+t.size > keptBytes || k.edges+t.size > keptEdges) && now.Sub(k.swept) > keptIdle/10 {
		k.swept = now
		for old, o := range k.trees {
			if now.Sub(o.used) > keptIdle {
				k.drop(old)
			}
		}
	}
	if k.size+t.size > keptBytes || t.large() && k.edges+t.size > keptEdges {
		return
	}
	t.used = now
	k.trees[key] = t
	k.size += t.size
	if t.large() {
		k.edges += t.size
	}
}

// drop forgets a tree. k.mu is held.
func (k *keeper) drop(key dag.TreeKey) {
	if t := k.trees[key]; t != nil {
		delete(k.trees, key)
		k.size -= t.size
		if t.large() {
			k.edges -= t.size
		}
	}
}

// recall is what one transaction need not ask for.
type recall struct {
	keeper *keeper
	kept   map[dag.TreeKey]recalled
}

// recalled is a tree and the execution that it is in, as the transaction finds it.
type recalled struct {
	*keptTree
	execution int32 // 0: nothing of it is published from here: it is cancelled, or not there any more
}

// recall finds the trees that are kept of those given.
func (k *keeper) recall(trees []dag.TreeKey) recall {
	r := recall{k, nil}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.trees) == 0 {
		return r
	}
	now := time.Now()
	for _, key := range trees {
		if t := k.trees[key]; t != nil {
			if r.kept == nil {
				r.kept = make(map[dag.TreeKey]recalled, len(trees))
			}
			t.used = now
			r.kept[key] = recalled{t, 0}
		}
	}
	return r
}

// withDependents gives those of the tasks that are of kept trees, with what they unlock; ask are the others. keys are sorted.
func (r recall) withDependents(keys []dag.Key) (known, ask []dag.Key) {
	if len(r.kept) == 0 {
		return []dag.Key{}, keys
	}
	known = make([]dag.Key, 0, 2*len(keys))
	for _, k := range keys {
		if _, kept := r.kept[k.Tree()]; kept {
			known = append(known, k)
		} else {
			ask = append(ask, k)
		}
	}
	r.eachDependent(known, func(_ dag.Key, d dag.Dependent) { known = append(known, d.Key) })
	slices.Sort(known)
	return slices.Compact(known), ask
}

// eachDependent gives the dependents of tasks of kept trees.
func (r recall) eachDependent(keys []dag.Key, f func(dag.Key, dag.Dependent)) {
	if len(r.kept) == 0 {
		return
	}
	for _, k := range keys {
		if t, kept := r.kept[k.Tree()]; kept {
			for _, d := range t.of(k) {
				f(k, d)
			}
		}
	}
}

// see queues a look at the trees in Postgres. Those that turn out to be others are forgotten, and changed is called.
func (r recall) see(b *pgx.Batch, changed func()) {
	keys := make([]dag.TreeKey, 0, len(r.kept))
	for key := range r.kept {
		keys = append(keys, key)
	}
	b.Queue(sql("SeeTrees"), keys).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			key := dag.TreeKey(v.bigint())
			t := r.kept[key]
			same := t.is(origin{v.timestamp(), v.timestamp()})
			t.execution = v.integer()
			r.kept[key] = t
			r.keeper.mu.Lock()
			defer r.keeper.mu.Unlock()
			t.supposed.execution = t.execution
			if !same {
				r.keeper.drop(key)
				changed()
			}
		})
	})
}

// task is what is to be published for a task of a run, but for the results that it starts from.
func (t *keptTree) task(k dag.Key, r Stretch, execution int32) *Work {
	w := t.work[k.Index()]
	w.Attempt, w.Priority, w.Pool, w.Execution = r.Attempt, r.Priority, r.Pool, execution
	return &w
}

// run is what is to be published for a run: with the results that are kept, and those in now. nil: ask for it. The
// keeper's mutex is held.
func (t recalled) run(r Stretch, now map[dag.Key][]byte) []*Work {
	tree, from := r.First.Tree(), r.First.Index()
	if t.execution == 0 || from+int(r.N) > len(t.work) {
		return nil
	}
	out := make([]*Work, r.N)
	for n := range out {
		w := t.task(r.First+dag.Key(n), r, t.execution)
		out[n] = w
		if w.Deps == 0 || w.Deps > MaxInlineDeps {
			continue
		}
		for _, on := range t.dependencies[t.needs[from+n]:t.needs[from+n+1]] {
			value, known := now[tree.Key(int(on))]
			if !known && t.results != nil {
				had := t.results[on]
				value, known = had.value, had.execution == t.execution
			}
			if !known {
				return nil
			}
			if value != nil {
				w.Results = append(w.Results, dag.DependencyResult{ID: t.work[on].ID, Result: value})
			}
		}
	}
	return out
}

// waited is what is to be published for a run that waited, of a tree of that origin and in that execution. nil: ask for it, as
// for repeatable tasks: some may be cancelled by now, and a worker that starts them early finds out too late.
func (k *keeper) waited(r Stretch, o origin, execution int32) []*Work {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.trees[r.First.Tree()]
	if t == nil || !t.is(o) {
		return nil
	}
	t.used = time.Now()
	work := recalled{t, execution}.run(r, nil)
	if slices.ContainsFunc(work, func(w *Work) bool { return w.Flags&dag.FlagRepeatable != 0 }) {
		return nil
	}
	return work
}

// fill puts what is known of runs of tasks into work, and gives the runs that have to be asked for.
func (r recall) fill(runs []Stretch, now map[dag.Key][]byte, work map[dag.Key]*Work) []Stretch {
	if len(r.kept) == 0 {
		return runs
	}
	r.keeper.mu.Lock()
	defer r.keeper.mu.Unlock()
	return slices.DeleteFunc(runs, func(run Stretch) bool {
		known := r.kept[run.First.Tree()].run(run, now)
		for _, w := range known {
			work[w.Key] = w
		}
		return known != nil
	})
}

// completed are the results of this transaction, of tasks of kept trees.
func (r recall) completed(ended []dag.Ended) map[dag.Key][]byte {
	if len(r.kept) == 0 {
		return nil
	}
	out := map[dag.Key][]byte{}
	for _, e := range ended {
		t := r.kept[e.Task.Tree()]
		if e.Outcome == dag.OutcomeCompleted && !e.Chunked && t.execution > 0 && !t.large() && len(t.of(e.Task)) > 0 {
			out[e.Task] = e.Result
		}
	}
	return out
}

// committed keeps what the transaction brought, and forgets the trees that it ended.
func (r recall) committed(changed []*dag.Row, completed map[dag.Key][]byte, eff *Effects) {
	if len(changed)+len(completed)+len(eff.Trees) == 0 {
		return
	}
	r.keeper.mu.Lock()
	defer r.keeper.mu.Unlock()
	r.keeper.each(changed, (*keptTree).left)
	for key, value := range completed {
		t := r.kept[key.Tree()]
		if r.keeper.trees[key.Tree()] != t.keptTree {
			continue
		}
		result := keptResultOf{t.execution, value}
		if len(value) > keptResult || r.keeper.size+len(value) > keptBytes {
			result = keptResultOf{} // what was there before does not count any more
		}
		if t.results == nil {
			t.results = make([]keptResultOf, len(t.work))
		}
		more := len(result.value) - len(t.results[key.Index()].value)
		t.results[key.Index()] = result
		t.size += more
		r.keeper.size += more
	}
	for _, t := range eff.Trees {
		if t.Final {
			r.keeper.drop(t.Tree)
		}
	}
}
