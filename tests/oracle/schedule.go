package oracle

import (
	"slices"
	"time"
)

// Overlap is what becomes of an instant while a run has not ended.
type Overlap string

// The ways to overlap.
const (
	Skips   Overlap = "skip"
	Queues  Overlap = "queue_one"
	Allows  Overlap = "allow"
	Cancels Overlap = "cancel_other"
)

// Clock names instants by what clocks of a zone read.
type Clock struct {
	Zone   *time.Location
	Hour   int // fixed; -1: each hour
	Minute int
}

// Instants are the moments after one and up to another, in order. A fixed hour comes once a day: in its first pass if clocks repeat it, and as much later as clocks are put forward over
// it. Each hour is a real one.
func (c Clock) Instants(after, to time.Time) (list []time.Time) {
	for at := after.Truncate(time.Minute); !at.After(to); at = at.Add(time.Minute) {
		if at.After(after) && c.names(at) {
			list = append(list, at)
		}
	}
	return list
}

// reads is what clocks read at a moment, as if that were UTC.
func (c Clock) reads(at time.Time) time.Time {
	_, offset := at.In(c.Zone).Zone()
	return at.UTC().Add(time.Duration(offset) * time.Second)
}

func (c Clock) names(at time.Time) bool {
	now := c.reads(at)
	if c.Hour < 0 {
		return now.Minute() == c.Minute
	}
	fits := func(reading time.Time) bool { return reading.Hour() == c.Hour && reading.Minute() == c.Minute }
	if fits(now) {
		for earlier := at.Add(-time.Minute); earlier.After(at.Add(-4 * time.Hour)); earlier = earlier.Add(-time.Minute) {
			if c.reads(earlier).Equal(now) {
				return false // the second pass
			}
		}
		return true
	}
	if c.reads(at).Sub(c.reads(at.Add(-4*time.Hour))) == 4*time.Hour {
		return false // nothing was changed
	}
	// Clocks were put forward over it: it comes when they would read it if they had not been.
	for earlier := at.Add(-time.Minute); earlier.After(at.Add(-4 * time.Hour)); earlier = earlier.Add(-time.Minute) {
		left, reached := c.reads(earlier), c.reads(earlier.Add(time.Minute))
		would := left.Add(at.Sub(earlier))
		if reached.Sub(left) > time.Minute && fits(would) && would.After(left) && would.Before(reached) {
			return true
		}
	}
	return false
}

// Schedule is what a schedule says.
type Schedule struct {
	Instants     func(after, to time.Time) []time.Time
	Start        func(instant time.Time) time.Time // its run's: then, or later by its jitter
	Overlap      Overlap
	Grace        time.Duration
	Coalesce     bool
	AfterSuccess bool
	Begin, End   time.Time // zero: none
	MaxRuns      int       // 0: any number
}

// Run is a run that has not ended.
type Run struct {
	ID      int64
	Asked   bool // by somebody, or for another reason than its instant
	Trigger bool
	Told    bool // to stop
}

// Runs is all that is known of a schedule's runs at a moment.
type Runs struct {
	Decided time.Time // instants up to here are
	Paused  bool
	Counted int // runs of instants that have started
	Open    []Run
	Line    []Run
	Failed  bool // the run that started last
}

// Said is what became of an instant.
type Said struct {
	Instant time.Time
	What    string // "starts", "waits", or why it has no run: "grace", "coalesced", "too_many", "overlap", "line_full", "superseded"
}

// Decision is what there is to be done.
type Decision struct {
	Started []int64 // of the line
	Dropped []int64 // of the line
	Stopped []int64 // of what is open
	New     []Said
	Over    bool // no instant will be decided any more
}

// atOnce is of how many late instants each runs, and how many runs wait, at most.
const atOnce = 100

// Decide says what becomes of what waits, and of each instant that is due.
func (s Schedule) Decide(r Runs, now time.Time) (d Decision) {
	busy := len(r.Open)
	goes := func(trigger bool) bool {
		if s.AfterSuccess && !trigger {
			return busy == 0 && !r.Failed
		}
		return busy == 0 || s.Overlap == Allows
	}
	line := slices.Clone(r.Line)
	full := func() bool {
		n := r.Counted
		for _, w := range line {
			if !w.Asked {
				n++
			}
		}
		return s.MaxRuns > 0 && n >= s.MaxRuns
	}
	for i := 0; i < len(line); {
		w := line[i]
		if r.Paused && !w.Trigger {
			i++
			continue
		}
		if !goes(w.Trigger) {
			break
		}
		d.Started = append(d.Started, w.ID)
		line = slices.Delete(line, i, i+1)
		busy++
		if !w.Asked {
			r.Counted++
		}
	}
	if full() {
		d.Over = true
		return d
	}
	if r.Paused {
		return d
	}
	var timely []time.Time
	for _, at := range s.Instants(r.Decided, now) {
		switch start := s.Start(at); {
		case !s.Begin.IsZero() && at.Before(s.Begin), !s.End.IsZero() && !at.Before(s.End), start.After(now):
		case now.Sub(start) > s.Grace:
			d.New = append(d.New, Said{at, "grace"})
		default:
			timely = append(timely, at)
		}
	}
	for len(timely) > atOnce || s.Coalesce && len(timely) > 1 {
		why := "coalesced"
		if len(timely) > atOnce {
			why = "too_many"
		}
		d.New = append(d.New, Said{timely[0], why})
		timely = timely[1:]
	}
	for i, at := range timely {
		if full() {
			break
		}
		if s.Overlap == Cancels {
			if i < len(timely)-1 {
				d.New = append(d.New, Said{at, "superseded"})
				continue
			}
			for _, w := range line {
				d.Dropped = append(d.Dropped, w.ID)
			}
			line = nil
			for _, o := range r.Open {
				if !o.Told {
					d.Stopped = append(d.Stopped, o.ID)
				}
			}
		}
		switch {
		case goes(false):
			d.New = append(d.New, Said{at, "starts"})
			busy++
			r.Counted++
		case s.Overlap == Skips && (busy > 0 || len(line) > 0), (s.Overlap == Queues || s.Overlap == Cancels) && len(line) > 0:
			d.New = append(d.New, Said{at, "overlap"})
		case len(line) >= atOnce:
			d.New = append(d.New, Said{at, "line_full"})
		default:
			d.New = append(d.New, Said{at, "waits"})
			line = append(line, Run{})
		}
	}
	d.Over = full()
	return d
}
