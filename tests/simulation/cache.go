package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// cacheKey tells equal tasks: whose they are, and what they do.
type cacheKey struct {
	user int32
	text int
}

// cacheEntry is a success by which equal tasks may end.
type cacheEntry struct {
	attemptKey
	at time.Duration
}

// caches are what tasks end by that do not run.
type caches struct {
	entries map[cacheKey]cacheEntry
	caching map[dag.Key]cacheKey // of tasks that run, or are about to
	rng     *rand.Rand           // of its own, so that other histories stay as they are
}

func newCaches(seed uint64) caches {
	c := caches{entries: map[cacheKey]cacheEntry{}, caching: map[dag.Key]cacheKey{}}
	if rng := rand.New(rand.NewPCG(seed, 5)); rng.IntN(4) == 0 {
		c.rng = rng
	}
	return c
}

// cached lets some tasks end by earlier successes, of few texts.
func (w *world) cached(row *dag.Row, t *task, st oracle.Task, user int32) {
	rng := w.store.caches.rng
	if rng == nil || st.Group || st.Imported != nil || st.By > 0 || st.Script.Wait != nil || st.Script.Collect != "" || st.Script.Repeat != nil || row.Flags&(dag.FlagTimed|dag.FlagUnknown|dag.FlagGroup|dag.FlagKeeps) != 0 || rng.IntN(3) > 0 {
		return
	}
	row.Flags |= dag.FlagCache
	t.cache, t.fresh = &cacheKey{user, rng.IntN(4)}, time.Duration(1+rng.IntN(60))*time.Second
}

// earlier is the success by which a task may end; nil: there is none that is young enough.
func (s *store) earlier(t *task) *dag.Cached {
	e, ok := s.caches.entries[*t.cache]
	if !ok || s.w.now-e.at >= t.fresh {
		return nil
	}
	return &dag.Cached{Task: e.task, Attempt: e.number}
}

// reused notes what came of a task that may end by an earlier success, and judges it by what all attempts of all tasks came to.
func (s *store) reused(d *dag.Decision, k dag.Key, by *dag.Cached) {
	t, r := s.task(k), d.Row(k)
	switch {
	case r.State == dag.Completed && by != nil:
		t.truth.reused = r.Attempt
		s.w.report.Beyond.Reused++
		s.w.judgeReused(t, by)
	case !r.State.Settled():
		s.caches.caching[k] = *t.cache
	default:
		delete(s.caches.caching, k)
	}
}

// judgeReused: a task ends by a run of an equal task of the same user, which succeeded, and is as old as it takes; and never if somebody wants it to run.
func (w *world) judgeReused(t *task, by *dag.Cached) {
	i := t.row.Key.Index()
	from := w.store.task(by.Task)
	end := w.store.attempts[attemptKey{by.Task, by.Attempt}]
	tree, of := w.store.trees[t.row.Key.Tree()-1], w.store.trees[by.Task.Tree()-1]
	switch {
	case end == nil || end.Outcome != dag.OutcomeCompleted || end.Worker == 0 && from.truth.reused == by.Attempt:
		w.broken("task %d ends by attempt %d of task %d, which was no success of a run", i, by.Attempt, by.Task.Index())
	case tree.share != of.share:
		w.broken("task %d of user %d ends by a task of user %d", i, tree.share, of.share)
	case t.cache.text != from.cache.text:
		w.broken("task %d ends by another one", i)
	case w.now-end.at >= t.fresh:
		w.broken("task %d ends by what is %s old, and takes what is %s old", i, w.now-end.at, t.fresh)
	case t.row.Flags&dag.FlagFresh != 0:
		w.broken("task %d was to run, and ends by an earlier success", i)
	}
}

// fill has what a task gave be there for others.
func (s *store) fill(d *dag.Decision, k dag.Key) {
	if key, ok := s.caches.caching[k]; ok {
		s.caches.entries[key] = cacheEntry{attemptKey{k, d.Row(k).Attempt}, s.w.now}
		delete(s.caches.caching, k)
	}
}
