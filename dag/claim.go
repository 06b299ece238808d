package dag

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
		if r.cancelled {
			return No
		}
		d.start(r, w)
		return Yes
	}
	return No
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

// Handover is a task that was claimed, as soon as it was ready, for the worker whose result unlocked it.
type Handover struct {
	After        Key // the result's task, whose slot it takes
	AfterAttempt int32
	Task         Key
	Attempt      int32
	Worker       WorkerKey
}

// SettleAll settles results, in their order, and then hands over what they unlock to the workers whose leases are alive. It
// tells which results changed anything. may is that of [Decision.HandOver].
func (d *Decision) SettleAll(results []Result, alive func(WorkerKey) bool, may func(*Row) bool) (changed []bool) {
	changed = make([]bool, len(results))
	for i, r := range results {
		changed[i] = d.Settle(r)
	}
	for i, r := range results {
		if changed[i] && alive(r.Worker) {
			d.HandOver(r, may)
		}
	}
	return changed
}

// HandOver claims one of the tasks that a result has just unlocked for the worker that reported it, in the slot that
// it offers: the claim that would follow anyway, without the way through the queue. The result must have been settled
// by this decision, and its worker's lease be alive. may tells whether nothing older waits in the task's pool: an
// unlocked task passes nobody.
func (d *Decision) HandOver(res Result, may func(*Row) bool) {
	from := d.rows[res.Task]
	if from == nil || !res.Offer || res.Worker == 0 || from.State != Completed || from.Attempt != res.Attempt {
		return
	}
	for _, dep := range d.deps[res.Task] {
		r := d.rows[dep.Key]
		if r == nil || r.State != Ready || r.was.State == Ready || r.Pool != from.Pool || !may(r) {
			continue
		}
		if d.Claim(r.Key, r.Attempt, res.Worker) == Yes {
			d.Handovers = append(d.Handovers, Handover{After: from.Key, AfterAttempt: from.Attempt, Task: r.Key, Attempt: r.Attempt, Worker: res.Worker})
			return
		}
	}
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
