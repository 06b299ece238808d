package dag

import (
	"cmp"
	"slices"
	"time"
)

// Claim asks for an attempt on behalf of a worker. Facts came with the attempt's message.
type Claim struct {
	Task    Key
	Attempt int32
	Worker  WorkerKey
	Facts   Facts
}

// Verdict answers a claim.
type Verdict int

// The verdicts.
const (
	Undecided Verdict = iota // ask again
	Yes
	No // final
)

// Claim asks for an attempt on behalf of a worker whose lease is alive.
//
// The worker that holds the attempt gets the same yes again; everyone else a final no. A task of a cancelled tree
// never starts.
func (d *Decision) Claim(k Key, attempt int32, w WorkerKey) Verdict {
	r := d.rows[k]
	if r == nil || r.Attempt != attempt {
		return No
	}
	switch r.State {
	case Running:
		if r.Worker == w {
			return Yes
		}
		return No
	case Ready:
		if r.forbidden != "" && !r.cancelled {
			d.refuse(r, nil)
			return No
		}
		if r.cancelled {
			return No
		}
		d.start(r, w)
		return Yes
	}
	return No
}

// Forbid notes why the rule of its pool has come to forbid a task. It is not started then: who claims it, or reports that it has started early,
// ends it. Such a task must not be handed over. It comes before anything that happens.
func (d *Decision) Forbid(k Key, why string) {
	if r := d.rows[k]; r != nil {
		r.forbidden = why
	}
}

// refuse ends a ready task that its pool forbids, for good. used is what a model was used for that nobody allowed.
func (d *Decision) refuse(r *Row, used []Used) {
	d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeFailed, Counted: true, Error: r.forbidden, Used: used})
	d.finish(r, Failed)
}

// Claims decides about claims, in their order. Those of a worker whose lease is not alive stay undecided.
func (d *Decision) Claims(claims []Claim, alive func(WorkerKey) bool) []Verdict {
	verdicts := make([]Verdict, len(claims))
	for i, c := range claims {
		if alive(c.Worker) {
			verdicts[i] = d.Claim(c.Task, c.Attempt, c.Worker)
		}
	}
	return verdicts
}

// MayBeClaimedAhead reports whether a worker may claim an attempt before it has a slot for it; run is the first attempt of its
// run. Nobody can tell whether what was claimed and lost with its worker had begun. So an attempt that follows a lost one of the
// same run is not claimed ahead, nor is a task that must not start twice, or that would hold its limits meanwhile.
func MayBeClaimedAhead(attempt, run int32, f Flags) bool {
	return attempt == run && f&(FlagOnce|FlagLimited) == 0
}

// Handover is a task that was claimed, as soon as it was ready, for the worker whose result unlocked it.
type Handover struct {
	After        Key // the result's task, whose slot it takes
	AfterAttempt int32
	Task         Key
	Attempt      int32
	Worker       WorkerKey
}

// DeliveryTime is how long the way of a published task to a free slot takes at most, as a rule. One that was published longer
// ago and is still ready waits for a slot.
const DeliveryTime = 100 * time.Millisecond

// SettleAll settles results, in their order. It tells which of them changed anything.
func (d *Decision) SettleAll(results []Result) (changed []bool) {
	changed = make([]bool, len(results))
	for i, r := range results {
		changed[i] = d.Settle(r)
	}
	return changed
}

// HandOverAll hands over what results unlocked that [Decision.SettleAll] has settled, as it told, to the workers whose leases are alive. may is that of [Decision.HandOver].
func (d *Decision) HandOverAll(results []Result, changed []bool, alive func(WorkerKey) bool, may func(*Row) bool) {
	var offers []*Result
	for i := range results { // those that offer no slot are passed over
		if changed[i] && alive(results[i].Worker) {
			offers = append(offers, &results[i])
		}
	}
	d.HandOver(offers, may)
}

// HandOver claims, for each slot that a result offers, the best of the tasks which that result has just unlocked: the claim
// that would follow anyway, without the way through the queue. The best is the most urgent, and of those the one submitted
// first (spec K8). The results must have been settled by this decision, and their workers' leases be alive.
//
// An unlocked task passes nobody: may tells whether nothing waits in the store that is to start before the task, and what this
// decision has made ready counts too. The most urgent tasks get their slots first. It reorders offers.
func (d *Decision) HandOver(offers []*Result, may func(*Row) bool) {
	offers = slices.DeleteFunc(offers, func(res *Result) bool { return d.bestUnlocked(res) == nil })
	if len(offers) == 0 {
		return
	}
	slices.SortStableFunc(offers, func(a, b *Result) int { return d.bestUnlocked(a).startsBefore(d.bestUnlocked(b)) })
	ready := d.readied()
	for _, res := range offers {
		r := d.bestUnlocked(res) // another slot may have taken the one above
		if r == nil || ready.moreUrgent(r) || !may(r) || d.Claim(r.Key, r.Attempt, res.Worker) != Yes {
			continue
		}
		ready[r.Lane()]--
		d.Handovers = append(d.Handovers, Handover{After: res.Task, AfterAttempt: res.Attempt, Task: r.Key, Attempt: r.Attempt, Worker: res.Worker})
	}
}

// bestUnlocked is the task that the slot of a result is for: the best of those that it unlocked in its pool. nil: none, or
// there is no slot, or the task came with the key of a model.
func (d *Decision) bestUnlocked(res *Result) (best *Row) {
	from := d.rows[res.Task]
	if from == nil || !res.Offer || res.Worker == 0 || from.State != Completed || from.Attempt != res.Attempt {
		return nil
	}
	for _, dep := range d.deps[res.Task] {
		r := d.rows[dep.Key]
		if r == nil || r.State != Ready || r.was.State == Ready || r.Pool != from.Pool || r.Flags&FlagLimited != 0 { // the last has to wait for its limits
			continue
		}
		if best == nil || r.startsBefore(best) < 0 {
			best = r
		}
	}
	if best != nil && best.Flags&FlagKeyed != 0 { // its worker has to ask for its key, as whoever claims it does (spec 5.7)
		return nil
	}
	return best
}

// startsBefore compares ready tasks of a pool: negative if this one is to start before the other (spec K8).
func (r *Row) startsBefore(other *Row) int {
	return cmp.Or(cmp.Compare(r.Priority, other.Priority), cmp.Compare(r.Key, other.Key))
}

// laneCounts are how many tasks of each lane a decision has made ready and not claimed.
type laneCounts map[Lane]int

func (d *Decision) readied() laneCounts {
	counts := laneCounts{}
	for _, r := range d.changed {
		if r.gotReady() && r.Flags&FlagLimited == 0 {
			counts[r.Lane()]++
		}
	}
	return counts
}

// moreUrgent reports whether one of them is of the task's pool, and more urgent.
func (c laneCounts) moreUrgent(r *Row) bool {
	for p := Urgent; p < r.Priority; p++ {
		if c[Lane{r.Pool, p}] > 0 {
			return true
		}
	}
	return false
}

func (d *Decision) start(r *Row, w WorkerKey) {
	d.move(r, Running)
	d.hold(r, w)
	r.StartedAt = d.now
	if r.Flags&FlagTimeout != 0 && r.Policy != nil && r.Policy.Timeout > 0 {
		d.Timers = append(d.Timers, Timer{Task: r.Key, Attempt: r.Attempt, Kind: TimerStartToClose, Delay: r.Policy.Timeout + TimeoutGrace})
	}
	d.event(EventStart, r, r.Attempt)
}
