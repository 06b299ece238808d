package history_test

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
)

// TestCheckSchedules: each rule of schedules finds what breaks it, and what is sound breaks none.
func TestCheckSchedules(t *testing.T) {
	began := time.Date(2026, 11, 30, 2, 0, 0, 0, time.UTC)
	second := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }
	sound := func() []history.Schedule {
		run := func(key int64, n int) history.Fire {
			return history.Fire{Key: key, Kind: dag.FireInstant, Instant: second(n), Decided: second(n), State: dag.FireCompleted, Ended: second(n + 1), Trees: 1, Own: true, Begun: second(n), Over: second(n + 1)}
		}
		idle := func(key int64, n int, state dag.FireState, reason string, decided int) history.Fire {
			return history.Fire{Key: key, Kind: dag.FireInstant, Instant: second(n), Decided: second(decided), State: state, Reason: reason, Ended: second(decided)}
		}
		late := run(4, 30)
		late.Decided = second(31)
		event := run(7, 0)
		event.Kind, event.Cause = dag.FireEvent, "1.4"
		call := run(6, 33)
		call.Kind, call.Cause = dag.FireTrigger, "key a"
		long := run(5, 32)
		long.Ended, long.Over = second(36), second(36)
		return []history.Schedule{
			{ID: "s", Overlap: dag.OverlapSkip, Coalesce: true, Grace: 5 * time.Second, Calls: []string{"key a"},
				Instants: []time.Time{second(0), second(10), second(20), second(29), second(30), second(32), second(35)},
				Fires: []history.Fire{run(1, 0), run(8, 10), idle(2, 20, dag.FireMissed, dag.MissedGrace, 31), idle(3, 29, dag.FireMissed, dag.MissedCoalesced, 31), late, long, call,
					idle(9, 35, dag.FireSkipped, dag.SkippedOverlap, 35)}},
			{ID: "on", Overlap: dag.OverlapSkip, On: "s", Ends: 1 << dag.FireCompleted, Known: second(2), Fires: []history.Fire{
				event, {Key: 10, Kind: dag.FireEvent, Cause: "8.4", Instant: second(10), State: dag.FireFailed, Trees: 1, Own: true, Begun: second(11), Over: second(12)},
				{Key: 11, Kind: dag.FireEvent, Cause: "4.4", Instant: second(30), State: dag.FireCompleted, Trees: 1, Own: true, Begun: second(31), Over: second(32)},
				{Key: 12, Kind: dag.FireEvent, Cause: "5.4", Instant: second(32), State: dag.FireCompleted, Trees: 1, Own: true, Begun: second(36), Over: second(37)},
				{Key: 13, Kind: dag.FireEvent, Cause: "6.4", Instant: second(33), State: dag.FireCompleted, Trees: 1, Own: true, Begun: second(37), Over: second(38)},
			}},
		}
	}
	for _, row := range []struct {
		fact   string
		rule   history.Rule // empty: nothing is wrong
		change func(s, on *history.Schedule)
	}{
		{"sound", "", func(s, on *history.Schedule) {}},
		{"an instant is left out", history.DecidedOnce, func(s, on *history.Schedule) { s.Fires = s.Fires[:len(s.Fires)-1] }},
		{"one that is none", history.DecidedOnce, func(s, on *history.Schedule) { s.Fires[7].Instant = second(36); s.Fires[7].Decided = second(36) }},
		{"twice", history.DecidedOnce, func(s, on *history.Schedule) { s.Fires = append(s.Fires, s.Fires[7]) }},
		{"a run that has not ended", history.DecidedOnce, func(s, on *history.Schedule) {
			s.Fires[7].State = dag.FireQueued
			s.Fires[7].Trees, s.Fires[7].Own, s.Fires[7].Begun, s.Fires[7].Over = 1, true, second(36), second(37)
		}},
		{"more runs than may be", history.DecidedOnce, func(s, on *history.Schedule) { s.MaxRuns = 2 }},
		{"the rest after all runs", "", func(s, on *history.Schedule) { s.MaxRuns, s.Instants = 4, append(s.Instants, second(50)) }},
		{"missed within the grace", history.InTime, func(s, on *history.Schedule) { s.Grace = time.Minute }},
		{"run after the grace", history.InTime, func(s, on *history.Schedule) {
			s.Fires[1].Decided = second(16)
			s.Fires[1].Begun, s.Fires[1].Over, s.Fires[1].Ended = second(16), second(17), second(17)
		}},
		{"coalesced with nothing", history.InTime, func(s, on *history.Schedule) { s.Fires[4].Decided = second(32) }},
		{"coalesced though none does", history.InTime, func(s, on *history.Schedule) { s.Coalesce = false }},
		{"runs of one decision", history.InTime, func(s, on *history.Schedule) {
			s.Fires[3].State, s.Fires[3].Reason = dag.FireSkipped, dag.SkippedOverlap
		}},
		{"a run without a tree", history.OneTree, func(s, on *history.Schedule) { s.Fires[1].Trees, s.Fires[1].Own = 0, false }},
		{"a run with two", history.OneTree, func(s, on *history.Schedule) { s.Fires[1].Trees = 2 }},
		{"the tree of another one", history.OneTree, func(s, on *history.Schedule) { s.Fires[1].Own = false }},
		{"a tree of what was missed", history.OneTree, func(s, on *history.Schedule) {
			s.Fires[2].Trees, s.Fires[2].Begun, s.Fires[2].Over = 1, second(25), second(26)
		}},
		{"runs overlap", history.RunsMeet, func(s, on *history.Schedule) { s.Fires[0].Over = second(11) }},
		{"which they may", "", func(s, on *history.Schedule) {
			s.Fires[0].Over, s.Overlap, s.Fires = second(11), dag.OverlapAllow, s.Fires[:7]
			s.Instants = s.Instants[:6]
		}},
		{"skipped for nothing", history.RunsMeet, func(s, on *history.Schedule) { s.Fires[5].Ended, s.Fires[6].Ended = second(34), second(34) }},
		{"skipped though runs overlap", history.RunsMeet, func(s, on *history.Schedule) { s.Overlap = dag.OverlapAllow }},
		{"after a failure", history.RunsMeet, func(s, on *history.Schedule) { on.AfterSuccess = true }},
		{"a call with no run", history.RunsFollow, func(s, on *history.Schedule) { s.Calls = append(s.Calls, "key b") }},
		{"a call with two", history.RunsFollow, func(s, on *history.Schedule) { s.Calls = nil }},
		{"an end with no run", history.RunsFollow, func(s, on *history.Schedule) { on.Fires = on.Fires[:4] }},
		{"an end with two", history.RunsFollow, func(s, on *history.Schedule) {
			on.Fires = append(on.Fires, on.Fires[4])
			on.Fires[5].Begun, on.Fires[5].Over = second(40), second(41)
		}},
		{"before it was there", "", func(s, on *history.Schedule) { on.Fires = on.Fires[1:] }},
		{"an end that begins none", history.RunsFollow, func(s, on *history.Schedule) { on.Ends = 1 << dag.FireFailed }},
		{"another instant", history.RunsFollow, func(s, on *history.Schedule) { on.Fires[0].Instant = second(1) }},
		{"an end of nobody", history.RunsFollow, func(s, on *history.Schedule) { on.Fires[0].Cause = "99.4" }},
	} {
		all := sound()
		row.change(&all[0], &all[1])
		problems := history.CheckSchedules(all, history.Clock{})
		if row.rule == "" && len(problems) > 0 || row.rule != "" && len(problems) == 0 {
			t.Errorf("%s: got %v, want %q", row.fact, problems, row.rule)
		}
		for _, p := range problems {
			if p.Rule != row.rule {
				t.Errorf("%s: got %v, want only %q", row.fact, p, row.rule)
			}
		}
	}
}
