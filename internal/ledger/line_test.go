package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// queueDesk is a desk with a line: of each of two pools, two slots and eight places. Two attempts hold the slots of the first pool.
func queueDesk(t *testing.T) (d *desk, one, two *attempt) {
	d = newDesk(t)
	d.Ledger = New[*attempt](Limits{Kept: 20, KeptBytes: 1 << 20, Slots: []int{2, 2}, Resend: time.Second, Ahead: 8, AheadBytes: 1 << 20, Wait: 100 * time.Millisecond})
	one, two = d.attempt(1, 1, false), d.attempt(2, 1, false)
	for _, a := range []*attempt{one, two} {
		d.arrive(a)
		d.Ask(d.now, a)
		d.verdict(a, dag.Yes)
	}
	return d, one, two
}

// lined is an attempt that has just come into the line. asked: it may be claimed ahead, and was asked for.
func (d *desk) lined(a *attempt, asked bool) *attempt {
	d.t.Helper()
	a.Ahead, a.Taken = a.Ahead || asked, d.now
	got, out := d.arrive(a)
	if got != Entered || len(out.Start) > 0 || (len(out.Ask) == 1) != asked || !out.Lined || !a.Lined() {
		d.t.Fatalf("arrived as %v, which leads to %+v; in line: %v", got, out, a.Lined())
	}
	if asked {
		d.Ask(d.now, a)
	}
	return a
}

// granted is one in line that was granted.
func (d *desk) granted(task int64) *attempt {
	d.t.Helper()
	a := d.lined(d.attempt(task, 1, false), true)
	if out := d.verdict(a, dag.Yes); len(out.Start) > 0 || len(out.Ack) != 1 {
		d.t.Fatalf("yes leads to %+v", out)
	}
	return a
}

// after has time pass, and hands back what has waited for too long.
func (d *desk) after(wait time.Duration) (left bool, out Todo[*attempt]) {
	d.now = d.now.Add(wait)
	return d.Tire(d.now, &out), out
}

func (d *desk) drained() (out Todo[*attempt]) {
	d.Unstarted(d.session, &out)
	return out
}

// wantDone compares what is left to be done. nil: nothing.
func (d *desk) wantDone(out Todo[*attempt], start, ask, report []*attempt, acks, naks int) {
	d.t.Helper()
	if !slices.Equal(out.Start, start) || !slices.Equal(out.Ask, ask) || !slices.Equal(out.Report, report) || len(out.Ack) != acks || len(out.Nak) != naks {
		d.t.Errorf("got %+v; want to start %v, to ask for %v, to report %v, %d acks and %d naks", out, start, ask, report, acks, naks)
	}
	if err := d.Check(); err != nil {
		d.t.Error(err)
	}
}

