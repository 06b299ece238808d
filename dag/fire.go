package dag

// Word is the word for a kind.
func (k FireKind) Word() string {
	if k < FireInstant || k > FireEvent {
		return "unknown"
	}
	return [...]string{"instant", "trigger", "backfill", "event"}[k-1]
}

// FireState is how far a run of a schedule has come, as stored. Those up to [FireRunning] are open.
type FireState int16

// The states of runs.
const (
	FireQueued    FireState = iota + 1 // it waits for runs before it
	FireDue                            // its tree is to be stored
	FireRunning                        // its tree is stored, and has not ended
	FireCompleted                      // so its tree has ended, in this state and the next two
	FireFailed                         // or there could be no tree
	FireCancelled
	FireMissed  // nobody was there when it was time
	FireSkipped // another run was open, and the schedule skips then
)

// Word is the word for a state.
func (s FireState) Word() string {
	if s < FireQueued || s > FireSkipped {
		return "unknown"
	}
	return [...]string{"queued", "due", "running", "completed", "failed", "cancelled", "missed", "skipped"}[s-1]
}

// FireEnds are ends of runs, a bit for each state.
type FireEnds int16

// Has reports whether the end is among them.
func (e FireEnds) Has(s FireState) bool { return e>>s&1 == 1 }

// Open reports whether the run may still change by itself.
func (s FireState) Open() bool { return s <= FireRunning }
