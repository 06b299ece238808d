package dag

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Instants are the moments that a schedule names, in order. Both methods are strict; the zero time says that there is none.
type Instants interface {
	Next(after time.Time) time.Time
	Prev(before time.Time) time.Time
}

// Overlap says what becomes of an instant while a run of its schedule has not ended. The numbers are stored.
type Overlap int16

// The ways to overlap.
const (
	OverlapDefault     Overlap = iota // skip; allow if runs wait for the success of the one before
	OverlapSkip                       // it is skipped
	OverlapQueueOne                   // one waits until the run has ended; more are skipped
	OverlapAllow                      // it runs beside the other
	OverlapCancelOther                // the other is cancelled, and it runs once that has stopped
)

// overlapWords are the words for the ways, as people write them.
var overlapWords = []string{OverlapSkip: "skip", OverlapQueueOne: "queue_one", OverlapAllow: "allow", OverlapCancelOther: "cancel_other"}

// ParseOverlap is the way of a word; false: there is none. An empty word is the default.
func ParseOverlap(word string) (Overlap, bool) {
	i := slices.Index(overlapWords, word)
	return Overlap(max(i, 0)), i >= 0
}

// Word is the word for a way; empty for the default.
func (o Overlap) Word() string {
	if o < 0 || int(o) >= len(overlapWords) {
		return ""
	}
	return overlapWords[o]
}

// FireKind says what a fire came of. The numbers are stored.
type FireKind int16

// The kinds of fires.
const (
	FireInstant  FireKind = 1 // the schedule's instant
	FireTrigger  FireKind = 2 // somebody who triggered it
	FireBackfill FireKind = 3 // an instant of a backfill
	FireEvent    FireKind = 4 // the end of a run of another schedule, or the call of a webhook
)

// FireVerdict says what becomes of a fire. The numbers are stored.
type FireVerdict int16

// The verdicts.
const (
	VerdictStarts  FireVerdict = 1 // its tree is submitted
	VerdictWaits   FireVerdict = 2 // until the runs before it have ended
	VerdictMissed  FireVerdict = 3 // it is too late
	VerdictSkipped FireVerdict = 4 // because of other runs
)

// The reasons of what is missed.
const (
	MissedGrace     = "grace"     // longer ago than misfire_grace
	MissedCoalesced = "coalesced" // a later instant runs in its place
	MissedTooMany   = "too_many"  // as MaxCatchUp later ones run
)

// The reasons of what is skipped.
const (
	SkippedOverlap    = "overlap"    // a run has not ended, or one waits already
	SkippedLineFull   = "line_full"  // MaxWaitingRuns wait
	SkippedSuperseded = "superseded" // a later one runs in its place: cancel_other
)

// Bounds of schedules.
const (
	DefaultMisfireGrace = 300 * time.Second
	MaxMisfireGrace     = 366 * 24 * time.Hour
	MaxJitter           = 24 * time.Hour
	MaxMaxRuns          = 1_000_000_000
	MaxCatchUp          = 100    // instants that one decision starts, lets wait or skips because of overlap
	MaxMissedKept       = 100    // instants that one decision names as missed one by one
	MaxWaitingRuns      = 100    // of one schedule
	MaxBackfill         = 10_000 // instants of one backfill
	MaxConcurrent       = 100    // runs of one backfill at once
	maxInstantsLooked   = 10_000 // by one decision
)

// tick is the smallest difference of two times in the store.
const tick = time.Microsecond

// Schedule says when runs start, and what becomes of those that can't.
type Schedule struct {
	ID           string // the jitter of each instant is made of it
	Instants     Instants
	Overlap      Overlap
	MisfireGrace time.Duration // how long after its start an instant may still run
	Coalesce     bool          // of several instants that are not too late, only the latest runs
	Jitter       time.Duration // by up to so much after its instant each run starts, never after the next instant
	StartAt      time.Time     // no instant before; zero: any
	EndAt        time.Time     // no instant then or after; zero: any
	MaxRuns      int           // so many runs by instants, then it has ended; 0: any number
	AfterSuccess bool          // a run waits until the one before has succeeded
	// DueAt is by when the run of an instant must have ended, else it is late; nil: it is never late.
	DueAt func(instant time.Time) time.Time
}

// ScheduleFault is what is wrong with a schedule.
type ScheduleFault struct {
	Field  string
	Reason string // lower case, no full stop
}

