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
	d.Finish(d.now, a, Result{Outcome: outcome, Bytes: 100}, false, &out)
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
	d.Finish(d.now, a, Result{Outcome: completed, Bytes: 100}, true, &out)
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

func TestClaims(t *testing.T) {
	play(t, []fact{
		{"granted, run, reported, forgotten", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.want(a, waiting, 1, 0)
			if out := d.verdict(a, dag.Yes); len(out.Start) != 1 || len(out.Ack) != 1 {
				t.Errorf("yes leads to %+v", out)
			}
			d.want(a, running, 1, 0)
			if out := d.ends(a, completed); len(out.Report) != 1 || a.Result.Early || !out.Freed.Has(0) || !out.Quiet {
				t.Errorf("its end leads to %+v, early: %v", out, a.Result.Early)
			}
			d.want(a, reported, 0, 1)
			if out := d.stored(a); len(out.Ack) != 0 {
				t.Error("acknowledged twice")
			}
			if out := d.receipt(a); !out.Quiet {
				t.Error("nobody is told that nothing is kept")
			}
			d.want(a, gone, 0, 0)
		}},
		{"refused: forgotten, slot free", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			if out := d.verdict(a, dag.No); len(out.Ack) != 1 || len(out.Start) != 0 {
				t.Errorf("no leads to %+v", out)
			}
			d.want(a, gone, 0, 0)
		}},
		{"undecided: asked again", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			if out := d.verdict(a, dag.Undecided); len(out.Ask) != 1 || len(out.Ack) != 0 {
				t.Errorf("no word leads to %+v", out)
			}
			d.want(a, waiting, 1, 0)
		}},
		{"granted though draining: handed back without a start", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			var out Todo[*attempt]
			d.Answer(d.now, a, dag.Yes, Refusal(true, true), &out)
			if len(out.Start) != 0 || len(out.Report) != 1 || a.Result.Outcome != returned || a.Result.Why != Draining {
				t.Errorf("leads to %+v", out)
			}
			d.want(a, reported, 0, 1)
		}},
		{"granted when the session is over: handed back without a start", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.session.ended = true
			if out := d.verdict(a, dag.Yes); len(out.Start) != 0 || a.Result.Why != LeaseLost {
				t.Errorf("leads to %+v", out)
			}
		}},
		{"cancelled before the answer: a receipt without a start", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.cancel(a)
			if out := d.verdict(a, dag.Yes); len(out.Start) != 0 || len(out.Report) != 1 || a.Result.Outcome != cancelled {
				t.Errorf("leads to %+v", out)
			}
		}},
		{"cancelled in its last moment: a receipt all the same", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, dag.Yes)
			d.wantStop(d.cancel(a), a, Cancelled)
			d.ends(a, completed)
			if a.Result.Outcome != cancelled {
				t.Errorf("reported as %v", a.Result.Outcome)
			}
		}},
		{"cancelled when reported: the result is the receipt", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, dag.Yes)
			d.ends(a, completed)
			if out := d.cancel(a); len(out.Stop) != 0 || a.Result.Outcome != completed {
				t.Errorf("reported as %v", a.Result.Outcome)
			}
		}},
		{"the same message again: the new delivery stands for both", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			again := d.attempt(1, 2, false)
			if got, _ := d.arrive(again); got != Twin {
				t.Errorf("arrived as %v", got)
			}
			if out := d.verdict(a, dag.Yes); out.Ack[0] != again.Message {
				t.Error("acknowledged the older delivery")
			}
			d.want(a, running, 1, 0)
		}},
		{"a second copy: acknowledged, the first stands for both", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			if got, out := d.arrive(d.attempt(1, 1, false)); got != Known || len(out.Ack) != 1 {
				t.Errorf("arrived as %v", got)
			}
			d.want(a, waiting, 1, 0)
		}},
		{"a second delivery of what runs: acknowledged", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, dag.Yes)
			if got, _ := d.arrive(d.attempt(1, 2, false)); got != Known {
				t.Errorf("arrived as %v", got)
			}
			d.want(a, running, 1, 0)
		}},
		{"another token under the same number: left alone", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			other := d.attempt(1, 2, false)
			other.Token = []byte("u")
			if got, out := d.arrive(other); got != Conflict || len(out.Ack)+len(out.Nak) > 0 {
				t.Errorf("arrived as %v, which leads to %+v", got, out)
			}
			d.want(a, waiting, 1, 0)
		}},
		{"asking again makes it no younger", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			first := a.asked
			d.now = d.now.Add(time.Minute)
			d.Ask(d.now, a)
			if first.IsZero() || a.asked != first {
				t.Errorf("asked at %v, then at %v", first, a.asked)
			}
		}},
	})
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

