package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	yes     = workerv1.Verdict_VERDICT_YES
	no      = workerv1.Verdict_VERDICT_NO
	perhaps = workerv1.Verdict_VERDICT_UNSPECIFIED
)

// desk is a ledger with one pool and one session, driven step by step.
type desk struct {
	t *testing.T
	*ledger
	pool    *pool
	session *session
}

func newDesk(t *testing.T) *desk {
	p := newPool(Pool{"p", 10})
	return &desk{t, newLedger(2, 1<<20, []*pool{p}), p, &session{instance: "i1"}}
}

func (d *desk) attempt(task int64, delivered int, repeatable bool) *attempt {
	work := &workerv1.Work{Attempt: &workerv1.Attempt{Task: task, Number: 1}, Token: []byte("t")}
	a := &attempt{
		key: keyOf(work.Attempt), work: work, delivery: &queue.WorkDelivery{Delivered: delivered}, session: d.session,
		pool: d.pool, early: repeatable && delivered == 1,
	}
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	return a
}

func (d *desk) arrive(a *attempt) arrival {
	d.pool.used.Add(1)
	return d.take(d.session, []*attempt{a})[0]
}

// taken is a new attempt that is asked for if ask.
func (d *desk) taken(early, ask bool) *attempt {
	a := d.attempt(1, 1, early)
	if got := d.arrive(a); got != arrivedNew {
		d.t.Fatalf("arrived as %v", got)
	}
	if ask && len(d.asking([]*attempt{a})) != 1 {
		d.t.Fatal("needs no answer")
	}
	return a
}

func (d *desk) verdict(a *attempt, v workerv1.Verdict) answered {
	return d.answer([]*attempt{a}, []workerv1.Verdict{v}, true, nil)
}

func (d *desk) ends(a *attempt, outcome dag.Outcome) ending {
	return d.finish(a, a.newResult(outcome, time.Now(), time.Now()), false)
}

// offered is an attempt that was completed and whose slot waits for a task that it unlocks.
func (d *desk) offered() *attempt {
	a := d.taken(false, true)
	d.verdict(a, yes)
	d.finish(a, a.newResult(dag.OutcomeCompleted, time.Now(), time.Now()), true)
	d.want(a, reported, 1, 1)
	return a
}

// handed is task 2, claimed for the session.
func (d *desk) handed() *attempt {
	a := d.attempt(2, 1, false)
	a.delivery = nil
	return a
}

func (d *desk) want(a *attempt, p phase, slots int64, kept int) {
	d.t.Helper()
	inHand, k, _ := d.counts()
	if a.phase != p || d.pool.used.Load() != slots || inHand != int(slots) || k != kept {
		d.t.Errorf("phase %d, %d slots, %d in hand, %d kept; want phase %d, %d slots, %d kept",
			a.phase, d.pool.used.Load(), inHand, k, p, slots, kept)
	}
}

