package dag

import (
	"slices"
	"testing"
	"time"
)

// TestTimeoutsOfGroups: what is below a group with a timeout knows it, at any depth, and begins its time when it may start.
func TestTimeoutsOfGroups(t *testing.T) {
	tasks := []*Task{
		{ID: "root", Name: "root", Executor: "e", Timeout: time.Hour},
		{ID: "job", Name: "job", ParentRef: "root", Timeout: time.Minute, Dependencies: []Dependency{{Ref: "a"}}},
		{ID: "inner", Name: "inner", ParentRef: "job"},
		{ID: "a", Name: "a", ParentRef: "inner", Executor: "e"},
		{ID: "other", Name: "other", ParentRef: "root", Executor: "e"},
	}
	for _, order := range [][]int{{0, 1, 2, 3, 4}, {3, 2, 1, 4, 0}} {
		var shuffled []*Task
		for _, i := range order {
			shuffled = append(shuffled, tasks[i])
		}
		g, err := build(Limits{}, shuffled...)
		if err != nil {
			t.Fatal(err)
		}
		for i, task := range shuffled {
			if got, want := g.Flags(i, 0, 0)&FlagBounded != 0, slices.Contains([]string{"inner", "a"}, task.ID); got != want {
				t.Errorf("%v: %s is below a group with a timeout: %t", order, task.ID, got)
			}
		}
	}
	if got := AllLevels.Needed(tasks[1]); got != SpansLevel {
		t.Errorf("it needs level %d, want %d", got, SpansLevel)
	}
	if got := AllLevels.Needed(tasks[0]); got != BaseLevel {
		t.Errorf("a task that runs needs level %d for its timeout", got)
	}
}

// TestATimeOfAGroupBegins: with what is ready, or, where that waits for a lock, with what runs.
func TestATimeOfAGroupBegins(t *testing.T) {
	for _, limited := range []Flags{0, FlagLimited} {
		d := NewDecision(time.Unix(1e9, 0), nil)
		d.Add(Row{Key: 1, State: Waiting, Attempt: 1, Flags: FlagBounded | limited}, false)
		d.Add(Row{Key: 2, State: Waiting, Attempt: 1, Flags: limited}, false)
		d.Release(1)
		d.Release(2)
		if got := len(d.Begun()) == 1; got != (limited == 0) {
			t.Errorf("flags %b: ready, it begins the time: %t", limited, got)
		}
		d = NewDecision(time.Unix(1e9, 0), nil)
		d.Add(Row{Key: 1, State: Ready, Attempt: 1, Flags: FlagBounded | limited}, false)
		d.Claim(1, 1, 7)
		if got := len(d.Begun()) == 1; got != (limited != 0) {
			t.Errorf("flags %b: claimed, it begins the time: %t", limited, got)
		}
	}
}

// TestATimeOfAGroupIsUp: a group that has not ended fails, once, with the kind timeout; a timer of an earlier run changes nothing.
func TestATimeOfAGroupIsUp(t *testing.T) {
	for _, tt := range []struct {
		fact    string
		row     Row
		attempt int32
		up      bool
	}{
		{"it waits for what is below", Row{State: Waiting, Attempt: 2, Remaining: 1}, 2, true},
		{"of an earlier run", Row{State: Waiting, Attempt: 2, Remaining: 1}, 1, false},
		{"it has ended", Row{State: Completed, Attempt: 2}, 2, false},
		{"it is blocked", Row{State: Blocked, Attempt: 2, BlockedBy: 9}, 2, false},
		{"it is held", Row{State: Held, Attempt: 2}, 2, false},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			d := NewDecision(time.Unix(1e9, 0), nil)
			tt.row.Key, tt.row.Flags, tt.row.Policy = 1, FlagGroup|FlagTimeout, &Policy{Timeout: time.Minute}
			d.Add(tt.row, false)
			if got := d.Due(Timer{Task: 1, Attempt: tt.attempt, Kind: TimerGroup}); got != tt.up || len(d.ToTimeUp) == 1 != tt.up {
				t.Fatalf("due: %t, %v", got, d.ToTimeUp)
			}
			if !tt.up {
				return
			}
			if !d.TimeUp(1) || d.Row(1).State != Failed || len(d.Ended) != 1 || d.Ended[0].Kind != KindTimeout || d.Ended[0].Outcome != OutcomeTimedOut {
				t.Errorf("it is %s: %+v", d.Row(1).State, d.Ended)
			}
			if d.TimeUp(1) {
				t.Error("its time is up twice")
			}
		})
	}
}
