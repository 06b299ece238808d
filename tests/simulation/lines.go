package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/ledger"
)

// Lines counts what became of attempts that stood in line for a slot.
type Lines struct {
	Claimed    int // asked for while they were in line
	Started    int
	HandedBack int // no slot was free in time
	Cancelled  int
	Drained    int // with their worker
	Fenced     int // with the lease of their worker
	Crashed    int // with their worker, once they were granted
}

func (l *Lines) add(o Lines) {
	l.Claimed += o.Claimed
	l.Started += o.Started
	l.HandedBack += o.HandedBack
	l.Cancelled += o.Cancelled
	l.Drained += o.Drained
	l.Fenced += o.Fenced
	l.Crashed += o.Crashed
}

// tire looks after what is in line, until nothing is.
func (wk *worker) tire() {
	if wk.tiring {
		return
	}
	wk.tiring = true
	var round func()
	round = func() {
		if wk.w.faulty() && wk.w.struck < wk.w.par.Strikes && wk.w.chance(0.1) {
			wk.w.struck++
			wk.strike()
		}
		wk.step(func(out *todo) { wk.tiring = wk.ledger.Tire(wk.w.time(), out) })
		if wk.tiring {
			wk.then(lineWait/4, round)
		}
	}
	wk.then(lineWait/4, round)
}

// strike lets something go wrong while attempts are in line.
func (wk *worker) strike() {
	w := wk.w
	lined, c := wk.lined(), w.anyCoordinator()
	if len(lined) == 0 || c == nil || w.now < w.dbDown {
		return
	}
	slices.SortFunc(lined, compare)
	switch w.rng.IntN(5) {
	case 0:
		w.kill(&wk.process)
	case 1:
		wk.resume(wk.life, wk.drain)
	case 2: // it thaws behind its fence
		life, s := wk.life, wk.session
		w.freeze(&wk.process, leaseTime)
		w.after(0, func() { wk.resume(life, func() { wk.watchFence(s) }) })
	case 3:
		w.cancelTree(w.store.trees[lined[0].key().task.Tree()-1], c)
	default:
		w.cancelTasks(keysOf(lined), c)
	}
}

// keysOf are the tasks of attempts.
func keysOf(list []*attempt) (keys []dag.Key) {
	for _, a := range list {
		keys = append(keys, a.key().task)
	}
	return keys
}

// waited is how long after its grant the attempt began, as far as that is told.
func (a *attempt) waited() time.Duration {
	if a.exec == nil || a.exec.granted == 0 || a.exec.begun-a.exec.granted < time.Millisecond {
		return 0
	}
	return a.exec.begun - a.exec.granted
}

// lined are the attempts in line.
func (wk *worker) lined() (out []*attempt) {
	for a := range wk.ledger.All {
		if a.Lined() {
			out = append(out, a)
		}
	}
	return out
}

// crashed counts what was in line when the process died.
func (wk *worker) crashed() {
	for _, a := range wk.lined() {
		if a.Granted() {
			wk.w.report.Lines.Crashed++
		}
	}
}

// judgeLines counts what has left the lines in a step, and has those looked at again that are to leave them soon: what was
// granted, and what was not asked for.
func (wk *worker) judgeLines(before []*attempt, out *todo) {
	lines := &wk.w.report.Lines
	for _, a := range before {
		switch {
		case a.Lined():
		case slices.Contains(out.Start, a):
			lines.Started++
		case !slices.Contains(out.Report, a):
		case a.Result.Why == ledger.Waited:
			lines.HandedBack++
		case a.Result.Why == ledger.Cancelled:
			lines.Cancelled++
		case a.Result.Why == ledger.Draining:
			lines.Drained++
		case a.Result.Why == ledger.LeaseLost:
			lines.Fenced++
		}
	}
	for _, a := range out.Start {
		if a.session.Ended() {
			wk.w.broken("task %d attempt %d is to start after its session", a.key().task.Index(), a.Key.Number)
		}
	}
	for _, a := range wk.lined() {
		if cold := a.tries == 0 && !slices.Contains(out.Ask, a); a.watched || !cold && !a.Granted() {
			continue
		}
		a.watched = true
		life, since := wk.life, wk.w.now
		wk.w.after(2*lineWait, func() {
			if a.Lined() && wk.up && wk.life == life && wk.frozen <= since {
				wk.w.broken("task %d attempt %d stands in line for too long", a.key().task.Index(), a.Key.Number)
			}
		})
	}
}

