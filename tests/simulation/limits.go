package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// limits is what the store keeps of what tasks ask for before they start, and of what operators hold back.
type limits struct {
	waiters      map[dag.Key]*waiterRow
	holding      map[dag.Key][]holdRow
	line, fence  int64                // the last place in a line, and the last token
	due          map[string]time.Time // of rates
	rules        map[dag.LimitKey]*ruleRow
	pauses       []*pauseRow
	parked       []run
	starts       map[string][]time.Duration // of rates: what was granted, since an operator last changed them
	ruled        map[dag.LimitKey]bool      // an operator has ever set it
	widest       map[dag.LimitKey]int       // the largest max that a task says
	keepers      []dag.Key                  // tasks that take locks for their parents
	orphanedFrom time.Duration              // since when no worker lives; 0: one does
}

func newLimits() limits {
	return limits{waiters: map[dag.Key]*waiterRow{}, holding: map[dag.Key][]holdRow{}, due: map[string]time.Time{}, rules: map[dag.LimitKey]*ruleRow{},
		starts: map[string][]time.Duration{}, ruled: map[dag.LimitKey]bool{}, widest: map[dag.LimitKey]int{}}
}

// waiterRow is a ready task that waits for what it asks for.
type waiterRow struct {
	attempt int32
	line    int64
	at      time.Duration
}

// holdRow is what an attempt holds of one key.
type holdRow struct {
	dag.Want
	attempt int32
	line    int64
	token   int64
	at      time.Duration
	span    dag.Key // the parent for which it is held on; 0: it is the attempt's
}

// gate reports whether it is a place in a pool, or of a user.
func (h holdRow) gate() bool { return h.Kind == dag.KindPool || h.Kind == dag.KindUser }

// ruleRow is what an operator has set.
type ruleRow struct {
	dag.LimitState
	counted bool // all that runs has its hold
}

// pauseRow is something of which nothing new starts.
type pauseRow struct {
	scope   dag.PauseScope
	pool    int32
	tree    dag.TreeKey
	settled bool // what was published before has been called back
}

// of reports whether the pause holds a task back.
func (p *pauseRow) of(t *task) bool {
	return p.scope == dag.PauseEverything || p.scope == dag.PausePool && p.pool == t.row.Pool || p.scope == dag.PauseTree && p.tree == t.row.Key.Tree()
}

// pausedBy is what holds a task back; nil: nothing does.
func (s *store) pausedBy(t *task) *pauseRow {
	for _, p := range s.pauses {
		if p.of(t) {
			return p
		}
	}
	return nil
}

// treePaused reports whether the tree of a task is paused.
func (s *store) treePaused(k dag.TreeKey) bool {
	return slices.ContainsFunc(s.pauses, func(p *pauseRow) bool { return p.scope == dag.PauseTree && p.tree == k })
}

// gated reports whether what gets ready in a pool has to go through the dispatch: something may hold it back there.
func (s *store) gated(pool int32) bool {
	if slices.ContainsFunc(s.pauses, func(p *pauseRow) bool {
		return p.scope == dag.PauseEverything || p.scope == dag.PausePool && p.pool == pool
	}) {
		return true
	}
	for k := range s.rules {
		if k.Kind == dag.KindUser || k == dag.PoolLimitKey(pool) {
			return true
		}
	}
	return false
}

// release gives back what tasks held and waited for whose attempts a decision ends or returns, and the places in their pools of those that run no more, and whose
// attempts go on. It tells which lines they were in, and whether there were any.
func (s *store) release(rows []*dag.Row) (places map[dag.Key]int64, any bool) {
	places = map[dag.Key]int64{}
	for _, r := range rows {
		if was := r.Expected().State; r.Limiting() && was != r.State && (r.State == dag.Expanded || r.State == dag.Awaiting) { // one that started early was ready
			any = true
			s.holding[r.Key] = slices.DeleteFunc(s.holding[r.Key], holdRow.gate)
			if len(s.holding[r.Key]) == 0 {
				delete(s.holding, r.Key)
			}
		}
		if !r.Limiting() || !r.Released() {
			continue
		}
		any = true
		for _, h := range s.holding[r.Key] {
			places[r.Key] = h.line
		}
		delete(s.waiters, r.Key)
		kept := s.kept(r)
		delete(s.holding, r.Key)
		if len(kept) > 0 {
			s.holding[r.Key] = kept
			s.w.report.Limits.Kept++
		}
	}
	for _, r := range rows {
		if r.GivesBack() {
			any = s.giveBack(r.Key) || any
		}
	}
	return places, any
}

