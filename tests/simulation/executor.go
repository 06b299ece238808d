package simulation

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/ledger"
)

// run starts the executor of an attempt, unless it comes too late.
func (wk *worker) run(a *attempt) {
	t := wk.w.store.task(a.key().task)
	a.started = wk.w.now
	if !a.session.lease.Holds(wk.w.time()) || a.Late(wk.w.time(), t.policy.Timeout) {
		wk.finish(a, dag.OutcomeReturned)
		return
	}
	script := wk.w.script(a.key().task)
	a.exec = wk.w.begin(wk, a)
	outcome := wk.after(t, a, script)
	a.permanent, a.kind = script.Permanent, dag.Kind(script.Kind)
	d := wk.w.length(t, script.Millis)
	if script.Fails(int(a.Key.Number)) {
		outcome, a.retryAfter = dag.OutcomeFailed, time.Duration(script.RetryAfter)*time.Millisecond*100
	}
	if script.Hang {
		d = time.Hour
	}
	if limit := t.policy.Timeout; limit > 0 && d >= limit {
		d, outcome, a.permanent, a.kind, a.retryAfter = limit, dag.OutcomeTimedOut, false, "", 0
	}
	if outcome == dag.OutcomeTimedOut { // told to stop, which takes its time
		d += wk.w.between(0, stopWithin)
	}
	deadly := t.deadly && wk.w.chance(0.9)
	wk.then(d, func() {
		if deadly {
			wk.w.kill(&wk.process)
			return
		}
		if !a.told {
			wk.finish(a, outcome)
		}
	})
}

// length is how long an executor works. A task that is brisk may take long all the same.
func (w *world) length(t *task, script int) time.Duration {
	if t.brisk && !w.chance(0.03) {
		return w.between(time.Millisecond, 20*time.Millisecond)
	}
	d := time.Duration(script) * time.Millisecond * 100
	if w.chance(0.3) {
		d += w.between(0, 30*time.Second)
	}
	return d
}

// stop tells an executor to stop: it ends within its grace.
func (wk *worker) stop(a *attempt) {
	if a.exec == nil || a.told || a.over {
		return
	}
	a.told = true
	wk.then(wk.w.between(0, stopWithin), func() { wk.finish(a, dag.OutcomeReturned) })
}

// finish records that an attempt's work has ended.
func (wk *worker) finish(a *attempt, outcome dag.Outcome) {
	if a.over {
		return
	}
	a.over = true
	ran := time.Duration(0) // it never began
	if a.exec != nil {
		wk.w.refresh(a.exec)
		wk.w.end(func(e *execution) bool { return e == a.exec })
		ran = max(1, wk.w.now-a.started)
	}
	flags := wk.w.store.task(a.key().task).row.Flags
	offer := ledger.MayOffer(flags.Unlocks(), wk.w.chance(0.2), wk.leaving)
	wk.step(func(out *todo) {
		wk.ledger.Finish(wk.w.time(), a, ledger.Result{Outcome: outcome, Bytes: 1, Ran: ran}, offer, out)
	})
}
