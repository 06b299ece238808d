package dag_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskgrove/taskgrove/dag"
)

// scheduler is a store of one schedule's runs, and what the rules say of them, in the plainest way: it looks at each second.
type scheduler struct {
	t       *rapid.T
	s       dag.ScheduleState
	now     time.Time
	made    time.Time
	passed  [][2]time.Time // while it was paused: after the first, up to the second
	decided map[time.Time]int
	run     int64
	lastRun int64
}

// due is which instants are due and undecided, in order.
func (w *scheduler) due() (list []time.Time) {
	for at := w.s.Decided.Truncate(time.Second); !at.After(w.now); at = at.Add(time.Second) {
		if at.After(w.s.Decided) && at.Equal(at.Truncate(time.Minute)) && !at.Before(w.s.StartAt) && (w.s.EndAt.IsZero() || at.Before(w.s.EndAt)) && !w.s.StartOf(at).After(w.now) {
			list = append(list, at)
		}
	}
	return list
}

// counted is how many runs of instants have started or wait.
func (w *scheduler) counted() int {
	n := w.s.Runs
	for _, r := range w.s.Waiting {
		if r.Kind == dag.FireInstant {
			n++
		}
	}
	return n
}

// decide asks for a decision, compares it with the rules, and carries it out.
func (w *scheduler) decide() {
	s, t := &w.s, w.t
	due := w.due()
	d := s.Due(w.now)
	var late, timely []time.Time
	for _, at := range due {
		if w.now.Sub(s.StartOf(at)) > s.MisfireGrace {
			late = append(late, at)
		} else {
			timely = append(timely, at)
		}
	}
	keep := dag.MaxCatchUp
	if s.Coalesce {
		keep = 1
	}
	missed, maybe := slices.Concat(late, timely[:max(len(timely)-keep, 0)]), timely[max(len(timely)-keep, 0):]
	if s.Paused || s.MaxRuns > 0 && w.counted() >= s.MaxRuns {
		missed, maybe = nil, nil
	}
	w.compare(d, missed, maybe)
	w.carryOut(d)
	if len(w.due()) > 0 {
		t.Fatalf("instants are due after a decision: %v", w.due())
	}
	if !s.Paused && !d.Ended {
		// Nothing is due before the time that is named, and something then.
		now := w.now
		w.now = d.Next.Add(-time.Second)
		if len(w.due()) > 0 && w.now.After(now) {
			t.Fatalf("at %v the next was to come at %v, and %v are due before", now, d.Next, w.due())
		}
		w.now = d.Next
		if len(w.due()) == 0 {
			t.Fatalf("at %v the next was to come at %v, and none is due", now, d.Next)
		}
		w.now = now
	}
}

// compare says whether those that are missed are, and those that may run are decided in order.
func (w *scheduler) compare(d dag.Fires, missed, maybe []time.Time) {
	var gotMissed, gotOthers []time.Time
	if d.Missed != nil {
		for at := d.Missed.First; !at.After(d.Missed.Last); at = at.Add(time.Minute) {
			gotMissed = append(gotMissed, at)
		}
		if len(gotMissed) != d.Missed.Count {
			w.t.Fatalf("%+v", d.Missed)
		}
	}
	for _, f := range d.Fires {
		switch {
		case f.Run != 0:
		case f.Verdict == dag.VerdictMissed:
			gotMissed = append(gotMissed, f.Instant)
		default:
			gotOthers = append(gotOthers, f.Instant)
		}
	}
	if !slices.EqualFunc(gotMissed, missed, time.Time.Equal) {
		w.t.Fatalf("at %v of %+v missed %v, want %v", w.now, w.s, gotMissed, missed)
	}
	if w.s.MaxRuns > 0 && len(gotOthers) < len(maybe) && d.Ended {
		maybe = maybe[:len(gotOthers)]
	}
	if !slices.EqualFunc(gotOthers, maybe, time.Time.Equal) {
		w.t.Fatalf("at %v of %+v decided %v, want %v", w.now, w.s, gotOthers, maybe)
	}
}

// carryOut stores a decision, and says whether what it leads to is allowed.
func (w *scheduler) carryOut(d dag.Fires) {
	s, t := &w.s, w.t
	for _, f := range d.Fires {
		if f.Kind == dag.FireInstant && f.Run == 0 {
			w.decided[f.Instant]++
		}
		run := dag.ScheduleRun{Run: f.Run, Kind: f.Kind, Instant: f.Instant}
		if f.Run != 0 {
			s.Waiting = slices.DeleteFunc(s.Waiting, func(r dag.ScheduleRun) bool { return r.Run == f.Run })
		} else {
			w.run++
			run.Run = w.run
		}
		switch f.Verdict {
		case dag.VerdictStarts:
			w.starts(run)
			s.Open = append(s.Open, run)
			w.lastRun, s.Before = run.Run, dag.NoRun
		case dag.VerdictWaits:
			s.Waiting = append(s.Waiting, run)
		}
	}
	for _, id := range d.Cancel {
		i := slices.IndexFunc(s.Open, func(r dag.ScheduleRun) bool { return r.Run == id })
		if i < 0 || s.Open[i].Cancelled {
			t.Fatalf("cancels %d of %+v", id, s.Open)
		}
		s.Open[i].Cancelled = true
	}
	s.Decided, s.Runs = d.Decided, d.Runs
	most := map[dag.Overlap]int{dag.OverlapQueueOne: 1, dag.OverlapSkip: 1, dag.OverlapCancelOther: 1}[s.Overlap]
	if s.Overlap == dag.OverlapAllow || s.Overlap == dag.OverlapDefault && s.AfterSuccess {
		most = dag.MaxWaitingRuns + 20 // and what was triggered
	}
	if s.Overlap == dag.OverlapDefault && !s.AfterSuccess {
		most = 0
	}
	if len(s.Waiting) > most {
		t.Fatalf("%d wait: %+v", len(s.Waiting), s)
	}
	if s.MaxRuns > 0 && w.counted() > s.MaxRuns {
		t.Fatalf("%d runs of %d", w.counted(), s.MaxRuns)
	}
}