func TestLines(t *testing.T) {
	list := func(a ...*attempt) []*attempt { return a }
	for _, f := range []struct {
		fact string
		run  func(t *testing.T, d *desk, one, two *attempt)
	}{
		{"granted in line: it has the next slot", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.granted(3)
			if inHand, _, _ := d.Counts(); d.Held(0) != 2 || d.InLine(0) != 1 || inHand != 3 {
				t.Errorf("%d slots, %d in line, %d in hand", d.Held(0), d.InLine(0), inHand)
			}
			d.wantDone(d.ends(one, completed), list(a), nil, list(one), 0, 0)
			if d.Held(0) != 2 || d.InLine(0) != 0 || a.StartedEarly() {
				t.Errorf("%d slots, %d in line, early: %v", d.Held(0), d.InLine(0), a.StartedEarly())
			}
		}},
		{"granted when a slot is free: it starts at once", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, false), true)
			d.wantDone(d.ends(one, completed), nil, nil, list(one), 0, 0)
			d.wantDone(d.verdict(a, dag.Yes), list(a), nil, nil, 1, 0)
		}},
		{"nothing is claimed ahead where the worker does not want it", func(t *testing.T, d *desk, one, two *attempt) {
			d.limits.Ahead = 0
			a := d.attempt(3, 1, false)
			a.Ahead = true
			if _, out := d.arrive(a); len(out.Ask) != 0 || !a.Lined() {
				t.Errorf("leads to %+v", out)
			}
		}},
		{"what is not claimed ahead passes what came later", func(t *testing.T, d *desk, one, two *attempt) {
			cold := d.attempt(3, 1, false)
			cold.Taken = d.now
			d.arrive(cold)
			later := d.attempt(4, 1, false)
			later.Ahead, later.Taken = true, d.now.Add(time.Millisecond)
			d.arrive(later)
			d.Ask(d.now, later)
			d.verdict(later, dag.Yes)
			if out := d.ends(one, completed); len(out.Ask) != 1 || out.Ask[0] != cold || len(out.Start) != 0 {
				t.Errorf("leads to %+v", out)
			}
			if out := d.ends(two, completed); len(out.Start) != 1 || out.Start[0] != later {
				t.Errorf("then leads to %+v", out)
			}
		}},
		{"refused in line: forgotten", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, false), true)
			d.wantDone(d.verdict(a, dag.No), nil, nil, nil, 1, 0)
			d.want(a, gone, 2, 0)
		}},
		{"no word in line: asked again", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, false), true)
			if out := d.verdict(a, dag.Undecided); len(out.Again) != 1 || !a.Lined() {
				t.Errorf("leads to %+v", out)
			}
		}},
		{"not to be claimed ahead: asked for once it has a slot", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, false), false)
			d.wantDone(d.ends(one, completed), nil, list(a), list(one), 0, 0)
			if !a.HoldsSlot() || a.Lined() {
				t.Error("it has no slot")
			}
		}},
		{"what is granted goes before what is not to be claimed ahead", func(t *testing.T, d *desk, one, two *attempt) {
			cold := d.lined(d.attempt(3, 1, false), false)
			a := d.granted(4)
			d.wantDone(d.ends(one, completed), list(a), nil, list(one), 0, 0)
			d.wantDone(d.ends(two, completed), nil, list(cold), list(two), 0, 0)
		}},
		{"repeatable in line: it starts with its slot, and was asked for before", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, true), true)
			d.wantDone(d.ends(one, completed), list(a), nil, list(one), 0, 0)
			d.wantDone(d.verdict(a, dag.Yes), nil, nil, nil, 1, 0)
			if !a.StartedEarly() {
				t.Error("it did not start early")
			}
		}},
		{"repeatable, not to be claimed ahead: it starts with its slot, and is asked for then", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, true), false)
			d.wantDone(d.ends(one, completed), list(a), list(a), list(one), 0, 0)
		}},
		{"repeatable, delivered again: not claimed ahead", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.attempt(3, 2, true)
			a.Ahead = true
			d.lined(a, false)
			d.wantDone(d.ends(one, completed), nil, list(a), list(one), 0, 0)
		}},
		{"delivered again, not repeatable: claimed ahead", func(t *testing.T, d *desk, one, two *attempt) {
			d.lined(d.attempt(3, 2, false), true)
		}},
		{"cancelled in line: handed back as cancelled at once", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.granted(3)
			d.wantDone(d.cancel(a), nil, nil, list(a), 0, 0)
			if a.Result.Outcome != cancelled || a.Result.Why != Cancelled {
				t.Errorf("reported as %+v", a.Result)
			}
			d.wantDone(d.ends(one, completed), nil, nil, list(one), 0, 0)
		}},
		{"cancelled in line before its answer: the answer hands it back", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, false), true)
			d.wantDone(d.cancel(a), nil, nil, nil, 0, 0)
			b := d.granted(4)
			d.wantDone(d.ends(one, completed), list(b), nil, list(one), 0, 0)
			d.wantDone(d.verdict(a, dag.Yes), nil, nil, list(a), 1, 0)
			if a.Result.Outcome != cancelled {
				t.Errorf("reported as %+v", a.Result)
			}
		}},
		{"repeatable, cancelled in line before its answer: it does not start with its slot", func(t *testing.T, d *desk, one, two *attempt) {
			for i, asked := range []bool{true, false} {
				d, one, _ := queueDesk(t)
				a := d.lined(d.attempt(int64(3+i), 1, true), asked)
				d.cancel(a)
				out := d.ends(one, completed)
				if len(out.Start) > 0 || (len(out.Ask) == 1) == asked {
					t.Errorf("leads to %+v", out)
				}
				d.Ask(d.now, a)
				d.wantDone(d.verdict(a, dag.Yes), nil, nil, list(a), 1, 0)
			}
		}},
		{"cancelled in line, and not to be claimed ahead: the answer tells, once it has a slot", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, false), false)
			d.cancel(a)
			d.wantDone(d.ends(one, completed), nil, list(a), list(one), 0, 0)
			d.Ask(d.now, a)
			d.wantDone(d.verdict(a, dag.No), nil, nil, nil, 1, 0)
		}},
		{"disowned in line: forgotten", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.granted(3)
			d.List(d.session)
			d.wantDone(d.disown(1, a), nil, nil, nil, 0, 0)
			d.want(a, gone, 2, 0)
		}},
		{"beats list what is in line as what it was asked for, or is", func(t *testing.T, d *desk, one, two *attempt) {
			granted, asked := d.granted(3), d.lined(d.attempt(4, 1, false), true)
			d.lined(d.attempt(5, 1, false), false)
			beat := d.List(d.session)
			if len(beat.Running) != 3 || !slices.Contains(beat.Running, granted) || !slices.Equal(beat.Asked, list(asked)) {
				t.Errorf("lists %+v", beat)
			}
		}},
		{"waited for too long: handed back, or given back when nobody was asked", func(t *testing.T, d *desk, one, two *attempt) {
			a, cold := d.granted(3), d.lined(d.attempt(4, 1, false), false)
			left, out := d.after(100*time.Millisecond - 1)
			if d.wantDone(out, nil, nil, nil, 0, 0); !left {
				t.Error("it says that nothing is in line")
			}
			left, out = d.after(1)
			if d.wantDone(out, nil, nil, list(a), 0, 1); left {
				t.Error("it says that something still is in line")
			}
			if a.Result.Outcome != returned || a.Result.Why != Waited || a.Result.Ran != 0 || cold.phase != gone {
				t.Errorf("reported as %+v; the other is in phase %d", a.Result, cold.phase)
			}
		}},
		{"waited for too long without an answer: the answer decides, and it may wait once more", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, false), true)
			left, out := d.after(time.Second)
			if d.wantDone(out, nil, nil, nil, 0, 0); !left {
				t.Error("it says that nothing is in line")
			}
			d.wantDone(d.verdict(a, dag.Yes), nil, nil, nil, 1, 0)
			_, out = d.after(0)
			d.wantDone(out, nil, nil, nil, 0, 0) // it waits for a slot since now
			_, out = d.after(time.Second)
			d.wantDone(out, nil, nil, list(a), 0, 0)
		}},
		{"repeatable, waited for too long without an answer: a slot that frees is for others", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.lined(d.attempt(3, 1, true), true)
			_, out := d.after(time.Second)
			d.wantDone(out, nil, nil, nil, 0, 0)
			d.wantDone(d.ends(one, completed), nil, nil, list(one), 0, 0)
			d.wantDone(d.verdict(a, dag.Yes), list(a), nil, nil, 1, 0)
		}},
		{"what came late waits behind what came before, and no longer", func(t *testing.T, d *desk, one, two *attempt) {
			slow := d.lined(d.attempt(3, 1, false), true)
			_, _ = d.after(60 * time.Millisecond)
			quick := d.granted(4)
			d.verdict(slow, dag.Yes)
			_, out := d.after(60 * time.Millisecond)
			d.wantDone(out, nil, nil, nil, 0, 0) // slow is behind quick
			_, out = d.after(40 * time.Millisecond)
			if len(out.Report) != 2 || quick.Result.Why != Waited || slow.Result.Why != Waited {
				t.Errorf("leads to %+v", out)
			}
		}},
		{"drained: what is in line is let go of, and slots that free start nothing", func(t *testing.T, d *desk, one, two *attempt) {
			a, cold, asked, early := d.granted(3), d.lined(d.attempt(4, 1, false), false), d.lined(d.attempt(5, 1, false), true), d.lined(d.attempt(6, 1, true), true)
			d.wantDone(d.drained(), nil, nil, list(a), 0, 1)
			if a.Result.Outcome != returned || a.Result.Why != Draining || cold.phase != gone || d.InLine(0) != 2 {
				t.Errorf("reported as %+v; the other is in phase %d; %d in line", a.Result, cold.phase, d.InLine(0))
			}
			d.wantDone(d.ends(one, completed), nil, nil, list(one), 0, 0)
			for _, a := range list(asked, early) {
				var out Todo[*attempt]
				d.Answer(d.now, a, dag.Yes, Draining, &out)
				d.wantDone(out, nil, nil, list(a), 1, 0)
			}
		}},
		{"the session's end: what is in line is let go of, and slots that free start nothing", func(t *testing.T, d *desk, one, two *attempt) {
			var out Todo[*attempt]
			d.Finish(d.now, one, Result{Outcome: completed, Bytes: 100}, AnyOffer, &out)
			if !one.Result.Offer {
				t.Fatal("it offers no slot")
			}
			a := d.granted(3)
			d.lined(d.attempt(4, 1, false), true)
			d.lined(d.attempt(5, 1, true), true)
			d.lined(d.attempt(6, 1, false), false)
			out = d.end(LeaseLost)
			d.wantStop(out, two, LeaseLost)
			d.wantDone(out, nil, nil, list(a), 0, 3)
			if a.Result.Outcome != returned || a.Result.Why != LeaseLost {
				t.Errorf("reported as %+v", a.Result)
			}
		}},
		{"a slot is offered to nobody while others are in line", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.granted(3)
			var out Todo[*attempt]
			d.Finish(d.now, one, Result{Outcome: completed, Bytes: 100}, AnyOffer, &out)
			if d.wantDone(out, list(a), nil, list(one), 0, 0); one.Result.Offer {
				t.Error("it is offered")
			}
		}},
		{"a slot that was offered in vain has the next one", func(t *testing.T, d *desk, one, two *attempt) {
			var out Todo[*attempt]
			d.Finish(d.now, one, Result{Outcome: completed, Bytes: 100}, AnyOffer, &out)
			a := d.granted(3)
			d.wantDone(d.receipt(one), list(a), nil, nil, 0, 0)
		}},
		{"the urgent go first, and pass what came a while before", func(t *testing.T, d *desk, one, two *attempt) {
			for _, row := range []struct {
				fact         string
				other        dag.Priority
				before       time.Duration
				otherIsFirst bool
			}{
				{"as urgent, came before", dag.Normal, time.Millisecond, true},
				{"less urgent, came a little before", dag.Low, turn - time.Millisecond, false},
				{"less urgent, came long before", dag.Low, turn + time.Millisecond, true},
				{"more urgent, came a little later", dag.Urgent, -time.Millisecond, true},
				{"more urgent, came much later", dag.Urgent, -2*turn - time.Millisecond, false},
			} {
				d, one, _ := queueDesk(t)
				a, other := d.attempt(3, 1, false), d.attempt(4, 1, false)
				a.Priority, other.Priority = dag.Normal, row.other
				both := list(other, a)
				if row.before < 0 {
					both = list(a, other)
				}
				for _, a := range both {
					d.verdict(d.lined(a, true), dag.Yes)
					d.now = d.now.Add(row.before.Abs())
				}
				want := a
				if row.otherIsFirst {
					want = other
				}
				if out := d.ends(one, completed); !slices.Equal(out.Start, list(want)) {
					t.Errorf("%s: the wrong one starts", row.fact)
				}
			}
		}},
		{"who passes goes first, however late it comes", func(t *testing.T, d *desk, one, two *attempt) {
			before, passer := d.attempt(3, 1, false), d.attempt(4, 1, false)
			before.Priority, passer.Priority, passer.Passes = dag.Normal, dag.High, true
			for _, a := range list(before, passer) {
				d.verdict(d.lined(a, true), dag.Yes)
				d.now = d.now.Add(5 * turn)
			}
			if out := d.ends(one, completed); !slices.Equal(out.Start, list(passer)) {
				t.Error("the wrong one starts")
			}
		}},
		{"pools have lines of their own", func(t *testing.T, d *desk, one, two *attempt) {
			a := d.granted(3)
			b := d.attempt(4, 1, false)
			b.Pool = 1
			if _, out := d.arrive(b); len(out.Ask) != 1 || b.Lined() || d.InLine(1) != 0 {
				t.Errorf("leads to %+v", out)
			}
			d.Ask(d.now, b)
			d.verdict(b, dag.Yes)
			d.wantDone(d.ends(b, completed), nil, nil, list(b), 0, 0)
			if !a.Lined() {
				t.Error("it has a slot of another pool")
			}
		}},
		{"how many may be taken: the free slots, and what the line may hold", func(t *testing.T, d *desk, one, two *attempt) {
			if d.Free(0) != 0 || d.Most(0) != 2 {
				t.Errorf("%d of %d, and nothing is known of runs", d.Free(0), d.Most(0))
			}
			brisk(&d.lines[0].pace, d.now)
			if d.Free(0) != 8 || d.Most(0) != 10 {
				t.Errorf("%d of %d", d.Free(0), d.Most(0))
			}
			d.granted(3)
			if d.Free(0) != 7 {
				t.Errorf("%d with one in line", d.Free(0))
			}
			d.kept = 15 // with two that run and three in line, that would be all
			if d.Free(0) != 2 || d.Most(0) != 5 {
				t.Errorf("%d of %d with many results kept", d.Free(0), d.Most(0))
			}
			d.kept = 20
			if d.Free(0) != 0 {
				t.Errorf("%d with all results kept", d.Free(0))
			}
		}},
	} {
		t.Run(f.fact, func(t *testing.T) {
			d, one, two := queueDesk(t)
			f.run(t, d, one, two)
		})
	}
}

