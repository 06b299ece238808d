package history_test

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// tree is a root group with a, then b that requires a, c that was cancelled, f that fails and d that is blocked by it.
func tree() oracle.Tree {
	return oracle.Tree{Tasks: []oracle.Task{
		{ID: "root", Parent: -1, Group: true, MaxAttempts: 1},
		{ID: "a", MaxAttempts: 2, Script: oracle.Script{Add: 1, Fail: 1}},
		{ID: "b", MaxAttempts: 1, Script: oracle.Script{Add: 1}, Deps: []oracle.Dep{{On: 1}}},
		{ID: "c", MaxAttempts: 1, Cancelled: true},
		{ID: "f", MaxAttempts: 1, Script: oracle.Script{Fail: -1}},
		{ID: "d", MaxAttempts: 1, Deps: []oracle.Dep{{On: 4}}},
	}}
}

// sound is a history of that tree that breaks nothing.
func sound() history.History {
	h := history.History{
		Submits: []history.Submit{{Root: "root", Answer: history.Accepted}},
		Runs: []history.Run{
			{Task: "a", Attempt: 1, Process: 1, Key: "k", Pool: "p", Start: 1, End: 3},
			{Task: "f", Attempt: 1, Process: 1, Pool: "p", Start: 2, End: 4},
			{Task: "a", Attempt: 2, Process: 2, Key: "k", Pool: "p", Start: 5, End: 6},
			{Task: "b", Attempt: 1, Process: 1, Pool: "p", Start: 6, End: 8},
		},
		Attempts: map[string][]history.Ended{
			"a":    {{Number: 1, Outcome: dag.Failed, Counted: true}, {Number: 2, Outcome: dag.Completed, Counted: true}},
			"b":    {{Number: 1, Outcome: dag.Completed, Counted: true}},
			"root": {{Number: 1, Outcome: dag.Completed, Counted: true}},
			"c":    {{Number: 1, Outcome: dag.Cancelled}},
			"f":    {{Number: 1, Outcome: dag.Failed, Counted: true}},
		},
		Events: map[string][]history.Event{"root": {
			{Sequence: 1, Task: "a", Ends: true}, {Sequence: 2, Task: "b", Ends: true}, {Sequence: 3, Final: true},
		}},
		Ends:  map[string]history.End{},
		Slots: map[string]int{"p": 2},
	}
	t := tree()
	for i, e := range t.Run() {
		h.Ends[t.Tasks[i].ID] = history.End{State: e.State, Result: e.Result, Inputs: e.Inputs}
	}
	return h
}