// starts says whether a run may start beside those that are open.
func (w *scheduler) starts(run dag.ScheduleRun) {
	s := &w.s
	if run.Kind == dag.FireTrigger {
		return
	}
	if alone := s.AfterSuccess || s.Overlap != dag.OverlapAllow; alone && len(s.Open) > 0 {
		w.t.Fatalf("%v starts beside %+v", run.Instant, s.Open)
	}
	if s.AfterSuccess && s.Before == dag.RunFailed {
		w.t.Fatalf("%v starts after a failure", run.Instant)
	}
	if s.Paused {
		w.t.Fatalf("%v starts while it is paused", run.Instant)
	}
	if len(s.Waiting) > 0 && s.Waiting[0].Instant.Before(run.Instant) && s.Waiting[0].Kind == dag.FireInstant {
		w.t.Fatalf("%v starts before %v", run.Instant, s.Waiting[0].Instant)
	}
}

func TestSchedulesKeepTheirRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		made := at("00:00").Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "made")) * time.Second)
		w := &scheduler{t: t, now: made, made: made, decided: map[time.Time]int{}, s: dag.ScheduleState{Decided: made, Schedule: dag.Schedule{
			ID: "s", Instants: every(time.Minute), Overlap: dag.Overlap(rapid.IntRange(0, 4).Draw(t, "overlap")), Coalesce: rapid.Bool().Draw(t, "coalesce"),
			MisfireGrace: time.Duration(rapid.SampledFrom([]int{1, 59, 60, 300, 20_000}).Draw(t, "grace")) * time.Second,
			Jitter:       time.Duration(rapid.SampledFrom([]int{0, 0, 7, 60, 3600}).Draw(t, "jitter")) * time.Second,
			MaxRuns:      rapid.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(t, "runs"),
		}}}
		w.s.AfterSuccess = w.s.Overlap != dag.OverlapCancelOther && rapid.Bool().Draw(t, "after success")
		if rapid.Bool().Draw(t, "begins") {
			w.s.StartAt = made.Add(time.Duration(rapid.IntRange(-300, 900).Draw(t, "begin")) * time.Second)
		}
		if rapid.Bool().Draw(t, "ends") {
			w.s.EndAt = made.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "end")) * time.Second)
		}
		triggers := 0
		t.Repeat(map[string]func(*rapid.T){
			"a moment passes": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "ms")) * time.Millisecond)
				w.decide()
			},
			"an outage": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3*3600).Draw(t, "seconds")) * time.Second)
				w.decide()
			},
			"a run ends": func(t *rapid.T) {
				if len(w.s.Open) == 0 {
					return
				}
				i := rapid.IntRange(0, len(w.s.Open)-1).Draw(t, "which")
				if w.s.Open[i].Run == w.lastRun {
					w.s.Before = dag.RunOutcome(rapid.IntRange(1, 2).Draw(t, "how"))
				}
				w.s.Open = slices.Delete(w.s.Open, i, i+1)
				w.decide()
			},
			"a run that failed succeeds": func(t *rapid.T) {
				if w.s.Before == dag.RunFailed {
					w.s.Before = dag.RunSucceeded
					w.decide()
				}
			},
			"pause or resume": func(t *rapid.T) {
				w.decide()
				if w.s.Paused {
					w.passed[len(w.passed)-1][1] = w.s.Decided
				} else {
					w.passed = append(w.passed, [2]time.Time{w.s.Decided, {}})
				}
				w.s.Paused = !w.s.Paused
			},
			"trigger": func(t *rapid.T) {
				if triggers++; triggers > 20 {
					return
				}
				w.carryOut(w.s.Trigger(w.now, dag.OverlapDefault))
			},
		})
		w.each()
	})
}

// each says whether each instant was decided once. Those that were missed in numbers are compared where they are decided.
func (w *scheduler) each() {
	for at, n := range w.decided {
		if n != 1 {
			w.t.Fatalf("%v was decided %d times", at, n)
		}
		if !at.After(w.made) || at.Before(w.s.StartAt) || !w.s.EndAt.IsZero() && !at.Before(w.s.EndAt) {
			w.t.Fatalf("%v was decided: not its time", at)
		}
		for _, p := range w.passed {
			if at.After(p[0]) && (p[1].IsZero() || !at.After(p[1])) {
				w.t.Fatalf("%v was decided, and passed in a pause from %v to %v", at, p[0], p[1])
			}
		}
	}
}
