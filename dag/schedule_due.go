package dag

import (
	"slices"
	"time"
)

// ScheduleState is all that is known of a schedule at one moment. [ScheduleState.Due] decides.
type ScheduleState struct {
	Schedule
	Decided time.Time     // what is due up to here is decided; of a new schedule: when it was made
	Paused  bool          // by somebody
	Runs    int           // that instants have started, as far as MaxRuns counts them
	Open    []ScheduleRun // that have started and not ended, in the order of their starts; none of backfills
	Waiting []ScheduleRun // in the order of the line
	Before  RunOutcome    // of the run that started last, if none is open; of backfills it is not asked
}

// Fires is what a decision says. All of it belongs into one transaction with what it was decided by.
type Fires struct {
	Fires   []Fire       // what waited and starts, then what is new, in the order of the instants
	Missed  *MissedRange // instants before those of Fires, too many to be named; nil: none
	Cancel  []int64      // runs that must stop: cancel_other
	Late    []int64      // runs that are late, each said once
	Decided time.Time    // for the state
	Runs    int          // likewise
	// Next is when time alone gives something to decide; zero: never. What ends, starts or changes is a reason to decide before.
	Next  time.Time
	Ended bool // no instant is left; what is open or waits goes on
}

// MissedRange is instants that were missed and are not named one by one.
type MissedRange struct {
	First, Last time.Time
	Count       int
}

// Due decides what is to be done at a moment, by the store's clock.
//
//   - An instant is due when its run is to start: at once, or after its jitter. Each is decided once, in order.
//   - Those whose start is longer ago than the grace are missed. Of the others the latest runs, or if they don't coalesce each, the oldest first, but no more
//     than the latest MaxCatchUp; the rest is missed, too.
//   - What runs is judged one by one, as [Overlap] and AfterSuccess say, after those that wait.
//   - While a schedule is paused nothing starts but what was triggered, and its instants pass.
func (s *ScheduleState) Due(now time.Time) Fires {
	d := scheduling{ScheduleState: s, now: now, line: slices.Clone(s.Waiting), open: len(s.Open), out: Fires{Decided: s.Decided, Runs: s.Runs}}
	d.late()
	d.startWaiting()
	if d.out.Ended = d.used(); d.out.Ended || s.Paused {
		d.out.Decided = latest(s.Decided, now)
		return d.out
	}
	for i, due := 0, d.look(); i < len(due) && !d.used(); i++ {
		d.add(d.judge(due[i], i == len(due)-1))
	}
	switch {
	case d.used():
		d.out.Ended = true
		d.out.Decided = latest(d.out.Decided, now)
	case d.more:
		d.out.Next = now
	default:
		d.wake(d.first)
	}
	return d.out
}

// scheduling is a decision that is being made.
type scheduling struct {
	*ScheduleState
	now   time.Time
	line  []ScheduleRun
	open  int
	first time.Time // the start of the first instant that is not due
	more  bool      // others are due that were not looked at
	out   Fires
}

// latest is the later of two moments.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wake makes the next decision come at a moment at the latest.
func (d *scheduling) wake(at time.Time) {
	if !at.IsZero() && (d.out.Next.IsZero() || at.Before(d.out.Next)) {
		d.out.Next = at
	}
}

// add puts a fire to the others.
func (d *scheduling) add(f Fire) {
	if d.DueAt != nil && f.Run == 0 && (f.Verdict == VerdictStarts || f.Verdict == VerdictWaits) {
		f.Due = d.DueAt(f.Instant)
		d.wake(f.Due)
	}
	d.out.Fires = append(d.out.Fires, f)
}

// late says which runs are late that were not.
func (d *scheduling) late() {
	for _, run := range slices.Concat(d.Open, d.Waiting) {
		switch {
		case run.Late || run.Due.IsZero():
		case run.Due.After(d.now):
			d.wake(run.Due)
		default:
			d.out.Late = append(d.out.Late, run.Run)
		}
	}
}

// used reports whether as many runs have started or wait as may be. What was triggered doesn't count.
func (d *scheduling) used() bool {
	if d.MaxRuns == 0 {
		return false
	}
	n := d.out.Runs
	for _, run := range d.line {
		if run.Kind == FireInstant {
			n++
		}
	}
	return n >= d.MaxRuns
}

// free reports whether a run may start, as far as those go that have started.
func (d *scheduling) free(kind FireKind) bool {
	if d.open > 0 && (d.overlap() != OverlapAllow || d.AfterSuccess && kind != FireTrigger) {
		return false
	}
	return !d.AfterSuccess || kind == FireTrigger || d.Before != RunFailed
}