func TestCheckFindsEachRuleBroken(t *testing.T) {
	for _, row := range []struct {
		fact  string
		rule  history.Rule
		spoil func(h *history.History)
	}{
		{"an accepted tree is not there", history.Settles, func(h *history.History) { h.Ends = nil; h.Runs = nil; h.Events = nil; h.Attempts = nil }},
		{"a task is still ready", history.Settles, func(h *history.History) { h.Ends["f"] = history.End{State: dag.Ready} }},
		{"a failure is told as a success", history.Outcomes, func(h *history.History) {
			h.Ends["f"] = history.End{State: dag.Completed}
			delete(h.Attempts, "f")
		}},
		{"a failure is tried too often", history.Outcomes, func(h *history.History) {
			h.Attempts["f"] = append(h.Attempts["f"], history.Ended{Number: 2, Outcome: dag.Failed, Counted: true})
		}},
		{"a result is another one", history.Outcomes, func(h *history.History) {
			h.Ends["b"] = history.End{State: dag.Completed, Result: "else"}
		}},
		{"inputs are others", history.Outcomes, func(h *history.History) {
			e := h.Ends["b"]
			e.Inputs = map[string]any{"x": 1.0}
			h.Ends["b"] = e
		}},
		{"a task completed and never ran", history.Outcomes, func(h *history.History) { h.Runs = h.Runs[:3] }},
		{"a refused tree is there", history.Outcomes, func(h *history.History) { h.Submits[0].Answer = history.Refused }},
		{"an attempt is listed twice", history.SettlesOnce, func(h *history.History) {
			h.Attempts["a"] = append(h.Attempts["a"][:1], h.Attempts["a"]...)
		}},
		{"an attempt follows a success", history.SettlesOnce, func(h *history.History) {
			h.Attempts["b"] = append(h.Attempts["b"], history.Ended{Number: 2, Lost: true})
		}},
		{"a success follows a success", history.SettlesOnce, func(h *history.History) {
			h.Attempts["b"] = append(h.Attempts["b"], history.Ended{Number: 2, Outcome: dag.Completed, Counted: true})
		}},
		{"an attempt follows a cancelled one", history.SettlesOnce, func(h *history.History) {
			h.Attempts["c"] = append(h.Attempts["c"], history.Ended{Number: 2, Lost: true})
		}},
		{"a task is told to end twice", history.SettlesOnce, func(h *history.History) { h.Events["root"][1].Task = "a" }},
		{"two attempts have two idempotency keys", history.OneKey, func(h *history.History) { h.Runs[2].Key = "l" }},
		{"two tasks have one idempotency key", history.OneKey, func(h *history.History) { h.Runs[3].Key = "k" }},
		{"two attempts overlap", history.RunsOnce, func(h *history.History) { h.Runs[0].End = 6 }},
		{"an attempt runs twice, one after the other", history.RunsOnce, func(h *history.History) { h.Runs[2].Attempt = 1 }},
		{"a lost run never stopped", history.RunsOnce, func(h *history.History) {
			h.Runs[2].Start, h.Runs[2].End = 4, 5
			h.Runs = append(h.Runs, history.Run{Task: "f", Attempt: 2, Process: 3, Start: 3, End: 4})
		}},
		{"a frozen run is followed by itself", history.RunsOnce, func(h *history.History) {
			h.Runs[0].Frozen, h.Runs[2].Attempt = true, 1
		}},
		{"a dependent starts early", history.Order, func(h *history.History) { h.Runs[3].Start = 5 }},
		{"a dependency never ran", history.Order, func(h *history.History) {
			h.Submits[0].Partial = true // else its missing run breaks another rule, too
			h.Runs = []history.Run{h.Runs[1], h.Runs[3]}
		}},
		{"a blocked task runs", history.Order, func(h *history.History) {
			h.Runs = append(h.Runs, history.Run{Task: "d", Attempt: 1, Process: 2, Start: 9, End: 10})
		}},
		{"a cancelled task starts", history.NeverStarts, func(h *history.History) {
			h.Runs = append(h.Runs, history.Run{Task: "c", Attempt: 1, Process: 2, Start: 9, End: 10})
		}},
		{"a steered task completed below one that did not", history.Outcomes, func(h *history.History) {
			h.Submits[0].Steered = true
			h.Ends["d"] = history.End{State: dag.Completed}
			h.Runs = append(h.Runs, history.Run{Task: "d", Attempt: 1, Process: 2, Start: 9, End: 10})
		}},
		{"a steered task is blocked by nothing", history.Outcomes, func(h *history.History) {
			h.Submits[0].Steered = true
			h.Ends["b"] = history.End{State: dag.Blocked}
			h.Runs = h.Runs[:3]
			delete(h.Attempts, "b")
		}},
		{"a steered task that always fails completed", history.Outcomes, func(h *history.History) {
			h.Submits[0].Steered = true
			h.Ends["f"], h.Ends["d"] = history.End{State: dag.Completed}, history.End{State: dag.Cancelled}
			delete(h.Attempts, "f")
		}},
		{"a steered task ran though it was cancelled before", history.NeverStarts, func(h *history.History) {
			h.Submits[0].Steered = true
			h.Ends["b"] = history.End{State: dag.Cancelled}
			delete(h.Attempts, "b")
		}},
		{"a cancelled attempt runs, as the client knows", history.NeverStarts, func(h *history.History) { h.Runs[3].Barred = true }},
		{"a failure is tried too little", history.Outcomes, func(h *history.History) {
			h.Attempts["f"] = []history.Ended{{Number: 1, Lost: true}}
		}},
		{"a success is tried too often, and nothing was lost", history.Outcomes, func(h *history.History) {
			h.Exact = true
			h.Attempts["b"] = []history.Ended{{Number: 1, Outcome: dag.Failed, Counted: true}, {Number: 2, Outcome: dag.Completed, Counted: true}}
		}},
		{"a success is tried too little, and nothing was lost", history.Outcomes, func(h *history.History) {
			h.Exact = true
			h.Attempts["a"] = []history.Ended{{Number: 1, Outcome: dag.Completed, Counted: true}}
		}},
		{"an attempt is lost, and no worker was", history.Outcomes, func(h *history.History) {
			h.Exact = true
			h.Attempts["b"] = []history.Ended{{Number: 1, Lost: true}, {Number: 2, Outcome: dag.Completed, Counted: true}}
		}},
		{"a cancelled task has no cancelled attempt", history.SettlesOnce, func(h *history.History) { h.Attempts["c"] = nil }},
		{"a failed task has a completed attempt", history.SettlesOnce, func(h *history.History) {
			h.Attempts["f"] = []history.Ended{{Number: 1, Outcome: dag.Completed, Counted: true}}
		}},
		{"attempts of a second execution begin anew", history.SettlesOnce, func(h *history.History) {
			e := h.Ends["f"]
			e.First = 2
			h.Ends["f"] = e
		}},
		{"a run begins late and stands still later", history.RunsOnce, func(h *history.History) {
			h.Runs[0].Start, h.Runs[0].End, h.Runs[0].Frozen, h.Runs[0].FrozenAt = 3, 4, true, 4
			h.Runs[2].Start, h.Runs[2].End = 2, 3
		}},
		{"two runs overlap before one stood still", history.RunsOnce, func(h *history.History) {
			h.Runs[0].End, h.Runs[0].Frozen, h.Runs[0].FrozenAt = 6, true, 6
		}},
		{"a dependent starts early in its second execution", history.Order, func(h *history.History) {
			h.Runs = append(h.Runs, history.Run{Task: "a", Attempt: 3, Process: 2, Start: 10, End: 12, Execution: 2},
				history.Run{Task: "b", Attempt: 2, Process: 1, Start: 11, End: 13, Execution: 2})
			h.Attempts = nil
			h.Ends["c"] = history.End{State: dag.Cancelled}
			h.Submits[0].Partial = true
		}},
		{"an attempt starts twice in the events", history.EventsInLine, func(h *history.History) {
			h.Events["root"] = []history.Event{{Sequence: 1, Task: "a", Attempt: 1, Starts: true}, {Sequence: 2, Task: "a", Attempt: 1, Starts: true}, {Sequence: 3, Final: true}}
		}},
		{"an attempt completes in the events and never started", history.EventsInLine, func(h *history.History) {
			h.Events["root"] = []history.Event{{Sequence: 1, Task: "a", Attempt: 1, Ends: true, Completes: true}, {Sequence: 2, Final: true}}
		}},
		{"a blocked task ends in the events", history.Outcomes, func(h *history.History) { h.Events["root"][0].Task = "d" }},
		{"an execution's events have no end", history.EventsInLine, func(h *history.History) {
			h.Events["root, execution 1"] = []history.Event{{Sequence: 1, Task: "a"}}
		}},
		{"a process is left", history.NothingLeft, func(h *history.History) { h.Left = []history.Leftover{{Task: "a", Process: 7}} }},
		{"a pool has more than its slots", history.Concurrency, func(h *history.History) { h.Slots["p"] = 1 }},
		{"an event is missing", history.EventsInLine, func(h *history.History) { h.Events["root"] = h.Events["root"][1:] }},
		{"the final event is missing", history.EventsInLine, func(h *history.History) { h.Events["root"] = h.Events["root"][:2] }},
	} {
		t.Run(row.fact, func(t *testing.T) {
			h := sound()
			row.spoil(&h)
			problems, _ := history.Check(h, []oracle.Tree{tree()})
			if len(problems) == 0 {
				t.Fatal("found nothing")
			}
			for _, p := range problems {
				if p.Rule != row.rule {
					t.Errorf("got %v, want only %q", p, row.rule)
				}
			}
		})
	}
}

