package treetest

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// me is the one worker, which is never full.
const me dag.WorkerKey = 1

// world plays one case: what the store, the workers and the followups of a cluster do, in one goroutine.
//
// Everything happens as soon as it can: first what is left to do of what has happened, then the starts of what is ready, and only if there is none of either
// does the clock go on.
type world struct {
	*game
	c      *testCase
	now    time.Time
	moment int // counts what happens
	clock  timeline
	todo   []func()
	ready  queue
	trees  []*tree
	tasks  []*task // of all trees, as they are made

	byName  map[string][]*task // of the first indexed tasks
	indexed int

	attempts int
	ids      int
	problems []Failure
	steps    []Step
	over     bool // it is given up
}

// tree is one that was submitted: the first, or one that a task submits.
type tree struct {
	key       dag.TreeKey
	id        string
	name      string  // of its task, as names of tasks below it begin; empty: the first one
	tasks     []*task // by index; nil: not made
	root      *task
	cancelled bool
	why       string // it was cancelled
	finished  bool
	ended     time.Time
	sum       dag.TreeDelta
	depth     int

	waiter  *task // that submitted it
	attempt int32 // of the waiter
	detach  bool
}

// task is one task of a tree.
type task struct {
	*dag.Task
	tree       *tree
	id, ref    string
	row        dag.Row
	policy     dag.Policy
	deps       []dag.Edge
	dependents []dag.Dependent
	parent     *task
	bounded    int32 // the attempt of a group of which the time has begun
	finder     *task // whose run found it; nil: it was submitted
	above      int   // how many found one another above it

	last    *dag.Ended // of its last attempt that ended
	running *attempt
	wait    *dag.Awaits
	mock    *mock // of the attempt that waits
	found   *found
	sub     *tree // that its attempt waits for
	below   *tree // that its last attempt has waited for
	stuck   string

	started, ended     time.Time // its first attempt, and its end
	startedAt, endedAt int       // the same by moments; 0: it has not
	runs               int       // attempts that were started
	inputs             json.RawMessage
	counted            int
}

// path is what the task is called among those of all trees.
func (t *task) path() string {
	if t.tree.name == "" {
		return t.Name
	}
	return t.tree.name + "/" + t.Name
}

func (w *world) at(d time.Duration, f func()) { w.clock.add(w.now.Add(d), f) }

// elapsed is how long the tree runs.
func (w *world) elapsed() time.Duration { return w.now.Sub(w.c.start) }

// give up ends the case, which can't be judged.
func (w *world) giveUp(format string, args ...any) {
	if !w.over {
		w.over = true
		w.problems = append(w.problems, Failure{Place: w.c.place, Text: fmt.Sprintf(format, args...)})
	}
}

// maxProblems is how many problems and failures of a case are told.
const maxProblems = 100

// problem notes what is wrong with the mocks, so that expectations are not looked at.
func (w *world) problem(place, format string, args ...any) {
	f := Failure{Place: place, Text: fmt.Sprintf(format, args...)}
	if len(w.problems) < maxProblems && !slices.Contains(w.problems, f) {
		w.problems = append(w.problems, f)
	}
}

// maxSteps is how many steps of a case are kept for people.
const maxSteps = 2000

func (w *world) note(t *task, format string, args ...any) {
	if len(w.steps) < maxSteps {
		w.steps = append(w.steps, Step{Seconds: seconds(w.elapsed()), Task: t.path(), Text: fmt.Sprintf(format, args...)})
	}
}

// play plays the case to its end.
func (w *world) play() {
	w.now = w.c.start
	if _, err := w.submit(w.c.tree, nil, false); err != nil {
		w.giveUp("%v", err)
		return
	}
	happened := 0
	for _, e := range w.c.events {
		w.at(e.at, func() {
			happened++
			w.happen(e)
		})
	}
	w.goOn()
	if happened < len(w.c.events) && !w.over {
		w.problem(w.c.place, "%d of %d events come after the end of the tree, %s after its start", len(w.c.events)-happened, len(w.c.events), w.elapsed())
	}
}

// goOn goes on until all trees have ended.
func (w *world) goOn() {
	for !w.over && !w.done() {
		switch {
		case len(w.todo) > 0:
			next := w.todo[0]
			w.todo = w.todo[1:]
			next()
		case w.ready.Len() > 0:
			w.start(heap.Pop(&w.ready).(*task))
		case w.clock.Len() == 0:
			w.never()
		default:
			next := heap.Pop(&w.clock).(alarm)
			if next.at.Sub(w.c.start) > maxTime {
				w.giveUp("it would take over %d years: %s", int(maxTime.Hours()/24/365), w.unfinished())
				return
			}
			w.now = next.at
			next.f()
		}
	}
}

