package dag_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// every is an instant every so often, since the epoch.
type every time.Duration

func (e every) Next(after time.Time) time.Time {
	next := after.Truncate(time.Duration(e))
	for !next.After(after) {
		next = next.Add(time.Duration(e))
	}
	return next
}

func (e every) Prev(before time.Time) time.Time {
	prev := before.Truncate(time.Duration(e))
	for !prev.Before(before) {
		prev = prev.Add(-time.Duration(e))
	}
	return prev
}

// none has no instants.
type none struct{}

func (none) Next(time.Time) time.Time { return time.Time{} }
func (none) Prev(time.Time) time.Time { return time.Time{} }

// at is a moment of the day of these tests, as 02:05 or 02:05:30.
func at(text string) time.Time {
	if len(text) == 5 {
		text += ":00"
	}
	t, err := time.Parse(time.DateTime, "2026-11-29 "+text)
	if err != nil {
		panic(err)
	}
	return t
}

var verdictWords = map[dag.FireVerdict]string{dag.VerdictStarts: "starts", dag.VerdictWaits: "waits", dag.VerdictMissed: "missed", dag.VerdictSkipped: "skipped"}

// told is a decision in short: "missed 5 coalesced, starts 03:00, cancel [1]".
func told(d dag.Fires) string {
	var parts []string
	for i := 0; i < len(d.Fires); {
		f, n := d.Fires[i], 1
		for ; i+n < len(d.Fires) && (f.Verdict == dag.VerdictMissed || f.Verdict == dag.VerdictSkipped) && d.Fires[i+n].Verdict == f.Verdict && d.Fires[i+n].Reason == f.Reason; n++ {
		}
		part := verdictWords[f.Verdict]
		if n > 1 {
			part += fmt.Sprintf(" %d from", n)
		}
		part += f.Instant.Format(" 15:04")
		if f.Run != 0 {
			part += fmt.Sprintf(" (%d)", f.Run)
		}
		if f.Reason != "" {
			part += " " + f.Reason
		}
		parts = append(parts, part)
		i += n
	}
	if d.Cancel != nil {
		parts = append(parts, fmt.Sprint("cancel ", d.Cancel))
	}
	if d.Late != nil {
		parts = append(parts, fmt.Sprint("late ", d.Late))
	}
	if d.Ended {
		parts = append(parts, "ended")
	}
	return strings.Join(parts, ", ")
}

// schedule is one that runs every five minutes.
func schedule() dag.Schedule {
	return dag.Schedule{ID: "s", Instants: every(5 * time.Minute), MisfireGrace: dag.DefaultMisfireGrace, Coalesce: true}
}

