package simulation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Limits counts what happened to tasks that ask for keys, and what operators did.
type Limits struct {
	Asked                       int // tasks
	Granted, Passed             int // Passed: by one that stood behind them in a line, as they lacked something else
	Contended, TimedOut, Lapsed int
	Recalled, Pauses, Rules     int
	Counted, Refreshed          int // attempts that ran when a limit was set; tokens that a resource saw
	Stale                       int // older tokens that it refused
	Kept                        int // locks that were held on for a parent
}

func (l *Limits) counts() []*int {
	return []*int{&l.Asked, &l.Granted, &l.Passed, &l.Contended, &l.TimedOut, &l.Lapsed, &l.Recalled, &l.Pauses, &l.Rules, &l.Counted, &l.Refreshed, &l.Stale, &l.Kept}
}

func (l *Limits) add(o Limits) {
	from := o.counts()
	for i, n := range l.counts() {
		*n += *from[i]
	}
}

// least is how often the rarest happened, of what a few thousand histories have.
func (l *Limits) least() int {
	least := l.Asked
	for _, n := range l.counts() {
		if n != &l.Stale {
			least = min(least, *n)
		}
	}
	return least
}

// grantJudge looks at the grants of one round, in their order, and knows no more than the tables and the rules of control 7.
type grantJudge struct {
	s       *store
	held    map[dag.LimitKey]int64
	waiting []dag.Key // that nothing but their keys and rooms hold back, in the order of lines
	whole   map[dag.Key]bool
	room    map[int32]int
	done    map[dag.Key]bool
	due     map[string]time.Time
	full    map[place]bool // who lacked room on a key as the round began
}

// place is that of a task in a line.
type place struct {
	task dag.Key
	line dag.LimitKey
}

func (s *store) grantJudge(g *dag.Granting, room map[int32]int) *grantJudge {
	j := &grantJudge{s: s, held: map[dag.LimitKey]int64{}, whole: map[dag.Key]bool{}, room: maps.Clone(room), done: map[dag.Key]bool{}, due: maps.Clone(s.due), full: map[place]bool{}}
	for _, w := range g.Waiters {
		j.whole[w.Task] = !w.Partly
	}
	for k := range s.waiters {
		t := s.task(k)
		if s.pausedBy(t) == nil && s.served() {
			j.waiting = append(j.waiting, k)
		}
		for _, key := range j.keys(t) {
			j.held[key.LimitKey] = s.heldOf(key.LimitKey)
		}
	}
	slices.SortFunc(j.waiting, s.inLine)
	for _, k := range j.waiting {
		for _, want := range s.task(k).wants {
			j.full[place{k, want.LimitKey}] = j.lacks(want)
		}
	}
	return j
}

// keys are all that a task needs, its pool's and its user's places too.
func (j *grantJudge) keys(t *task) []dag.Want {
	out := slices.Clone(t.wants)
	for _, key := range j.s.gates(t) {
		out = append(out, dag.Want{LimitKey: key, Cost: 1})
	}
	return out
}

// bound is the max in force for a task; false: there is none.
func (j *grantJudge) bound(w dag.Want) (most int64, limited bool) {
	if w.Kind == dag.KindLock {
		return 1, true
	}
	if r := j.s.rules[w.LimitKey]; r != nil {
		return r.mayHold(), true
	}
	return int64(w.Max), w.Max > 0
}

// lacks reports whether there is no room on a key for what a task asks of it.
func (j *grantJudge) lacks(w dag.Want) bool {
	most, limited := j.bound(w)
	if w.Kind == dag.KindRate {
		return !j.mayStart(w)
	}
	cost := int64(w.Cost)
	if limited {
		cost = min(cost, most)
	}
	return limited && (most == 0 || j.held[w.LimitKey]+cost > most)
}

// ahead are those who stand before a task in a line.
func (j *grantJudge) ahead(k dag.Key, key dag.LimitKey) (out []dag.Key) {
	for _, o := range j.waiting {
		if o == k {
			break
		}
		if !j.done[o] && slices.ContainsFunc(j.s.task(o).wants, func(w dag.Want) bool { return w.LimitKey == key }) {
			out = append(out, o)
		}
	}
	return out
}

func want(t *task, key dag.LimitKey) dag.Want {
	return t.wants[slices.IndexFunc(t.wants, func(w dag.Want) bool { return w.LimitKey == key })]
}

// stands reports whether somebody before a task in a line lacks room on its key.
func (j *grantJudge) stands(k dag.Key, key dag.LimitKey) bool {
	return slices.ContainsFunc(j.ahead(k, key), func(o dag.Key) bool { return j.lacks(want(j.s.task(o), key)) })
}