// TestFifoForgets: a line that is never empty keeps no more than a few of those that have left it.
func TestFifoForgets(t *testing.T) {
	var f fifo[*attempt]
	for i := range 100_000 {
		a := &attempt{}
		a.queued = true
		f.push(a)
		if i < 10 {
			continue
		}
		front, ok := f.front()
		if !ok {
			t.Fatal("nothing is at the front")
		}
		front.queued = false
	}
	f.front()
	if cap(f.list) > 1000 {
		t.Errorf("it has room for %d", cap(f.list))
	}
	kept := 0
	for _, a := range f.list[:cap(f.list)] {
		if a != nil {
			kept++
		}
	}
	if kept > 10 {
		t.Errorf("it keeps %d of 10", kept)
	}
}

// counted is a delivery that counts how often it was answered.
type counted struct{ answers int }

func (c *counted) Ack() { c.answers++ }
func (c *counted) Nak() { c.answers++ }

// clerk plays random steps at a ledger, as a worker does, and holds against the rules what is left to be done.
type clerk struct {
	*testing.T
	*desk
	rng      *rand.Rand
	draining bool
	tasks    int64
	live     []*attempt // taken and not over
	asking   []*attempt // asked for, without an answer
	runs     map[*attempt]bool
	letters  map[*attempt]*counted
}