// judgeAhead: what is asked for before it has a slot is the first attempt of its run, and may be lost.
func (w *world) judgeAhead(a *attempt) {
	t, n := w.store.task(a.key().task), a.key().number
	w.report.Lines.Claimed++
	w.ahead[a.key()] = true
	switch {
	case w.par.Older:
		w.broken("task %d attempt %d is claimed ahead, and a coordinator knows nothing of that", t.row.Key.Index(), n)
	case t.row.Flags&dag.FlagLimited != 0:
		w.broken("task %d, which holds its keys meanwhile, is claimed ahead", t.row.Key.Index())
	case t.policy.OnLost == dag.FailLost:
		w.broken("task %d, which fails when it is lost, is claimed ahead", t.row.Key.Index())
	case n != t.truth.of(n).first:
		w.broken("task %d attempt %d is claimed ahead after another one of its run", t.row.Key.Index(), n)
	case a.Repeatable && a.Delivered > 1:
		w.broken("task %d attempt %d is claimed ahead, and may have begun before", t.row.Key.Index(), n)
	}
}

// judgeBegin: nothing begins that was not granted, but first deliveries of what may run twice; nor once its worker was told to stop.
func (w *world) judgeBegin(wk *worker, a *attempt) {
	i, n := a.key().task.Index(), a.Key.Number
	switch {
	case wk.leaving:
		w.broken("task %d attempt %d starts while its worker drains", i, n)
	case a.cancelled:
		w.broken("task %d attempt %d starts, and its worker knows that it is cancelled", i, n)
	case !a.Granted() && !(a.Repeatable && a.Delivered == 1 && w.store.task(a.key().task).row.Flags&dag.FlagLimited == 0):
		w.broken("task %d attempt %d starts before its claim is answered", i, n)
	}
}

// judgeUnstarted: what is handed back as unstarted never began.
func (w *world) judgeUnstarted(t *task, r dag.Result) {
	if !r.Unstarted {
		return
	}
	t.truth.unstarted = r.Attempt
	if x := w.begun[attemptKey{r.Task, r.Attempt}]; x != nil && !x.repeatable {
		w.broken("task %d attempt %d is handed back as if it had never begun", t.row.Key.Index(), r.Attempt)
	}
}

// judgeLoss: a task that must not be lost fails for no attempt that only stood in line.
func (w *world) judgeLoss(t *task, e dag.Ended) {
	k := attemptKey{e.Task, e.Attempt}
	if e.Counted && t.policy.OnLost == dag.FailLost && w.ahead[k] && w.begun[k] == nil {
		w.broken("task %d fails as attempt %d was lost, which was claimed ahead and never began", t.row.Key.Index(), e.Attempt)
	}
}

// judgeStart: what is stored as an attempt's start is its claim and what it waited afterwards.
func (w *world) judgeStart(t *task, e dag.Ended) {
	x := w.begun[attemptKey{e.Task, e.Attempt}]
	if x == nil || x.repeatable || x.granted == 0 || e.Outcome != dag.OutcomeCompleted && e.Outcome != dag.OutcomeFailed {
		return
	}
	if off := e.StartedAt.Sub(epoch.Add(t.truth.claimed + x.begun - x.granted)); off.Abs() > time.Millisecond {
		w.broken("task %d attempt %d began at %s, and %s later than that is stored", t.row.Key.Index(), e.Attempt, x.begun, off)
	}
}

// judgeTurn: a task that was interrupted is dispatched before those of its lane that wait.
func (w *world) judgeTurn(taken run, later []run) {
	again := func(r run) bool {
		t := w.store.task(r.first)
		return t.truth.again && t.row.State == dag.Ready && t.row.Attempt == r.attempt
	}
	if row := w.store.task(taken.first).row; again(taken) || row.State != dag.Ready || row.Attempt != taken.attempt { // the last: nothing of it starts
		return
	}
	for _, r := range later {
		if r.pool == taken.pool && r.priority == taken.priority && again(r) {
			w.broken("task %d is dispatched before task %d, which was interrupted", taken.first.Index(), r.first.Index())
		}
	}
}

// bundled puts some adjacent messages of a lane into one.
func (w *world) bundled(work []*message) (out []*message) {
	for _, m := range work {
		if n := len(out); w.par.Ahead > 0 && n > 0 && m.ahead && out[n-1].ahead && out[n-1].lane == m.lane && len(out[n-1].more) < 3 && w.rng.IntN(2) == 0 {
			out[n-1].more = append(out[n-1].more, *m)
			continue
		}
		out = append(out, m)
	}
	return out
}