// free reports whether a task could be granted all that it asks for.
func (j *grantJudge) free(k dag.Key) bool {
	t := j.s.task(k)
	if j.room[t.row.Pool] <= 0 || slices.ContainsFunc(j.keys(t), func(w dag.Want) bool { return j.lacks(w) || j.early(w) }) {
		return false
	}
	return !slices.ContainsFunc(t.wants, func(w dag.Want) bool { return j.stands(k, w.LimitKey) })
}

// granted holds one grant against the rules.
func (j *grantJudge) granted(g dag.Granted) {
	w, t, i := j.s.w, j.s.task(g.Task), g.Task.Index()
	if t.row.State != dag.Ready || t.row.Attempt != g.Attempt {
		w.broken("task %d attempt %d is granted its keys, and it is %s, attempt %d", i, g.Attempt, t.row.State, t.row.Attempt)
		return
	}
	if !slices.Contains(j.waiting, g.Task) {
		w.broken("task %d is granted its keys while it is paused, or no worker lives", i)
		return
	}
	if j.room[t.row.Pool] <= 0 {
		w.broken("task %d is granted its keys, and its pool has no room", i)
	}
	for _, want := range t.wants {
		for _, o := range j.ahead(g.Task, want.LimitKey) {
			w.report.Limits.Passed++
			switch {
			case j.full[place{o, want.LimitKey}]: // who lacks it later has been passed
				w.broken("task %d is granted %s past task %d of tree %d, which waits for room there", i, want.Key, o.Index(), o.Tree())
			case j.whole[o] && j.free(o):
				w.broken("task %d is granted %s before task %d of tree %d, which lacks nothing", i, want.Key, o.Index(), o.Tree())
			}
		}
	}
	var kept []dag.Want
	for _, want := range j.keys(t) {
		if j.lacks(want) {
			w.broken("task %d is granted %s, of which it lacks room: %d held", i, want.Key, j.held[want.LimitKey])
		}
		if want.Kind == dag.KindRate {
			j.start(want)
			continue
		}
		most, limited := j.bound(want)
		if limited {
			want.Cost = int32(min(int64(want.Cost), most))
		}
		j.held[want.LimitKey] += int64(want.Cost)
		kept = append(kept, want)
	}
	same := func(a, b dag.Want) bool { return a.LimitKey == b.LimitKey && a.Cost == b.Cost }
	byKey := func(a, b dag.Want) int { return compareKeys(a.LimitKey, b.LimitKey) }
	if got := slices.SortedFunc(slices.Values(g.Holds), byKey); !slices.EqualFunc(slices.SortedFunc(slices.Values(kept), byKey), got, same) {
		w.broken("task %d is granted %v, and asks for %v", i, g.Holds, kept)
	}
	j.room[t.row.Pool]--
	j.done[g.Task] = true
}

// over holds the end of a round against the rules: nobody who could be granted is left waiting, and who does not wait for a lock that is held is named.
func (j *grantJudge) over(g dag.Grants) {
	w := j.s.w
	for _, k := range j.waiting {
		if !j.done[k] && j.whole[k] && j.free(k) {
			w.broken("task %d of tree %d lacks nothing, and is granted nothing", k.Index(), k.Tree())
		}
	}
	named := map[dag.Key]bool{}
	for _, c := range g.Contended {
		named[c.Task] = true
		if j.done[c.Task] || !j.locked(c.Task) || c.Contended == dag.WaitForLock {
			w.broken("task %d is denied a lock that is free, or that it waits for", c.Task.Index())
		}
	}
	for _, k := range j.waiting {
		if t := j.s.task(k); !j.done[k] && j.whole[k] && t.contended != dag.WaitForLock && j.locked(k) && !named[k] {
			w.broken("task %d waits for a lock that is held, and does not want to", k.Index())
		}
	}
}

// locked reports whether the lock that a task asks for is held.
func (j *grantJudge) locked(k dag.Key) bool {
	return slices.ContainsFunc(j.s.task(k).wants, func(w dag.Want) bool { return w.Kind == dag.KindLock && j.held[w.LimitKey] > 0 })
}

// pace is by what a rate lets tasks start, and how many at once.
func (j *grantJudge) pace(w dag.Want) (each time.Duration, burst int) {
	most, per, b := w.Max, w.Per, w.Burst
	if r := j.s.rules[w.LimitKey]; r != nil {
		most, per, b = r.Max, r.Per, r.Burst
	}
	if most == 0 {
		return 0, 0
	}
	if b == 0 {
		b = most
	}
	return per / time.Duration(most), int(b)
}