// started counts a run that starts.
func (d *scheduling) started(kind FireKind) {
	d.open++
	if kind == FireInstant {
		d.out.Runs++
	}
}

// startWaiting starts what waits and may, in the order of the line.
func (d *scheduling) startWaiting() {
	var rest []ScheduleRun
	for i, run := range d.line {
		if d.Paused && run.Kind != FireTrigger {
			rest = append(rest, run)
			continue
		}
		if !d.free(run.Kind) {
			rest = append(rest, d.line[i:]...)
			break
		}
		d.started(run.Kind)
		d.add(d.of(run, VerdictStarts, ""))
	}
	d.line = rest
}

// of is the fire of a run that waited.
func (d *scheduling) of(run ScheduleRun, verdict FireVerdict, reason string) Fire {
	return Fire{Run: run.Run, Kind: run.Kind, Instant: run.Instant, From: d.Instants.Prev(run.Instant), Verdict: verdict, Reason: reason}
}

// look finds the instants that are due, says which are missed, and gives those that may run. It looks at a bounded number of them.
func (d *scheduling) look() []time.Time {
	var dropped droppedInstants
	var recent []time.Time // of those that are not too late, the last ones
	at := d.Decided
	for looked := 0; ; looked++ {
		next := d.next(at)
		if next.IsZero() {
			d.out.Ended, d.first = true, time.Time{}
			break
		}
		if d.first = d.StartOf(next); d.first.After(d.now) {
			break
		}
		if d.more = looked == maxInstantsLooked; d.more {
			break
		}
		if at = next; d.now.Sub(d.first) > d.MisfireGrace {
			dropped.add(next, MissedGrace)
			continue
		}
		if len(recent) == MaxCatchUp {
			dropped.add(recent[0], MissedTooMany)
			recent = recent[1:]
		}
		recent = append(recent, next)
	}
	switch {
	case d.more: // whether the recent ones run depends on what comes behind them
		if len(recent) > 0 {
			at = recent[0].Add(-tick)
		}
		d.out.Decided, recent = at, nil
	default:
		for d.Coalesce && len(recent) > 1 {
			dropped.add(recent[0], MissedCoalesced)
			recent = recent[1:]
		}
		d.out.Decided = latest(at, d.undecided(at))
	}
	d.miss(dropped)
	return recent
}

// undecided is up to when nothing is left to decide after an instant: now, or just before the next instant if that has only its jitter to wait for.
func (d *scheduling) undecided(at time.Time) time.Time {
	if next := d.next(at); !next.IsZero() && !next.After(d.now) {
		return next.Add(-tick)
	}
	return d.now
}

// droppedInstants are instants that are missed, in order.
type droppedInstants struct {
	named  []Fire // the last ones: instant and reason
	before MissedRange
}

// add adds one.
func (x *droppedInstants) add(instant time.Time, reason string) {
	if len(x.named) == MaxMissedKept {
		oldest := x.named[0].Instant
		x.named = x.named[1:]
		if x.before.Count == 0 {
			x.before.First = oldest
		}
		x.before.Last = oldest
		x.before.Count++
	}
	x.named = append(x.named, Fire{Instant: instant, Reason: reason})
}

// miss says which instants are missed.
func (d *scheduling) miss(dropped droppedInstants) {
	if dropped.before.Count > 0 {
		d.out.Missed = &dropped.before
	}
	for _, f := range dropped.named {
		d.add(d.fire(f.Instant, VerdictMissed, f.Reason))
	}
}

// judge says what becomes of an instant that is not too late. last: no other follows.
func (d *scheduling) judge(instant time.Time, last bool) Fire {
	if d.overlap() == OverlapCancelOther {
		if !last {
			return d.fire(instant, VerdictSkipped, SkippedSuperseded)
		}
		d.supersede()
	}
	if d.free(FireInstant) { // then nothing waits: it would have started
		d.started(FireInstant)
		return d.fire(instant, VerdictStarts, "")
	}
	if reason := d.refusal(); reason != "" {
		return d.fire(instant, VerdictSkipped, reason)
	}
	d.line = append(d.line, ScheduleRun{Kind: FireInstant, Instant: instant})
	return d.fire(instant, VerdictWaits, "")
}

// refusal is why a run that can't start doesn't wait either; empty: it waits.
func (d *scheduling) refusal() string {
	switch d.overlap() {
	case OverlapSkip: // one waits for the success of another that has ended
		if d.open > 0 || len(d.line) > 0 {
			return SkippedOverlap
		}
	case OverlapQueueOne, OverlapCancelOther:
		if len(d.line) > 0 {
			return SkippedOverlap
		}
	default:
		if len(d.line) >= MaxWaitingRuns {
			return SkippedLineFull
		}
	}
	return ""
}