func TestLedger(t *testing.T) {
	const (
		completed = dag.OutcomeCompleted
		cancelled = dag.OutcomeCancelled
		returned  = dag.OutcomeReturned
	)
	for _, tt := range []struct {
		fact string
		run  func(t *testing.T, d *desk)
	}{
		{"granted, run, reported, forgotten", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.want(a, waiting, 1, 0)
			if out := d.verdict(a, yes); len(out.start) != 1 || len(out.ack) != 1 {
				t.Errorf("yes leads to %+v", out)
			}
			d.want(a, running, 1, 0)
			if got := d.ends(a, completed); got != endReport || a.result.Early {
				t.Errorf("ends as %v, early: %v", got, a.result.Early)
			}
			d.want(a, reported, 0, 1)
			if ack := d.stored([]*attempt{a}, time.Second); len(ack) != 0 {
				t.Error("acknowledged twice")
			}
			d.receipts([]*workerv1.Attempt{a.work.Attempt})
			d.want(a, gone, 0, 0)
		}},
		{"refused: forgotten, slot free", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			if out := d.verdict(a, no); len(out.ack) != 1 || len(out.start) != 0 {
				t.Errorf("no leads to %+v", out)
			}
			d.want(a, gone, 0, 0)
		}},
		{"undecided: asked again", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			if out := d.verdict(a, perhaps); len(out.again) != 1 || len(out.ack) != 0 {
				t.Errorf("no word leads to %+v", out)
			}
			d.want(a, waiting, 1, 0)
		}},
		{"granted though draining: handed back without a start", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			out := d.answer([]*attempt{a}, []workerv1.Verdict{yes}, false, executors.ErrDraining)
			if len(out.start) != 0 || len(out.report) != 1 || endOf(a.result) != returned {
				t.Errorf("leads to %+v", out)
			}
			d.want(a, reported, 0, 1)
		}},
		{"cancelled before the answer: a receipt without a start", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.cancel([]*workerv1.Attempt{a.work.Attempt})
			if out := d.verdict(a, yes); len(out.start) != 0 || len(out.report) != 1 || endOf(a.result) != cancelled {
				t.Errorf("leads to %+v", out)
			}
		}},
		{"cancelled in its last moment: a receipt all the same", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, yes)
			d.cancel([]*workerv1.Attempt{a.work.Attempt})
			d.ends(a, completed)
			if endOf(a.result) != cancelled {
				t.Errorf("reported as %v", endOf(a.result))
			}
		}},
		{"cancelled when reported: the result is the receipt", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, yes)
			d.ends(a, completed)
			d.cancel([]*workerv1.Attempt{a.work.Attempt})
			if endOf(a.result) != completed {
				t.Errorf("reported as %v", endOf(a.result))
			}
		}},
		{"early and done before anybody was asked: no claim", func(t *testing.T, d *desk) {
			a := d.taken(true, false)
			d.want(a, running, 1, 0)
			if got := d.ends(a, completed); got != endReport || !a.result.Early {
				t.Errorf("ends as %v, early: %v", got, a.result.Early)
			}
			if len(d.asking([]*attempt{a})) != 0 {
				t.Error("asked for all the same")
			}
			if ack := d.stored([]*attempt{a}, time.Second); len(ack) != 1 {
				t.Error("its message is never acknowledged")
			}
		}},
		{"early and granted: not started twice", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			if out := d.verdict(a, yes); len(out.start) != 0 || len(out.ack) != 1 {
				t.Errorf("yes leads to %+v", out)
			}
			if d.ends(a, completed); a.result.Early {
				t.Error("early though granted")
			}
		}},
		{"early and refused: stopped, slot kept until it has", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			d.verdict(a, no)
			if cause := context.Cause(a.ctx); !errors.Is(cause, executors.ErrLeaseLost) {
				t.Errorf("ended by %v", cause)
			}
			d.want(a, running, 1, 0)
			if got := d.ends(a, completed); got != endForget {
				t.Errorf("ends as %v", got)
			}
			d.want(a, gone, 0, 0)
		}},
		{"early, interrupted before it was asked for: given back", func(t *testing.T, d *desk) {
			a := d.taken(true, false)
			if got := d.ends(a, returned); got != endGiveBack {
				t.Errorf("ends as %v", got)
			}
			d.want(a, gone, 0, 0)
		}},
		{"early, interrupted while asked for: the answer decides, yes", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			if got := d.ends(a, returned); got != endWait {
				t.Errorf("ends as %v", got)
			}
			d.want(a, stopped, 1, 0)
			if out := d.verdict(a, yes); len(out.report) != 1 || len(out.start) != 0 {
				t.Errorf("yes leads to %+v", out)
			}
			d.want(a, reported, 0, 1)
		}},
		{"early, interrupted while asked for: the answer decides, no", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			d.ends(a, returned)
			d.verdict(a, no)
			d.want(a, gone, 0, 0)
		}},
		{"the same message again: the new delivery stands for both", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			again := d.attempt(1, 2, false)
			if got := d.arrive(again); got != arrivedTwin {
				t.Errorf("arrived as %v", got)
			}
			if out := d.verdict(a, yes); out.ack[0] != again.delivery {
				t.Error("acknowledged the older delivery")
			}
			d.want(a, running, 1, 0)
		}},
		{"a second copy: acknowledged, the first stands for both", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			if got := d.arrive(d.attempt(1, 1, false)); got != arrivedAgain {
				t.Errorf("arrived as %v", got)
			}
			d.want(a, waiting, 1, 0)
		}},
		{"a second delivery of what runs: acknowledged", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, yes)
			if got := d.arrive(d.attempt(1, 2, false)); got != arrivedAgain {
				t.Errorf("arrived as %v", got)
			}
			d.want(a, running, 1, 0)
		}},
		{"another token under the same number: left alone", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			other := d.attempt(1, 2, false)
			other.work.Token = []byte("u")
			if got := d.arrive(other); got != arrivedAmiss {
				t.Errorf("arrived as %v", got)
			}
			d.want(a, waiting, 1, 0)
		}},
		{"disowned: only what the answered beat listed", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			beat := &workerv1.Beat{Number: 1}
			d.list(d.session, beat)
			if len(beat.Asked) != 1 || len(beat.Running) != 0 {
				t.Errorf("beat lists %v", beat)
			}
			d.verdict(a, yes) // after the coordinator has looked
			if d.disown(d.session, 1, []*workerv1.Attempt{a.work.Attempt}); a.disowned {
				t.Error("disowned by the answer to a beat that did not list it")
			}
			d.list(d.session, &workerv1.Beat{Number: 2})
			if d.disown(d.session, 2, []*workerv1.Attempt{a.work.Attempt}); !a.disowned {
				t.Error("not disowned")
			}
			d.want(a, running, 1, 0)
			if d.ends(a, completed) != endForget {
				t.Error("reported")
			}
		}},
		{"the session's end: running stops, waiting is given back, reported stays", func(t *testing.T, d *desk) {
			one, two, three := d.attempt(1, 1, false), d.attempt(2, 1, false), d.attempt(3, 1, false)
			for _, a := range []*attempt{one, two, three} {
				d.arrive(a)
			}
			d.asking([]*attempt{one, two})
			d.verdict(one, yes)
			d.verdict(two, yes)
			d.ends(two, completed)
			if back := d.end(d.session, executors.ErrLeaseLost); len(back) != 1 || back[0] != three.delivery {
				t.Errorf("gives back %d", len(back))
			}
			if cause := context.Cause(one.ctx); !errors.Is(cause, executors.ErrLeaseLost) {
				t.Errorf("ended by %v", cause)
			}
			d.want(two, reported, 1, 1)
			next := &session{instance: "i2"}
			beat := &workerv1.Beat{Number: 1}
			d.list(next, beat)
			if len(beat.Running) != 0 || len(beat.Reported) != 1 {
				t.Errorf("the next session lists %v", beat)
			}
			if d.arrive(d.attempt(4, 1, false)) != arrivedLate {
				t.Error("took for a session that is over")
			}
		}},
		{"too many results: no room, until receipts come", func(t *testing.T, d *desk) {
			for task := range int64(2) {
				a := d.attempt(task, 1, false)
				d.arrive(a)
				d.asking([]*attempt{a})
				d.verdict(a, yes)
				d.ends(a, completed)
			}
			if d.hasRoom() {
				t.Error("has room for a third")
			}
			<-d.pool.wake
			d.receipts([]*workerv1.Attempt{{Task: 0, Number: 1}})
			if !d.hasRoom() {
				t.Error("has no room after a receipt")
			}
			select {
			case <-d.pool.wake:
			default:
				t.Error("its takers are not told")
			}
		}},
		{"unsettled results are overdue after a while, each once", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, yes)
			d.ends(a, completed)
			if len(d.overdue()) != 0 {
				t.Error("overdue before it was stored")
			}
			d.stored([]*attempt{a}, 0)
			if len(d.overdue()) != 1 || len(d.overdue()) != 0 {
				t.Error("not overdue once")
			}
		}},
		{"a slot that was offered passes to the task that comes with the receipt", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed()
			if !a.result.Offer {
				t.Error("the result does not say so")
			}
			if got := d.accept(b, a.key, nil); got != acceptStart {
				t.Fatalf("accepted as %d", got)
			}
			d.want(b, running, 1, 1)
			d.receipts([]*workerv1.Attempt{a.work.Attempt})
			d.want(b, running, 1, 0)
			if got := d.ends(b, completed); got != endReport || b.result.Early {
				t.Errorf("ends as %v, early: %v", got, b.result.Early)
			}
			d.want(b, reported, 0, 1)
		}},
		{"a slot that was offered in vain is free with the receipt", func(t *testing.T, d *desk) {
			a := d.offered()
			d.receipts([]*workerv1.Attempt{a.work.Attempt})
			d.want(a, gone, 0, 0)
		}},
		{"an offer ends when the result is sent again; what comes later is handed back", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed()
			d.stored([]*attempt{a}, 0)
			if len(d.overdue()) != 1 || a.result.Offer {
				t.Error("offers a slot again")
			}
			d.want(a, reported, 0, 1)
			if got := d.accept(b, a.key, nil); got != acceptReport || endOf(b.result) != returned {
				t.Errorf("accepted as %d, reported as %v", got, b.result)
			}
			d.want(b, reported, 0, 2)
		}},
		{"one offer is good for one task", func(t *testing.T, d *desk) {
			a, b, c := d.offered(), d.handed(), d.attempt(3, 1, false)
			d.accept(b, a.key, nil)
			if got := d.accept(c, a.key, nil); got != acceptReport {
				t.Errorf("the second was accepted as %d", got)
			}
			d.want(b, running, 1, 2)
		}},
		{"a copy of a handover is absorbed", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed()
			d.accept(b, a.key, nil)
			if got := d.accept(d.handed(), a.key, nil); got != acceptForget {
				t.Errorf("accepted as %d", got)
			}
		}},
		{"what is handed over while draining is handed back", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed()
			if got := d.accept(b, a.key, executors.ErrDraining); got != acceptReport || endOf(b.result) != returned {
				t.Errorf("accepted as %d", got)
			}
			d.want(a, reported, 1, 2)
		}},
		{"what is handed over to an ended session is nobody's", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed()
			d.end(d.session, executors.ErrLeaseLost)
			if got := d.accept(b, a.key, nil); got != acceptForget {
				t.Errorf("accepted as %d", got)
			}
			d.want(a, reported, 0, 1)
		}},
	} {
		t.Run(tt.fact, func(t *testing.T) { tt.run(t, newDesk(t)) })
	}
}

// TestResultsSayWhetherTheyUnlock: a result says that nothing waits for it unless its work said otherwise.
func TestResultsSayWhetherTheyUnlock(t *testing.T) {
	for _, unlocks := range []bool{false, true} {
		a := &attempt{work: &workerv1.Work{Unlocks: unlocks}}
		if r := a.newResult(dag.OutcomeCompleted, time.Now(), time.Now()); r.UnlocksNothing == unlocks {
			t.Errorf("unlocks %v: the result says alone %v", unlocks, r.UnlocksNothing)
		}
	}
}
