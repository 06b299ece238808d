package pg

import (
	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Effects are what is left to do after a commit.
type Effects struct {
	Publish    []*Work    // published on record: send them now
	Handed     []Handover // claimed for workers that offered a slot: send them now
	Waiting    []Stretch  // stretches that went to the ready table; those in Publish are not among them
	Stops      []dag.Stop
	Followups  int // how many were added
	Conditions int // how many of them are about conditions
	Kept       int // of these, how many take a signal that was kept
	Timers     []dag.Timer
	Trees      []TreeSequence   // whose events advanced
	Late       int              // how many of them are late, and were not
	Taken      map[dag.Lane]int // ready tasks that left their lane: claimed, cancelled, settled
	Flights    []Flight         // what the changed tasks have in flight, more or less than before
	Events     EventCounts
	Keys       []dag.LimitKey // that tasks have begun to wait for, or wait for no longer: of very many, some
	Freed      []dag.LimitKey // that were given back, once for each task
	Claimed    map[int32]int  // limited tasks that are ready no longer, by pool; they are not in Taken
}

// EventCounts is how many events of each type were stored.
type EventCounts [dag.EventTypes]int32

// count adds the events of a decision.
func (e *EventCounts) count(trees map[dag.TreeKey]*dag.TreeDelta) {
	for _, t := range trees {
		for i := range t.Events {
			e[t.Events[i].Type]++
		}
	}
}

// Handover is what a worker is handed with its receipt.
type Handover struct {
	dag.Handover
	Work *Work
}

// TreeSequence is where a tree's events stand.
type TreeSequence struct {
	Tree     dag.TreeKey
	Sequence int64
	Final    bool
	Ended    End  // with Final: how
	Hooked   bool // it may have webhooks
	Fired    bool // it is a run of a schedule
}

// place sorts stretches into those that were published and those that wait.
func (eff *Effects) place(stretches []Stretch, placed *placement, work map[dag.Key]*Work) {
	eff.Keys = append(eff.Keys, placed.asked...)
	for _, r := range stretches {
		if r.Limited {
			continue
		}
		if !placed.published[r.First] {
			r.Share = placed.waits[r.First]
			eff.Waiting = append(eff.Waiting, r)
			continue
		}
		eff.Publish = append(eff.Publish, r.among(work)...)
	}
}

// Flight is a change of what tasks of a tree have in flight in a pool: published, or running.
type Flight struct {
	Pool    int32
	Tree    dag.TreeKey
	Running int // attempts that run, more than before
	Left    int // tasks that were ready or ran in an attempt, and are neither in it now; less those that run at once
}

// take counts the ready tasks that leave their lanes, and attempts that begin and end.
func (eff *Effects) take(changed []*dag.Row) {
	for _, r := range changed {
		g := r.Expected()
		same := g.Attempt == r.Attempt
		switch {
		case g.State != dag.Ready || r.State == dag.Ready && same:
		case limited(r):
			eff.claim(r.LaneBefore().Pool)
		default:
			if eff.Taken == nil {
				eff.Taken = map[dag.Lane]int{}
			}
			eff.Taken[r.LaneBefore()]++
		}
		was, is := g.State == dag.Ready || g.State == dag.Running, r.State == dag.Running || r.State == dag.Ready && g.State == dag.Ready && same
		running, left := oneIf(r.State == dag.Running)-oneIf(g.State == dag.Running), oneIf(was)-oneIf(is)
		if running == 0 && left == 0 {
			continue
		}
		pool, tree := r.LaneBefore().Pool, r.Key.Tree()
		n := len(eff.Flights)
		if n == 0 || eff.Flights[n-1].Pool != pool || eff.Flights[n-1].Tree != tree {
			eff.Flights = append(eff.Flights, Flight{Pool: pool, Tree: tree})
			n++
		}
		eff.Flights[n-1].Running += running
		eff.Flights[n-1].Left += left
	}
}

// oneIf is 1 if so, else 0.
func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
}

// claim counts a limited task that is ready no longer.
func (eff *Effects) claim(pool int32) {
	if eff.Claimed == nil {
		eff.Claimed = map[int32]int{}
	}
	eff.Claimed[pool]++
}

// leaving are tasks that are deleted as they are.
type leaving struct {
	taken    map[dag.Lane]int // ready ones, by lane
	released releases
	freed    Effects
}

// add adds one that is locked.
func (l *leaving) add(r *dag.Row) {
	if r.Limiting() {
		l.released.waiting, l.released.leaving = append(l.released.waiting, r.Key), append(l.released.leaving, r.Key)
	}
	if r.Flags&dag.FlagKept != 0 {
		l.released.ending = append(l.released.ending, r.Key)
	}
	switch {
	case r.State != dag.Ready:
	case limited(r):
		l.freed.claim(r.Pool)
	default:
		if l.taken == nil {
			l.taken = map[dag.Lane]int{}
		}
		l.taken[r.Lane()]++
	}
}

// queue gives back what they hold, and what they wait for.
func (l *leaving) queue(b *pgx.Batch) {
	l.released.queueWaiters(b, &l.freed)
	l.released.queueHolds(b, &l.freed)
}

// leave adds tasks that were deleted.
func (eff *Effects) leave(l *leaving) {
	for lane, n := range l.taken {
		if eff.Taken == nil {
			eff.Taken = map[dag.Lane]int{}
		}
		eff.Taken[lane] += n
	}
	eff.Keys, eff.Freed = append(eff.Keys, l.freed.Keys...), append(eff.Freed, l.freed.Freed...)
	for pool, n := range l.freed.Claimed {
		for range n {
			eff.claim(pool)
		}
	}
}

// hand adds what was claimed for workers that offered a slot.
func (eff *Effects) hand(handovers []dag.Handover, work map[dag.Key]*Work) {
	for _, h := range handovers {
		if w := work[h.Task]; w != nil {
			eff.Handed = append(eff.Handed, Handover{h, w})
		}
	}
}
