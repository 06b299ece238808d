package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// awaitRow is what an attempt waits for.
type awaitRow struct {
	attempt int32
	kind    dag.AwaitKind
	resume  bool
}

// expansionRow is what a run found.
type expansionRow struct {
	attempt  int32
	first, n int
	items    *oracle.Map // nil: it is a list
	made     int         // of items, those that were made, or are not to be
	stopped  bool        // no further items are made
}

// signalRow is what was sent to a task. The first counts.
type signalRow struct{ kept, taken bool }

// beyond is what the store keeps of tasks that say more than the protocol.
type beyond struct {
	awaits     map[dag.Key]*awaitRow
	expansions map[dag.Key]*expansionRow
	signals    map[dag.Key]*signalRow
}

func newBeyond() beyond {
	return beyond{map[dag.Key]*awaitRow{}, map[dag.Key]*expansionRow{}, map[dag.Key]*signalRow{}}
}

// forget drops what belongs to an older run of a task. What was sent before the first run is kept.
func (b *beyond) forget(k dag.Key, was dag.State) {
	delete(b.awaits, k)
	delete(b.expansions, k)
	if was != dag.Held {
		delete(b.signals, k)
	}
}

// applyBeyond writes what a decision says of tasks that few trees have.
func (s *store) applyBeyond(d *dag.Decision, eff *effects) {
	for _, k := range d.ToJudge {
		kind := followupJudge
		if s.task(k).row.Flags&dag.FlagsEvaluated != 0 {
			kind = followupCondition
		}
		s.addFollowup(kind, k)
	}
	for _, k := range d.ToCache {
		s.fill(d, k)
	}
	for _, k := range d.ToCollect {
		s.addFollowup(followupCollect, k)
	}
	for _, k := range d.ToCancel {
		s.addFollowup(followupCancelBelow, k)
	}
	for _, a := range d.Awaits {
		s.w.report.Beyond.Awaits++
		s.awaits[a.Task] = &awaitRow{a.Attempt, a.Kind, a.Resume}
		if sig := s.signals[a.Task]; sig != nil && sig.kept {
			s.addFollowup(followupSignal, a.Task)
		}
	}
	for _, e := range d.Expansions {
		s.w.report.Beyond.Expansions++
		if s.expansions[e.Task] != nil {
			s.w.broken("task %d finds tasks twice", e.Task.Index())
		}
		s.task(e.Task).expanded = true
		s.expansions[e.Task] = &expansionRow{attempt: e.Attempt, first: int(e.First), n: int(e.Children), items: s.w.script(e.Task).Map}
		if e.Children > 0 {
			s.task(e.Task).row.Flags &^= dag.FlagLeaf
			s.addFollowup(followupGrow, e.Task)
		}
	}
	for _, r := range d.Changed() {
		if e := s.expansions[r.Key]; e != nil && r.State == dag.Expanded && e.items != nil && e.items.Window > 0 && e.made < e.n { // an item has ended, and another one may be made
			s.addFollowup(followupGrow, r.Key)
			eff.followups = true
		}
	}
	eff.followups = eff.followups || len(d.ToJudge)+len(d.ToCollect)+len(d.ToCancel)+len(d.Awaits)+len(d.Expansions) > 0
}

// told is how the dependencies of a task have ended.
func (s *store) told(k dag.Key) (out []dag.Told) {
	t := s.task(k)
	for _, e := range t.deps {
		on := s.task(k.Tree().Key(int(e.Task)))
		told := dag.Told{Task: on.row.Key, Attempt: on.row.Attempt, Required: e.Required, Mode: e.Mode, State: on.row.State,
			Allowed: on.row.Flags&dag.FlagAllowed != 0, Cause: on.row.BlockedBy, Reason: s.reason(on.row)}
		out = append(out, told)
	}
	return out
}

// judgeAtOnce decides about some of the tasks whose last dependencies a decision has ended. Others have too many of them.
func (s *store) judgeAtOnce(d *dag.Decision) {
	settled, states := d.SettledHere()
	all := map[dag.Key][]dag.Told{}
	for _, k := range d.ToJudgeAtOnce() {
		if s.w.chance(0.2) {
			continue
		}
		told := s.told(k)
		for i := range told {
			if at := slices.Index(settled, told[i].Task); at >= 0 {
				told[i].State, told[i].Reason = states[at], ""
			}
		}
		all[k] = told
	}
	d.JudgeAtOnce(all)
}

