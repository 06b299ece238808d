package simulation

import (
	"cmp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// wasGiven reports whether the message of an attempt ever reached the worker.
func (w *world) wasGiven(t *task, number int32, key dag.WorkerKey) bool {
	r := w.store.worker(key)
	return r != nil && t.truth.has(number, r.worker)
}

// judgeClaim: only who was given an attempt may claim it.
func (w *world) judgeClaim(c dag.Claim) {
	if t := w.store.task(c.Task); !w.wasGiven(t, c.Attempt, c.Worker) {
		w.broken("task %d is claimed by a worker that was never given it", t.row.Key.Index())
	}
}

// judgeSettle: only who holds an attempt may end it, or who started a repeatable one early.
func (w *world) judgeSettle(before dag.Row, r dag.Result) {
	t := w.store.task(r.Task)
	if r.Outcome == dag.OutcomeFailed {
		bound := dag.MaxRetryAfter
		if most := t.policy.Retry.MaxDelay; most > 0 {
			bound = most
		}
		t.truth.rest = w.now + min(r.RetryAfter, bound)
	}
	if r.Worker == 0 { // an instance that is not registered yet: only what it started early counts
		if !r.Early || before.Flags&dag.FlagRepeatable == 0 {
			w.broken("task %d is settled by nobody", t.row.Key.Index())
		}
		return
	}
	w.judgeUnstarted(t, r)
	if !w.wasGiven(t, r.Attempt, r.Worker) {
		w.broken("task %d is settled by a worker that was never given it", t.row.Key.Index())
	}
	if holder, from := w.store.worker(before.Worker), w.store.worker(r.Worker); holder != nil && holder.worker != from.worker &&
		before.Flags&dag.FlagRepeatable == 0 {
		w.broken("task %d is settled by another worker than its holder", t.row.Key.Index())
	}
}

// judgeTakeBack: what a worker stored before its lease ended is settled before its attempts are taken back.
func (w *world) judgeTakeBack(k attemptKey, r *workerRow) {
	for _, b := range w.nats.results {
		for _, res := range b.results {
			if res.key == k && b.at < r.lease && tokens.Valid(k.task, k.number, res.token) {
				w.broken("task %d is taken back while its result waits", k.task.Index())
			}
		}
	}
}

// judgeRuns: a ready task is in one run.
func (w *world) judgeRuns(r run) {
	for _, list := range [][]run{w.store.ready, w.store.published} {
		for _, o := range list {
			if o.id != r.id && o.attempt == r.attempt && o.first < r.first+dag.Key(r.n) && r.first < o.first+dag.Key(o.n) {
				w.broken("tasks from %d on are in two runs", r.first.Index())
			}
		}
	}
}

// judgeMove holds a write of a row against the rules of states.
func (w *world) judgeMove(t *task, r *dag.Row) {
	old, i := t.row, t.row.Key.Index()
	switch {
	case old.State.Settled() && (r.State != old.State || r.Attempt != old.Attempt) && !(old.State == dag.Blocked && r.State == dag.Cancelled):
		w.broken("settled task %d goes from %s to %s", i, old.State, r.State)
	case r.Attempt < old.Attempt || r.Attempt > old.Attempt+1:
		w.broken("attempts of task %d go from %d to %d", i, old.Attempt, r.Attempt)
	case old.State == dag.Running && (r.State == dag.Ready || r.State == dag.Delayed) && r.Attempt == old.Attempt:
		w.broken("task %d returns with its old attempt %d", i, r.Attempt)
	case old.State == dag.Delayed && r.State == dag.Ready && w.now < t.truth.due:
		w.broken("task %d is ready before its time", i)
	case old.State != dag.Ready && r.State == dag.Ready && w.now < t.truth.rest:
		w.broken("task %d is ready before the time that its failure asked for", i)
	case old.State != dag.Running && r.State == dag.Running && !w.store.worker(r.Worker).live(w.now):
		w.broken("task %d is claimed by a worker whose lease has ended", i)
	case r.Attempt > old.Attempt && old.Attempt == t.truth.last:
		w.broken("task %d is tried again after a failure of a kind that says no", i)
	case old.Worker != 0 && r.Worker != 0 && old.Worker != r.Worker:
		w.broken("task %d is claimed while another worker holds it", i)
	case (r.State == dag.Expanded || r.State == dag.Awaiting) && r.Worker != 0:
		w.broken("task %d is %s and holds a slot of worker %d", i, r.State, r.Worker)
	case r.State == dag.Ready && old.Worker != 0 && r.Worker != 0, r.State == dag.Running && r.Worker == 0:
		w.broken("task %d is %s, worker %d", i, r.State, r.Worker)
	}
	if t.by > 0 && r.State != dag.Cancelled && w.goesOn(t) {
		to := r.State
		w.after(0, func() { // when all is written, what cancels it may be
			if w.goesOn(t) {
				w.broken("task %d goes on as %s, and what found it was cancelled", i, to)
			}
		})
	}
	if tree := w.store.trees[r.Key.Tree()-1]; old.State == dag.Blocked && r.State == dag.Cancelled && tree.beyond {
		tree.partial, t.truth.unblocked = true, true // edges tell these outcomes apart, and who was told of the first may have gone on
	}
	switch called := old.State == dag.Ready && r.State == dag.Ready && r.Attempt > old.Attempt; { // called back: it has waited since before
	case called:
		t.truth.again = true
	case r.State == dag.Ready && (old.State != dag.Ready || r.Attempt != old.Attempt):
		t.truth.ready = w.now
		t.truth.again = r.Attempt > old.Attempt && (old.State == dag.Running || old.State == dag.Awaiting) && !r.Repeated()
	}
	if r.State == dag.Running && old.State != dag.Running {
		t.truth.claimed = w.now
		w.judgePaused(t)
	}
	if old.State == dag.Waiting && r.State != dag.Waiting && (r.State != dag.Cancelled || r.Flags&dag.FlagFold != 0 && !t.truth.cancelled) {
		to := r.State
		w.after(0, func() { w.judgeDecided(t, to) })
	}
}

// goesOn reports whether what found a task was cancelled, and nothing is left that cancels the task: nor was it there in this transaction, which may have ended the task first.
func (w *world) goesOn(t *task) bool {
	tree := t.row.Key.Tree()
	on := w.store.trees[tree-1].tasks[t.by-1]
	return on.row.State == dag.Cancelled && !slices.ContainsFunc(slices.Concat(w.store.followups, w.store.doing), func(c followup) bool {
		return c.task.Tree() == tree && (c.kind == followupCancel || c.kind == followupCancelBelow)
	})
}

// judgeEnd holds the end of an attempt against the policy.
func (w *world) judgeEnd(t *task, e dag.Ended) {
	i := t.row.Key.Index()
	if e.Outcome == dag.OutcomeLost {
		t.truth.losses++
	}
	switch e.Outcome {
	case dag.OutcomeLost, dag.OutcomeReturned:
		w.report.TakenBack++
		if t.truth.resumed == e.Attempt { // it was answered, and goes on
			break
		}
		fails := t.truth.unstarted != e.Attempt && (t.policy.OnLost == dag.FailLost || t.truth.losses >= dag.PoisonLimit)
		if e.Counted != fails {
			w.broken("task %d attempt %d was %s; counted is %v", i, e.Attempt, e.Outcome, e.Counted)
		}
		t.truth.forced = t.truth.forced || fails
		w.judgeLoss(t, e)
	case dag.OutcomeTimedOut:
		t.truth.failures++
		t.truth.forced = true
		if strings.HasPrefix(e.Error, "not started") && w.now-t.truth.ready < t.policy.ScheduleToStart ||
			strings.HasPrefix(e.Error, "timeout after") && epoch.Add(w.now).Sub(e.StartedAt) < t.policy.Timeout+dag.TimeoutGrace {
			w.broken("task %d attempt %d timed out before its time: %s", i, e.Attempt, e.Error)
		}
		w.judgeKind(t, e)
	case dag.OutcomeFailed:
		t.truth.failures++
		w.judgeKind(t, e)
	case dag.OutcomeRepeated:
		w.report.Beyond.Repeats++
		t.truth.failures, t.truth.losses = 0, 0
		if t.truth.repeats++; t.truth.repeats >= w.script(e.Task).Repeat.Max {
			w.broken("task %d runs again after %d repetitions", i, t.truth.repeats)
		}
	}
	if most := max(1, t.policy.Retry.MaxAttempts); t.truth.failures > most {
		w.broken("task %d failed %d times of %d", i, t.truth.failures, most)
	}
}

// judgeKind notes the attempt that must be a task's last one by the kind of its failure.
func (w *world) judgeKind(t *task, e dag.Ended) {
	kind := string(cmp.Or(e.Kind, dag.KindExecutor))
	st := w.store.trees[t.row.Key.Tree()-1].script.Tasks[t.row.Key.Index()]
	if slices.Contains(st.NoRetryOn, kind) || len(st.RetryOn) > 0 && !slices.Contains(st.RetryOn, kind) {
		t.truth.last = e.Attempt
		w.report.Beyond.Final++
	}
}

// judgeFinal holds a tree that says it has ended against its tasks.
func (w *world) judgeFinal(t *tree) {
	for i, task := range t.tasks {
		if task.row.State.Unfinished() {
			w.broken("tree %d has ended, its task %d is %s", t.key, i, task.row.State)
		}
	}
	w.judgeCounts(t)
}

// judgeCounts holds a tree's aggregate against its tasks.
func (w *world) judgeCounts(t *tree) {
	var n dag.TreeDelta
	for _, task := range t.tasks {
		if !task.made {
			continue
		}
		switch s := task.row.State; {
		case s == dag.Completed || s == dag.Skipped:
			n.Completed++
			if task.row.Flags&dag.FlagLeaf != 0 {
				n.LeavesCompleted++
			}
			if s == dag.Skipped {
				n.Skipped++
			}
		case s == dag.Failed:
			n.Failed++
			if t.script.Tasks[task.row.Key.Index()].AllowFailure {
				n.Allowed++
			}
		case s == dag.Cancelled:
			n.Cancelled++
		case s == dag.Blocked:
			n.Blocked++
		case s == dag.Held:
			n.Held++
		default:
			n.Unfinished++
		}
		if task.row.Worker != 0 {
			n.Running++
		}
	}
	c := t.counts
	got := [...]int{c.Skipped, c.Allowed, c.Held, c.Unfinished, c.Running, c.Completed, c.Failed, c.Cancelled, c.Blocked, c.LeavesCompleted}
	want := [...]int{n.Skipped, n.Allowed, n.Held, n.Unfinished, n.Running, n.Completed, n.Failed, n.Cancelled, n.Blocked, n.LeavesCompleted}
	if got != want {
		w.broken("tree %d counts %v, its tasks are %v", t.key, got, want)
	}
}

// judgeOutcomes holds how trees end, by what they count, against the oracle.
func (w *world) judgeOutcomes(h history.History, trees []oracle.Tree) {
	for n, t := range w.store.trees {
		c := t.counts
		if h.Submits[n].Partial || c.Held > 0 || slices.ContainsFunc(trees[n].Tasks, func(st oracle.Task) bool { return st.Deleted }) {
			continue
		}
		got := dag.Counts{Tasks: len(t.tasks), Completed: c.Completed, Failed: c.Failed, Allowed: c.Allowed, Cancelled: c.Cancelled, Blocked: c.Blocked}.Status()
		if want := trees[n].Outcome(trees[n].Run()); got != want.Status() {
			w.broken("tree %d is %s, and its tasks make it %s", t.key, got, want)
		}
	}
}

// judgeEnding holds the end of the history against the rules of package history, and what is stored against itself.
func (w *world) judgeEnding() {
	w.judgeSlots()
	w.judgePlaces()
	w.judgeDrained()
	for _, t := range w.store.trees {
		for i, task := range t.tasks {
			if task.row.State == dag.Cancelled && !task.truth.cancelled && task.imported == nil && task.row.Flags&dag.FlagFold == 0 {
				w.broken("task %d is cancelled, and nobody asked for it", i)
			}
		}
		w.judgeCounts(t)
	}
	h, trees := w.history()
	w.judgeOutcomes(h, trees)
	w.judgeFlows()
	problems, excused := history.Check(h, trees)
	w.report.Overlapping = excused.Repeatable + excused.Frozen
	for _, p := range problems {
		w.broken("%s", p)
	}
}
