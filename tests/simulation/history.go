package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// truth is what the judge knows of a task, from outside of the protocol.
type truth struct {
	restarts  []restart     // the last one is that of the current execution
	reused    int32         // the attempt that an earlier success ended; 0: none
	due       time.Duration // when the latest delay is over
	rest      time.Duration // until when the latest failure asked for no further attempt
	ready     time.Duration // since when it has been ready
	barred    int32         // attempts up to this were cancelled before they had started
	cancelled bool          // a user asked for it
	claimed   time.Duration // when the latest attempt was
	again     bool          // it is ready, and was interrupted
	unstarted int32         // the latest attempt that its worker handed back without having begun it
	last      int32         // the attempt after which there is none, by the kind of its failure; 0: none
	forced    bool          // the execution lost or timed out an attempt so that it counts
	losses    int           // workers lost, in the execution
	failures  int           // counted ones, in the execution
	repeats   int           // in the execution
	skipped   bool          // a user asked for that
	unblocked bool          // it was blocked, and is cancelled
	timedOut  bool          // its latest wait was ended by its timer
	denied    int32         // the attempt that ended as its lock was held
	resumed   int32         // the latest attempt that was answered so that another goes on
	given     []given
}

// given is a message that reached a worker.
type given struct {
	number int32
	worker int
}

// restart is the first attempt of an execution.
type restart struct {
	execution int // of the tree
	first     int32
}

func (t *truth) restart(r restart, now time.Duration) {
	*t = truth{restarts: append(t.restarts, r), ready: now, given: t.given, reused: t.reused}
}

// of is the restart that an attempt belongs to; the zero one for none.
func (t *truth) of(number int32) (of restart) {
	for _, r := range t.restarts {
		if r.first <= number {
			of = r
		}
	}
	return of
}

// has reports whether the message of an attempt ever reached a worker.
func (t *truth) has(number int32, worker int) bool {
	return slices.Contains(t.given, given{number, worker})
}

// execution is what an executor does: the journal that is written outside of the system.
type execution struct {
	task         *task
	number       int32
	worker       int
	session      *session
	begun, ended time.Duration
	granted      time.Duration // when its worker heard that it was its own; 0: it began before
	of           int           // which execution of its task
	repeatable   bool          // its task may run twice
	frozen       bool          // with its process, past the fence or past its own timeout
	barred       bool          // it was cancelled before it began
	held         []holdRow     // when it began
	over         bool
}

// begin notes that an executor starts. Whether it may is judged by the history, but for what only the store knows.
func (w *world) begin(wk *worker, a *attempt) *execution {
	t := w.store.task(a.key().task)
	e := &execution{task: t, number: a.key().number, worker: wk.id - 100, session: a.session, begun: w.now, of: t.truth.of(a.key().number).execution,
		repeatable: startsEarly(t.row.Flags), held: slices.Clone(w.store.holding[a.key().task]), barred: a.key().number <= t.truth.barred}
	if a.Granted() {
		e.granted = a.GrantedAt().Sub(epoch)
	}
	w.trace("start", wk.id, int(a.key().task.Tree())*1000+a.key().task.Index(), int(a.key().number))
	w.report.Starts++
	w.open = append(w.open, e)
	w.ran = append(w.ran, e)
	w.begun[a.key()] = e
	w.judgeBegin(wk, a)
	if a.StartedEarly() && !a.Granted() {
		w.report.Early++
	}
	if early := t.policy.NotBefore.Sub(w.time()); !t.policy.NotBefore.IsZero() && early > 0 {
		w.broken("task %d starts %s before its time", t.row.Key.Index(), early)
	}
	holder := w.store.worker(t.row.Worker)
	if !e.repeatable && (t.row.Attempt != e.number || holder == nil || holder.session != a.session.name) {
		w.broken("task %d: attempt %d starts without a claim on record", t.row.Key.Index(), e.number)
	}
	if t.row.Flags&dag.FlagLimited != 0 {
		w.judgeHolder(t)
	}
	w.refresh(e)
	return e
}

// end notes that executors have ended: one, or all of a worker that is gone.
func (w *world) end(ended func(*execution) bool) {
	w.open = slices.DeleteFunc(w.open, func(e *execution) bool {
		if ended(e) {
			e.over, e.ended = true, w.now
		}
		return e.over
	})
}

