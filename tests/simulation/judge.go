package simulation

import (
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
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
		t.truth.rest = w.now + min(r.RetryAfter, dag.MaxRetryAfter)
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
	case old.Worker != 0 && r.Worker != 0 && old.Worker != r.Worker:
		w.broken("task %d is claimed while another worker holds it", i)
	case r.State == dag.Ready && old.Worker != 0 && r.Worker != 0, r.State == dag.Running && r.Worker == 0:
		w.broken("task %d is %s, worker %d", i, r.State, r.Worker)
	}
	if r.State == dag.Ready && (old.State != dag.Ready || r.Attempt != old.Attempt) {
		t.truth.ready, t.truth.again = w.now, r.Attempt > old.Attempt && old.State == dag.Running
	}
	if r.State == dag.Running && old.State != dag.Running {
		t.truth.claimed = w.now
	}
	if old.State == dag.Waiting && r.State != dag.Waiting && r.State != dag.Cancelled {
		w.after(0, func() { w.judgeOrder(t, r.State) })
	}
}

// judgeOrder: a task moves on when all dependencies have ended and the required ones are completed; else it is blocked.
func (w *world) judgeOrder(t *task, to dag.State) {
	bad := false
	for _, d := range t.deps {
		st := w.store.trees[t.row.Key.Tree()-1].tasks[d.Task].row.State
		if to != dag.Blocked && (!st.Settled() || d.Required && st != dag.Completed) {
			w.broken("task %d goes on while its dependency %d is %s", t.row.Key.Index(), d.Task, st)
		}
		bad = bad || d.Required && st.Settled() && st != dag.Completed
	}
	if to == dag.Blocked && !bad {
		w.broken("task %d is blocked, and no required dependency is the cause", t.row.Key.Index())
	}
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
	case dag.OutcomeFailed:
		t.truth.failures++
	}
	if most := max(1, t.policy.Retry.MaxAttempts); t.truth.failures > most {
		w.broken("task %d failed %d times of %d", i, t.truth.failures, most)
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
		n.Count(task.row.State, task.row.Flags, 1)
		if task.row.Worker != 0 {
			n.Running++
		}
	}
	c := t.counts
	got := [...]int{c.Held, c.Unfinished, c.Running, c.Completed, c.Failed, c.Cancelled, c.Blocked, c.LeavesCompleted}
	want := [...]int{n.Held, n.Unfinished, n.Running, n.Completed, n.Failed, n.Cancelled, n.Blocked, n.LeavesCompleted}
	if got != want {
		w.broken("tree %d counts %v, its tasks are %v", t.key, got, want)
	}
}

// judgeEnding holds the end of the history against the rules of package history, and what is stored against itself.
func (w *world) judgeEnding() {
	w.judgeSlots()
	for _, t := range w.store.trees {
		for i, task := range t.tasks {
			if task.row.State == dag.Cancelled && !task.truth.cancelled {
				w.broken("task %d is cancelled, and nobody asked for it", i)
			}
		}
		w.judgeCounts(t)
	}
	problems, excused := history.Check(w.history())
	w.report.Overlapping = excused.Repeatable + excused.Frozen
	for _, p := range problems {
		w.broken("%s", p)
	}
}
