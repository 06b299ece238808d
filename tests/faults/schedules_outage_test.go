package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// TestSchedulesAfterAnOutageOfAnHour: all coordinators are away for an hour, in which five instants pass, of which two are too late when they are back. A run that began before has
// not ended. What becomes of each instant is what the schedule's overlap and coalesce say.
func TestSchedulesAfterAnOutageOfAnHour(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	tree := fmt.Sprintf(`{"name":"run","pool":%q,"schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}`, Pools[0])
	const apart, instants = 15 * time.Minute, 5
	first := time.Now().Truncate(time.Second).Add(-63 * time.Minute) // the last one was 3 minutes ago, the next one comes in 12
	// Of the run that began before, then of each instant in order.
	ends := map[string][]string{
		"skip true":          {"completed", "missed grace", "missed grace", "missed coalesced", "missed coalesced", "skipped overlap"},
		"skip false":         {"completed", "missed grace", "missed grace", "skipped overlap", "skipped overlap", "skipped overlap"},
		"queue_one true":     {"completed", "missed grace", "missed grace", "missed coalesced", "missed coalesced", "completed"},
		"queue_one false":    {"completed", "missed grace", "missed grace", "completed", "skipped overlap", "skipped overlap"},
		"allow true":         {"completed", "missed grace", "missed grace", "missed coalesced", "missed coalesced", "completed"},
		"allow false":        {"completed", "missed grace", "missed grace", "completed", "completed", "completed"},
		"cancel_other true":  {"cancelled", "missed grace", "missed grace", "missed coalesced", "missed coalesced", "completed"},
		"cancel_other false": {"cancelled", "missed grace", "missed grace", "skipped superseded", "skipped superseded", "completed"},
	}
	for id := range ends {
		overlap, coalesce, _ := strings.Cut(id, " ")
		spec, faults := scheduledoc.Decode(fmt.Appendf(nil, `{"id":%q,"every":"15m","start_at":%q,"overlap":%q,"coalesce":%s,"misfire_grace":"40m","tree":%s}`,
			id, first.UTC().Format(time.RFC3339), overlap, coalesce, tree))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if _, err := s.front.CreateSchedule(t.Context(), *spec); err != nil {
			t.Fatal(err)
		}
		if _, err := s.front.TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	// The clock can't be moved, so what is known is.
	if err := s.db(func(c *pgx.Conn) error {
		_, err := c.Exec(t.Context(), "with f as (update fire set instant = $1 where kind = 2) update schedule set decided_at = $1, next_at = $1", first.Add(-time.Minute))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.launch(WorkerRole, "")
	for range 2 {
		s.start(CoordinatorRole, "")
	}
	runsOf := func(id string) (runs []*coordinator.ScheduleRun, is []string, err error) {
		page, err := s.front.ScheduleRuns(t.Context(), coordinator.ScheduleRunFilter{ID: id})
		slices.Reverse(page.Items)
		for _, r := range page.Items {
			is = append(is, strings.TrimSpace(r.Status+" "+r.Reason))
		}
		return page.Items, is, err
	}
	for _, id := range slices.Sorted(maps.Keys(ends)) {
		eventually(t, id+": every instant is decided", func() error {
			if _, is, err := runsOf(id); err != nil || len(is) != len(ends[id]) {
				return fmt.Errorf("%q, %w", is, err)
			}
			return nil
		})
		eventually(t, id+": all has ended", func() error {
			runs, is, err := runsOf(id)
			if err != nil {
				return err
			}
			for _, r := range runs {
				if r.Status == "running" { // it waits for this, or will
					if _, err := s.front.Signal(t.Context(), r.TreeID, coordinator.Signal{Name: "go", Payload: json.RawMessage("{}")}); err != nil {
						return err
					}
				}
			}
			if !slices.Equal(is, ends[id]) {
				return fmt.Errorf("they are %q, want %q", is, ends[id])
			}
			return nil
		})
		runs, _, err := runsOf(id)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range runs[1:] {
			if want := first.Add(time.Duration(i) * apart); !r.FireTime.Equal(want) {
				t.Errorf("%s: instant %d is %v, want %v", id, i, r.FireTime, want)
			}
		}
		if len(runs) != instants+1 {
			t.Errorf("%s: %d runs", id, len(runs))
		}
	}
}
