package ledger

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

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
			if out := d.verdict(a, dag.Undecided); len(out.Again) != 1 || len(out.Ack) != 0 {
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
		{"a result is reported again when it is asked for, unless it is on its way", func(t *testing.T, d *desk) {
			a := d.taken(false, true)
			d.verdict(a, dag.Yes)
			again := func() int {
				var out Todo[*attempt]
				d.Again(a, &out)
				return len(out.Report)
			}
			if _, kept := d.Kept(a.Key); kept || again() != 0 {
				t.Error("it is kept while it runs")
			}
			d.ends(a, completed)
			if got, kept := d.Kept(a.Key); !kept || got != a || again() != 0 {
				t.Error("it is not kept, or reported twice")
			}
			d.stored(a)
			if again() != 1 || again() != 0 {
				t.Error("it is not reported once more")
			}
			d.receipt(a)
			if _, kept := d.Kept(a.Key); kept || again() != 0 {
				t.Error("it is kept after its receipt")
			}
		}},
	})
}
