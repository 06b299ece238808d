package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Why says what a task waits for; see [Service].
func (c *Coordinator) Why(ctx context.Context, taskID string) (*Explanation, error) {
	if !text(taskID) {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	w, err := c.store.Why(ctx, here, taskID, c.cfg.Lease)
	if err != nil {
		return nil, c.internal("explain task", err)
	}
	e := explain(w)
	if w.TreeLate != nil && w.TreeDue != nil {
		e.Summary += fmt.Sprintf("; its tree is late: it was to end by %s", clock(w.TreeDue))
	}
	if w.State == dag.Awaiting && w.CancelledAt == nil {
		waiting, err := c.store.Waiting(ctx, w.Key)
		if err != nil && !pg.Unreadable(err) {
			return nil, c.internal("explain task", err)
		}
		if waiting != nil && waiting.Kind == dag.AwaitTree && waiting.Attempt == w.Attempt {
			if err = c.explainSubtree(ctx, here, e, waiting); err != nil {
				return nil, c.internal("explain task", err)
			}
		} else {
			e.awaiting(w, waiting)
		}
	}
	if w.State == dag.Completed && w.Flags&dag.FlagCache != 0 {
		from, err := c.store.CachedFrom(ctx, w.Key, w.Attempt)
		if err != nil {
			return nil, c.internal("explain task", err)
		}
		if from != nil {
			e.Summary += fmt.Sprintf("; it has not run: it was taken from the cache of task %s of tree %s", from.TaskID, from.TreeID)
		}
	}
	if w.State == dag.Held && w.CancelledAt == nil {
		unique, err := c.store.UniqueOf(ctx, w.Key.Tree())
		if err != nil {
			return nil, c.internal("explain task", err)
		}
		if unique != nil {
			e.Summary += fmt.Sprintf("; meanwhile its tree has the key %q, and no other one is stored with it", unique.Key)
		}
	}
	if w.State == dag.Ready && w.CancelledAt == nil && c.store.AnyGates() {
		pauses, err := c.store.PausesOf(ctx, w.PoolID, w.Key.Tree())
		if err != nil {
			return nil, c.internal("explain task", err)
		}
		e.paused(pauses)
	}
	if w.State.Unfinished() && w.State != dag.Running || w.State == dag.Held {
		forbidden, err := c.store.ForbiddenBy(ctx, w.Key)
		if err != nil {
			return nil, c.internal("explain task", err)
		}
		if forbidden != "" {
			e.Summary += "; it will fail when a worker asks for it: " + forbidden
		}
	}
	return e, nil
}

// explain puts what the store knows into words. It covers every state; a state that it does not know has no waits.
func explain(w *pg.Why) *Explanation {
	e := &Explanation{TaskID: w.ID, TreeID: w.TreeID, Name: w.Name, State: w.State}
	if w.CancelledAt != nil && w.State != dag.Running && (!w.State.Settled() || w.State == dag.Blocked) {
		e.Summary = fmt.Sprintf("its tree was cancelled %s (%s): it will not start, and is about to be marked", clock(w.CancelledAt), w.CancelMessage)
		return e
	}
	defer func() {
		if w.Flags&dag.FlagImported != 0 && w.State.Settled() {
			e.Summary += "; it was submitted as ended, and did not run here"
		}
	}()
	switch w.State {
	case dag.Held:
		e.Summary = "held: it was stored, and no execution includes it"
		e.wait(Wait{Kind: WaitExecute, Text: "a user's execute (rerun), of it, of its tree, or of a task that depends on it"})
	case dag.Waiting:
		e.dependencies(w)
	case dag.Delayed:
		e.delay(w)
	case dag.Ready:
		e.place(w)
		e.ruled(w)
	case dag.Running:
		e.running(w)
	case dag.Expanded:
		e.expanded(w)
	case dag.Awaiting:
		e.Summary = fmt.Sprintf("awaiting: attempt %d waits for something from outside, and holds no slot", w.Attempt)
	case dag.Blocked:
		e.Summary = "blocked: a dependency can't end any more as it has to" + refusals(w.Steps)
		by := "rerun"
		if w.CauseState == dag.Cancelled {
			by = "rerun --cancelled"
		}
		e.wait(Wait{Kind: WaitBlocked, TaskID: w.Cause, TaskName: w.CauseName, TaskState: w.CauseState, Error: w.CauseError,
			Text: fmt.Sprintf("a re-run (%s): %s %s%s", by, called(w.CauseName, w.Cause), ended(w.CauseState), because(w.CauseError))})
	case dag.Skipped:
		e.Summary = fmt.Sprintf("was skipped %s: %s; it waits for nothing", clock(w.FinishedAt), skipped(w.Steps))
	default:
		e.Summary = fmt.Sprintf("%s %s%s: it waits for nothing", ended(w.State), clock(w.FinishedAt), because(w.Error))
		if c := conditionOf(w.Steps); c != "" && w.State == dag.Failed && dag.Kind(w.Steps[0].Kind) == dag.KindWhen {
			e.Summary += "; its condition was " + c
		}
		if w.State == dag.Cancelled {
			e.Summary += ", and runs again only when that is asked for (rerun --cancelled)"
		}
		if w.Open {
			e.Summary = fmt.Sprintf("it was cancelled %s%s, and its attempt %d is still open", clock(w.FinishedAt), because(w.Error), w.Attempt)
			e.wait(Wait{Kind: WaitWorker, Worker: w.Worker, Attempt: int(w.Attempt),
				Text: fmt.Sprintf("worker %s to say that attempt %d has stopped, or for its lease to end; before that it can't run again", w.Worker, w.Attempt)})
		}
	}
	return e
}

// awaiting adds what an awaiting task waits for; nil: it was answered just now, or nobody can read it
func (e *Explanation) awaiting(w *pg.Why, waits *pg.Waiting) {
	if waits == nil || waits.Attempt != w.Attempt {
		return
	}
	out := Wait{Since: waits.Since, Attempt: int(waits.Attempt)}
	rules, over := waits.Rules(), ""
	if waits.Due != nil {
		out.Until = *waits.Due
		over = ", until " + clock(waits.Due)
	}
	since := "since " + clock(&waits.Since) + over
	switch waits.Kind {
	case dag.AwaitSignal:
		out.Kind, out.Text = WaitSignal, fmt.Sprintf("the signal %q, %s; \"taskgrove signal %s %s\" sends it", waits.Name, since, w.ID, waits.Name)
	case dag.AwaitApproval:
		who := "whoever may run it"
		if len(rules.Approvers) > 0 {
			who = strings.Join(rules.Approvers, ", ")
		}
		out.Kind, out.Text = WaitApproval, fmt.Sprintf("an answer (%s) by %s, %s: %s", strings.Join(rules.Choices, ", "), who, since, cut(rules.Message))
	case dag.AwaitTime:
		out.Kind, out.Text = WaitTime, "its time, "+clock(waits.Due)
	default:
		return
	}
	e.wait(out)
}

// explainSubtree adds the tree whose end a task waits for.
func (c *Coordinator) explainSubtree(ctx context.Context, here dag.NamespaceKey, e *Explanation, waits *pg.Waiting) error {
	out := Wait{Kind: WaitTree, Since: waits.Since, Attempt: int(waits.Attempt)}
	since := "since " + clock(&waits.Since)
	if waits.Due != nil {
		out.Until = *waits.Due
		since += ", until " + clock(waits.Due)
	}
	if waits.Tree == 0 {
		out.Text = "a coordinator to submit its tree; that is on record and happens in batches"
		e.wait(out)
		return nil
	}
	tree, err := c.store.Tree(ctx, waits.Tree)
	var root *pg.Shown
	if err == nil {
		root, err = c.store.Task(ctx, here, tree.ID)
	}
	switch {
	case errors.Is(err, pg.ErrNotFound):
		out.Text = "a coordinator to tell it that the tree was deleted which it had submitted"
	case err != nil:
		return err
	default:
		out.TaskID, out.TaskName, out.TaskState = tree.ID, tree.Name, root.State
		out.Text = fmt.Sprintf("the end of the tree that it has submitted, %s, %s; its root is %s, and %d of its %d tasks have ended", called(tree.Name, tree.ID), since, root.State,
			tree.Tasks-tree.Held-tree.Unfinished, tree.Tasks)
		if tree.Unfinished == 0 {
			out.Text += "; a coordinator is about to tell it"
		}
	}
	e.wait(out)
	return nil
}

// paused says what holds a ready task back, before what else it waits for; the first of what is given. A parked task is in no run.
func (e *Explanation) paused(pauses []*pg.Pause) {
	var waits []Wait
	for _, p := range pauses {
		what := map[dag.PauseScope]string{dag.PauseEverything: "everything", dag.PausePool: "pool " + p.Name, dag.PauseTree: "its tree"}[p.Scope]
		waits = append(waits, Wait{Kind: WaitPause, Since: p.SetAt,
			Text: fmt.Sprintf("somebody to resume %s, which %s has paused %s%s", what, cmp.Or(p.SetBy, AnonymousName), clock(&p.SetAt), because(cut(p.Reason)))})
	}
	e.heldBack("ready, and held back by a pause", waits)
}

// cut is the beginning of a text that may be long.
func cut(text string) string {
	const most = 200
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

func (e *Explanation) wait(w Wait) { e.Waits = append(e.Waits, w) }

// running explains Running: an attempt may be claimed before its worker has a slot for it.
func (e *Explanation) running(w *pg.Why) {
	if !w.MayBeInLine() {
		e.Summary = fmt.Sprintf("it runs on worker %s since %s, attempt %d: it waits for nothing", w.Worker, clock(w.StartedAt), w.Attempt)
		return
	}
	e.Summary = fmt.Sprintf("it is claimed by worker %s since %s, attempt %d, and runs as soon as that has a slot", w.Worker, clock(w.StartedAt), w.Attempt)
	e.wait(Wait{Kind: WaitSlot, Pool: w.Pool, Worker: w.Worker, Attempt: int(w.Attempt), Until: w.StartedAt.Add(dag.LineWait),
		Text: fmt.Sprintf("a slot of worker %s, if it has none yet: it starts or is handed back within %s", w.Worker, dag.LineWait)})
}

// dependencies explains Waiting.
func (e *Explanation) dependencies(w *pg.Why) {
	if w.Total == 0 {
		e.Summary = "waiting: all its dependencies have ended"
		text := "a coordinator to pass on that its dependencies have ended"
		if w.Remaining == 0 {
			e.Summary = "waiting: it has nothing to wait for"
			text = "a coordinator to let it go"
		}
		if w.Remaining == 0 && w.Dependencies > 0 && w.Flags&dag.FlagsJudged != 0 {
			e.Summary = "waiting: all its dependencies have ended"
			text = "a coordinator to decide by how they have ended whether it runs"
			switch {
			case w.Flags&dag.FlagFold != 0:
				text = "a coordinator to take the worst outcome of them as its own"
			case w.Flags&dag.FlagsEvaluated == dag.FlagCache:
				text = "a coordinator to look for an earlier success by which it may end"
			case w.Flags&dag.FlagWhen != 0:
				text = "a coordinator to evaluate its condition " + conditionOf(w.Steps)
			}
		}
		e.wait(Wait{Kind: WaitDispatch, Text: text + "; that is on record and happens in batches"})
		return
	}
	switch {
	case w.Dependencies == 1:
		e.Summary = "waiting: its dependency has not ended"
	case w.Total == 1:
		e.Summary = fmt.Sprintf("waiting: 1 of its %d dependencies has not ended", w.Dependencies)
	default:
		e.Summary = fmt.Sprintf("waiting: %d of its %d dependencies have not ended", w.Total, w.Dependencies)
	}
	if more := w.Total - len(w.Unfinished); more > 0 {
		e.Summary += fmt.Sprintf("; the first %d are named, and %d are not", len(w.Unfinished), more)
	}
	if c := conditionOf(w.Steps); c != "" {
		e.Summary += "; then its condition decides, " + c
	}
	for _, d := range w.Unfinished {
		until := until(d.Required, d.Mode, w.Flags)
		e.wait(Wait{Kind: WaitDependency, TaskID: d.ID, TaskName: d.Name, TaskState: d.State,
			Text: fmt.Sprintf("%s %s; it is %s", called(d.Name, d.ID), until, d.State)})
	}
}

// delay explains Delayed. Only a failure that is tried again after a pause delays a task that has failed before: what is
// interrupted goes on at once.
func (e *Explanation) delay(w *pg.Why) {
	var until time.Time
	if w.DueAt != nil {
		until = *w.DueAt
	}
	if w.Again {
		e.Summary = "delayed: it repeats, and its condition did not hold of its last result"
		e.wait(Wait{Kind: WaitNotBefore, Until: until, Text: "its next run, " + clock(w.DueAt)})
		return
	}
	if w.Failures == 0 {
		e.Summary = "delayed: its time has not come"
		e.wait(Wait{Kind: WaitNotBefore, Until: until, Text: "its not_before, " + clock(w.DueAt)})
		return
	}
	e.Summary = fmt.Sprintf("delayed: attempt %d failed, attempt %d follows", w.Attempt-1, w.Attempt)
	e.wait(Wait{Kind: WaitRetry, Until: until, Attempt: int(w.Attempt), Error: w.ErrorBefore,
		Text: fmt.Sprintf("the back-off before attempt %d, until %s; attempt %d failed%s", w.Attempt, clock(w.DueAt), w.Attempt-1, because(w.ErrorBefore))})
}

// place explains Ready.
func (e *Explanation) place(w *pg.Why) {
	if w.Workers.Workers == 0 {
		e.pool(w)
		e.lines(w)
		return
	}
	if len(w.Lines) > 0 {
		e.Summary = "ready: it waits for what it asks for"
		e.lines(w)
		return
	}
	p := w.Place
	if p == nil {
		e.Summary = "ready, and in no run"
		e.wait(Wait{Kind: WaitDispatch, Pool: w.Pool, Text: "a dispatch that is not on record, which no transaction leaves behind: see verify"})
		return
	}
	except := ""
	if len(w.Workers.Faults) > 0 {
		except = "; not taken by worker " + strings.Join(w.Workers.Faults, ", nor by worker ")
	}
	if p.Ahead == 0 && p.Busy < w.Workers.Capacity {
		e.Summary = "ready: it is the next, and its pool has room"
		text := "a coordinator to publish it"
		if p.Sent != nil {
			text = fmt.Sprintf("a worker to take it; it was published %s, and is again should that be lost", clock(p.Sent))
		}
		e.wait(Wait{Kind: WaitDispatch, Pool: w.Pool, Text: text + except})
		return
	}
	e.Summary = fmt.Sprintf("ready: pool %s has no room for it yet", w.Pool)
	ahead := fmt.Sprintf("%d ready tasks come first", p.Ahead)
	switch {
	case p.More:
		ahead = "at least " + ahead
	case p.Ahead == 1:
		ahead = "1 ready task comes first"
	}
	text := fmt.Sprintf("a slot of pool %s: %s, %d of %d slots are taken", w.Pool, ahead, min(p.Busy, w.Workers.Capacity), w.Workers.Capacity)
	switch line := p.Busy - w.Workers.Capacity; {
	case line == 1:
		text += ", and 1 more task is in line for them"
	case line > 1:
		text += fmt.Sprintf(", and %d more tasks are in line for them", line)
	}
	e.wait(Wait{Kind: WaitCapacity, Pool: w.Pool, Ahead: p.Ahead, Capacity: w.Workers.Capacity, Text: text + except})
}

// pool explains that nobody takes tasks of the pool.
func (e *Explanation) pool(w *pg.Why) {
	wait := Wait{Kind: WaitPool, Pool: w.Pool}
	e.Summary = fmt.Sprintf("ready: no live worker serves pool %s", w.Pool)
	switch {
	case len(w.Workers.Faults) > 0:
		e.Summary = fmt.Sprintf("ready: no worker of pool %s can take it", w.Pool)
		wait.Text = fmt.Sprintf("a worker that can take tasks of pool %s; worker %s", w.Pool, strings.Join(w.Workers.Faults, "; worker "))
	case w.Workers.Draining > 0:
		wait.Since = *w.Workers.Since
		wait.Text = fmt.Sprintf("a worker that serves pool %s: the last ones (%d) are draining and take nothing", w.Pool, w.Workers.Draining)
	case w.Workers.Since != nil:
		wait.Since = *w.Workers.Since
		wait.Text = fmt.Sprintf("a worker that serves pool %s: there has been none since %s", w.Pool, clock(w.Workers.Since))
	default:
		wait.Text = fmt.Sprintf("a worker that serves pool %s: none ever did, or none for a day at least", w.Pool)
	}
	e.wait(wait)
}

// called is how texts call a task: by its name, and by its id where that is another.
func called(name, id string) string {
	if name == "" || name == id {
		return id
	}
	return fmt.Sprintf("%s (%s)", name, id)
}

// ended tells how a settled task ended.
func ended(s dag.State) string {
	switch s {
	case dag.Completed, dag.Failed:
		return s.String()
	case dag.Cancelled, dag.Skipped:
		return "was " + s.String()
	}
	return "is " + s.String()
}

// because is the reason with what leads up to it; nothing without one.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// clock shows a moment; "at an unknown time" when it is not on record.
func clock(t *time.Time) string {
	if t == nil {
		return "at an unknown time"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
