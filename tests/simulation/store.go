package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// epoch is what the virtual clock shows at the beginning.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// store is Postgres: the tables of package pg, in spirit. Every method is one transaction, and is given up whole.
type store struct {
	w         *world
	trees     []*tree // key - 1
	ready     []run   // in the order in which they wait
	published []run
	runs      int // ids given
	timers    []timer
	followups []followup
	doing     []followup   // what the transaction at hand takes
	workers   []*workerRow // key - 1
	attempts  map[attemptKey]*attemptRow
	beyond
	caches caches
	limits
}

type attemptKey struct {
	task   dag.Key
	number int32
}

type tree struct {
	key       dag.TreeKey
	tasks     []*task
	script    oracle.Tree
	reading   reading // of a flow; nil: it is none
	root      int
	cancelled bool
	execution int
	finished  bool
	timeout   time.Duration // of an execution; 0: none
	due       time.Duration // of the current one
	beyond    bool          // it says more than the protocol has
	grows     bool          // runs of its tasks find tasks
	keeps     bool          // it ran again and kept what had completed
	graph     *dag.Graph    // as the engine reads it
	share     int32         // who submitted it
	partial   bool          // parts of it were executed: the oracle knows only whole trees
	counts    dag.TreeDelta // Events: of the current execution
}

// task is a row of the tables task, spec and edge.
type task struct {
	row        dag.Row
	policy     dag.Policy
	deps       []dag.Edge
	dependents []dag.Dependent
	deadly     bool // its executor may take the worker with it
	brisk      bool // it runs for some milliseconds
	made       bool // it is there: it was submitted, or found
	by         int  // index + 1 of the task whose run finds it
	first      int  // index of the first task that its run finds
	expanded   bool // its run has found them
	finds      int  // how many tasks its run finds
	when       *oracle.When
	imported   *oracle.End
	cache      *cacheKey     // what tells it, if it may end by an earlier success
	fresh      time.Duration // how old that may be
	patience   time.Duration // how long it waits; 0: for ever
	answered   bool          // it goes on from an answer
	wants      []dag.Want    // keys that it asks for before each attempt starts
	contended  dag.OnContention
	lockWait   time.Duration // how long it waits for its lock; 0: for ever
	above      dag.Key       // its parent, if it takes a lock for that
	truth      truth
}

type run struct {
	id       int
	pool     int32
	priority dag.Priority
	first    dag.Key
	n        int
	attempt  int32
	again    bool          // of tasks that were interrupted
	sent, at time.Duration // published; looked at
}

type timer struct {
	dag.Timer
	due time.Duration
}

type followupKind int

const (
	followupUnlock followupKind = iota + 1
	followupCancel
	followupRelease
	followupJudge
	followupCondition
	followupCollect
	followupGrow
	followupCancelBelow
	followupSignal
)

type followup struct {
	kind   followupKind
	task   dag.Key
	cursor dag.Key
	at     int // of followupGrow
}

type workerState int

const (
	alive workerState = iota + 1
	draining
	gone
	lost
)

type workerRow struct {
	worker   int // whose run this is
	session  int // the instance's name
	state    workerState
	beat     int
	lease    time.Duration
	attempts map[dag.Key]bool // listed by the last beat
	done     bool             // departed, and all attempts were taken back
}

// live reports whether the worker's lease lives.
func (r *workerRow) live(now time.Duration) bool {
	return (r.state == alive || r.state == draining) && r.lease > now
}

type attemptRow struct {
	dag.Ended
	at       time.Duration
	finished bool
}

func (s *store) task(k dag.Key) *task { return s.trees[k.Tree()-1].tasks[k.Index()] }

func (s *store) worker(k dag.WorkerKey) *workerRow {
	if k <= 0 || int(k) > len(s.workers) {
		return nil
	}
	return s.workers[k-1]
}

// session finds an instance.
func (s *store) session(n int) (dag.WorkerKey, *workerRow) {
	for i, r := range s.workers {
		if r.session == n {
			return dag.WorkerKey(i + 1), r
		}
	}
	return 0, nil
}

// load locks tasks: the decision gets their rows, those of what depends on them, and policies as package pg loads them.
func (s *store) load(keys, policies []dag.Key, dependents bool) *dag.Decision {
	var unlocking []dag.Key
	if dependents {
		unlocking = keys
	}
	return s.loadUnlocking(keys, policies, unlocking)
}