// done reports whether all trees have ended.
func (w *world) done() bool {
	return len(w.todo) == 0 && !slices.ContainsFunc(w.trees, func(t *tree) bool { return !t.finished })
}

// never tells why nothing goes on.
func (w *world) never() { w.giveUp("the tree never ends: %s", w.unfinished()) }

// unfinished names a few of the tasks that others wait for.
func (w *world) unfinished() string {
	var all []string
	for _, t := range w.tasks {
		var why string
		switch {
		case t.row.State == dag.Running && t.stuck != "", t.row.State == dag.Awaiting && t.stuck != "":
			why = t.stuck
		case t.row.State == dag.Delayed:
			why = "waits for a time"
		case t.row.State == dag.Awaiting && t.sub == nil:
			why = "waits"
		case t.row.State == dag.Running:
			why = fmt.Sprintf("runs attempt %d", t.row.Attempt)
		default:
			continue
		}
		if all = append(all, t.path()+" "+why); len(all) == 5 {
			break
		}
	}
	if len(all) == 0 {
		return "nothing goes on"
	}
	return joined(all)
}

func joined(all []string) string {
	text := all[0]
	for _, one := range all[1:] {
		text += "; " + one
	}
	return text
}

// alarm is something that is due.
type alarm struct {
	at    time.Time
	order int
	f     func()
}

// timeline is what is due, the next first; of what is due at the same time, what was asked for first.
type timeline struct {
	alarms []alarm
	asked  int
}

func (l *timeline) add(at time.Time, f func()) {
	l.asked++
	heap.Push(l, alarm{at, l.asked, f})
}

// Len implements [heap.Interface].
func (l *timeline) Len() int { return len(l.alarms) }

// Less implements [heap.Interface].
func (l *timeline) Less(i, j int) bool {
	a, b := l.alarms[i], l.alarms[j]
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order)) < 0
}

// Swap implements [heap.Interface].
func (l *timeline) Swap(i, j int) { l.alarms[i], l.alarms[j] = l.alarms[j], l.alarms[i] }

// Push implements [heap.Interface].
func (l *timeline) Push(x any) { l.alarms = append(l.alarms, x.(alarm)) }

// Pop implements [heap.Interface].
func (l *timeline) Pop() any {
	last := len(l.alarms) - 1
	x := l.alarms[last]
	l.alarms = l.alarms[:last]
	return x
}

// queue is what is ready, the most urgent first, and of those what was submitted first.
type queue []*task

// Len implements [heap.Interface].
func (q queue) Len() int { return len(q) }

// Less implements [heap.Interface].
func (q queue) Less(i, j int) bool {
	a, b := &q[i].row, &q[j].row
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Key, b.Key)) < 0
}

// Swap implements [heap.Interface].
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements [heap.Interface].
func (q *queue) Push(x any) { *q = append(*q, x.(*task)) }

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// longest draws the longest delay that a policy allows, so that a case always takes the same time.
func longest() float64 { return math.Nextafter(1, 0) }

// rounded is a drawn delay in microseconds, rounded up.
func rounded(d time.Duration) time.Duration {
	return (d + time.Microsecond - 1).Truncate(time.Microsecond)
}

// decide hands tasks and what depends on them to a decision, and writes what it says.
func (w *world) decide(f func(*dag.Decision), tasks ...*task) {
	all := slices.Clone(tasks)
	for _, t := range tasks {
		if t.row.Flags.Unlocks() {
			for _, dep := range t.dependents {
				all = append(all, w.task(dep.Key))
			}
		}
	}
	w.decideAlone(func(d *dag.Decision) {
		for _, t := range tasks {
			if t.row.Flags.Unlocks() {
				for _, dep := range t.dependents {
					d.AddDependent(t.row.Key, dep)
				}
			}
		}
		f(d)
	}, all...)
}

func (w *world) tree(k dag.TreeKey) *tree { return w.trees[k-1] }

func (w *world) task(k dag.Key) *task { return w.tree(k.Tree()).tasks[k.Index()] }

// later leaves something to be done after what is being done.
func (w *world) later(f func()) { w.todo = append(w.todo, f) }