// mayStart reports whether one more start keeps a rate: in no time there are more than the burst, and those that the time allows. It knows nothing of how
// the store counts.
func (j *grantJudge) mayStart(w dag.Want) bool {
	each, burst := j.pace(w)
	if each == 0 {
		_, limited := j.bound(w)
		return !limited
	}
	list := j.s.starts[w.Key]
	for i := range list {
		if len(list)-i+1 > burst+int((j.s.w.now-list[i])/each) {
			return false
		}
	}
	return burst > 0
}

// start notes a start.
func (j *grantJudge) start(w dag.Want) {
	j.s.starts[w.Key] = append(j.s.starts[w.Key], j.s.w.now)
	each, _ := j.pace(w)
	if now := j.s.w.time(); j.due[w.Key].Before(now) {
		j.due[w.Key] = now
	}
	j.due[w.Key] = j.due[w.Key].Add(each)
}

// early reports whether a rate lets nothing start yet, by what the store counts, or will in a moment: it rounds.
func (j *grantJudge) early(w dag.Want) bool {
	if w.Kind != dag.KindRate {
		return false
	}
	each, burst := j.pace(w)
	return each == 0 || j.s.w.time().Before(j.due[w.Key].Add(time.Millisecond-each*time.Duration(burst-1)))
}

// judgeToken: tokens only grow.
func (w *world) judgeToken(h holdRow) {
	for _, list := range w.store.holding {
		for _, o := range list {
			if o.Kind == dag.KindLock && o.token >= h.token {
				w.broken("token %d of %s is given after token %d", h.token, h.Key, o.token)
			}
		}
	}
	if h.token <= w.token {
		w.broken("token %d of %s is given after token %d", h.token, h.Key, w.token)
	}
	w.token = h.token
}

// mayHold is what a limit lets be held, as control 7 has it: nothing is added while it does not count all that runs.
func (r *ruleRow) mayHold() int64 {
	if r.counted {
		return int64(r.Max)
	}
	return 0
}

// judgeAdmitted: no more of a pool, or of a user, is published than a limit lets.
func (w *world) judgeAdmitted(key dag.LimitKey) {
	if n, most := w.store.heldOf(key), w.store.rules[key].mayHold(); n > most {
		w.broken("%d of %s are published, of at most %d", n, limitName(key), most)
	}
}

func limitName(key dag.LimitKey) string {
	return fmt.Sprintf("%s %s", map[dag.LimitKind]string{dag.KindLimit: "limit", dag.KindLock: "lock", dag.KindRate: "rate", dag.KindPool: "pool", dag.KindUser: "user"}[key.Kind], key.Key)
}

// judgeHolds: what is held is held by an attempt that is open or on its way to a worker, and of each key not more than it has. Who waits is ready.
func (w *world) judgeHolds() {
	s := w.store
	for _, k := range s.keepers {
		t := s.task(k)
		if above := s.task(t.above).row; t.row.State == dag.Completed && !above.State.Settled() && !slices.ContainsFunc(s.holding[k], func(h holdRow) bool { return h.span == t.above }) {
			w.broken("task %d has completed, and task %d, which is %s, does not hold its lock", k.Index(), t.above.Index(), above.State)
		}
	}
	if len(s.holding)+len(s.waiters) == 0 {
		return
	}
	sums := map[dag.LimitKey]int{}
	for k, list := range s.holding {
		t := s.task(k)
		for _, h := range list {
			sums[h.LimitKey] += int(h.Cost)
			switch st := t.row.State; {
			case h.span != 0:
				if above := s.task(h.span).row; st != dag.Completed || above.State.Settled() || h.span != t.above || h.Kind != dag.KindLock {
					w.broken("task %d is %s, and took %s for task %d, which is %s", k.Index(), st, h.Key, h.span.Index(), above.State)
				}
			case h.attempt != t.row.Attempt:
				w.broken("task %d holds %s for attempt %d, and is in attempt %d", k.Index(), h.Key, h.attempt, t.row.Attempt)
			case st != dag.Ready && st != dag.Expanded && st != dag.Awaiting && t.row.Worker == 0:
				w.broken("task %d is %s, and holds %s", k.Index(), st, h.Key)
			case s.waiters[k] != nil:
				w.broken("task %d holds %s, and waits", k.Index(), h.Key)
			case h.gate() && (st == dag.Expanded || st == dag.Awaiting):
				w.broken("task %d is %s, and takes a place of %s", k.Index(), st, limitName(h.LimitKey))
			}
		}
	}
	for key, n := range sums {
		switch {
		case key.Kind == dag.KindLock && n > 1:
			w.broken("%s is held by %d", limitName(key), n)
		case key.Kind == dag.KindLimit && !s.ruled[key] && n > s.widest[key]:
			w.broken("%d of %s are held, of at most %d", n, limitName(key), s.widest[key])
		}
	}
	for k, row := range s.waiters {
		if t := s.task(k); t.row.State != dag.Ready || t.row.Attempt != row.attempt {
			w.broken("task %d waits for its keys in attempt %d, and is %s, attempt %d", k.Index(), row.attempt, t.row.State, t.row.Attempt)
		}
	}
}