// An outage from half past two to shortly after half past three, with each way to overlap, with and without coalescing, with little and with much grace, when
// nothing is open and when a run is open from before.
func TestOutageOfAnHour(t *testing.T) {
	const grace = "missed 11 from 02:35 grace, "
	const coalesced = "missed 11 from 02:35 coalesced, "
	for _, c := range []struct {
		overlap      dag.Overlap
		afterSuccess bool
		coalesce     bool
		grace        time.Duration
		free, open   string // what is decided if nothing is open, and if run 1 is
	}{
		{dag.OverlapSkip, false, true, 5 * time.Minute, grace + "starts 03:30", grace + "skipped 03:30 overlap"},
		{dag.OverlapSkip, false, false, 5 * time.Minute, grace + "starts 03:30", grace + "skipped 03:30 overlap"},
		{dag.OverlapSkip, false, true, time.Hour, coalesced + "starts 03:30", coalesced + "skipped 03:30 overlap"},
		{dag.OverlapSkip, false, false, time.Hour, "starts 02:35, skipped 11 from 02:40 overlap", "skipped 12 from 02:35 overlap"},
		{dag.OverlapQueueOne, false, true, 5 * time.Minute, grace + "starts 03:30", grace + "waits 03:30"},
		{dag.OverlapQueueOne, false, true, time.Hour, coalesced + "starts 03:30", coalesced + "waits 03:30"},
		{dag.OverlapQueueOne, false, false, time.Hour, "starts 02:35, waits 02:40, skipped 10 from 02:45 overlap", "waits 02:35, skipped 11 from 02:40 overlap"},
		{dag.OverlapAllow, false, true, 5 * time.Minute, grace + "starts 03:30", grace + "starts 03:30"},
		{dag.OverlapAllow, false, true, time.Hour, coalesced + "starts 03:30", coalesced + "starts 03:30"},
		{dag.OverlapAllow, false, false, 15 * time.Minute, "missed 9 from 02:35 grace, starts 03:20, starts 03:25, starts 03:30", "missed 9 from 02:35 grace, starts 03:20, starts 03:25, starts 03:30"},
		{dag.OverlapCancelOther, false, true, 5 * time.Minute, grace + "starts 03:30", grace + "waits 03:30, cancel [1]"},
		{dag.OverlapCancelOther, false, true, time.Hour, coalesced + "starts 03:30", coalesced + "waits 03:30, cancel [1]"},
		{dag.OverlapCancelOther, false, false, time.Hour, "skipped 11 from 02:35 superseded, starts 03:30", "skipped 11 from 02:35 superseded, waits 03:30, cancel [1]"},
		{dag.OverlapDefault, false, true, 5 * time.Minute, grace + "starts 03:30", grace + "skipped 03:30 overlap"},
		{dag.OverlapDefault, true, true, time.Hour, coalesced + "starts 03:30", coalesced + "waits 03:30"},
		{dag.OverlapDefault, true, false, 15 * time.Minute, "missed 9 from 02:35 grace, starts 03:20, waits 03:25, waits 03:30", "missed 9 from 02:35 grace, waits 03:20, waits 03:25, waits 03:30"},
		{dag.OverlapSkip, true, false, 15 * time.Minute, "missed 9 from 02:35 grace, starts 03:20, skipped 2 from 03:25 overlap", "missed 9 from 02:35 grace, skipped 3 from 03:20 overlap"},
		{dag.OverlapQueueOne, true, false, 15 * time.Minute, "missed 9 from 02:35 grace, starts 03:20, waits 03:25, skipped 03:30 overlap", "missed 9 from 02:35 grace, waits 03:20, skipped 2 from 03:25 overlap"},
	} {
		s := dag.ScheduleState{Schedule: schedule(), Decided: at("02:30")}
		s.Overlap, s.AfterSuccess, s.Coalesce, s.MisfireGrace = c.overlap, c.afterSuccess, c.coalesce, c.grace
		name := fmt.Sprintf("%s, after_success %t, coalesce %t, grace %v", c.overlap.Word(), c.afterSuccess, c.coalesce, c.grace)
		now := at("03:30:20")
		for _, d := range []struct {
			what, want string
			open       []dag.ScheduleRun
		}{{"nothing open", c.free, nil}, {"one open", c.open, []dag.ScheduleRun{{Run: 1, Kind: dag.FireInstant, Instant: at("02:30")}}}} {
			s.Open = d.open
			got := s.Due(now)
			if told(got) != d.want {
				t.Errorf("%s, %s:\n got %s\nwant %s", name, d.what, told(got), d.want)
			}
			if !got.Decided.Equal(now) || !got.Next.Equal(at("03:35")) {
				t.Errorf("%s, %s: decided up to %v, next at %v", name, d.what, got.Decided, got.Next)
			}
		}
	}
}

