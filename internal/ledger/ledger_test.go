package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

const (
	completed = dag.OutcomeCompleted
	cancelled = dag.OutcomeCancelled
	returned  = dag.OutcomeReturned
)

// attempt is the simplest that a ledger may hold.
type attempt struct{ Entry }

// letter is a delivery. Nobody acknowledges it here: steps only say so.
type letter struct{ number int }

func (*letter) Ack() {}
func (*letter) Nak() {}

// desk is a ledger with one pool of ten slots and room for two results, driven step by step.
type desk struct {
	t *testing.T
	*Ledger[*attempt]
	session *Session
	now     time.Time
}

func newDesk(t *testing.T) *desk {
	l := New[*attempt](Limits{Kept: 2, KeptBytes: 1 << 20, Slots: []int{10, 10}, Resend: time.Second})
	return &desk{t, l, &Session{}, time.Unix(1_000_000, 0)}
}

func (d *desk) attempt(task int64, delivered int, repeatable bool) *attempt {
	return &attempt{Entry{Key: Key{task, 1}, Token: []byte("t"), Session: d.session, Message: &letter{delivered},
		Delivered: delivered, Repeatable: repeatable}}
}

func (d *desk) arrive(a *attempt) (Arrival, Todo[*attempt]) {
	var out Todo[*attempt]
	return d.Take(a, &out), out
}

// taken is a new attempt that is asked for if ask.
func (d *desk) taken(early, ask bool) *attempt {
	a := d.attempt(1, 1, early)
	got, out := d.arrive(a)
	if got != Entered || len(out.Ask) != 1 || (len(out.Start) == 1) != early {
		d.t.Fatalf("arrived as %v, which leads to %+v", got, out)
	}
	if ask && !d.Ask(d.now, a) {
		d.t.Fatal("needs no answer")
	}
	return a
}

func (d *desk) verdict(a *attempt, v dag.Verdict) (out Todo[*attempt]) {
	d.Answer(d.now, a, v, None, &out)
	return out
}

func (d *desk) ends(a *attempt, outcome dag.Outcome) (out Todo[*attempt]) {
	d.Finish(d.now, a, Result{Outcome: outcome, Bytes: 100}, NoOffer, &out)
	return out
}

func (d *desk) cancel(a *attempt) (out Todo[*attempt]) {
	d.Cancel(a.Key, &out)
	return out
}

func (d *desk) receipt(a *attempt) (out Todo[*attempt]) {
	d.Receipt(a.Key, &out)
	return out
}

func (d *desk) stored(a *attempt) (out Todo[*attempt]) {
	d.Stored(d.now, a, &out)
	return out
}

func (d *desk) overdue() (out Todo[*attempt]) {
	d.Overdue(d.now, &out)
	return out
}

func (d *desk) end(cause Cause) (out Todo[*attempt]) {
	d.End(d.session, cause, &out)
	return out
}

func (d *desk) disown(beat uint64, a *attempt) (out Todo[*attempt]) {
	d.Disown(d.session, beat, a.Key, &out)
	return out
}

func (d *desk) accept(a *attempt, after Key, whyNot Cause) (Acceptance, Todo[*attempt]) {
	var out Todo[*attempt]
	return d.Accept(d.now, a, after, whyNot, &out), out
}

// offered is an attempt that was completed and whose slot waits for a task that it unlocks.
func (d *desk) offered() *attempt {
	a := d.taken(false, true)
	d.verdict(a, dag.Yes)
	var out Todo[*attempt]
	d.Finish(d.now, a, Result{Outcome: completed, Bytes: 100}, AnyOffer, &out)
	d.want(a, reported, 1, 1)
	return a
}

// handed is an attempt that was claimed for the session.
func (d *desk) handed(task int64) *attempt {
	a := d.attempt(task, 1, false)
	a.Message = nil
	return a
}

func (d *desk) want(a *attempt, p phase, slots, kept int) {
	d.t.Helper()
	inHand, k, _ := d.Counts()
	if a.phase != p || d.Held(0) != slots || inHand != slots || k != kept {
		d.t.Errorf("phase %d, %d slots, %d in hand, %d kept; want phase %d, %d slots, %d kept", a.phase, d.Held(0), inHand, k, p, slots, kept)
	}
}

