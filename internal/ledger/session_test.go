package ledger

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

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
			if d.Unstarted(d.session, &out); len(out.Nak) != 1 {
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