// A decision after the other, with what the store holds in between.
func TestSchedulesDecide(t *testing.T) {
	run := func(n int64, instant string) dag.ScheduleRun {
		return dag.ScheduleRun{Run: n, Kind: dag.FireInstant, Instant: at(instant)}
	}
	asked := run(7, "02:31")
	asked.Kind = dag.FireTrigger
	stopping := run(1, "02:30")
	stopping.Cancelled = true
	some := func(runs ...dag.ScheduleRun) []dag.ScheduleRun { return runs }
	for _, c := range []struct {
		name   string
		change func(*dag.ScheduleState)
		now    string
		want   string
		next   string
	}{
		{"nothing is due", func(s *dag.ScheduleState) {}, "02:34:59", "", "02:35"},
		{"at the instant", func(s *dag.ScheduleState) {}, "02:35", "starts 02:35", "02:40"},
		{"at the end of the grace", func(s *dag.ScheduleState) { s.MisfireGrace = time.Minute }, "02:36", "starts 02:35", "02:40"},
		{"after the grace", func(s *dag.ScheduleState) { s.MisfireGrace = time.Minute }, "02:36:01", "missed 02:35 grace", "02:40"},
		{"a clock that went back", func(s *dag.ScheduleState) {}, "02:20", "", "02:35"},
		{"paused", func(s *dag.ScheduleState) { s.Paused, s.Waiting = true, some(run(1, "02:25")) }, "02:36", "", ""},
		{"paused, and what was triggered waits", func(s *dag.ScheduleState) { s.Paused, s.Waiting = true, some(run(1, "02:25"), asked) }, "02:36", "starts 02:31 (7)", ""},
		{"the one that waits starts", func(s *dag.ScheduleState) { s.Overlap, s.Waiting = dag.OverlapQueueOne, some(run(1, "02:25")) }, "02:31", "starts 02:25 (1)", "02:35"},
		{"the one that waits starts, the next waits", func(s *dag.ScheduleState) { s.Overlap, s.Waiting = dag.OverlapQueueOne, some(run(1, "02:25")) }, "02:35", "starts 02:25 (1), waits 02:35", "02:40"},
		{"one waits, and one is open", func(s *dag.ScheduleState) {
			s.Overlap, s.Open, s.Waiting = dag.OverlapQueueOne, some(run(1, "02:25")), some(run(2, "02:30"))
		}, "02:35", "skipped 02:35 overlap", "02:40"},
		{"what was cancelled is not cancelled again, and the one that waits gives way", func(s *dag.ScheduleState) {
			s.Overlap, s.Open, s.Waiting = dag.OverlapCancelOther, some(stopping, run(4, "02:20")), some(run(2, "02:30"))
		}, "02:35", "skipped 02:30 (2) superseded, waits 02:35, cancel [4]", "02:40"},
		{"the one before has failed", func(s *dag.ScheduleState) { s.AfterSuccess, s.Before = true, dag.RunFailed }, "02:35", "waits 02:35", "02:40"},
		{"the one before has failed, and one waits", func(s *dag.ScheduleState) {
			s.AfterSuccess, s.Before, s.Waiting = true, dag.RunFailed, some(run(2, "02:30"))
		}, "02:35", "waits 02:35", "02:40"},
		{"the same, without a line", func(s *dag.ScheduleState) {
			s.AfterSuccess, s.Before, s.Waiting, s.Overlap = true, dag.RunFailed, some(run(2, "02:30")), dag.OverlapSkip
		}, "02:35", "skipped 02:35 overlap", "02:40"},
		{"a run that failed has succeeded", func(s *dag.ScheduleState) {
			s.AfterSuccess, s.Before, s.Waiting = true, dag.RunSucceeded, some(run(2, "02:25"), run(3, "02:30"))
		}, "02:31", "starts 02:25 (2)", "02:35"},
		{"a line is full", func(s *dag.ScheduleState) {
			s.AfterSuccess, s.Before, s.Waiting = true, dag.RunFailed, make([]dag.ScheduleRun, dag.MaxWaitingRuns)
		}, "02:35", "skipped 02:35 line_full", "02:40"},
		{"the last run", func(s *dag.ScheduleState) { s.MaxRuns, s.Runs = 3, 2 }, "02:35", "starts 02:35, ended", ""},
		{"the last run waits", func(s *dag.ScheduleState) {
			s.MaxRuns, s.Runs, s.Open, s.Overlap = 3, 2, some(run(2, "02:30")), dag.OverlapQueueOne
		}, "02:35", "waits 02:35, ended", ""},
		{"the last run has waited", func(s *dag.ScheduleState) { s.MaxRuns, s.Runs, s.Waiting = 3, 2, some(run(2, "02:30")) }, "02:35", "starts 02:30 (2), ended", ""},
		{"all runs are used up", func(s *dag.ScheduleState) { s.MaxRuns, s.Runs = 3, 3 }, "03:35", "ended", ""},
		{"more are due than may run", func(s *dag.ScheduleState) {
			s.MaxRuns, s.Runs, s.Overlap, s.Coalesce, s.MisfireGrace = 3, 1, dag.OverlapAllow, false, time.Hour
		}, "02:50", "starts 02:35, starts 02:40, ended", ""},
		{"what was triggered doesn't count", func(s *dag.ScheduleState) { s.MaxRuns, s.Runs, s.Waiting, s.Open = 1, 0, some(asked), some(asked) }, "02:34", "", "02:35"},
		{"before it begins", func(s *dag.ScheduleState) { s.StartAt = at("03:00") }, "02:59", "", "03:00"},
		{"when it begins", func(s *dag.ScheduleState) { s.StartAt = at("03:00") }, "03:00", "starts 03:00", "03:05"},
		{"before it ends", func(s *dag.ScheduleState) { s.EndAt = at("02:40") }, "02:35", "starts 02:35, ended", ""},
		{"after it has ended", func(s *dag.ScheduleState) { s.EndAt = at("02:35") }, "02:35", "ended", ""},
		{"without instants", func(s *dag.ScheduleState) { s.Instants = none{} }, "02:35", "ended", ""},
		{"late, each said once", func(s *dag.ScheduleState) {
			said := run(2, "02:10")
			said.Due, said.Late = at("02:20"), true
			soon := run(4, "02:20")
			soon.Due = at("02:33")
			now := run(3, "02:15")
			now.Due = at("02:32")
			s.Open, s.Waiting, s.Overlap = some(said, now), some(soon), dag.OverlapQueueOne
		}, "02:32", "late [3]", "02:33"},
		{"late while it is paused", func(s *dag.ScheduleState) {
			r := run(3, "02:15")
			r.Due = at("02:32")
			s.Open, s.Paused = some(r), true
		}, "02:32", "late [3]", ""},
		{"due before the next instant", func(s *dag.ScheduleState) {
			s.DueAt = func(t time.Time) time.Time { return t.Add(2 * time.Minute) }
		}, "02:35", "starts 02:35", "02:37"},
	} {
		s := dag.ScheduleState{Schedule: schedule(), Decided: at("02:30"), Before: dag.RunSucceeded}
		c.change(&s)
		got := s.Due(at2(c.now))
		if told(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, told(got), c.want)
		}
		if want := at2(c.next); !got.Next.Equal(want) {
			t.Errorf("%s: next at %v, want %v", c.name, got.Next, want)
		}
		s.Decided, s.Runs, s.Open, s.Waiting = got.Decided, got.Runs, nil, nil
		if again := s.Due(at2(c.now)); len(again.Fires) > 0 || again.Missed != nil {
			t.Errorf("%s: decided again: %s", c.name, told(again))
		}
	}
}