// note keeps the events of an execution before those of the next one take their place.
func (w *world) note(t *tree) {
	if t.finished {
		w.told[fmt.Sprintf("%s, execution %d", t.script.Tasks[0].ID, t.execution)] = events(t)
	}
}

// events are those of a tree's current execution.
func events(t *tree) (out []history.Event) {
	for i, e := range t.counts.Events {
		task := ""
		if e.Type != dag.EventFinal && e.Type != dag.EventExecution {
			task = t.script.Tasks[e.Task.Index()].ID
		}
		out = append(out, history.Event{Sequence: int64(i) + 1, Task: task, Attempt: int(e.Attempt), Starts: e.Type == dag.EventStart,
			Ends:      e.Type == dag.EventCompleted || e.Type == dag.EventFailed || e.Type == dag.EventCancelled || e.Type == dag.EventSkipped,
			Completes: e.Type == dag.EventCompleted && t.tasks[e.Task.Index()].truth.reused != e.Attempt, Final: e.Type == dag.EventFinal})
	}
	return out
}

// history is what happened, in the words of package history, and the trees as they had to end.
func (w *world) history() (history.History, []oracle.Tree) {
	h := history.History{Attempts: map[string][]history.Ended{}, Events: w.told, Ends: map[string]history.End{}, Slots: map[string]int{}}
	for pool := 1; pool <= pools; pool++ {
		h.Slots[strconv.Itoa(pool)] = w.par.Slots
	}
	for _, e := range w.ran {
		tree := w.store.trees[e.task.row.Key.Tree()-1]
		h.Runs = append(h.Runs, history.Run{Task: tree.script.Tasks[e.task.row.Key.Index()].ID, Attempt: int(e.number), Process: e.worker,
			Pool: strconv.Itoa(int(e.task.row.Pool)), Start: e.begun, End: e.ended, Open: !e.over, Repeatable: e.repeatable, Frozen: e.frozen,
			Execution: e.of, Barred: e.barred, Abandoned: w.abandoned(e), Held: w.heldBy(e)})
	}
	var trees []oracle.Tree
	for _, t := range w.store.trees {
		root := t.script.Tasks[0].ID
		h.Submits = append(h.Submits, history.Submit{Root: root, Answer: history.Accepted, Partial: t.partial || t.execution == 0, Whole: true})
		if t.execution > 0 {
			h.Events[root] = events(t)
		}
		expect := oracle.Tree{Tasks: slices.Clone(t.script.Tasks)}
		for i, task := range t.tasks {
			id := expect.Tasks[i].ID
			task.expect(&expect.Tasks[i], w.store.ends(task))
			expect.Tasks[i].Reused = task.row.State == dag.Completed && task.truth.reused == task.row.Attempt
			if w.kept(t, i) {
				expect.Tasks[i].Kept = true
				w.report.Beyond.Kept++
			}
			if !task.made {
				w.unmade(t, expect, i)
				continue
			}
			last := task.truth.of(task.row.Attempt)
			h.Ends[id] = history.End{State: task.row.State, Unread: true, Execution: last.execution, First: int(last.first)}
			h.Attempts[id] = w.store.ends(task)
		}
		w.cutShort(t, expect)
		trees = append(trees, expect)
	}
	return h, trees
}

// heldBy is what a run held of keys of which no operator has set another max.
func (w *world) heldBy(e *execution) (out []history.Held) {
	for _, h := range e.held {
		if h.Kind == dag.KindLock || h.Kind == dag.KindLimit && !w.store.ruled[h.LimitKey] {
			out = append(out, history.Held{Key: limitName(h.LimitKey), Cost: int(h.Cost), Max: w.store.widest[h.LimitKey], Token: h.token})
		}
	}
	return out
}

// kept reports whether a task completed, and a later execution of something that it depends on left it so.
func (w *world) kept(t *tree, i int) bool {
	task := t.tasks[i]
	last := task.truth.of(task.row.Attempt).execution
	return t.keeps && task.made && task.row.State == dag.Completed && task.imported == nil && slices.ContainsFunc(task.deps, func(e dag.Edge) bool {
		on := t.tasks[e.Task]
		return on.truth.of(on.row.Attempt).execution > last
	})
}