// reason is that of a skipped task.
func (s *store) reason(r dag.Row) string {
	if end := s.attempts[attemptKey{r.Key, r.Attempt}]; r.State == dag.Skipped && end != nil {
		return dag.SkipReason(end.Result)
	}
	if t := s.task(r.Key); r.State == dag.Skipped && t.imported != nil {
		return t.imported.Reason
	}
	return ""
}

// verdict is what a condition came to, and of which attempts.
type verdict struct {
	attempts []int32
	dag.Condition
}

// conditions evaluates those of tasks whose dependencies have ended, before anything is locked.
func (s *store) conditions() map[dag.Key]verdict {
	out := map[dag.Key]verdict{}
	for _, c := range s.followups[:min(len(s.followups), followupBatch)] {
		if c.kind != followupCondition {
			continue
		}
		v := verdict{Condition: dag.Condition{Known: true}}
		told := s.told(c.task)
		for _, on := range told {
			v.attempts = append(v.attempts, on.Attempt)
		}
		when := s.task(c.task).when
		switch {
		case when == nil:
			v.Holds = true
		case when.Errs:
			v.Error = "it has an error"
		default:
			v.Holds = slices.Contains(when.Is, told[when.Dep].State.Outcome())
		}
		if t := s.task(c.task); t.cache != nil {
			v.Looked, v.Cached = true, s.earlier(t)
		}
		out[c.task] = v
	}
	return out
}

// judge decides about a task whose dependencies have ended. It reports false if its condition is to be evaluated again.
func (s *store) judge(d *dag.Decision, k dag.Key, when map[dag.Key]verdict, conditional bool) bool {
	told := s.told(k)
	if !conditional {
		d.Judge(k, told, dag.Condition{})
		return true
	}
	v, ok := when[k]
	if r := d.Row(k); r.State != dag.Waiting {
		return true
	}
	if !ok || !slices.EqualFunc(told, v.attempts, func(t dag.Told, a int32) bool { return t.Attempt == a }) {
		s.w.report.Beyond.Again++
		return false
	}
	t := s.task(k)
	if v.Cached != nil {
		if still := s.earlier(t); still == nil || still.Task != v.Cached.Task || still.Attempt != v.Cached.Attempt {
			return false
		}
	}
	if d.Judge(k, told, v.Condition) && t.cache != nil {
		s.reused(d, k, v.Cached)
	}
	return true
}

// growth is what one transaction of a growing expansion is about.
const growth = 3

// grow makes the next tasks of an expanded task, or lets made ones go. at counts both: first all are made, then all are let go. It reports
// how far it came, and whether that is all.
func (s *store) grow(d *dag.Decision, k dag.Key, at int) (next int, last bool) {
	r, e := d.Row(k), s.expansions[k]
	t := s.trees[k.Tree()-1]
	if e == nil || r.State != dag.Expanded || r.Attempt != e.attempt || t.cancelled {
		return at, true
	}
	if e.items != nil {
		return at, s.growItems(d, r, e)
	}
	var delta dag.TreeDelta
	for next = at; next < 2*e.n && next < at+growth; next++ {
		i := e.first + next%e.n
		if next >= e.n {
			d.Release(t.tasks[i].row.Key)
			continue
		}
		s.make(t, t.tasks[i], &delta)
		s.tellLater(t, t.tasks[i])
		if (next+1)%e.n == 0 { // the next transaction knows all of them
			next++
			break
		}
	}
	s.addTree(t, &delta)
	return next, next >= 2*e.n
}

// make makes a task that a run has found.
func (s *store) make(t *tree, child *task, delta *dag.TreeDelta) {
	if child.made {
		s.w.broken("task %d is made twice", child.row.Key.Index())
	}
	child.made = true
	s.w.report.Beyond.Made++
	child.row.State, child.row.Attempt, child.row.Remaining = dag.Waiting, 1, int32(len(child.deps))
	child.truth.restart(restart{t.execution, 1}, s.w.now)
	delta.Count(dag.Waiting, child.row.Flags, +1)
}