// do acts on what a step leaves to be done.
func (c *clerk) do(what string, out *Todo[*attempt]) {
	if err := c.Check(); err != nil {
		c.Fatalf("%s: %v", what, err)
	}
	for _, m := range append(out.Ack, out.Nak...) {
		m.Ack()
	}
	for _, a := range out.Start {
		_, before := c.runs[a]
		switch {
		case before:
			c.Fatalf("%s: started twice", what)
		case !a.Granted() && !(a.Repeatable && a.Delivered == 1):
			c.Fatalf("%s: started before its grant", what)
		case c.draining || a.Session.Ended():
			c.Fatalf("%s: started after the end", what)
		case a.cancelled:
			c.Fatalf("%s: started when it was cancelled", what)
		}
		c.runs[a] = true
	}
	for _, a := range append(out.Ask, out.Again...) {
		if c.Ask(c.now, a) {
			if a.Lined() && !a.Ahead {
				c.Fatalf("%s: asked for in line", what)
			}
			c.asking = append(c.asking, a)
		}
	}
	running := 0
	for a, on := range c.runs {
		if on && a.Pool == 0 {
			running++
		}
	}
	if running > 2 {
		c.Fatalf("%s: %d run in two slots", what, running)
	}
}

// step takes one that is drawn.
func (c *clerk) step() {
	var out Todo[*attempt]
	what := []string{"take", "take", "take", "answer", "answer", "end of a run", "end of a run", "cancel", "time", "receipt", "drain", "fence", "disown"}[c.rng.IntN(13)]
	if (what == "drain" || what == "fence") && c.rng.IntN(10) > 0 {
		what = "time"
	}
	c.now = c.now.Add(time.Duration(c.rng.IntN(5)) * time.Millisecond)
	switch what {
	case "take":
		if !c.draining {
			c.arrives(&out)
		}
	case "answer":
		if i, ok := c.draw(c.asking); ok {
			a := c.asking[i]
			c.asking = slices.Delete(c.asking, i, i+1)
			c.Answer(c.now, a, []dag.Verdict{dag.Yes, dag.Yes, dag.Yes, dag.No, dag.Undecided}[c.rng.IntN(5)], Refusal(true, c.draining), &out)
		}
	case "end of a run":
		c.finishes(c.rng.IntN(4) == 0, &out)
	case "cancel":
		if i, ok := c.draw(c.live); ok {
			c.Cancel(c.live[i].Key, &out)
		}
	case "time":
		c.now = c.now.Add(time.Duration(c.rng.IntN(120)) * time.Millisecond)
		c.Tire(c.now, &out)
		c.Overdue(c.now, &out)
	case "receipt":
		if i, ok := c.draw(c.live); ok && c.Keeps(c.live[i]) {
			c.Stored(c.now, c.live[i], &out)
			c.Receipt(c.live[i].Key, &out)
		}
	case "drain":
		c.draining = true
		c.Unstarted(c.desk.session, &out)
	case "fence":
		c.End(c.desk.session, LeaseLost, &out)
		c.do(what, &out)
		for _, a := range c.live {
			if a.Lined() && a.Session == c.desk.session {
				c.Fatal("something is in line after the fence")
			}
		}
		c.desk.session, c.draining = &Session{}, false
		return
	case "disown":
		n := c.List(c.desk.session).Number
		if i, ok := c.draw(c.live); ok && c.rng.IntN(4) == 0 {
			c.Disown(c.desk.session, n, c.live[i].Key, &out)
		}
	}
	c.do(what, &out)
	c.live = slices.DeleteFunc(c.live, func(a *attempt) bool { return a.phase == gone && !c.runs[a] })
}