// refusalOf is refusal, of a kind: an event that the schedule says no way for waits, however many do.
func (d *scheduling) refusalOf(kind FireKind) string {
	if kind == FireEvent && d.Overlap == OverlapDefault {
		return ""
	}
	return d.refusal()
}

// supersede makes way for a run: what is open must stop, and what waits is skipped.
func (d *scheduling) supersede() {
	for _, run := range d.line {
		d.add(d.of(run, VerdictSkipped, SkippedSuperseded))
	}
	d.line = nil
	for _, run := range d.Open {
		if !run.Cancelled {
			d.out.Cancel = append(d.out.Cancel, run.Run)
		}
	}
}

// Trigger decides what becomes of a run that somebody asks for. It is asked whether other runs are open, by the schedule's way to overlap or another one;
// neither whether the schedule is paused, has begun, has ended or has used up its runs, nor whether the run before it has succeeded. What waits in the line
// does not hold it up, so that a run that succeeds lets those start that wait for one. Of the result, Fires, Cancel and Next say something.
func (s *ScheduleState) Trigger(now time.Time, overlap Overlap) Fires {
	by := *s
	by.Overlap = s.overlap()
	if overlap != OverlapDefault {
		by.Overlap = overlap
	}
	return by.asked(now, FireTrigger)
}

// Event decides what becomes of a run that a call of the schedule's webhook asks for. Where the schedule says no way to overlap, it stands in the line behind those that wait, and starts once
// it is the first and no other is open. Of the result, Fires and Cancel say something.
func (s *ScheduleState) Event(now time.Time) Fires {
	return s.asked(now, FireEvent)
}

// asked decides what becomes of a run of a kind that is asked for.
func (s *ScheduleState) asked(now time.Time, kind FireKind) Fires {
	d := scheduling{ScheduleState: s, now: now, line: slices.Clone(s.Waiting), open: len(s.Open), out: Fires{Decided: s.Decided, Runs: s.Runs}}
	if s.Overlap == OverlapCancelOther {
		d.supersede()
	}
	f := s.fire(now, VerdictStarts, "")
	f.Kind = kind
	if !d.free(kind) || kind == FireEvent && len(d.line) > 0 {
		f.Verdict = VerdictWaits
		if f.Reason = d.refusalOf(kind); f.Reason != "" {
			f.Verdict = VerdictSkipped
		}
	}
	d.add(f)
	return d.out
}

// Backfill is a range of instants that somebody has asked for, and how far it has come. It has nothing to do with the other runs of its schedule, with
// its pause, or with its bounds.
type Backfill struct {
	Instants     Instants
	From, To     time.Time // To is not included
	AfterSuccess bool      // a run waits until the one before has succeeded, of this backfill
	Concurrent   int       // so many runs at once; less than 1: 1
	Decided      time.Time // the last instant that has started; zero: none
	Open         int       // runs of it that have not ended
	Before       RunOutcome
}

// BackfillFires is what is to be done of a backfill.
type BackfillFires struct {
	Fires   []Fire    // that start, in order
	Decided time.Time // for the state
	Ended   bool      // all have started
	Stopped bool      // the next run waits until the one before is run again and succeeds
}

// Due decides which runs start.
func (b *Backfill) Due() (out BackfillFires) {
	at := b.From.Add(-tick)
	if !b.Decided.IsZero() {
		at = b.Decided
	}
	room := min(max(b.Concurrent, 1), MaxConcurrent)
	if b.AfterSuccess {
		room = 1
	}
	s := Schedule{Instants: b.Instants}
	for out.Decided = b.Decided; ; {
		next := b.Instants.Next(at)
		if next.IsZero() || !next.Before(b.To) {
			out.Ended = true
			return out
		}
		if b.AfterSuccess && b.Open == 0 && b.Before == RunFailed {
			out.Stopped = true
			return out
		}
		if b.Open+len(out.Fires) >= room {
			return out
		}
		f := s.fire(next, VerdictStarts, "")
		f.Kind = FireBackfill
		out.Fires = append(out.Fires, f)
		at, out.Decided = next, next
	}
}

// CountInstants is how many instants lie from one moment up to, but not including, another: at most most.
func CountInstants(of Instants, from, to time.Time, most int) (n int) {
	for at := of.Next(from.Add(-tick)); n < most && !at.IsZero() && at.Before(to); at = of.Next(at) {
		n++
	}
	return n
}
