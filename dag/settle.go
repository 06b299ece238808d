package dag

import (
	"fmt"
	"slices"
	"time"
)

// Result is what a worker reports of an attempt. Its token was checked.
type Result struct {
	Task           Key
	Attempt        int32
	Worker         WorkerKey   // 0: not known (any more)
	Before         []WorkerKey // earlier runs of the same worker: it reports for them after losing its lease
	Outcome        Outcome
	Value          []byte // JSON; nil: null
	Chunked        bool   // the value waits in the store, in parts
	Error          string
	Detail         string
	Permanent      bool
	RetryAfter     time.Duration // of a failure: the next attempt makes no sense earlier; see [RetryPolicy.DelayAfter]
	Early          bool          // started before its claim was confirmed
	Offer          bool          // its slot waits for a task that it unlocks
	After          After         // with [OutcomeSkipped], [OutcomeExpanded], [OutcomeAwaiting] and [OutcomeRepeated]: what follows
	Outputs        []byte        // of a completed or skipped one: JSON object, or nil
	Kind           Kind          // of a failure; empty: [KindExecutor]
	Noted          bool          // there may be a checkpoint of the task: one that ends well forgets it
	Note           []byte        // what the attempt noted last, if that is not stored yet: JSON, or nil
	NoteNumber     int64         // of that, within the attempt
	UnlocksNothing bool          // its worker was not told that it unlocks anything: a hint which rows to load; a followup tells dependents that are not
	Facts          Facts
	Used           []Used        // of models, whatever the end
	Unstarted      bool          // with [OutcomeReturned] and [OutcomeCancelled]: it never began
	Waited         time.Duration // from the answer to its claim to its start, by its worker's clock
	// Ran is how long the attempt took, by its worker's clock: only a difference, as that clock may show any time. NotBefore is when it
	// can have started at the earliest, by the store's. Both matter for early ones only.
	Ran       time.Duration
	NotBefore time.Time
}

// from reports whether the result comes from the worker.
func (res *Result) from(w WorkerKey) bool { return w == res.Worker || slices.Contains(res.Before, w) }

// startedAt is when an early attempt that ended now has started.
func (res *Result) startedAt(now time.Time) time.Time {
	at := now.Add(-max(0, res.Ran))
	if at.Before(res.NotBefore) {
		return res.NotBefore
	}
	return at
}

// began is when an attempt that was claimed at a time has started: it may have waited for a slot.
func (res *Result) began(claimed, now time.Time) time.Time {
	if at := claimed.Add(max(0, res.Waited)); at.Before(now) {
		return at
	}
	return now
}

// Settle records a result and unlocks what waited for it. It reports whether the result changed anything: an old
// attempt's, a second copy, or one that comes after the end changes nothing (design §2.2).
func (d *Decision) Settle(res Result) bool {
	r := d.rows[res.Task]
	if r == nil || r.Attempt != res.Attempt {
		return false
	}
	repeatable := r.Flags&FlagRepeatable != 0 && r.Flags&FlagLimited == 0
	switch {
	case r.State == Running && (res.from(r.Worker) || repeatable && res.Early):
	case r.State == Ready && repeatable && res.Early && !r.cancelled && r.forbidden != "":
		d.refuse(r, res.Used)
		return true
	case r.State == Ready && repeatable && res.Early && !r.cancelled:
		d.start(r, res.Worker)
		r.StartedAt = res.startedAt(d.now)
	case r.State == Cancelled && r.Worker != 0 && res.from(r.Worker):
		if res.Unstarted {
			r.StartedAt = time.Time{}
		}
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCancelled, Worker: r.Worker,
			StartedAt: r.StartedAt, Result: res.Value, Chunked: res.Chunked, Used: res.Used, Receipt: true})
		d.hold(r, 0)
		return true
	default:
		return false
	}
	if res.Waited > 0 && !res.Early {
		r.StartedAt = res.began(r.StartedAt, d.now)
	}
	end := Ended{Outcome: res.Outcome, Waited: res.Waited, Result: res.Value, Chunked: res.Chunked, Used: res.Used, Error: res.Error, Detail: res.Detail,
		Kind: res.Kind, Outputs: res.Outputs}
	switch res.Outcome {
	case OutcomeCompleted:
		end.Counted = true
		d.end(r, end)
		d.finish(r, Completed)
		if r.Flags&(FlagCache|FlagDemo) == FlagCache {
			d.ToCache = append(d.ToCache, r.Key)
		}
	case OutcomeFailed, OutcomeTimedOut:
		end.Counted = true
		if end.Error == "" {
			end.Error = "failed without a reason"
		}
		if end.Kind == "" && res.Outcome == OutcomeTimedOut {
			end.Kind = KindTimeout
		}
		d.fail(r, end, res.Permanent, res.RetryAfter)
	case OutcomeSkipped:
		end.Counted = true
		d.end(r, end)
		d.finish(r, Skipped)
	case OutcomeRepeated:
		d.repeat(r, end, res.After.Delay)
	case OutcomeExpanded:
		d.spend(r, res.Used)
		d.expand(r, res.After)
	case OutcomeAwaiting:
		d.spend(r, res.Used)
		d.await(r, res.After)
	default: // handed back
		end.Outcome = OutcomeReturned
		if end.Error == "" {
			end.Error = "handed back by its worker"
		}
		if res.Unstarted {
			r.StartedAt = time.Time{}
		}
		d.interrupt(r, end, !res.Unstarted)
	}
	return true
}