// judgePlaces: a ready task is in exactly one place; what is limited and has its place holds all that it asks for; and a limit that has counted what runs has it all.
func (w *world) judgePlaces() {
	s := w.store
	for _, tree := range s.trees {
		for i, t := range tree.tasks {
			if !t.made {
				continue
			}
			places := map[string]int{}
			for what, list := range map[string][]run{"ready": s.ready, "published": s.published, "parked": s.parked} {
				for _, r := range list {
					if r.covers(t.row.Key, t.row.Attempt) {
						places[what]++
					}
				}
			}
			limited := t.row.Flags&dag.FlagLimited != 0
			if s.waiters[t.row.Key] != nil {
				places["waiting"]++
			}
			n := places["ready"] + places["published"] + places["parked"] + places["waiting"]
			switch {
			case t.row.State != dag.Ready:
			case n != 1 || limited && places["ready"]+places["parked"] > 0 || !limited && places["waiting"] > 0:
				w.broken("ready task %d of tree %d, attempt %d, is in these places: %v", i, tree.key, t.row.Attempt, places)
			case places["parked"] > 0 && !s.treePaused(tree.key):
				w.broken("task %d of tree %d is put aside, and nothing is paused", i, tree.key)
			case t.policy.ScheduleToStart > 0 && w.now-t.truth.ready > t.policy.ScheduleToStart+overdue:
				w.broken("task %d of tree %d has been ready since %s, and had %s to start", i, tree.key, t.truth.ready, t.policy.ScheduleToStart)
			}
			if limited && (t.row.Worker != 0 || places["published"] > 0 && t.row.State == dag.Ready || t.row.State == dag.Expanded || t.row.State == dag.Awaiting) {
				w.judgeHolder(t)
			}
		}
	}
	for _, key := range s.ruleKeys() {
		if left := s.uncounted(key); s.rules[key].counted && len(left) > 0 && (key.Kind == dag.KindPool || key.Kind == dag.KindUser) {
			w.broken("task %d runs, and does not count for %s", left[0].Index(), limitName(key))
		}
	}
}

// overdue is how long after its time a timer goes off at the latest, whatever is down meanwhile.
const overdue = 10 * time.Minute

// judgeHolder: who is limited and has its place holds all that it asks for.
func (w *world) judgeHolder(t *task) {
	for _, want := range t.wants {
		if want.Kind != dag.KindRate && !w.store.hasHold(t.row.Key, want.LimitKey) {
			w.broken("task %d is %s, worker %d, and does not hold %s", t.row.Key.Index(), t.row.State, t.row.Worker, limitName(want.LimitKey))
		}
	}
}

// judgePaused: once a pause has called back what was published, nothing of it is claimed.
func (w *world) judgePaused(t *task) {
	for _, p := range w.store.pauses {
		if p.settled && p.of(t) {
			w.broken("task %d starts, and is paused", t.row.Key.Index())
		}
	}
}

// judgeDenied: nobody is ended for a lock that it holds.
func (w *world) judgeDenied(e dag.Ended) {
	locked := e.Kind == dag.KindLockContended || e.Kind == dag.KindLockTimeout || e.Outcome == dag.OutcomeSkipped && dag.SkipReason(e.Result) == dag.SkipLocked
	if locked && slices.ContainsFunc(w.store.holding[e.Task], func(h holdRow) bool { return h.Kind == dag.KindLock }) {
		w.broken("task %d is ended for its lock, and holds it", e.Task.Index())
	}
}

// judgeDrained: when all has ended, nothing is held, and nobody waits.
func (w *world) judgeDrained() {
	s := w.store
	if n := len(s.holding) + len(s.waiters) + len(s.parked); n > 0 {
		w.broken("all has ended, and %d tasks hold keys, %d wait, %d stretches are put aside", len(s.holding), len(s.waiters), len(s.parked))
	}
}

// refresh has the resource behind each lock of a run see its token. An older one than it has seen comes only from a process that stood still past its lease.
func (w *world) refresh(e *execution) {
	for _, h := range e.held {
		if h.Kind != dag.KindLock {
			continue
		}
		w.report.Limits.Refreshed++
		if seen := w.seen[h.Key]; h.token >= seen {
			w.seen[h.Key] = h.token
			continue
		}
		w.report.Limits.Stale++
		if !e.frozen {
			w.broken("task %d attempt %d uses %s with token %d, after token %d was used", e.task.row.Key.Index(), e.number, h.Key, h.token, w.seen[h.Key])
		}
	}
}