func (c *clerk) draw(list []*attempt) (i int, ok bool) {
	if len(list) == 0 {
		return 0, false
	}
	return c.rng.IntN(len(list)), true
}

func (c *clerk) arrives(out *Todo[*attempt]) {
	c.tasks++
	a := c.attempt(c.tasks, 1+c.rng.IntN(2), c.rng.IntN(3) == 0)
	l := &counted{}
	a.Message, a.Ahead, a.Taken, a.Priority, a.Pool = l, c.rng.IntN(3) > 0, c.now, dag.Priority(c.rng.IntN(dag.Priorities)), c.rng.IntN(2)
	c.live, c.letters[a] = append(c.live, a), l
	c.Take(a, out)
}

// finishes ends a run that is drawn.
func (c *clerk) finishes(interrupted bool, out *Todo[*attempt]) {
	var running []*attempt
	for _, a := range c.live {
		if c.runs[a] {
			running = append(running, a)
		}
	}
	i, ok := c.draw(running)
	if !ok {
		return
	}
	c.runs[running[i]] = false
	outcome := completed
	if interrupted {
		outcome = returned
	}
	c.Finish(c.now, running[i], Result{Outcome: outcome, Bytes: 10, Ran: time.Millisecond}, Offer(c.rng.IntN(3)), out)
}