// end closes the open attempt in the history.
func (d *Decision) end(r *Row, e Ended) {
	e.Task, e.Attempt, e.Worker, e.StartedAt = r.Key, r.Attempt, r.Worker, r.StartedAt
	d.Ended = append(d.Ended, e)
	d.hold(r, 0)
}

// fail ends a counted attempt, and tries again or fails the task, as the policy says. after is how long the next attempt is to
// wait at least.
func (d *Decision) fail(r *Row, e Ended, permanent bool, after time.Duration) {
	d.end(r, e)
	r.Failures++
	policy := r.policy()
	if permanent || e.Kind.Permanent() || !policy.Retry.Retries(e.Kind) || policy.Retry.Exhausted(int(r.Failures)) {
		d.finish(r, Failed)
		return
	}
	d.again(r, policy.Retry.DelayAfter(int(r.Failures), d.random(), after))
}

// interrupt ends an attempt that was cut off by a drain or a lost worker; that burns no attempt. began: it may have started.
func (d *Decision) interrupt(r *Row, e Ended, began bool) {
	fails := began && (r.policy().OnLost == FailLost || r.Crashes >= PoisonLimit)
	e.Counted = fails
	d.end(r, e)
	if fails {
		d.finish(r, Failed)
		return
	}
	r.again = true
	d.again(r, 0)
}

// again makes a new attempt, after the delay.
func (d *Decision) again(r *Row, delay time.Duration) {
	d.event(EventRetry, r, r.Attempt)
	r.Attempt++
	r.StartedAt = time.Time{}
	if delay > 0 {
		d.delay(r, Timer{Delay: delay})
		return
	}
	d.ready(r)
}

func (d *Decision) delay(r *Row, t Timer) {
	d.move(r, Delayed)
	t.Task, t.Attempt, t.Kind = r.Key, r.Attempt, TimerDue
	d.Timers = append(d.Timers, t)
}

// Disowned is the error of an attempt that its worker does not know: what told it was lost.
const Disowned = "its worker does not know it any more"

// Lost takes an attempt back from a worker that is lost, or that disowned it.
func (d *Decision) Lost(k Key, w WorkerKey, crash bool) bool {
	r := d.rows[k]
	if r == nil || r.Worker != w || w == 0 {
		return false
	}
	switch r.State {
	case Running:
		outcome, text, kind := OutcomeReturned, Disowned, Kind("")
		if crash {
			r.Crashes++
			outcome, text, kind = OutcomeLost, "its worker was lost", KindLost
			if r.Crashes >= PoisonLimit {
				text = fmt.Sprintf("its worker was lost; that was the case %d times", r.Crashes)
			}
		}
		d.interrupt(r, Ended{Outcome: outcome, Kind: kind, Error: text}, true)
		return true
	case Cancelled:
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCancelled, Worker: w, StartedAt: r.StartedAt, Receipt: true})
		d.hold(r, 0)
		return true
	}
	return false
}
