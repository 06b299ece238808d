package pg

import "github.com/taskgrove/taskgrove/dag"

// Effects are what is left to do after a commit.
type Effects struct {
	Publish   []*Work    // published on record: send them now
	Handed    []Handover // claimed for workers that offered a slot: send them now
	Waiting   []Stretch  // stretches that went to the ready table; those in Publish are not among them
	Stops     []dag.Stop
	Followups int // how many were added
	Timers    []dag.Timer
	Trees     []TreeSequence   // whose events advanced
	Taken     map[dag.Lane]int // ready tasks that left their lane: claimed, cancelled, settled
	Events    EventCounts
}

// EventCounts is how many events of each type were stored.
type EventCounts [dag.EventFinal + 1]int32

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
}

// place sorts stretches into those that were published and those that wait.
func (eff *Effects) place(stretches []Stretch, placed map[dag.Key]bool, work map[dag.Key]*Work) {
	for _, r := range stretches {
		if !placed[r.First] {
			eff.Waiting = append(eff.Waiting, r)
			continue
		}
		eff.Publish = append(eff.Publish, r.among(work)...)
	}
}

// take counts the ready tasks that leave their lanes.
func (eff *Effects) take(changed []*dag.Row) {
	for _, r := range changed {
		if g := r.Expected(); g.State == dag.Ready && (r.State != dag.Ready || g.Attempt != r.Attempt) {
			if eff.Taken == nil {
				eff.Taken = map[dag.Lane]int{}
			}
			eff.Taken[r.LaneBefore()]++
		}
	}
}

// leave adds ready tasks that were deleted.
func (eff *Effects) leave(taken map[dag.Lane]int) {
	for lane, n := range taken {
		if eff.Taken == nil {
			eff.Taken = map[dag.Lane]int{}
		}
		eff.Taken[lane] += n
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