// at2 is a moment, or none for an empty text.
func at2(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	return at(text)
}

func TestFiresHaveTheirInterval(t *testing.T) {
	s := dag.ScheduleState{Schedule: schedule(), Decided: at("02:30"), Waiting: []dag.ScheduleRun{{Run: 1, Kind: dag.FireInstant, Instant: at("02:30")}}}
	s.Overlap = dag.OverlapAllow
	s.DueAt = func(t time.Time) time.Time { return t.Add(time.Hour) }
	fires := s.Due(at("02:35")).Fires
	if len(fires) != 2 || !fires[0].From.Equal(at("02:25")) || !fires[1].From.Equal(at("02:30")) || fires[1].Kind != dag.FireInstant {
		t.Errorf("%+v", fires)
	}
	if !fires[0].Due.IsZero() || !fires[1].Due.Equal(at("03:35")) {
		t.Errorf("due: of one that waited %v, of a new one %v", fires[0].Due, fires[1].Due)
	}
}

func TestTriggers(t *testing.T) {
	one := []dag.ScheduleRun{{Run: 1, Kind: dag.FireInstant, Instant: at("02:30")}}
	two := []dag.ScheduleRun{{Run: 2, Kind: dag.FireInstant, Instant: at("02:35")}}
	for _, c := range []struct {
		name   string
		change func(*dag.ScheduleState)
		by     dag.Overlap
		want   string
	}{
		{"nothing is open", func(s *dag.ScheduleState) {}, 0, "starts 02:36"},
		{"paused, ended, used up, after a failure", func(s *dag.ScheduleState) {
			s.Paused, s.EndAt, s.MaxRuns, s.Runs, s.AfterSuccess, s.Before = true, at("01:00"), 1, 1, true, dag.RunFailed
		}, 0, "starts 02:36"},
		{"one waits for a success", func(s *dag.ScheduleState) { s.AfterSuccess, s.Before, s.Waiting = true, dag.RunFailed, two }, 0, "starts 02:36"},
		{"skip", func(s *dag.ScheduleState) { s.Open = one }, 0, "skipped 02:36 overlap"},
		{"queue_one", func(s *dag.ScheduleState) { s.Open, s.Overlap = one, dag.OverlapQueueOne }, 0, "waits 02:36"},
		{"queue_one, and one waits", func(s *dag.ScheduleState) { s.Open, s.Waiting, s.Overlap = one, two, dag.OverlapQueueOne }, 0, "skipped 02:36 overlap"},
		{"allow", func(s *dag.ScheduleState) { s.Open, s.Overlap = one, dag.OverlapAllow }, 0, "starts 02:36"},
		{"allow, where runs wait for success", func(s *dag.ScheduleState) { s.Open, s.AfterSuccess = one, true }, 0, "starts 02:36"},
		{"cancel_other", func(s *dag.ScheduleState) { s.Open, s.Waiting, s.Overlap = one, two, dag.OverlapCancelOther }, 0, "skipped 02:35 (2) superseded, waits 02:36, cancel [1]"},
		{"skip, but this one may overlap", func(s *dag.ScheduleState) { s.Open = one }, dag.OverlapAllow, "starts 02:36"},
		{"allow, but this one may not", func(s *dag.ScheduleState) { s.Open, s.Overlap = one, dag.OverlapAllow }, dag.OverlapSkip, "skipped 02:36 overlap"},
	} {
		s := dag.ScheduleState{Schedule: schedule(), Decided: at("02:35")}
		c.change(&s)
		got := s.Trigger(at("02:36:10"), c.by)
		if told(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, told(got), c.want)
		}
		last := got.Fires[len(got.Fires)-1]
		if last.Kind != dag.FireTrigger || !last.From.Equal(at("02:35")) || !last.Instant.Equal(at("02:36:10")) || got.Runs != s.Runs {
			t.Errorf("%s: %+v, %d runs", c.name, last, got.Runs)
		}
	}
}

