package dag

import "slices"

// release lets a task go whose dependencies have ended.
func (d *Decision) release(r *Row) {
	if r.Flags&FlagsJudged != 0 { // it stays Waiting, for nothing, until it is judged
		d.touch(r)
		r.judging = true
		d.ToJudge = append(d.ToJudge, r.Key)
		return
	}
	d.proceed(r)
}

// proceed lets a task go that runs for sure: to its pool, to wait for its time, or, a group, to its end.
func (d *Decision) proceed(r *Row) {
	if r.Flags&FlagGroup != 0 {
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCompleted, Counted: true, StartedAt: d.now, Result: []byte("{}")})
		r.StartedAt = d.now
		d.event(EventStart, r, r.Attempt)
		d.finish(r, Completed)
		return
	}
	if r.Flags&FlagUnknown != 0 {
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeFailed, Counted: true, Kind: KindUnknownExecutor, Error: UnknownExecutor(r.policy().Executor, nil, nil, nil), Unknown: true})
		d.finish(r, Failed)
		return
	}
	if due := r.policy().NotBefore; due.After(d.now) {
		d.delay(r, Timer{At: due})
		return
	}
	d.ready(r)
}

// Unlocked tells dependents that a task was settled. The rows of all must have been added. Followups call it.
func (d *Decision) Unlocked(k Key, dependents []Dependent) {
	r := d.rows[k]
	if r == nil || !r.State.Settled() {
		return
	}
	for _, dep := range dependents {
		d.DependencyEnded(dep, r.State, r.cause())
	}
}

// Release lets a task go that waits for no dependency; for those that a submission or a re-run left to a followup.
func (d *Decision) Release(k Key) {
	if r := d.rows[k]; r != nil && r.State == Waiting && r.Remaining == 0 {
		d.release(r)
	}
}

func (d *Decision) ready(r *Row) {
	d.move(r, Ready)
	if limit := r.policy().ScheduleToStart; limit > 0 {
		d.Timers = append(d.Timers, Timer{Task: r.Key, Attempt: r.Attempt, Kind: TimerScheduleToStart, Delay: limit})
	}
}

// finish settles a task and tells its dependents, those that are at hand at once.
func (d *Decision) finish(r *Row, to State) {
	d.move(r, to)
	switch to {
	case Completed:
		d.event(EventCompleted, r, r.Attempt)
	case Failed:
		d.event(EventFailed, r, r.Attempt)
	case Cancelled:
		d.event(EventCancelled, r, r.Attempt)
	case Skipped:
		d.event(EventSkipped, r, r.Attempt)
	}
	d.announce(r)
}

// announce tells the dependents of a settled task, or leaves it to a followup when they are many or not at hand. One that became a
// dependent while the rows were being locked is not: its edge was read, and its row was not.
func (d *Decision) announce(r *Row) {
	if r.Flags&FlagDependents == 0 {
		return
	}
	dependents, loaded := d.deps[r.Key]
	if !loaded || r.Flags&FlagWide != 0 || slices.ContainsFunc(dependents, func(dep Dependent) bool { return d.rows[dep.Key] == nil }) {
		d.Unlock = append(d.Unlock, r.Key)
		return
	}
	for _, dep := range dependents {
		d.DependencyEnded(dep, r.State, r.cause())
	}
}

// DependencyEnded tells a dependent, whose row is at hand, that one of its dependencies was settled (spec 3.2, K9).
// Each edge must be told once for each end of its dependency.
func (d *Decision) DependencyEnded(dep Dependent, state State, cause Key) {
	r := d.rows[dep.Key]
	if dep.Mode.Child() { // whoever expanded may have been cancelled since, and wait for dependencies of another run
		if r != nil && r.State == Expanded {
			d.childEnded(r)
		}
		return
	}
	if r == nil || r.State != Waiting {
		return // held, cancelled, or blocked by another dependency already
	}
	if dep.fate(state) == fateBlocks {
		d.block(r, cause)
		return
	}
	r.Remaining--
	d.touch(r)
	if r.Remaining == 0 {
		d.release(r)
	}
}