func TestCheckAllows(t *testing.T) {
	for _, row := range []struct {
		fact    string
		change  func(h *history.History)
		excused history.Excused
	}{
		{"a sound history", func(*history.History) {}, history.Excused{}},
		{"repeatable runs overlap", func(h *history.History) {
			h.Runs[0].Repeatable, h.Runs[2].Repeatable, h.Runs[0].End = true, true, 6
		}, history.Excused{Repeatable: 1}},
		{"a frozen run goes on past its lease", func(h *history.History) {
			h.Runs[0].Frozen, h.Runs[0].Open = true, true
		}, history.Excused{Frozen: 2}}, // beside the next attempt, and as b starts
		{"a lost answer to a submit that took effect", func(h *history.History) { h.Submits[0].Answer = history.Unknown }, history.Excused{}},
		{"a lost answer to a submit that did not", func(h *history.History) {
			*h = history.History{Submits: []history.Submit{{Root: "root"}}}
		}, history.Excused{}},
		{"a lost attempt before the one that completes", func(h *history.History) {
			h.Attempts["b"] = []history.Ended{{Number: 1, Lost: true}, {Number: 2, Outcome: dag.Completed, Counted: true}}
		}, history.Excused{}},
		{"nothing was lost", func(h *history.History) { h.Exact = true }, history.Excused{}},
		{"a grant that was lost on its way, though no worker was", func(h *history.History) {
			h.Exact = true
			h.Attempts["b"] = []history.Ended{{Number: 1, Lost: true, Excused: true}, {Number: 2, Outcome: dag.Completed, Counted: true}}
		}, history.Excused{}},
		{"a task of a tree that was cancelled as a whole has no attempt", func(h *history.History) {
			h.Submits[0].Whole, h.Attempts["c"] = true, nil
		}, history.Excused{}},
		{"a run stood still before the next one began", func(h *history.History) {
			h.Runs[0].End, h.Runs[0].Frozen, h.Runs[0].FrozenAt = 6, true, 4
		}, history.Excused{Frozen: 1}},
		{"a run whose executor stood still before it could note its start", func(h *history.History) {
			h.Runs[0].Start, h.Runs[0].End, h.Runs[0].Frozen, h.Runs[0].FrozenAt = 20, 21, true, 1
		}, history.Excused{Frozen: 2}}, // beside the next attempt, and as b starts
		{"dependencies run again after the dependent's run", func(h *history.History) {
			h.Runs = append(h.Runs, history.Run{Task: "a", Attempt: 3, Process: 2, Start: 5, End: 12, Execution: 2})
			h.Runs[2].End = 5
			h.Attempts["a"] = []history.Ended{{Number: 3, Outcome: dag.Completed, Counted: true}}
			e := h.Ends["a"]
			e.Execution, e.First = 2, 3
			h.Ends["a"] = e
		}, history.Excused{}},
		{"a steered task that was cancelled as it ran", func(h *history.History) {
			h.Submits[0].Steered = true
			h.Ends["b"] = history.End{State: dag.Cancelled}
			h.Attempts["b"] = []history.Ended{{Number: 1, Outcome: dag.Cancelled}}
		}, history.Excused{}},
		{"nobody looked at the events", func(h *history.History) { h.Events = nil }, history.Excused{}},
		{"a slot is taken at once after it was given back", func(h *history.History) {
			h.Runs[1].End, h.Runs[1].Start = time.Duration(4), 3
			h.Slots["p"] = 1
		}, history.Excused{}},
	} {
		t.Run(row.fact, func(t *testing.T) {
			h := sound()
			row.change(&h)
			problems, excused := history.Check(h, []oracle.Tree{tree()})
			if len(problems) > 0 {
				t.Errorf("got %v, want none", problems)
			}
			if excused != row.excused {
				t.Errorf("got %+v excused, want %+v", excused, row.excused)
			}
		})
	}
}