// apply writes what a decision says.
func (w *world) apply(d *dag.Decision) {
	w.moment++
	for i := range d.Ended {
		w.attemptEnded(&d.Ended[i])
	}
	for _, r := range d.Changed() {
		w.write(r)
	}
	for _, t := range d.Timers {
		w.timer(t)
	}
	for _, k := range d.Begun() {
		w.begin(w.task(k))
	}
	for _, k := range d.ToTimeUp {
		w.later(func() { w.timeUp(w.task(k)) })
	}
	for _, s := range d.Stops {
		w.later(func() { w.stop(w.task(s.Task), s.Attempt) })
	}
	for _, k := range d.Unlock {
		w.later(func() { w.unlock(w.task(k)) })
	}
	for _, k := range d.ToJudge {
		w.later(func() { w.judge(w.task(k)) })
	}
	for _, k := range d.ToCollect {
		w.later(func() { w.collect(w.task(k)) })
	}
	for _, k := range d.ToCancel {
		w.later(func() { w.cancelFound(w.task(k)) })
	}
	for i := range d.Awaits {
		w.await(&d.Awaits[i])
	}
	for _, e := range d.Expansions {
		w.later(func() { w.grow(w.task(e.Task)) })
	}
	for _, r := range d.Readied() {
		heap.Push(&w.ready, w.task(r.Key))
	}
	for _, key := range sortedKeys(d.Trees) {
		w.count(w.tree(key), d.Trees[key])
	}
}