func TestSessions(t *testing.T) {
	play(t, []fact{
		{"disowned: only what the answered beat listed", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			if beat := d.List(d.session); beat.Number != 1 || len(beat.Asked) != 1 || len(beat.Running) != 0 {
				t.Errorf("beat lists %v", beat)
			}
			d.verdict(a, dag.Yes) // after the coordinator has looked
			if d.disown(1, a); a.disowned {
				t.Error("disowned by the answer to a beat that did not list it")
			}
			d.List(d.session)
			d.wantStop(d.disown(2, a), a, LeaseLost)
			d.want(a, running, 1, 0)
			if out := d.ends(a, completed); len(out.Report) != 0 {
				t.Error("reported")
			}
		}},
		{"the session's end: running stops, waiting is given back, reported stays", func(t *testing.T, d *desk) {
			one, two, three := d.attempt(1, 1, false), d.attempt(2, 1, false), d.attempt(3, 1, false)
			third := three.Message
			for _, a := range []*attempt{one, two, three} {
				d.arrive(a)
			}
			d.Ask(d.now, one)
			d.Ask(d.now, two)
			d.verdict(one, dag.Yes)
			d.verdict(two, dag.Yes)
			d.ends(two, completed)
			out := d.end(LeaseLost)
			if !slices.Equal(out.Nak, []Message{third}) {
				t.Errorf("gives back %d", len(out.Nak))
			}
			d.wantStop(out, one, LeaseLost)
			d.want(two, reported, 1, 1)
			if beat := d.List(&Session{}); len(beat.Running) != 0 || len(beat.Reported) != 1 {
				t.Errorf("the next session lists %v", beat)
			}
			if got, out := d.arrive(d.attempt(4, 1, false)); got != TooLate || len(out.Nak) != 1 {
				t.Error("took for a session that is over")
			}
		}},
		{"the end of a drain's grace: the session goes on", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, dag.Yes)
			var out Todo[*attempt]
			d.Interrupt(d.session, Draining, &out)
			d.wantStop(out, a, Draining)
			if d.session.Ended() {
				t.Error("the session is over")
			}
		}},
		{"what nobody was asked for is given back", func(t *testing.T, d *desk) {
			a, b := d.taken(false, true), d.attempt(2, 1, false)
			d.arrive(b)
			var out Todo[*attempt]
			if d.Unasked(d.session, &out); len(out.Nak) != 1 {
				t.Errorf("gives back %d", len(out.Nak))
			}
			d.want(a, waiting, 1, 0)
		}},
		{"an answer counts if it is newer than all before", func(t *testing.T, d *desk) {
			for _, row := range []struct {
				number uint64
				counts bool
			}{{2, true}, {1, false}, {2, false}, {3, true}} {
				if got := d.session.Answered(row.number); got != row.counts {
					t.Errorf("answer to beat %d counts: %v", row.number, got)
				}
			}
		}},
	})
}

func TestKeptResults(t *testing.T) {
	play(t, []fact{
		{"too many results: no room, until receipts come", func(t *testing.T, d *desk) {
			var first *attempt
			for task := range int64(2) {
				a := d.attempt(task, 1, false)
				d.arrive(a)
				d.Ask(d.now, a)
				d.verdict(a, dag.Yes)
				d.ends(a, completed)
				if first == nil {
					first = a
				}
			}
			if d.HasRoom() || d.Free(0) > 0 {
				t.Error("has room for a third")
			}
			if out := d.receipt(first); !out.Freed.Has(0) || !out.Freed.Has(1) {
				t.Error("takers are not told")
			}
			if !d.HasRoom() || d.Free(0) != 10 {
				t.Error("has no room after a receipt")
			}
		}},
		{"unsettled results are overdue after a while, each once", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, dag.Yes)
			d.ends(a, completed)
			if len(d.overdue().Report) != 0 {
				t.Error("overdue before it was stored")
			}
			for _, wait := range []time.Duration{1, 2, 4, 6, 6} { // seconds
				d.stored(a)
				d.now = d.now.Add(wait * time.Second)
				if len(d.overdue().Report) != 0 {
					t.Errorf("overdue within %d s", wait)
				}
				d.now = d.now.Add(1)
				if len(d.overdue().Report) != 1 || len(d.overdue().Report) != 0 {
					t.Errorf("not overdue once after %d s", wait)
				}
			}
		}},
	})
}