func TestBackfills(t *testing.T) {
	start := dag.Backfill{Instants: every(5 * time.Minute), From: at("02:00"), To: at("02:30"), Concurrent: 2}
	for _, c := range []struct {
		name   string
		change func(*dag.Backfill)
		want   string
	}{
		{"from is included", func(b *dag.Backfill) {}, "02:00 02:05"},
		{"one is open", func(b *dag.Backfill) { b.Open, b.Decided = 1, at("02:05") }, "02:10"},
		{"as many are open as may be", func(b *dag.Backfill) { b.Open, b.Decided = 2, at("02:05") }, ""},
		{"more are open than may be", func(b *dag.Backfill) { b.Open, b.Decided = 5, at("02:05") }, ""},
		{"to is not included", func(b *dag.Backfill) { b.Decided, b.Concurrent = at("02:20"), 9 }, "02:25 ended"},
		{"all have started", func(b *dag.Backfill) { b.Decided, b.Open = at("02:25"), 2 }, "ended"},
		{"one at once, unless it is said", func(b *dag.Backfill) { b.Concurrent = 0 }, "02:00"},
		{"one after the other's success", func(b *dag.Backfill) { b.AfterSuccess = true }, "02:00"},
		{"the one before runs", func(b *dag.Backfill) { b.AfterSuccess, b.Open, b.Decided = true, 1, at("02:00") }, ""},
		{"the one before has succeeded", func(b *dag.Backfill) { b.AfterSuccess, b.Before, b.Decided = true, dag.RunSucceeded, at("02:00") }, "02:05"},
		{"the one before has failed", func(b *dag.Backfill) { b.AfterSuccess, b.Before, b.Decided = true, dag.RunFailed, at("02:00") }, "stopped"},
		{"a failure stops no other", func(b *dag.Backfill) { b.Before, b.Decided = dag.RunFailed, at("02:00") }, "02:05 02:10"},
		{"nothing in the range", func(b *dag.Backfill) { b.From, b.To = at("02:01"), at("02:04") }, "ended"},
	} {
		b := start
		c.change(&b)
		got := b.Due()
		var words []string
		for _, f := range got.Fires {
			words = append(words, f.Instant.Format("15:04"))
			if f.Kind != dag.FireBackfill || f.Verdict != dag.VerdictStarts || !f.From.Equal(f.Instant.Add(-5*time.Minute)) {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got.Ended {
			words = append(words, "ended")
		}
		if got.Stopped {
			words = append(words, "stopped")
		}
		if text := strings.Join(words, " "); text != c.want {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
		if n := len(got.Fires); n > 0 && !got.Decided.Equal(got.Fires[n-1].Instant) || n == 0 && !got.Decided.Equal(b.Decided) {
			t.Errorf("%s: decided %v", c.name, got.Decided)
		}
	}
	if n := dag.CountInstants(every(5*time.Minute), at("02:00"), at("02:30"), 100); n != 6 {
		t.Errorf("%d instants, want 6", n)
	}
	if n := dag.CountInstants(every(5*time.Minute), at("02:00"), at("02:30"), 4); n != 4 {
		t.Errorf("%d instants, want 4", n)
	}
}

// However long nobody decided, a decision says a bounded number of things, and all of them together name or count each instant once.
func TestLongOutagesAreDecidedInParts(t *testing.T) {
	for _, c := range []struct {
		grace    time.Duration
		coalesce bool
		missed   int
		starts   int
	}{{time.Minute, true, 43_199, 1}, {time.Minute, false, 43_198, 2}, {40 * 24 * time.Hour, true, 43_199, 1}, {40 * 24 * time.Hour, false, 43_100, 100}} {
		s := dag.ScheduleState{Schedule: schedule(), Decided: at("00:00")}
		s.Instants, s.MisfireGrace, s.Coalesce, s.Overlap = every(time.Minute), c.grace, c.coalesce, dag.OverlapAllow
		now := s.Decided.Add(30 * 24 * time.Hour)
		missed, starts, rounds := 0, 0, 0
		last := s.Decided
		for ; rounds == 0 || !s.Decided.Equal(now); rounds++ {
			d := s.Due(now)
			if len(d.Fires) > dag.MaxCatchUp+dag.MaxMissedKept || rounds > 10 {
				t.Fatalf("%+v: round %d has %d fires", c, rounds, len(d.Fires))
			}
			if d.Missed != nil {
				if !d.Missed.First.Equal(last.Add(time.Minute)) || !d.Missed.Last.Equal(last.Add(time.Duration(d.Missed.Count)*time.Minute)) {
					t.Errorf("%+v: after %v %+v", c, last, d.Missed)
				}
				last = d.Missed.Last
				missed += d.Missed.Count
			}
			for _, f := range d.Fires {
				if !f.Instant.Equal(last.Add(time.Minute)) {
					t.Errorf("%+v: %v after %v", c, f.Instant, last)
				}
				last = f.Instant
				if f.Verdict == dag.VerdictMissed {
					missed++
				} else {
					starts++
				}
			}
			if want := now.Add(time.Minute); d.Decided.Equal(now) && !d.Next.Equal(want) || !d.Decided.Equal(now) && !d.Next.Equal(now) {
				t.Errorf("%+v: decided up to %v, next at %v", c, d.Decided, d.Next)
			}
			s.Decided = d.Decided
		}
		if missed != c.missed || starts != c.starts {
			t.Errorf("%+v: %d missed, %d started, in %d rounds", c, missed, starts, rounds)
		}
	}
}

func TestJitter(t *testing.T) {
	s := schedule()
	s.Jitter = time.Minute
	seen := map[time.Duration]int{}
	for instant, n := at("00:00"), 0; n < 1000; instant, n = s.Instants.Next(instant), n+1 {
		by := s.StartOf(instant).Sub(instant)
		if by < 0 || by >= time.Minute || by != s.StartOf(instant).Sub(instant) {
			t.Fatalf("%v starts %v later", instant, by)
		}
		seen[by/(10*time.Second)]++
	}
	for part := range time.Duration(6) {
		if n := seen[part]; n < 100 || n > 240 {
			t.Errorf("%d of 1000 runs start in the %d. ten seconds", n, part+1)
		}
	}
	other := s
	other.ID = "other"
	if s.StartOf(at("02:00")).Equal(other.StartOf(at("02:00"))) {
		t.Error("two schedules start at the same moment")
	}
	s.Jitter = 24 * time.Hour // runs start before the next instant all the same
	for instant, n := at("00:00"), 0; n < 1000; instant, n = s.Instants.Next(instant), n+1 {
		if !s.StartOf(instant).Before(s.Instants.Next(instant)) {
			t.Fatalf("%v starts at %v", instant, s.StartOf(instant))
		}
	}
	// What waits for its jitter is not decided, and not lost.
	state := dag.ScheduleState{Schedule: s, Decided: at("02:00")}
	start := s.StartOf(at("02:05"))
	d := state.Due(start.Add(-time.Millisecond))
	if told(d) != "" || !d.Next.Equal(start) {
		t.Errorf("%s, next at %v, want nothing and %v", told(d), d.Next, start)
	}
	state.Decided = d.Decided
	if d = state.Due(start); told(d) != "starts 02:05" {
		t.Errorf("at its start: %s", told(d))
	}
}

func TestFaultsOfSchedules(t *testing.T) {
	for _, c := range []struct {
		change func(*dag.Schedule)
		want   string
	}{
		{func(s *dag.Schedule) {}, ""},
		{func(s *dag.Schedule) {
			s.Overlap, s.MisfireGrace, s.Jitter, s.MaxRuns, s.StartAt, s.EndAt = 9, 0, -1, -1, at("03:00"), at("03:00")
		}, "overlap: must be skip, queue_one, allow or cancel_other; misfire_grace: must be from 1 second to 366 days; jitter: must be from 0 seconds to 24 hours; " +
			"max_runs: must be from 0, for any number, to 1000000000; end_at: must be after start_at"},
		{func(s *dag.Schedule) { s.Overlap, s.AfterSuccess = dag.OverlapCancelOther, true }, "overlap: cancel_other does not go with after_success: what is cancelled has not succeeded"},
		{func(s *dag.Schedule) { s.EndAt = at("02:34") }, "end_at: nothing fires before it"},
		{func(s *dag.Schedule) { s.Instants, s.EndAt = none{}, at("02:34") }, "end_at: nothing fires before it"},
		{func(s *dag.Schedule) { s.EndAt = at("02:36") }, ""},
		{func(s *dag.Schedule) { s.StartAt, s.EndAt = at("02:36"), at("02:39") }, "end_at: nothing fires before it"},
	} {
		s := schedule()
		c.change(&s)
		var texts []string
		for _, f := range s.Check(at("02:31")) {
			texts = append(texts, f.Field+": "+f.Reason)
		}
		if got := strings.Join(texts, "; "); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	for _, word := range []string{"skip", "queue_one", "allow", "cancel_other", ""} {
		if o, ok := dag.ParseOverlap(word); !ok || o.Word() != word {
			t.Errorf("%q is %d", word, o)
		}
	}
	if _, ok := dag.ParseOverlap("replace"); ok {
		t.Error("replace is taken")
	}
}