func sortedKeys(trees map[dag.TreeKey]*dag.TreeDelta) (keys []dag.TreeKey) {
	for key := range trees {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// attemptEnded keeps how the last attempt of a task ended.
func (w *world) attemptEnded(e *dag.Ended) {
	t := w.task(e.Task)
	if e.Receipt {
		return
	}
	t.last = e
	if e.Counted {
		t.counted++
	}
	switch {
	case e.Outcome == dag.OutcomeCompleted || e.Outcome == dag.OutcomeSkipped && e.StartedAt.IsZero():
	case e.Error == "":
		w.note(t, "attempt %d: %s", e.Attempt, e.Outcome)
	default:
		w.note(t, "attempt %d: %s: %s", e.Attempt, e.Outcome, short(e.Error))
	}
}

// write writes a row.
func (w *world) write(r *dag.Row) {
	t := w.task(r.Key)
	before := t.row
	t.row = dag.Row{Key: r.Key, State: r.State, Flags: r.Flags, Priority: r.Priority, Pool: r.Pool, Attempt: r.Attempt, Remaining: r.Remaining, Failures: r.Failures,
		Crashes: r.Crashes, Repeats: r.Repeats, Worker: r.Worker, StartedAt: r.StartedAt, BlockedBy: r.BlockedBy}
	if r.State.Settled() && !before.State.Settled() {
		t.ended, t.endedAt = w.now, w.moment
		t.stuck = ""
		w.note(t, "%s", r.State)
	}
	if t.sub != nil && r.State != dag.Awaiting {
		sub := t.sub
		t.sub = nil
		if !sub.finished {
			w.later(func() { w.cancelTree(sub, "the task that waits for this tree was cancelled") })
		}
	}
	if f := t.found; f != nil && r.State == dag.Expanded && f.made > 0 && f.made < f.n {
		w.later(func() { w.grow(t) })
	}
}

// count adds to a tree, and ends it once nothing of it is unfinished.
func (w *world) count(t *tree, d *dag.TreeDelta) {
	s := &t.sum
	s.Held, s.Unfinished, s.Running = s.Held+d.Held, s.Unfinished+d.Unfinished, s.Running+d.Running
	s.Completed, s.Failed, s.Cancelled, s.Blocked = s.Completed+d.Completed, s.Failed+d.Failed, s.Cancelled+d.Cancelled, s.Blocked+d.Blocked
	s.Skipped, s.Allowed = s.Skipped+d.Skipped, s.Allowed+d.Allowed
	if s.Unfinished > 0 || t.finished {
		return
	}
	t.finished, t.ended = true, w.now
	if t.waiter != nil && !t.detach {
		w.later(func() { w.tellEnd(t) })
	}
}

// status is what the tree has come to.
func (t *tree) status() dag.Status {
	return dag.Counts{Tasks: len(t.tasks), Held: t.sum.Held, Unfinished: t.sum.Unfinished, Running: t.sum.Running, Completed: t.sum.Completed, Failed: t.sum.Failed,
		Allowed: t.sum.Allowed, Cancelled: t.sum.Cancelled, Blocked: t.sum.Blocked}.Status()
}

// timer has a decision made later.
func (w *world) timer(t dag.Timer) {
	at := t.At
	if at.IsZero() {
		at = w.now.Add(rounded(t.Delay))
	}
	of := w.task(t.Task)
	w.clock.add(at, func() {
		if of.row.Attempt != t.Attempt {
			return
		}
		if t.Kind == dag.TimerAwait {
			if of.wait == nil || of.row.State != dag.Awaiting {
				return
			}
			answer, _ := of.wait.TimedOut(w.now)
			t.Answer = &answer
		}
		w.decide(func(d *dag.Decision) { d.Due(t) }, of)
	})
}

// begin begins the time of the groups with a timeout that are above a task which may start.
func (w *world) begin(t *task) {
	for above := t.parent; above != nil; above = above.parent {
		if above.Bounds() && above.row.State.Unfinished() && above.bounded != above.row.Attempt {
			above.bounded = above.row.Attempt
			w.timer(dag.Timer{Task: above.row.Key, Attempt: above.row.Attempt, Kind: dag.TimerGroup, Delay: above.Timeout})
		}
	}
}

// timeUp fails a group whose time is up, and cancels what is below it.
func (w *world) timeUp(t *task) {
	var below []*task
	for _, one := range t.tree.tasks {
		for above := one.parent; above != nil; above = above.parent {
			if above == t && one.row.State.Unfinished() {
				below = append(below, one)
			}
		}
	}
	w.decideAlone(func(d *dag.Decision) {
		if !d.TimeUp(t.row.Key) {
			return
		}
		for _, one := range below {
			d.Cancel(one.row.Key, dag.TimeUpMessage, false)
		}
	}, append(below, t)...)
}

// unlock tells dependents that a task has ended.
func (w *world) unlock(t *task) {
	all := []*task{t}
	for _, dep := range t.dependents {
		all = append(all, w.task(dep.Key))
	}
	w.decideAlone(func(d *dag.Decision) { d.Unlocked(t.row.Key, t.dependents) }, all...)
}

// decideAlone is decide without what depends on the tasks: a followup tells these.
func (w *world) decideAlone(f func(*dag.Decision), tasks ...*task) {
	d := dag.NewDecision(w.now, longest)
	seen := map[*task]bool{}
	for _, t := range tasks {
		if !seen[t] {
			seen[t] = true
			row := t.row
			row.Policy = &t.policy
			d.Add(row, t.tree.cancelled)
		}
	}
	f(d)
	w.apply(d)
}

// cancelTree puts the cancellation of a tree on record, and cancels what is left of it.
func (w *world) cancelTree(t *tree, why string) {
	if t.cancelled || t.finished {
		return
	}
	t.cancelled, t.why = true, why
	var all []*task
	for _, one := range t.tasks {
		if one != nil && one.row.State.Cancellable() {
			all = append(all, one)
		}
	}
	w.decideAlone(func(d *dag.Decision) {
		for _, one := range all {
			d.Cancel(one.row.Key, "", true)
		}
	}, all...)
}

// happen does what a user does.
func (w *world) happen(e event) {
	tasks := w.called(e.task)
	switch {
	case len(tasks) == 0:
		w.problem(e.place, "there is no task %s %s after the start", e.task, e.at)
		return
	case len(tasks) > 1:
		w.problem(e.place, "%s are %d tasks, and one is to be named", e.task, len(tasks))
		return
	}
	t := tasks[0]
	changed := false
	switch {
	case e.skip:
		w.decide(func(d *dag.Decision) { changed = d.Skip(t.row.Key, 1) }, t)
	case t == t.tree.root:
		changed = !t.tree.finished
		w.cancelTree(t.tree, "cancelled by a user")
	default:
		w.decide(func(d *dag.Decision) { changed = d.Cancel(t.row.Key, "cancelled by a user", false) }, t)
	}
	if !changed {
		verb := "cancelled"
		if e.skip {
			verb = "skipped"
		}
		w.problem(e.place, "%s can't be %s %s after the start: it is %s", e.task, verb, e.at, t.row.State)
	}
}

// tellEnd tells a task that the tree has ended for which it waits.
func (w *world) tellEnd(t *tree) {
	root := t.root
	end := &dag.SubtreeEnd{Ref: root.ref, Status: t.status(), Root: root.row.State}
	if root.last != nil {
		end.Result = root.last.Result
	}
	switch {
	case end.Status == dag.StatusCancelled:
		end.Failure = t.why
	case end.Status == dag.StatusFailed && root.row.State == dag.Failed:
		end.Failure = root.last.Error
	case end.Status == dag.StatusFailed:
		i := slices.IndexFunc(t.tasks, func(one *task) bool {
			return one != nil && one.row.State == dag.Failed && one.row.Flags&dag.FlagAllowed == 0
		})
		end.Failure = dag.FailedTask(t.tasks[i].Name, t.tasks[i].id, t.tasks[i].last.Error)
	}
	if len(end.Result) > expansion.MaxCollected {
		end.Kind, end.Failure = dag.KindOutput, "its result is too large: let the tree keep it elsewhere"
	}
	waiter := t.waiter
	waiter.sub = nil
	w.decide(func(d *dag.Decision) { d.SubtreeEnded(waiter.row.Key, t.attempt, end) }, waiter)
}

// newID makes an id for a task.
func (w *world) newID() string {
	w.ids++
	return fmt.Sprintf("task-%d", w.ids)
}