func TestHandovers(t *testing.T) {
	play(t, []fact{
		{"a slot that was offered passes to the task that comes with the receipt", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed(2)
			if !a.Result.Offer {
				t.Error("the result does not say so")
			}
			d.now = d.now.Add(time.Second)
			if got, out := d.accept(b, a.Key, None); got != Accepted || len(out.Start) != 1 {
				t.Fatalf("accepted as %d", got)
			}
			if b.asked.IsZero() || b.asked != a.offered {
				t.Errorf("asked at %v, offered at %v: it is as old as the offer", b.asked, a.offered)
			}
			d.want(b, running, 1, 1)
			d.receipt(a)
			d.want(b, running, 1, 0)
			if out := d.ends(b, completed); len(out.Report) != 1 || b.Result.Early {
				t.Errorf("its end leads to %+v, early: %v", out, b.Result.Early)
			}
			d.want(b, reported, 0, 1)
		}},
		{"a slot that was offered in vain is free with the receipt", func(t *testing.T, d *desk) {
			a := d.offered()
			d.receipt(a)
			d.want(a, gone, 0, 0)
		}},
		{"a slot of another pool is none", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed(2)
			b.Pool = 1
			if got, _ := d.accept(b, a.Key, None); got != HandedBack || b.Result.Why != NoSlot {
				t.Errorf("accepted as %d", got)
			}
		}},
		{"an offer ends when the result is sent again; what comes later is handed back", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed(2)
			d.stored(a)
			d.now = d.now.Add(time.Hour)
			if len(d.overdue().Report) != 1 || a.Result.Offer {
				t.Error("offers a slot again")
			}
			d.want(a, reported, 0, 1)
			if got, _ := d.accept(b, a.Key, None); got != HandedBack || b.Result.Outcome != returned || b.Result.Why != NoSlot {
				t.Errorf("accepted as %d, reported as %v", got, b.Result)
			}
			d.want(b, reported, 0, 2)
		}},
		{"one offer is good for one task", func(t *testing.T, d *desk) {
			a, b, c := d.offered(), d.handed(2), d.handed(3)
			d.accept(b, a.Key, None)
			if got, _ := d.accept(c, a.Key, None); got != HandedBack {
				t.Errorf("the second was accepted as %d", got)
			}
			d.want(b, running, 1, 2)
		}},
		{"a copy of a handover is absorbed", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed(2)
			d.accept(b, a.Key, None)
			if got, _ := d.accept(d.handed(2), a.Key, None); got != Ignored {
				t.Errorf("accepted as %d", got)
			}
		}},
		{"what is handed over while draining is handed back", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed(2)
			if got, _ := d.accept(b, a.Key, Draining); got != HandedBack || b.Result.Outcome != returned {
				t.Errorf("accepted as %d", got)
			}
			d.want(a, reported, 1, 2)
		}},
		{"what is handed over to an ended session is nobody's", func(t *testing.T, d *desk) {
			a, b := d.offered(), d.handed(2)
			d.end(LeaseLost)
			if got, _ := d.accept(b, a.Key, None); got != Ignored {
				t.Errorf("accepted as %d", got)
			}
			d.want(a, reported, 0, 1)
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

func TestMayOffer(t *testing.T) {
	for n := range 8 {
		unlocks, crowded, draining := n&1 > 0, n&2 > 0, n&4 > 0
		if got, want := MayOffer(unlocks, crowded, draining), n == 1; got != want {
			t.Errorf("unlocks %v, crowded %v, draining %v: %v, want %v", unlocks, crowded, draining, got, want)
		}
	}
}