// tellLater has what ended before the task was made tell it. It runs in a transaction that does no other followup.
func (s *store) tellLater(t *tree, child *task) {
	for _, e := range child.deps {
		on := t.tasks[e.Task]
		if !on.made || !on.row.State.Settled() {
			continue
		}
		s.w.report.Beyond.Late++
		from := child.row.Key - 1
		i := slices.IndexFunc(s.followups, func(c followup) bool { return c.kind == followupUnlock && c.task == on.row.Key })
		if i < 0 {
			s.followups = append(s.followups, followup{kind: followupUnlock, task: on.row.Key, cursor: from})
		} else {
			s.followups[i].cursor = min(s.followups[i].cursor, from)
		}
	}
}

// growItems makes tasks for the next items of a map, as many as its window has room for, and lets them go. It reports whether that is all until an item ends.
func (s *store) growItems(d *dag.Decision, r *dag.Row, e *expansionRow) (last bool) {
	t := s.trees[r.Key.Tree()-1]
	ended := e.n - int(r.Remaining)
	failed := slices.ContainsFunc(t.tasks[e.first:e.first+e.made], func(child *task) bool {
		return child.row.State == dag.Cancelled || child.row.State == dag.Failed && child.row.Flags&dag.FlagAllowed == 0
	})
	if e.items.Stop && failed && e.made < e.n {
		d.Shrink(r.Key, int32(e.n-e.made))
		e.made, e.stopped = e.n, true
		s.w.report.Beyond.Stopped++
		return true
	}
	room := e.n - e.made
	if e.items.Window > 0 {
		room = min(room, max(0, e.items.Window-(e.made-ended)))
	}
	var delta dag.TreeDelta
	for range min(room, growth) {
		child := t.tasks[e.first+e.made]
		s.make(t, child, &delta)
		s.addFollowup(followupRelease, child.row.Key)
		s.w.report.Beyond.Items++
		e.made++
	}
	s.addTree(t, &delta)
	s.judgeItems(t, e, failed && room > 0)
	return e.made == e.n || room <= growth && e.items.Window > 0
}

// judgeItems holds the items of a map that are made against its window, and against its end at a failure.
func (s *store) judgeItems(t *tree, e *expansionRow, late bool) {
	busy := 0
	for _, child := range t.tasks[e.first : e.first+e.n] {
		if child.made && child.row.State.Unfinished() {
			busy++
		}
	}
	finder := t.tasks[e.first].by - 1
	if e.items.Window > 0 && busy > e.items.Window {
		s.w.broken("task %d has %d items in progress, of at most %d", finder, busy, e.items.Window)
	}
	if e.items.Stop && late {
		s.w.broken("task %d makes an item after one has failed", finder)
	}
}

// growing are the tasks that grow lets go next.
func (s *store) growing(k dag.Key, at int) (keys []dag.Key) {
	e := s.expansions[k]
	if e == nil || e.items != nil {
		return nil
	}
	for next := at; next < 2*e.n && next < at+growth; next++ {
		if next >= e.n {
			keys = append(keys, k.Tree().Key(e.first+next%e.n))
		}
	}
	return keys
}

// below are tasks that an expanded one has, and that have not ended, after a key.
func (s *store) below(k, after dag.Key) (keys []dag.Key) {
	for i, t := range s.trees[k.Tree()-1].tasks {
		if t.made && t.by == k.Index()+1 && t.row.State.Unfinished() && k.Tree().Key(i) > after && len(keys) < followupStep {
			keys = append(keys, t.row.Key)
		}
	}
	return keys
}