// abandoned reports whether an attempt had an end before its executor had stopped.
func (w *world) abandoned(e *execution) bool {
	end := w.store.attempts[attemptKey{e.task.row.Key, e.number}]
	switch {
	case end == nil: // cancelled before it began, or not yet settled
		return e.barred && e.repeatable
	case end.Outcome == dag.OutcomeCancelled, end.Outcome == dag.OutcomeSkipped && end.StartedAt.IsZero() && e.repeatable: // a user skipped it
		return true
	}
	return e.frozen && (end.Outcome == dag.OutcomeLost || end.Outcome == dag.OutcomeReturned || end.Outcome == dag.OutcomeTimedOut)
}

// ends are the ended attempts of a task in its last execution.
func (s *store) ends(t *task) (out []history.Ended) {
	if e := t.imported; e != nil && len(t.truth.restarts) == 0 {
		return []history.Ended{{Number: 1, Outcome: e.State, Counted: e.Attempts > 0}}
	}
	for n := max(1, t.truth.of(t.row.Attempt).first); n <= t.row.Attempt; n++ {
		row := s.attempts[attemptKey{t.row.Key, n}]
		if row == nil {
			continue
		}
		e := history.Ended{Number: int(n), Counted: row.Counted}
		switch row.Outcome {
		case dag.OutcomeCompleted:
			e.Outcome = dag.Completed
		case dag.OutcomeRepeated:
			e.Outcome, e.Repeats = dag.Completed, true
		case dag.OutcomeSkipped:
			e.Outcome = dag.Skipped
		case dag.OutcomeCancelled:
			e.Outcome = dag.Cancelled
		case dag.OutcomeFailed, dag.OutcomeTimedOut:
			e.Outcome = dag.Failed
		default:
			e.Lost = true
		}
		out = append(out, e)
	}
	return out
}

// expect tells the oracle what happened to a task that its script does not know: that it was cancelled, or that its
// execution was cut short by a timeout or by workers that were lost.
func (t *task) expect(script *oracle.Task, attempts []history.Ended) {
	if t.truth.denied == t.row.Attempt && t.truth.denied > 0 && (t.row.State == dag.Failed || t.row.State == dag.Skipped) {
		counted := 0
		for _, a := range attempts {
			if a.Counted {
				counted++
			}
		}
		script.Deny(t.row.State, counted)
	}
	script.Cancelled = t.row.State == dag.Cancelled && t.truth.cancelled
	script.Skipped = t.row.State == dag.Skipped && t.truth.skipped
	if script.Imported != nil && len(t.truth.restarts) > 0 {
		script.Imported = nil
	}
	if wait := script.Script.Wait; wait != nil && t.truth.timedOut {
		late := *wait
		late.Comes, script.Script.Wait = false, &late
	}
	rejected := script.Script.Wait != nil && script.Script.Wait.Comes && script.Script.Wait.Rejects && script.Script.Fail >= 0
	vain := script.Script.Wait != nil && t.truth.timedOut && t.truth.last == t.row.Attempt // it waited once, and in vain
	if t.row.State != dag.Failed || !t.truth.forced && !t.expanded && !rejected && !vain {
		return
	}
	counted := 0
	for _, a := range attempts {
		if a.Counted {
			counted++
		}
	}
	if t.expanded || (rejected || vain) && !t.truth.forced { // another try is not made; some that would have failed were lost
		script.Script.Fail, script.MaxAttempts = counted-1, max(counted, script.MaxAttempts)
		return
	}
	script.Script, script.MaxAttempts, script.RetryOn, script.NoRetryOn = oracle.Script{Fail: -1}, counted, nil, nil
}

// unmade tells the oracle of a task that no run found, though its script says so: whoever was to find it, or the tree, was cancelled before.
func (w *world) unmade(t *tree, expect oracle.Tree, i int) {
	on := expect.Tasks[i].By - 1
	expect.Tasks[i].Deleted = expect.Tasks[on].Deleted || t.tasks[on].row.State == dag.Cancelled
}

// cutShort has the oracle take what runs found that were cancelled afterwards for what was submitted.
func (w *world) cutShort(t *tree, expect oracle.Tree) {
	for i := range expect.Tasks {
		if by := expect.Tasks[i].By; by > 0 && t.tasks[i].made && t.tasks[by-1].row.State == dag.Cancelled {
			expect.Tasks[i].By = 0
		}
	}
}
