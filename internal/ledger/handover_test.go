package ledger

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

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

func TestMayOffer(t *testing.T) {
	for n := range 8 {
		unlocks, crowded, draining := n&1 > 0, n&2 > 0, n&4 > 0
		want := map[int]Offer{1: AnyOffer, 3: RoomyOffer}[n]
		if got := MayOffer(unlocks, crowded, draining); got != want {
			t.Errorf("unlocks %v, crowded %v, draining %v: %v, want %v", unlocks, crowded, draining, got, want)
		}
	}
}

// TestRoomyOffers: while others wait for slots, one is offered only if at most half of them are held.
func TestRoomyOffers(t *testing.T) {
	for held := 1; held <= 10; held++ {
		d := newDesk(t)
		var a *attempt
		for task := range int64(held) {
			a = d.attempt(task+1, 1, false)
			d.arrive(a)
			d.Ask(d.now, a)
			d.verdict(a, dag.Yes)
		}
		var out Todo[*attempt]
		d.Finish(d.now, a, Result{Outcome: completed, Bytes: 100}, RoomyOffer, &out)
		if a.Result.Offer != (held <= 5) {
			t.Errorf("%d of 10 slots held: offered: %v", held, a.Result.Offer)
		}
	}
}