// collect ends an expanded task whose children have ended.
func (s *store) collect(d *dag.Decision, k dag.Key) {
	r := d.Row(k)
	if r.State != dag.Expanded || r.Remaining != 0 {
		return
	}
	a := dag.Answer{Outcome: dag.OutcomeCompleted}
	for i, t := range s.trees[k.Tree()-1].tasks {
		if t.by != k.Index()+1 || !t.made && s.expansions[k].stopped {
			continue
		}
		if !t.made || !t.row.State.Settled() {
			s.w.broken("task %d is collected while its child %d has not ended", k.Index(), i)
		}
		if t.row.State == dag.Failed && t.row.Flags&dag.FlagAllowed == 0 {
			a = dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindChild, Error: "a child failed"}
		}
	}
	d.Answer(k, r.Attempt, a)
}

// answer is how a wait ends: by what it waits for, or by its timer.
func (s *store) answer(k dag.Key, comes bool) dag.Answer {
	wait := s.w.script(k).Wait
	switch {
	case wait == nil:
		return dag.Answer{Outcome: dag.OutcomeCompleted}
	case comes && wait.Rejects && wait.Skips:
		return dag.Answer{Outcome: dag.OutcomeSkipped, Result: dag.SkippedResult("rejected", nil)}
	case comes && wait.Rejects:
		return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindRejected, Error: "rejected"}
	case comes && wait.Resume:
		return dag.Answer{Outcome: dag.OutcomeReturned}
	case comes || wait.Gives:
		return dag.Answer{Outcome: dag.OutcomeCompleted}
	case wait.Skips:
		return dag.Answer{Outcome: dag.OutcomeSkipped, Result: dag.SkippedResult("timeout", nil)}
	}
	return dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindSignalTimeout, Error: "no signal came in time"}
}

// take gives a task what was sent to it, if it waits for it.
func (s *store) take(d *dag.Decision, k dag.Key) bool {
	await, sig, t := s.awaits[k], s.signals[k], s.task(k)
	if await == nil || sig == nil || !sig.kept || await.kind == dag.AwaitTime {
		return false
	}
	a := s.answer(k, true)
	if old := await.attempt - 1; s.w.chance(s.w.par.Stale) && d.Answer(k, old, a) { // it speaks of an attempt that is over
		s.w.broken("task %d: the answer to attempt %d is taken by attempt %d", k.Index(), old, await.attempt)
		return false
	}
	if a.Outcome == dag.OutcomeReturned {
		t.truth.resumed = await.attempt
	}
	if !d.Answer(k, await.attempt, a) {
		return false
	}
	s.w.report.Beyond.Signals++
	if sig.taken {
		s.w.broken("task %d takes a signal twice", k.Index())
	}
	sig.kept, sig.taken = false, true
	t.answered = t.answered || a.Outcome == dag.OutcomeReturned
	t.truth.timedOut = false
	return true
}

// signal sends something to a task: it is taken, kept, or comes too late.
func (s *store) signal(k dag.Key, room func(int32, int) bool) *effects {
	defer s.w.panics()
	t := s.task(k)
	s.w.trace("signal", -1, int(k.Tree())*1000+k.Index(), int(t.row.Attempt))
	sig := s.signals[k]
	if sig == nil {
		sig = &signalRow{}
		s.signals[k] = sig
	}
	if sig.taken || !t.row.State.Unfinished() && t.row.State != dag.Held {
		return &effects{}
	}
	sig.kept = true
	d := s.load([]dag.Key{k}, []dag.Key{k}, true)
	s.take(d, k)
	return s.apply(d, room)
}

// timedOut is what follows when a wait's time has come.
func (s *store) timedOut(t *dag.Timer) {
	await := s.awaits[t.Task]
	if await == nil || await.attempt != t.Attempt {
		return
	}
	a := s.answer(t.Task, await.kind == dag.AwaitTime)
	if t.Answer = &a; a.Outcome == dag.OutcomeReturned {
		s.task(t.Task).truth.resumed = t.Attempt
	}
}

// noteTimeout notes that a wait was ended by its timer.
func (s *store) noteTimeout(t dag.Timer) {
	task := s.task(t.Task)
	task.answered = task.answered || t.Answer.Outcome == dag.OutcomeReturned
	task.truth.timedOut = s.awaits[t.Task].kind != dag.AwaitTime
	s.w.report.Beyond.Timeouts++
}