// wantStop checks that one attempt must end, and why.
func (d *desk) wantStop(out Todo[*attempt], a *attempt, cause Cause) {
	d.t.Helper()
	if !slices.Equal(out.Stop, []Stop[*attempt]{{a, cause}}) {
		d.t.Errorf("stops %+v, want one by %d", out.Stop, cause)
	}
}

// fact is one rule and the steps that show it.
type fact struct {
	fact string
	run  func(t *testing.T, d *desk)
}

func play(t *testing.T, facts []fact) {
	for _, f := range facts {
		t.Run(f.fact, func(t *testing.T) { f.run(t, newDesk(t)) })
	}
}

func TestEarlyStarts(t *testing.T) {
	play(t, []fact{
		{"early and done before anybody was asked: no claim", func(t *testing.T, d *desk) {
			a := d.taken(true, false)
			d.want(a, running, 1, 0)
			if out := d.ends(a, completed); len(out.Report) != 1 || !a.Result.Early {
				t.Errorf("its end leads to %+v, early: %v", out, a.Result.Early)
			}
			if d.Ask(d.now, a) {
				t.Error("asked for all the same")
			}
			if out := d.stored(a); len(out.Ack) != 1 {
				t.Error("its message is never acknowledged")
			}
		}},
		{"a second delivery waits for its claim", func(t *testing.T, d *desk) {
			a := d.attempt(1, 2, true)
			if got, out := d.arrive(a); got != Entered || len(out.Start) != 0 {
				t.Errorf("arrived as %v, which leads to %+v", got, out)
			}
			d.want(a, waiting, 1, 0)
		}},
		{"early and granted: not started twice", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			if out := d.verdict(a, dag.Yes); len(out.Start) != 0 || len(out.Ack) != 1 {
				t.Errorf("yes leads to %+v", out)
			}
			if d.ends(a, completed); a.Result.Early {
				t.Error("early though granted")
			}
		}},
		{"early and refused: stopped, slot kept until it has", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			d.wantStop(d.verdict(a, dag.No), a, LeaseLost)
			d.want(a, running, 1, 0)
			if out := d.ends(a, completed); len(out.Report) != 0 {
				t.Errorf("its end leads to %+v", out)
			}
			d.want(a, gone, 0, 0)
		}},
		{"early, interrupted before it was asked for: given back", func(t *testing.T, d *desk) {
			a := d.taken(true, false)
			if out := d.ends(a, returned); len(out.Nak) != 1 || len(out.Report) != 0 {
				t.Errorf("its end leads to %+v", out)
			}
			d.want(a, gone, 0, 0)
		}},
		{"early, interrupted while asked for: the answer decides, yes", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			if out := d.ends(a, returned); len(out.Nak)+len(out.Report) != 0 {
				t.Errorf("its end leads to %+v", out)
			}
			d.want(a, stopped, 1, 0)
			if out := d.verdict(a, dag.Yes); len(out.Report) != 1 || len(out.Start) != 0 {
				t.Errorf("yes leads to %+v", out)
			}
			d.want(a, reported, 0, 1)
		}},
		{"early, interrupted while asked for: the answer decides, no", func(t *testing.T, d *desk) {
			a := d.taken(true, true)
			d.ends(a, returned)
			d.verdict(a, dag.No)
			d.want(a, gone, 0, 0)
		}},
	})
}

// TestLateAttempts: the store counts an attempt's own timeout from a claim that may be as old as the first request for it.
func TestLateAttempts(t *testing.T) {
	for _, row := range []struct {
		fact          string
		timeout, wait time.Duration
		early         bool
		want          bool
	}{
		{"an answer in time lets it start", time.Minute, dag.StartWithin / 2, false, false},
		{"one that comes late does not", time.Minute, dag.StartWithin + time.Second, false, true},
		{"without a timeout there is nothing to overrun", 0, time.Hour, false, false},
		{"what starts beside its claim is never late", time.Minute, time.Hour, true, false},
	} {
		t.Run(row.fact, func(t *testing.T) {
			d := newDesk(t)
			if got := d.taken(row.early, true).Late(d.now.Add(row.wait), row.timeout); got != row.want {
				t.Errorf("late is %v", got)
			}
		})
	}
}
