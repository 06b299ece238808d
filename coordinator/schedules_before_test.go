package coordinator

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/pg"
)

// TestDecideBefore: what has come by the rules that a schedule had is decided when they change; what only its jitter keeps runs at once if the instants change.
func TestDecideBefore(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	old := scheduledoc.Spec{ID: "a", Every: "1h", Jitter: "30m", MisfireGrace: "1h"}
	rules, err := old.Rules(created)
	if err != nil {
		t.Fatal(err)
	}
	instant := created.Add(time.Hour)
	kept := rules.StartOf(instant).Add(-time.Millisecond) // when its jitter still keeps it
	if !kept.After(instant) {
		t.Fatal("choose an id whose jitter is not 0")
	}
	for name, test := range map[string]struct {
		now   time.Time
		by    scheduledoc.Spec
		fires int
		left  bool // the instant is left to the new rules
	}{
		"before it":                   {instant.Add(-time.Minute), scheduledoc.Spec{Every: "1h"}, 0, true},
		"kept, the same instants":     {kept, scheduledoc.Spec{Every: "1h", Description: "other", Jitter: "30m"}, 0, true},
		"kept, others":                {kept, scheduledoc.Spec{Every: "2h"}, 1, false},
		"kept, from another time on":  {kept, scheduledoc.Spec{Every: "1h", StartAt: &kept}, 1, false},
		"due, the same instants":      {instant.Add(40 * time.Minute), scheduledoc.Spec{Every: "1h"}, 1, false},
		"due, others":                 {instant.Add(40 * time.Minute), scheduledoc.Spec{Cron: "0 0 * * *"}, 1, false},
		"due, begins with ends of it": {instant.Add(40 * time.Minute), scheduledoc.Spec{On: &scheduledoc.On{Schedule: "b"}}, 1, false},
	} {
		f := &pg.ScheduleFacts{Now: test.now, Of: &pg.Schedule{ID: "a", Spec: old.Stored(), CreatedAt: created, DecidedAt: created, Counted: 5}}
		d, err := decideBefore(f, &test.by)
		if err != nil || len(d.New) != test.fires || int(f.Of.Counted) != 5+test.fires {
			t.Errorf("%s: %+v, counted %d, %v", name, d.New, f.Of.Counted, err)
			continue
		}
		if left := f.Of.DecidedAt.Before(instant); left != test.left {
			t.Errorf("%s: decided up to %s", name, f.Of.DecidedAt)
		}
		if test.fires > 0 && (d.New[0].State != dag.FireDue || !d.New[0].Instant.Equal(instant)) {
			t.Errorf("%s: %+v", name, d.New[0])
		}
	}
}

// TestResumeDecidesNothingTwice: a schedule that was decided by a clock that was ahead, and is paused and resumed once the clock is right, has the runs that it had, and max_runs counts them once.
func TestResumeDecidesNothingTwice(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	spec := scheduledoc.Spec{ID: "a", Every: "1m", MaxRuns: 10, Overlap: "allow"}
	ahead, now := created.Add(5*time.Minute), created.Add(2*time.Minute)
	f := &pg.ScheduleFacts{Now: now, Of: &pg.Schedule{ID: "a", Spec: spec.Stored(), CreatedAt: created, DecidedAt: ahead, Counted: 5, PausedAt: &ahead, PausedBy: "ann"}}
	resume(f)
	if f.Of.PausedAt != nil || f.Of.PausedBy != "" || f.Of.NextAt == nil || !f.Of.NextAt.Equal(now) {
		t.Errorf("%+v", f.Of)
	}
	for at, want := range map[time.Duration]int{3 * time.Minute: 0, 5 * time.Minute: 0, 6 * time.Minute: 1} {
		f.Now = created.Add(at)
		if d, err := decideSchedule(f); err != nil || len(d.New) != want || int(d.Counted) != 5+want {
			t.Errorf("after %v: %+v, counted %d, %v", at, d.New, d.Counted, err)
		}
	}
	late := &pg.ScheduleFacts{Now: ahead, Of: &pg.Schedule{DecidedAt: now, PausedAt: &now}}
	if resume(late); !late.Of.DecidedAt.Equal(ahead) {
		t.Errorf("what has passed in the pause is left: %v", late.Of.DecidedAt)
	}
}

// TestChangesDecideNothingTwice: where the clock that decided was ahead of what it is now, a change of the instants leaves decided what was.
func TestChangesDecideNothingTwice(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ahead, now := created.Add(5*time.Minute), created.Add(2*time.Minute)
	by := scheduledoc.Spec{Cron: "* * * * *"}
	for name, old := range map[string]scheduledoc.Spec{
		"other instants":           {ID: "a", Every: "1m"},
		"a zone that is not known": {ID: "a", Cron: "* * * * *", Timezone: "No/Where"},
	} {
		f := &pg.ScheduleFacts{Now: now, Of: &pg.Schedule{ID: "a", Spec: old.Stored(), CreatedAt: created, DecidedAt: ahead, Counted: 5}}
		d, err := decideBefore(f, &by)
		if err != nil || len(d.New) != 0 || f.Of.Counted != 5 || !f.Of.DecidedAt.Equal(ahead) || f.Of.NextAt == nil || !f.Of.NextAt.Equal(now) {
			t.Errorf("%s: %+v; decided up to %s, counted %d, next at %v, %v", name, d.New, f.Of.DecidedAt, f.Of.Counted, f.Of.NextAt, err)
		}
	}
}