// skipTasks skips single tasks for a user.
func (s *store) skipTasks(keys []dag.Key, room func(int32, int) bool) *effects {
	defer s.w.panics()
	d := s.load(slices.Clone(keys), keys, true)
	for _, k := range keys {
		t := s.task(k)
		if was := t.row; d.Skip(k, t.truth.of(was.Attempt).first) {
			if t.truth.failures+t.truth.losses+t.truth.repeats > 0 || was.Attempt != t.truth.of(was.Attempt).first {
				s.w.broken("task %d is skipped in attempt %d, and has begun before", k.Index(), was.Attempt)
			}
			s.w.report.Beyond.Skips++
			t.truth.skipped, t.truth.barred = true, was.Attempt
		}
	}
	return s.apply(d, room)
}

// Beyond counts what happened that only trees have which say more than the protocol.
type Beyond struct {
	Judged, Skipped, Folded, Again, Awaits, Signals, Timeouts, Expansions, Made, Repeats, Skips int
	Late                                                                                        int // told what had ended before they were made
	Items, Stopped                                                                              int // made for items; maps that made no more
	Imported, Kept                                                                              int // tasks that had ended before, and those that a re-run left though what they depend on ran again
	Reused                                                                                      int // tasks that ended by earlier successes
	Final                                                                                       int // failures of kinds that are not tried again
	Flows                                                                                       int // trees of flows that came to what the flows say
	Trees, Tasks                                                                                int // with any of it
}

func (b *Beyond) counts() []*int {
	return []*int{&b.Judged, &b.Skipped, &b.Folded, &b.Again, &b.Awaits, &b.Signals, &b.Timeouts, &b.Expansions, &b.Made, &b.Repeats, &b.Skips, &b.Items, &b.Stopped, &b.Late, &b.Imported, &b.Kept, &b.Reused, &b.Final, &b.Flows, &b.Trees, &b.Tasks}
}

func (b *Beyond) add(o Beyond) {
	from := o.counts()
	for i, n := range b.counts() {
		*n += *from[i]
	}
}

// least is how often the rarest happened, of what a few thousand histories have.
func (b *Beyond) least() int {
	least := b.Judged
	for _, n := range b.counts() {
		if n != &b.Late {
			least = min(least, *n)
		}
	}
	return least
}

// after is what an attempt of a task ends with that its script says, if it does not fail.
func (wk *worker) after(t *task, a *attempt, script oracle.Script) dag.Outcome {
	w := wk.w
	switch {
	case script.Skip != "":
		a.value = dag.SkippedResult(script.Skip, nil)
		return dag.OutcomeSkipped
	case script.Wait != nil && !t.answered:
		kinds := map[string]dag.AwaitKind{"signal": dag.AwaitSignal, "approval": dag.AwaitApproval, "time": dag.AwaitTime}
		a.after.Await = dag.Await{Kind: kinds[script.Wait.Kind], Name: "go", Timeout: t.patience, Resume: script.Wait.Resume}
		return dag.OutcomeAwaiting
	case script.Collect != "":
		a.after.First, a.after.Children = int32(t.first), int32(t.finds)
		return dag.OutcomeExpanded
	case script.Repeat != nil && int(a.Key.Number) < script.Repeat.Until && int(t.row.Repeats)+1 < script.Repeat.Max:
		a.after.Delay = w.between(0, 2*time.Second)
		return dag.OutcomeRepeated
	}
	return dag.OutcomeCompleted
}

// sender is who sends a task what it waits for: early or late, and once in each run of the task or again and again.
func (w *world) sender(t *task) {
	k, once := t.row.Key, w.rng.IntN(2) == 0
	var sent *signalRow
	var send func()
	send = func() {
		if c := w.anyCoordinator(); c != nil && w.now >= w.dbDown && t.made && (!once || sent == nil || sent != w.store.signals[k]) {
			eff := w.store.signal(k, c.room)
			sent = w.store.signals[k]
			c.resume(c.life, func() { c.after(eff) })
		}
		w.after(w.between(time.Second, 30*time.Second), send)
	}
	w.after(w.between(0, w.par.Faults), send)
}