// kept is the lock that a task holds on for its parent, if that has not ended.
func (s *store) kept(r *dag.Row) (out []holdRow) {
	t := s.task(r.Key)
	if !r.KeepsLock() || t.above == 0 {
		return nil
	}
	if above := s.task(t.above).row; above.State.Settled() || above.Flags&dag.FlagKept == 0 {
		return nil
	}
	for _, h := range s.holding[r.Key] {
		if h.Kind == dag.KindLock {
			h.span = t.above
			out = append(out, h)
		}
	}
	return out
}

// giveBack gives back what is held for a task. It reports whether that was anything.
func (s *store) giveBack(k dag.Key) (any bool) {
	for task, list := range s.holding {
		if left := slices.DeleteFunc(list, func(h holdRow) bool { return h.span == k }); len(left) < len(list) {
			any = true
			if s.holding[task] = left; len(left) == 0 {
				delete(s.holding, task)
			}
		}
	}
	return any
}

// ask puts a ready task into the lines of what it asks for: at its place, or at their ends.
func (s *store) ask(k dag.Key, line int64) {
	t := s.task(k)
	if line == 0 {
		s.line++
		line = s.line
	}
	if s.waiters[k] != nil || s.holding[k] != nil {
		s.w.broken("task %d asks for what it waits for, or holds", k.Index())
	}
	s.waiters[k] = &waiterRow{attempt: t.row.Attempt, line: line, at: s.w.now}
	if t.lockWait > 0 {
		s.timers = append(s.timers, timer{dag.Timer{Task: k, Attempt: t.row.Attempt, Kind: dag.TimerLock}, s.w.now + t.lockWait})
	}
}

// limit lets tasks of a tree ask for limits, locks and rates. All trees share their keys.
func (w *world) limit(t oracle.Tree) {
	if w.par.Limits == 0 {
		return
	}
	oracle.Keys{Limits: 0.5 * w.par.Limits, Locks: 0.4 * w.par.Limits, Rates: 0.2 * w.par.Limits, Denies: 0.4}.Limit(w.rng, t)
	if w.chance(w.par.Limits) {
		oracle.Span(w.rng, t, "span")
	}
}

// restrain gives a task the keys that it asks for.
func (w *world) restrain(row *dag.Row, t *task, st oracle.Task) {
	if st.Limiting == nil || row.Flags&dag.FlagGroup != 0 {
		return
	}
	row.Flags |= dag.FlagLimited
	w.report.Limits.Asked++
	add := func(want dag.Want) {
		t.wants = append(t.wants, want)
		w.store.widest[want.LimitKey] = max(w.store.widest[want.LimitKey], int(want.Max))
	}
	key := func(kind dag.LimitKind, name string) dag.LimitKey { return dag.LimitKey{Kind: kind, Key: name} }
	for _, l := range st.Limiting.Limits {
		most := l.Max
		if w.chance(0.2) { // each is judged by its own
			most++
		}
		add(dag.Want{LimitKey: key(dag.KindLimit, l.Key), Cost: max(1, l.Cost), Max: most})
	}
	if l := st.Limiting.Lock; l != nil {
		add(dag.Want{LimitKey: key(dag.KindLock, l.Key), Cost: 1, Max: 1})
		t.contended, t.lockWait = l.OnContention, l.WaitTimeout*5
		if l.Hold == dag.HoldParent {
			row.Flags |= dag.FlagKeeps
			t.above = row.Key.Tree().Key(st.Parent)
			w.store.keepers = append(w.store.keepers, row.Key)
		}
	}
	for _, r := range st.Limiting.Rates {
		add(dag.Want{LimitKey: key(dag.KindRate, r.Key), Cost: 1, Max: r.Max / 5, Per: time.Minute, Burst: 1 + r.Max/20})
	}
}
