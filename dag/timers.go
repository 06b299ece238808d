package dag

import (
	"fmt"
	"time"
)

// TimerKind numbers what a timer is for. The numbers are stored.
type TimerKind int16

// The kinds of timers.
const (
	TimerDue             TimerKind = 1 // a delayed task may start
	TimerScheduleToStart TimerKind = 2
	TimerStartToClose    TimerKind = 3
	TimerTree            TimerKind = 4 // the tree's deadline; its task is the root
	TimerAwait           TimerKind = 5 // what a task waits for has not come in time
	TimerLock            TimerKind = 6 // the lock that a task waits for has not come in time; the store finds out whether it still waits
	TimerGroup           TimerKind = 8 // what is below a group has not ended in time
	TimerLate            TimerKind = 7 // the tree is due; its task is the root. The store finds out whether it has ended
)

// Timer asks for a decision after a delay.
type Timer struct {
	Task    Key
	Attempt int32
	Kind    TimerKind
	Delay   time.Duration // from the decision on
	At      time.Time     // instead of Delay, unless zero
	Answer  *Answer       // of [TimerAwait]: what is to follow
}

// TimeoutGrace is how long after an attempt's own timeout its worker has to report it, before it is settled without.
const TimeoutGrace = 15 * time.Second

// StartWithin is how long after its worker first asked for it an attempt with a timeout of its own may start. The rest
// of [TimeoutGrace] is for stopping.
const StartWithin = 10 * time.Second

// LineWait is how long an attempt that is claimed before a slot is free waits for one: then it starts, or its worker hands it
// back.
const LineWait = 100 * time.Millisecond

// TooLate reports whether a granted attempt must be handed back, unstarted and uncounted: the store counts its timeout
// from the claim, which may be as old as the first request for it, so that it could be timed out, and the next attempt
// started, while it ran. timeout is the task's own, 0 for none; waited is the time since the attempt was first asked for,
// or since the offer that it was handed over for was made.
func TooLate(timeout, waited time.Duration) bool { return timeout > 0 && waited > StartWithin }

// TimeUp fails a group whose time is up; what is below it is to be cancelled then. It reports whether the group had not ended.
func (d *Decision) TimeUp(k Key) bool {
	r := d.rows[k]
	if r == nil || r.State != Waiting || r.cancelled {
		return false
	}
	d.unstarted(r, Ended{Outcome: OutcomeTimedOut, Kind: KindTimeout, Error: fmt.Sprintf("timeout: what is below it has not ended within %s (the group's timeout)", r.policy().Timeout)}, Failed)
	return true
}

// TimeUpMessage is why a task is cancelled that is below a group whose time is up.
const TimeUpMessage = "Timeout of a group above"

// Begun are the changed tasks below groups with a timeout that may start now: those that are ready, and of those that wait for limits or a lock once they are ready, those
// that run.
func (d *Decision) Begun() (keys []Key) {
	for _, r := range d.changed {
		if r.Flags&FlagBounded == 0 {
			continue
		}
		if r.Flags&FlagLimited == 0 && r.gotReady() || r.Flags&FlagLimited != 0 && r.State == Running && r.was.State != Running {
			keys = append(keys, r.Key)
		}
	}
	return keys
}

// Due handles a timer that went off. It reports whether anything changed: a timer of an older attempt, or one whose
// task has moved on, changes nothing.
func (d *Decision) Due(t Timer) bool {
	r := d.rows[t.Task]
	if r == nil || r.Attempt != t.Attempt {
		return false
	}
	switch {
	case t.Kind == TimerDue && r.State == Delayed:
		d.ready(r)
	case t.Kind == TimerGroup && r.Flags&FlagGroup != 0 && r.State == Waiting && !r.cancelled:
		d.ToTimeUp = append(d.ToTimeUp, r.Key)
	case t.Kind == TimerAwait && r.State == Awaiting && t.Answer != nil:
		return d.Answer(t.Task, t.Attempt, *t.Answer)
	case t.Kind == TimerScheduleToStart && r.State == Ready:
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeTimedOut, Counted: true,
			Kind: KindScheduleToStart, Error: fmt.Sprintf("not started within %s of being ready", r.policy().ScheduleToStart)})
		d.finish(r, Failed)
	case t.Kind == TimerStartToClose && r.State == Running:
		d.Stops = append(d.Stops, Stop{Worker: r.Worker, Task: r.Key, Attempt: r.Attempt})
		d.fail(r, Ended{Outcome: OutcomeTimedOut, Counted: true, Kind: KindTimeout, Error: fmt.Sprintf("timeout after %s (the task's timeout, which its worker did not report)", r.policy().Timeout)}, false, 0)
	default:
		return false
	}
	return true
}