// patient gives a task that waits a time, and somebody who sends it something.
func (w *world) patient(t *task, wait *oracle.Wait) {
	if wait == nil {
		return
	}
	switch {
	case wait.Kind == "time" || !wait.Comes:
		t.patience = w.between(time.Second, 20*time.Second)
	case w.rng.IntN(4) == 0:
		t.patience = w.between(time.Second, 60*time.Second)
	}
	if wait.Comes && wait.Kind != "time" {
		w.sender(t)
	}
}

// graph is the tree as the engine reads it.
func graph(script oracle.Tree) (*dag.Graph, error) {
	b := dag.NewBuilder(dag.DefaultLimits, func() string { return "" })
	for _, st := range script.Tasks {
		task := &dag.Task{ID: st.ID, Name: st.ID, Priority: dag.Normal, Fold: st.Fold, AllowFailure: st.AllowFailure}
		if st.Parent >= 0 {
			task.ParentRef = script.Tasks[st.Parent].ID
		}
		if !st.Group {
			task.Executor = "script"
		}
		if st.When != nil {
			task.Control = &dag.Control{When: "true"}
		}
		for _, d := range st.Deps {
			mode, ok := dag.EdgeOf(d.Accept, d.Otherwise, d.Order, d.Skips)
			if !ok {
				panic(d)
			}
			task.Dependencies = append(task.Dependencies, dag.Dependency{Ref: script.Tasks[d.On].ID, Optional: d.Optional, Mode: mode})
		}
		if _, err := b.Add(task); err != nil {
			return nil, err
		}
	}
	return b.Build()
}

// tame leaves out what the model does not have: results.
func tame(script oracle.Tree) {
	for i := range script.Tasks {
		if w := script.Tasks[i].When; w != nil {
			w.Odd = false
		}
	}
}

// judgeDecided holds the way on of a waiting task against the oracle's word for it.
func (w *world) judgeDecided(t *task, to dag.State) {
	tree := w.store.trees[t.row.Key.Tree()-1]
	i := t.row.Key.Index()
	ends := make([]oracle.End, len(tree.tasks))
	for j, o := range tree.tasks {
		ends[j].State = o.row.State
		if w.store.expansions[o.row.Key] != nil {
			ends[j] = oracle.Found(o.row.State)
		}
		ends[j].Reason = w.store.reason(o.row)
	}
	if t.row.Flags&dag.FlagsJudged != 0 {
		w.report.Beyond.Judged++
	}
	wrong, decided := w.wrongly(t, to, ends)
	if wrong != "" {
		for j, o := range tree.tasks { // it may have been told of that
			if o.truth.unblocked || o.row.State == dag.Cancelled && o.truth.claimed < o.truth.ready { // blocked first, perhaps in the transaction that cancelled it
				ends[j].State = dag.Blocked
			}
		}
		if again, _ := w.wrongly(t, to, ends); again != "" {
			w.broken("%s", wrong)
		}
	}
	if decided && to == dag.Skipped {
		w.report.Beyond.Skipped++
	}
	if tree.script.Tasks[i].Fold {
		w.report.Beyond.Folded++
	}
}

// wrongly says what is wrong with the way on of a waiting task; empty: nothing. decided: its dependencies decide it.
func (w *world) wrongly(t *task, to dag.State, ends []oracle.End) (wrong string, decided bool) {
	i := t.row.Key.Index()
	end, decided, runs := w.store.trees[t.row.Key.Tree()-1].script.Decide(i, ends)
	switch {
	case t.truth.skipped && to == dag.Skipped:
	case runs && (to == dag.Blocked || to == dag.Skipped):
		return fmt.Sprintf("task %d is %s, and nothing of what it depends on is the cause", i, to), decided
	case runs:
	case !decided:
		return fmt.Sprintf("task %d goes on as %s while a dependency has not ended", i, to), decided
	case end.State != to:
		return fmt.Sprintf("task %d goes on as %s, and what it depends on makes it %s", i, to, end.State), decided
	case to == dag.Skipped && end.Reason != w.store.reason(t.row):
		return fmt.Sprintf("task %d is skipped as %q, and what it depends on says %q", i, w.store.reason(t.row), end.Reason), decided
	}
	return "", decided
}
