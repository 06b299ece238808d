package simulation

import (
	"os"
	"strconv"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/cron"
)

// crontab is what the engine makes of a crontab.
func crontab(text, zone string) dag.Instants {
	s, err := cron.Parse(text, zone)
	if err != nil {
		panic(err)
	}
	return s
}

// TestSchedules plays histories of schedules: several coordinators that crash, are away for hours and are slow, runs that fail and are run again, triggers and pauses, around changes of
// clocks in ten zones. Each decision is held against the oracle, and each history against the rules. 400 histories, unless TASKGROVE_HISTORIES says otherwise; TASKGROVE_SEED plays one.
func TestSchedules(t *testing.T) {
	t.Parallel()
	first, n := uint64(1), 400
	if text := os.Getenv("TASKGROVE_HISTORIES"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("TASKGROVE_SEED"); text != "" {
		first, _ = strconv.ParseUint(text, 10, 64)
		n = 1
	}
	var all TimingCounts
	for i := range n {
		h := newTiming(first+uint64(i), crontab)
		if why := h.play(); why != "" {
			t.Fatalf("history %d is broken: %s\nTASKGROVE_SEED=%d go test ./tests/simulation -run '^TestSchedules$'", i+1, why, first+uint64(i))
		}
		all.add(h.counts)
	}
	t.Logf("%d histories: %+v", n, all)
	if n < 100 {
		return
	}
	for what, count := range map[string]int{"instants": all.Instants, "runs": all.Runs, "missed ones": all.Missed, "skipped ones": all.Skipped, "triggers": all.Calls, "crashes": all.Crashes, "decisions by what is not so any more": all.Stale} {
		if count < n/4 {
			t.Errorf("%d histories have %d %s", n, count, what)
		}
	}
}

// FuzzSchedules plays a history of any seed.
func FuzzSchedules(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if why := newTiming(seed, crontab).play(); why != "" {
			t.Fatalf("the history of seed %d is broken: %s", seed, why)
		}
	})
}
