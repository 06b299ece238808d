package dag

// Released reports whether the decision ends or returns the attempt that the row had, so that all it held, or waited for, goes back. What a cancelled
// attempt holds stays until its worker has stopped; what one holds that expanded or awaits something, until that has ended.
func (r *Row) Released() bool {
	return r.was.mayHold() && (r.Attempt != r.was.Attempt || !r.Guard().mayHold())
}

// mayHold reports whether an attempt in that state may wait for limits, or hold some.
func (g Guard) mayHold() bool {
	switch g.State {
	case Ready, Running, Expanded, Awaiting:
		return true
	}
	return g.State == Cancelled && g.Worker != 0
}

// KeepsLock reports whether the decision ends the task such that its lock is held on for its parent.
func (r *Row) KeepsLock() bool { return r.Flags&FlagKeeps != 0 && r.State == Completed && r.Released() }

// GivesBack reports whether the decision ends a task for which others may hold locks, so that these go back.
func (r *Row) GivesBack() bool {
	return r.Flags&FlagKept != 0 && r.State.Settled() && !r.was.State.Settled()
}

// Limiting reports whether limits matter to the task: it may have asked for some, or hold some.
func (r *Row) Limiting() bool { return r.Flags&(FlagLimited|FlagHolds) != 0 }

// Recall takes a ready attempt back that was published, or is to be: the messages that are on their way start nothing, and the task waits anew, ahead of
// those that came after it. It reports whether it did: an attempt that was claimed goes on.
func (d *Decision) Recall(k Key, attempt int32, why string) bool {
	r := d.rows[k]
	if r == nil || r.State != Ready || r.Attempt != attempt || r.cancelled {
		return false
	}
	d.Ended = append(d.Ended, Ended{Task: k, Attempt: attempt, Outcome: OutcomeReturned, Error: why})
	d.event(EventRetry, r, r.Attempt)
	r.Attempt++
	r.again = true
	d.ready(r)
	return true
}

// Contend ends a task that waits for a lock which is held, as it does not wait for that; or, late, which has not come in time. The caller has made sure that
// it still waits, and that it stays so. It reports whether anything changed.
func (d *Decision) Contend(k Key, attempt int32, on OnContention, late bool) bool {
	r := d.rows[k]
	if r == nil || r.State != Ready || r.Attempt != attempt || r.cancelled {
		return false
	}
	switch {
	case late:
		d.unstarted(r, Ended{Outcome: OutcomeFailed, Kind: KindLockTimeout, Error: "its lock was not free in time"}, Failed)
	case on == SkipOnContention:
		d.skip(r, SkipLocked)
	default:
		d.unstarted(r, Ended{Outcome: OutcomeFailed, Kind: KindLockContended, Error: "its lock is held by another task"}, Failed)
	}
	return true
}