// NothingBefore is the reason of an end that comes before the first instant.
const NothingBefore = "nothing fires before it"

// Check says what is wrong with a schedule that is to be made at a moment, in the order of its fields. Instants may be nil: they are wrong by themselves.
func (s *Schedule) Check(now time.Time) (faults []ScheduleFault) {
	wrong := func(field, reason string, args ...any) {
		faults = append(faults, ScheduleFault{field, fmt.Sprintf(reason, args...)})
	}
	switch {
	case s.Overlap != OverlapDefault && s.Overlap.Word() == "":
		wrong("overlap", "must be skip, queue_one, allow or cancel_other")
	case s.Overlap == OverlapCancelOther && s.AfterSuccess:
		wrong("overlap", "cancel_other does not go with after_success: what is cancelled has not succeeded")
	}
	if s.MisfireGrace < time.Second || s.MisfireGrace > MaxMisfireGrace {
		wrong("misfire_grace", "must be from 1 second to 366 days")
	}
	if s.Jitter < 0 || s.Jitter > MaxJitter {
		wrong("jitter", "must be from 0 seconds to 24 hours")
	}
	if s.MaxRuns < 0 || s.MaxRuns > MaxMaxRuns {
		wrong("max_runs", "must be from 0, for any number, to %d", MaxMaxRuns)
	}
	switch {
	case s.EndAt.IsZero():
	case !s.StartAt.IsZero() && !s.StartAt.Before(s.EndAt):
		wrong("end_at", "must be after start_at")
	case s.Instants != nil && s.next(now).IsZero():
		wrong("end_at", NothingBefore)
	}
	return faults
}

// overlap is the way that is in force.
func (s *Schedule) overlap() Overlap {
	switch {
	case s.Overlap != OverlapDefault:
		return s.Overlap
	case s.AfterSuccess:
		return OverlapAllow
	}
	return OverlapSkip
}

// Upcoming is the first instant after a moment that is between StartAt and EndAt; zero: none.
func (s *Schedule) Upcoming(after time.Time) time.Time { return s.next(after) }

// next is the first instant after a moment that is between StartAt and EndAt; zero: none.
func (s *Schedule) next(after time.Time) time.Time {
	if !s.StartAt.IsZero() && after.Before(s.StartAt) {
		after = s.StartAt.Add(-tick)
	}
	next := s.Instants.Next(after)
	if !s.EndAt.IsZero() && !next.Before(s.EndAt) {
		return time.Time{}
	}
	return next
}

// StartOf is when the run of an instant is to start: then, or later by its jitter.
func (s *Schedule) StartOf(instant time.Time) time.Time {
	if s.Jitter <= 0 {
		return instant
	}
	most := s.Jitter
	if next := s.Instants.Next(instant); !next.IsZero() {
		most = min(most, next.Sub(instant)) // so runs start in the order of their instants
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%d", s.ID, instant.UnixMicro())
	share, _ := bits.Mul64(binary.BigEndian.Uint64(sum.Sum(nil)), uint64(most/time.Millisecond))
	return instant.Add(time.Duration(share) * time.Millisecond)
}

// fire is one of an instant, with its interval.
func (s *Schedule) fire(instant time.Time, verdict FireVerdict, reason string) Fire {
	return Fire{Kind: FireInstant, Instant: instant, From: s.Instants.Prev(instant), Verdict: verdict, Reason: reason}
}

// Fire is what was decided of an instant, of a trigger, or of a run that waited.
type Fire struct {
	Run     int64 // of the run that waited; 0: it is new
	Kind    FireKind
	Instant time.Time // its fire time, and the end of its interval: schedule.interval_end
	From    time.Time // the instant before, schedule.interval_start; zero: there is none
	Verdict FireVerdict
	Reason  string    // of what is missed or skipped
	Due     time.Time // of a new run: when it is late if it has not ended; zero: never
}

// ScheduleRun is a run of a schedule that has not ended.
type ScheduleRun struct {
	Run       int64 // its key in the store
	Kind      FireKind
	Instant   time.Time
	Due       time.Time // when it is late if it has not ended; zero: never
	Late      bool      // that was said
	Cancelled bool      // it was told to stop
}

// RunOutcome is how a run ended, as far as the next one asks.
type RunOutcome int16

// How runs end.
const (
	NoRun        RunOutcome = iota // there was none
	RunSucceeded                   // its tree is completed, failures that are allowed included
	RunFailed                      // failed, or was cancelled
)
