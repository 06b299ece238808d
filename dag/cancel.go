package dag

// Cancel cancels an unfinished task (spec 3.8). A running attempt is stopped by its worker and stays open until the
// receipt. quiet: the whole tree is being cancelled and its row says why; dependents are cancelled too, so nobody is
// told.
func (d *Decision) Cancel(k Key, message string, quiet bool) bool {
	r := d.rows[k]
	if r == nil || !r.State.Cancellable() {
		return false
	}
	running, was := r.State == Running, r.State
	parked := was == Expanded || was == Awaiting // its attempt is open, and no worker has it
	if running || parked || !quiet {
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCancelled, Worker: r.Worker, StartedAt: r.StartedAt, Error: message})
	}
	if running {
		d.Stops = append(d.Stops, Stop{Worker: r.Worker, Task: r.Key, Attempt: r.Attempt})
	}
	if was == Expanded && !quiet {
		d.ToCancel = append(d.ToCancel, r.Key)
	}
	if was.Unfinished() && !quiet {
		d.finish(r, Cancelled)
		return true
	}
	d.move(r, Cancelled)
	if was.Unfinished() { // of what no execution waits for, nothing is told: its tree's final event may be past
		d.event(EventCancelled, r, r.Attempt)
	}
	if was == Held && !quiet {
		d.announce(r)
	}
	return true
}
