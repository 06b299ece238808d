package main

import (
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// TestWhyOfSchedules: each reason why a schedule does not run is told.
func TestWhyOfSchedules(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 11, 28, hour, 0, 0, 0, time.UTC) }
	run := func(hour int, status, reason, tree string) *client.ScheduleRun {
		r := &client.ScheduleRun{Kind: "instant", FireTime: at(hour), Status: status, Reason: reason, TreeID: tree}
		if tree != "" {
			r.StartedAt = at(hour)
		}
		if status == "failed" || status == "completed" {
			r.EndedAt = at(hour).Add(time.Minute)
		}
		return r
	}
	late := run(3, "running", "", "t3")
	late.Late, late.Due = true, at(5)
	backfill := run(4, "running", "", "t4")
	backfill.Kind, backfill.Backfill = "backfill", 1
	for _, c := range []struct {
		name string
		info client.ScheduleInfo
		runs []*client.ScheduleRun
		want []string
		not  string
	}{
		{"paused", client.ScheduleInfo{Schedule: client.Schedule{ID: "a", Paused: new(true)}, PausedBy: "ann", PauseReason: "the warehouse moves"}, nil,
			[]string{"It is paused by ann: the warehouse moves.", "taskgrove schedule resume a", "No instant has come yet."}, ""},
		{"ended by runs", client.ScheduleInfo{Schedule: client.Schedule{MaxRuns: 2}, Runs: 2}, []*client.ScheduleRun{run(2, "completed", "", "t2")}, []string{"2 runs of max_runs 2"}, "had no run"},
		{"ended by time", client.ScheduleInfo{Schedule: client.Schedule{Cron: "@daily"}, Runs: 2}, nil, []string{"no instant comes before its end_at"}, ""},
		{"next", client.ScheduleInfo{Next: at(9)}, []*client.ScheduleRun{late, backfill}, []string{"Its next instant is ", "running as tree t3", "and late: it was to end by "}, "t4"},
		{"after success", client.ScheduleInfo{Schedule: client.Schedule{ID: "a", AfterSuccess: true}, Next: at(9)}, []*client.ScheduleRun{run(4, "queued", "", ""), run(3, "queued", "", ""), run(2, "failed", "", "t2"), run(1, "completed", "", "t1")},
			[]string{"for the success of the run before", "which is failed: taskgrove rerun t2", "1 more wait behind it."}, "t1"},
		{"queue", client.ScheduleInfo{Next: at(9)}, []*client.ScheduleRun{run(4, "queued", "", ""), run(3, "running", "", "t3")}, []string{"waits until that of "}, "success"},
		{"on", client.ScheduleInfo{Schedule: client.Schedule{On: &client.ScheduleOn{Schedule: "b", Outcome: []string{"failed", "cancelled"}}}}, nil, []string{"when a run of schedule b is failed or cancelled."}, ""},
		{"overlap", client.ScheduleInfo{Next: at(9)}, []*client.ScheduleRun{run(4, "skipped", "overlap", ""), late}, []string{"had no run: another run had not ended, or waited already (overlap: skip)."}, ""},
		{"grace", client.ScheduleInfo{Schedule: client.Schedule{MisfireGrace: "12h"}, Next: at(9)}, []*client.ScheduleRun{run(4, "missed", "grace", "")}, []string{"within misfire_grace, 12h."}, ""},
		{"refused flow", client.ScheduleInfo{Schedule: client.Schedule{Flow: &client.ScheduleFlow{ID: "f"}}, Next: at(9)}, []*client.ScheduleRun{run(4, "failed_to_start", "flow.id: there is no flow f", "")}, []string{"its flow was refused: flow.id: there is no flow f."}, ""},
		{"refused", client.ScheduleInfo{Next: at(9)}, []*client.ScheduleRun{run(4, "failed", "tree[0].priority: must be 0 to 3", "")}, []string{"its tree was refused: tree[0].priority: must be 0 to 3."}, ""},
	} {
		got := strings.Join(whyOfSchedule(&c.info, c.runs), "\n")
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not told:\n%s", c.name, want, got)
			}
		}
		if c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: %q is told:\n%s", c.name, c.not, got)
		}
	}
}