// loadUnlocking is load, with what depends on the tasks of unlocking, which are among keys.
func (s *store) loadUnlocking(keys, policies, unlocking []dag.Key) *dag.Decision {
	unlocking = slices.Clone(unlocking)
	slices.Sort(unlocking)
	unlocking = slices.Compact(unlocking)
	d := dag.NewDecision(epoch.Add(s.w.now), s.w.rng.Float64)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	all := slices.Clone(keys)
	for _, k := range unlocking {
		if t := s.task(k); t.row.Flags&(dag.FlagDependents|dag.FlagWide) == dag.FlagDependents {
			for _, dep := range t.dependents {
				d.AddDependent(k, dep)
				all = append(all, dep.Key)
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, k := range all {
		t := s.task(k)
		row := t.row
		if row.Flags&dag.FlagPolicy != 0 || slices.Contains(policies, k) {
			row.Policy = &t.policy
		}
		d.Add(row, s.trees[k.Tree()-1].cancelled)
	}
	return d
}

// effects are what is left to do after a commit.
type effects struct {
	publish   []*message
	stops     []dag.Stop
	handed    []dag.Handover
	followups bool
	timers    bool
	keys      bool // tasks have begun to wait for keys, or have given some back
}

// apply writes what the decision says.
func (s *store) apply(d *dag.Decision, room func(pool int32, n int) bool) *effects {
	w := s.w
	eff := &effects{stops: d.Stops, handed: d.Handovers, followups: len(d.Unlock) > 0, timers: len(d.Timers) > 0}
	for _, r := range d.Changed() {
		t := s.task(r.Key)
		if want, got := r.Expected(), t.row.Guard(); got != want {
			w.broken("write of task %d expects %+v and finds %+v", r.Key.Index(), want, got)
			return eff
		}
	}
	for _, e := range d.Ended {
		s.ended(e)
	}
	for _, r := range d.Changed() {
		t := s.task(r.Key)
		w.judgeMove(t, r)
		policy := t.row.Policy
		t.row = dag.Row{Key: r.Key, State: r.State, Flags: t.row.Flags, Priority: t.row.Priority, Pool: t.row.Pool,
			Attempt: r.Attempt, Remaining: r.Remaining, Failures: r.Failures, Crashes: r.Crashes, Worker: r.Worker,
			Repeats: r.Repeats, StartedAt: r.StartedAt, BlockedBy: r.BlockedBy, Policy: policy}
		if r.State == dag.Running && r.StartedAt.IsZero() { // the decision did not know the time
			t.row.StartedAt = epoch.Add(w.now)
		}
		w.trace(r.State.String(), -1, int(r.Key.Tree())*1000+r.Key.Index(), int(r.Attempt))
	}
	for _, t := range d.Timers {
		due := w.now + t.Delay
		if !t.At.IsZero() {
			due = t.At.Sub(epoch)
		}
		s.timers = append(s.timers, timer{t, due})
		if t.Kind == dag.TimerDue {
			s.task(t.Task).truth.due = due
		}
	}
	for _, k := range d.Unlock {
		s.addFollowup(followupUnlock, k)
	}
	s.applyBeyond(d, eff)
	places, released := s.release(d.Changed())
	eff.keys = released
	s.place(d.Readied(), places, room, eff)
	for key, delta := range sorted(d.Trees) {
		s.addTree(s.trees[key-1], delta)
	}
	s.w.judgeHolds()
	return eff
}

func (s *store) ended(e dag.Ended) {
	k := attemptKey{e.Task, e.Attempt}
	old := s.attempts[k]
	switch {
	case e.Receipt && (old == nil || old.Outcome != dag.OutcomeCancelled || old.finished):
		s.w.broken("receipt of task %d attempt %d, which was not cancelled while it ran, or has one", e.Task.Index(), e.Attempt)
	case e.Receipt:
		old.finished = true
	case old != nil:
		s.w.broken("task %d attempt %d is settled twice: %s, then %s", e.Task.Index(), e.Attempt, old.Outcome, e.Outcome)
	case e.StartedAt.After(epoch.Add(s.w.now)) || !e.StartedAt.IsZero() && e.StartedAt.Before(epoch.Add(s.endOf(attemptKey{e.Task, e.Attempt - 1}))):
		s.w.broken("task %d attempt %d starts at %s, and that is not between the end of the one before and its own, %s", e.Task.Index(), e.Attempt, e.StartedAt, s.w.now)
	default:
		s.w.judgeStart(s.task(e.Task), e)
		s.w.judgeDenied(e)
		s.attempts[k] = &attemptRow{Ended: e, at: s.w.now, finished: e.Worker == 0 || e.Outcome != dag.OutcomeCancelled}
		s.w.judgeEnd(s.task(e.Task), e)
	}
}

// endOf is when an attempt ended; 0 if there is none.
func (s *store) endOf(k attemptKey) time.Duration {
	if row := s.attempts[k]; row != nil {
		return row.at
	}
	return 0
}

func (s *store) addFollowup(kind followupKind, k dag.Key) {
	for i := range s.followups {
		if s.followups[i].kind == kind && s.followups[i].task == k {
			s.followups[i].cursor, s.followups[i].at = 0, 0
			return
		}
	}
	s.followups = append(s.followups, followup{kind: kind, task: k})
}

// addTree adds to a tree's aggregate and ends an execution that nothing is left of.
func (s *store) addTree(t *tree, d *dag.TreeDelta) {
	c := &t.counts
	c.Held += d.Held
	c.Unfinished += d.Unfinished
	c.Running += d.Running
	c.Completed += d.Completed
	c.Failed += d.Failed
	c.Cancelled += d.Cancelled
	c.Blocked += d.Blocked
	c.LeavesCompleted += d.LeavesCompleted
	c.Skipped += d.Skipped
	c.Allowed += d.Allowed
	c.Events = append(c.Events, d.Events...)
	if c.Unfinished == 0 && !t.finished && t.execution > 0 {
		t.finished = true
		c.Events = append(c.Events, dag.Event{Type: dag.EventFinal})
		s.w.judgeFinal(t)
	}
}

// joined puts ready tasks of adjacent keys into runs; rows come by key.
func joined(rows []*dag.Row) []run {
	var out []run
	for _, r := range rows {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.pool == r.Pool && last.priority == r.Priority && last.attempt == r.Attempt && last.again == r.Again() && last.first+dag.Key(last.n) == r.Key {
				last.n++
				continue
			}
		}
		out = append(out, run{pool: r.Pool, priority: r.Priority, first: r.Key, n: 1, attempt: r.Attempt, again: r.Again()})
	}
	return out
}

// place puts ready tasks in the queue of their pool: to published when there is room and nothing of their priority or
// above waits, else to ready: those that were interrupted ahead of all that wait. Those that ask for keys go into their lines, at the places that they had. What an operator
// holds back is never published here.
func (s *store) place(rows []*dag.Row, places map[dag.Key]int64, room func(int32, int) bool, eff *effects) {
	plain := slices.DeleteFunc(slices.Clone(rows), func(r *dag.Row) bool { return r.Flags&dag.FlagLimited != 0 })
	for _, r := range rows {
		if r.Flags&dag.FlagLimited == 0 {
			continue
		}
		line := int64(0)
		if r.Again() {
			line = places[r.Key]
		}
		s.ask(r.Key, line)
		eff.keys, eff.timers = true, true
	}
	waiting := slices.Clone(s.ready)
	var first []run
	for _, r := range joined(plain) {
		s.runs++
		r.id = s.runs
		passes := slices.ContainsFunc(waiting, func(o run) bool { return o.pool == r.pool && o.priority <= r.priority })
		switch {
		case s.treePaused(r.first.Tree()):
			s.parked = append(s.parked, r)
			continue
		case room != nil && !passes && !s.gated(r.pool) && room(r.pool, r.n):
		case r.again:
			first = append(first, r)
			continue
		default:
			s.ready = append(s.ready, r)
			continue
		}
		r.sent, r.at = s.w.now, s.w.now
		s.published = append(s.published, r)
		eff.publish = append(eff.publish, s.work(r)...)
	}
	s.ready = slices.Concat(first, s.ready)
}

// work is what is to be published for a run: of those of its tasks that still are ready.
func (s *store) work(r run) []*message {
	var out []*message
	for k := r.first; k < r.first+dag.Key(r.n); k++ {
		t := s.task(k)
		if t.row.State != dag.Ready || t.row.Attempt != r.attempt || s.trees[k.Tree()-1].cancelled {
			continue
		}
		out = append(out, &message{lane: lane{r.pool, r.priority}, key: attemptKey{k, r.attempt}, token: tokens.Of(k, r.attempt),
			repeatable: startsEarly(t.row.Flags), bytes: 100 + s.w.rng.IntN(1000),
			ahead: !s.w.par.Older && dag.MayBeClaimedAhead(r.attempt, t.truth.of(r.attempt).first, t.row.Flags)})
	}
	return out
}

// startsEarly reports whether a task may start beside its claim.
func startsEarly(f dag.Flags) bool {
	return f&(dag.FlagRepeatable|dag.FlagLimited) == dag.FlagRepeatable
}

func sorted(m map[dag.TreeKey]*dag.TreeDelta) func(func(dag.TreeKey, *dag.TreeDelta) bool) {
	return func(yield func(dag.TreeKey, *dag.TreeDelta) bool) {
		keys := make([]dag.TreeKey, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// panics turns a panic of a decision into a broken rule: the transaction is given up.
func (w *world) panics() {
	if r := recover(); r != nil {
		w.broken("%v", fmt.Sprint(r))
	}
}
