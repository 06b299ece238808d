package pg

import (
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// residentTrees are the trees that this process stored and still has in memory, until it ends them or others need the space. So
// Postgres need not be asked for what it was told a moment ago: who depends on a task, and, of small trees, what a worker is
// sent of it and the results that it starts from. On a miss, query Postgres; trees that other processes stored always miss.
//
// Nothing here is state: a tree's tasks and edges change only with its revision, and a result holds for the execution that it
// came in. But after Postgres came back from a backup, or from a replica that lacks the last commits, a key may stand for another
// tree, or a result be lost. So each transaction compares the tree's [identity], after its locks and before its writes.
type residentTrees struct {
	mu    sync.Mutex
	trees map[dag.TreeKey]*residentTree
	size  int // bytes of all
	large int // bytes of large trees
	swept time.Time
}

const (
	residentBytes  = 64 << 20          // of all trees; beyond that new ones are not added, as the oldest are what runs
	residentLarge  = residentBytes / 4 // of all large trees
	residentResult = 16 << 10          // the largest result
	residentIdle   = 10 * time.Second  // then an unused tree may make space: other processes ended it, or it waits for long
)

// identity tells a tree from another one of its key, from a later revision of itself, and from its copy on an older server that
// has more commits.
type identity struct {
	created, server time.Time // when the tree was stored and its server started, by Postgres's clock
	revision        int64     // raised whenever tasks or edges of the stored tree change; 1 at first
}

func (i identity) equal(other identity) bool {
	return i.created.Equal(other.created) && i.server.Equal(other.server) && i.revision == other.revision
}

func newResidentTrees() *residentTrees {
	return &residentTrees{trees: map[dag.TreeKey]*residentTree{}}
}

// add adds a tree, if there is space for it. When there is none, trees that nobody used for long make some.
func (r *residentTrees) add(key dag.TreeKey, t *residentTree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(key)
	now := time.Now()
	if (r.size+t.size > residentBytes || r.large+t.size > residentLarge) && now.Sub(r.swept) > residentIdle/10 {
		r.swept = now
		for old, o := range r.trees {
			if now.Sub(o.used) > residentIdle {
				r.remove(old)
			}
		}
	}
	if r.size+t.size > residentBytes || t.large() && r.large+t.size > residentLarge {
		return
	}
	t.used = now
	r.trees[key] = t
	r.size += t.size
	if t.large() {
		r.large += t.size
	}
}

// remove takes a tree out. r.mu is locked.
func (r *residentTrees) remove(key dag.TreeKey) {
	if t := r.trees[key]; t != nil {
		delete(r.trees, key)
		r.size -= t.size
		if t.large() {
			r.large -= t.size
		}
	}
}

// drop takes a tree out that is not what it was.
func (r *residentTrees) drop(key dag.TreeKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(key)
}

// dispatched is what to publish for a stretch that waited in Postgres, of a tree of that identity and in that execution. nil:
// query Postgres. That goes for repeatable tasks too: some may be cancelled since, and a worker that starts them early finds
// out too late.
func (r *residentTrees) dispatched(s Stretch, id identity, execution int32) []*Work {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.trees[s.First.Tree()]
	if t == nil || !t.id.equal(id) {
		return nil
	}
	t.used = time.Now()
	work := t.workOf(s, execution, nil)
	if slices.ContainsFunc(work, func(w *Work) bool { return w.Flags&dag.FlagRepeatable != 0 }) {
		return nil
	}
	return work
}

// forget forgets how long the tasks of rows wait: they turned out to be otherwise.
func (r *residentTrees) forget(rows []*dag.Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each(rows, func(t *residentTree, row *dag.Row) { t.forget(row.Key) })
}

// each calls f with the rows of resident trees, and their trees. r.mu is locked.
func (r *residentTrees) each(rows []*dag.Row, f func(*residentTree, *dag.Row)) {
	if len(r.trees) == 0 {
		return
	}
	var last dag.TreeKey
	var t *residentTree
	for _, row := range rows {
		if tree := row.Key.Tree(); tree != last {
			last, t = tree, r.trees[tree]
		}
		if t != nil {
			f(t, row)
		}
	}
}