// TestLinesAtRandom: whatever comes in whatever order, counts are true, no more run than there are slots, nothing starts that may
// not, and in the end everything is let go of and every message was answered once.
func TestLinesAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		d, one, two := queueDesk(t)
		c := &clerk{T: t, desk: d, rng: rand.New(rand.NewPCG(seed, 14)), tasks: 2, live: []*attempt{one, two},
			runs: map[*attempt]bool{one: true, two: true}, letters: map[*attempt]*counted{}}
		for range 300 {
			c.step()
		}
		c.draining = true
		for n := 0; c.Len() > 0; n++ {
			if n > 1000 {
				t.Fatalf("seed %d: %d attempts are never let go of", seed, c.Len())
			}
			var out Todo[*attempt]
			c.Unstarted(c.desk.session, &out)
			c.finishes(false, &out)
			for _, a := range c.asking {
				c.Answer(c.now, a, dag.Yes, Draining, &out)
			}
			c.asking = nil
			for _, a := range c.live {
				if c.Keeps(a) {
					c.Stored(c.now, a, &out)
					c.Receipt(a.Key, &out)
				}
			}
			c.do("the end", &out)
		}
		for a, l := range c.letters {
			if l.answers != 1 && !(l.answers == 0 && a.disowned) { // that one comes again, and is refused
				t.Fatalf("seed %d: the message of attempt %v was answered %d times: %+v", seed, a.Key, l.answers, a.Entry)
			}
		}
		if inHand, kept, bytes := c.Counts(); inHand+kept+bytes+c.InLine(0)+c.InLine(1)+c.Held(0)+c.Held(1) != 0 {
			t.Fatalf("seed %d: something is counted, and nothing is there", seed)
		}
	}
}
