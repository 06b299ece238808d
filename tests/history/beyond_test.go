package history_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// beyond is a map with two items and a window of one, a task that runs twice, and one that goes on from an answer, before a fold.
func beyond() oracle.Tree {
	return oracle.Tree{Tasks: []oracle.Task{
		{ID: "root", Parent: -1, Group: true, MaxAttempts: 1},
		{ID: "map", MaxAttempts: 1, Script: oracle.Script{Collect: oracle.CollectNone, Map: &oracle.Map{Window: 1}}},
		{ID: "loop", MaxAttempts: 1, Script: oracle.Script{Repeat: &oracle.Repeat{Until: 2, Max: 9}}},
		{ID: "asks", MaxAttempts: 1, Script: oracle.Script{Wait: &oracle.Wait{Kind: "signal", Comes: true, Resume: true}}},
		{ID: "fold", MaxAttempts: 1, Group: true, Fold: true, Deps: []oracle.Dep{{On: 3}}},
		{ID: "one", Parent: 1, By: 2, Local: "0", MaxAttempts: 1},
		{ID: "two", Parent: 1, By: 2, Local: "1", MaxAttempts: 1},
	}}
}

func soundBeyond() history.History {
	done := func(n int) history.Ended { return history.Ended{Number: n, Outcome: dag.Completed, Counted: true} }
	h := history.History{
		Submits: []history.Submit{{Root: "root", Answer: history.Accepted}},
		Runs: []history.Run{
			{Task: "map", Attempt: 1, Key: "m", Start: 1, End: 2},
			{Task: "one", Attempt: 1, Key: "1", Start: 3, End: 5}, {Task: "two", Attempt: 1, Key: "2", Start: 6, End: 8},
			{Task: "loop", Attempt: 1, Key: "l1", Start: 1, End: 2}, {Task: "loop", Attempt: 2, Key: "l2", Start: 3, End: 4},
			{Task: "asks", Attempt: 1, Key: "a", Start: 1, End: 2}, {Task: "asks", Attempt: 2, Key: "a", Start: 3, End: 4},
		},
		Attempts: map[string][]history.Ended{"root": {done(1)}, "map": {done(1)}, "one": {done(1)}, "two": {done(1)}, "fold": {done(1)},
			"loop": {{Number: 1, Outcome: dag.Completed, Counted: true, Repeats: true}, done(2)},
			"asks": {{Number: 1, Lost: true, Resumes: true}, done(2)}},
		Ends: map[string]history.End{}, Exact: true,
	}
	t := beyond()
	for i, e := range t.Run() {
		h.Ends[t.Tasks[i].ID] = history.End{State: e.State, Result: e.Result, Inputs: e.Inputs}
	}
	return h
}

func TestCheckBeyond(t *testing.T) {
	for _, row := range []struct {
		fact  string
		rule  history.Rule // empty: nothing is wrong
		spoil func(h *history.History)
	}{
		{"a sound history", "", func(*history.History) {}},
		{"two items run at a time", history.Window, func(h *history.History) { h.Runs[2].Start = 4 }},
		{"one of them is repeatable, and runs twice", "", func(h *history.History) { h.Runs[1].Repeatable, h.Runs[1].End = true, 7 }},
		{"a repetition has the key of the run before", history.OneKey, func(h *history.History) { h.Runs[4].Key = "l1" }},
		{"what goes on has another key", history.OneKey, func(h *history.History) { h.Runs[6].Key = "b" }},
		{"it goes on though nothing came", history.Outcomes, func(h *history.History) { h.Attempts["asks"][0].Resumes = false }},
		{"it runs more often than it says", history.Outcomes, func(h *history.History) {
			h.Attempts["loop"] = []history.Ended{h.Attempts["loop"][0], {Number: 2, Outcome: dag.Completed, Counted: true, Repeats: true}, {Number: 3, Outcome: dag.Completed, Counted: true}}
		}},
	} {
		t.Run(row.fact, func(t *testing.T) {
			h := soundBeyond()
			row.spoil(&h)
			problems, _ := history.Check(h, []oracle.Tree{beyond()})
			if len(problems) == 0 != (row.rule == "") {
				t.Fatalf("found %v", problems)
			}
			for _, p := range problems {
				if p.Rule != row.rule {
					t.Errorf("got %v, want only %q", p, row.rule)
				}
			}
		})
	}
}

// TestCheckOfSkips: what a user skips has no run, and what depends on it goes on.
func TestCheckOfSkips(t *testing.T) {
	tree := oracle.Tree{Tasks: []oracle.Task{{ID: "root", Parent: -1, MaxAttempts: 1}, {ID: "after", MaxAttempts: 1, Deps: []oracle.Dep{{On: 0}}}}}
	for rule, runs := range map[history.Rule][]history.Run{"": nil, history.NeverStarts: {{Task: "root", Attempt: 1, Start: 0, End: 1}}} {
		h := history.History{
			Submits: []history.Submit{{Root: "root", Answer: history.Accepted, Steered: true}},
			Runs:    append(runs, history.Run{Task: "after", Attempt: 1, Start: 1, End: 2}),
			Attempts: map[string][]history.Ended{"root": {{Number: 1, Outcome: dag.Skipped, Counted: true}},
				"after": {{Number: 1, Outcome: dag.Completed, Counted: true}}},
			Ends: map[string]history.End{"root": {State: dag.Skipped, Result: map[string]any{"skipped": true, "reason": "user"}}, "after": {State: dag.Completed}},
		}
		problems, _ := history.Check(h, []oracle.Tree{tree})
		if rule == "" && len(problems) > 0 || rule != "" && (len(problems) != 1 || problems[0].Rule != rule) {
			t.Errorf("found %v, want %q", problems, rule)
		}
	}
}

// TestCheckAllowsWhoWasToldOfABlock: a fold ends by the block of a task that a user cancels afterwards.
func TestCheckAllowsWhoWasToldOfABlock(t *testing.T) {
	tree := oracle.Tree{Tasks: []oracle.Task{
		{ID: "root", Parent: -1, MaxAttempts: 1, Script: oracle.Script{Fail: -1}},
		{ID: "behind", MaxAttempts: 1, Deps: []oracle.Dep{{On: 0}}},
		{ID: "fold", MaxAttempts: 1, Group: true, Fold: true, Deps: []oracle.Dep{{On: 1}}},
	}}
	for state, fine := range map[dag.State]bool{dag.Blocked: true, dag.Cancelled: true, dag.Skipped: false} {
		h := history.History{
			Submits: []history.Submit{{Root: "root", Answer: history.Accepted, Steered: true}},
			Runs:    []history.Run{{Task: "root", Attempt: 1, Start: 1, End: 2}},
			Attempts: map[string][]history.Ended{"root": {{Number: 1, Outcome: dag.Failed, Counted: true}},
				"behind": {{Number: 1, Outcome: dag.Cancelled}}},
			Ends: map[string]history.End{"root": {State: dag.Failed}, "behind": {State: dag.Cancelled}, "fold": {State: state}},
		}
		if problems, _ := history.Check(h, []oracle.Tree{tree}); len(problems) == 0 != fine {
			t.Errorf("the fold is %s: found %v", state, problems)
		}
	}
}
