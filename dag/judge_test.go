package dag

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// judged is a decision about a task that waits for nothing more, of the flags.
func judged(f Flags) (*Decision, *Row) {
	d := NewDecision(time.Unix(1, 0), nil)
	return d, d.Add(Row{Key: 1, State: Waiting, Attempt: 1, Flags: f}, false)
}

// TestFolds: a fold takes the worst outcome, and its error, cause or reason.
func TestFolds(t *testing.T) {
	success := Told{Ref: "s", Task: 10, State: Completed}
	skipped := Told{Ref: "k", Task: 11, State: Skipped, Reason: "when_false"}
	marked := Told{Ref: "m", Task: 12, State: Skipped, Reason: "timeout", Mode: EdgeSkips}
	failed := Told{Ref: "f", Task: 13, State: Failed, Error: "boom"}
	second := Told{Ref: "g", Task: 14, State: Failed, Error: "bang"}
	early, late := second, failed
	early.At, late.At = time.Unix(1, 0), time.Unix(2, 0)
	allowed := Told{Ref: "a", Task: 15, State: Failed, Error: "boom", Allowed: true}
	cancelled := Told{Ref: "c", Task: 16, State: Cancelled, Error: "enough"}
	blocked := Told{Ref: "b", Task: 17, State: Blocked, Cause: 13}
	for name, tt := range map[string]struct {
		deps []Told
		want State
		text string // error, or reason of a skip
	}{
		"nothing":                          {nil, Completed, ""},
		"successes":                        {[]Told{success, success}, Completed, ""},
		"one failure":                      {[]Told{success, failed}, Failed, "f: boom"},
		"the first of two failures":        {[]Told{second, failed}, Failed, "g: bang"},
		"the earlier of two failures":      {[]Told{late, early}, Failed, "g: bang"},
		"one before one of just now":       {[]Told{second, late}, Failed, "f: boom"},
		"a failure is worse than the rest": {[]Told{blocked, cancelled, skipped, failed, success}, Failed, "f: boom"},
		"a failure without an error":       {[]Told{{Ref: "f", State: Failed}}, Failed, "f: failed"},
		"cancelled is worse than blocked":  {[]Told{blocked, cancelled, success}, Cancelled, "c: enough"},
		"cancelled without an error":       {[]Told{{Ref: "c", State: Cancelled}}, Cancelled, "c: cancelled"},
		"blocked is worse than success":    {[]Told{success, blocked, skipped}, Blocked, ""},
		"an allowed failure is a success":  {[]Told{allowed, success}, Completed, ""},
		"an allowed failure alone":         {[]Told{allowed}, Completed, ""},
		"an allowed failure and a skip":    {[]Told{skipped, allowed}, Completed, ""},
		"an allowed one beside another":    {[]Told{allowed, failed}, Failed, "f: boom"},
		"an allowed one beside a block":    {[]Told{allowed, blocked}, Blocked, ""},
		"skips and a success":              {[]Told{skipped, success}, Completed, ""},
		"skips alone":                      {[]Told{skipped, skipped}, Skipped, SkipFold},
		"a skip that is the fold's":        {[]Told{success, marked}, Skipped, "timeout"},
		"the first of two that are":        {[]Told{{State: Skipped, Reason: "rejected", Mode: EdgeSkips}, marked}, Skipped, "rejected"},
		"the fold's, without a reason":     {[]Told{{State: Skipped, Mode: EdgeSkips}}, Skipped, SkipFold},
		"a failure is worse than it":       {[]Told{marked, failed}, Failed, "f: boom"},
		"such an edge that did not skip":   {[]Told{{State: Completed, Mode: EdgeSkips}, skipped}, Completed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, r := judged(FlagGroup | FlagFold | FlagJudged)
			if !d.Judge(1, tt.deps, Condition{}) || r.State != tt.want {
				t.Fatalf("got %s, want %s", r.State, tt.want)
			}
			if r.State == Blocked {
				if r.BlockedBy != 13 || len(d.Ended) != 0 {
					t.Errorf("blocked by %d, ended %+v", r.BlockedBy, d.Ended)
				}
				return
			}
			e := d.Ended[0]
			text := e.Error
			if r.State == Skipped {
				text = SkipReason(e.Result)
			}
			if len(d.Ended) != 1 || text != tt.text || r.State == Completed && string(e.Result) != "{}" {
				t.Errorf("ended %+v with %s, want %q", e, e.Result, tt.text)
			}
		})
	}
}

// TestReasonsAreInListOrder: of several edges, the first in the list that refuses says what becomes of the task; one that blocks was told at once, so
// that the order matters among those that skip only.
func TestReasonsAreInListOrder(t *testing.T) {
	only := func(ref string, s State, words ...string) Told {
		m, _ := EdgeOf(words, "skip", false, false)
		return Told{Ref: ref, Task: 5, Required: true, State: s, Mode: m}
	}
	a, b := only("a", Completed, "failed"), only("b", Failed, "success")
	c := only("c", Completed, "success")
	for _, tt := range []struct {
		deps []Told
		want string
	}{{[]Told{a, b}, "dependency_success"}, {[]Told{b, a}, "dependency_failed"}, {[]Told{c, b, a}, "dependency_failed"}} {
		d, r := judged(FlagJudged)
		if !d.Judge(1, tt.deps, Condition{}) || r.State != Skipped || SkipReason(d.Ended[0].Result) != tt.want {
			t.Errorf("%v: got %s, %+v, want %s", tt.deps, r.State, d.Ended, tt.want)
		}
	}
}

// TestConditions: the edges come first; then what the condition has come to; without a verdict nothing changes.
func TestConditions(t *testing.T) {
	failed, _ := EdgeOf([]string{"failed"}, "", false, false)
	refusing := []Told{{Ref: "a", Task: 5, Required: true, State: Completed, Mode: failed}}
	for name, tt := range map[string]struct {
		deps   []Told
		when   Condition
		want   State
		reason string
	}{
		"it holds":                     {nil, Condition{Known: true, Holds: true}, Ready, ""},
		"it is false":                  {nil, Condition{Known: true}, Skipped, SkipWhenFalse},
		"it errs":                      {nil, Condition{Known: true, Error: "no such key: x"}, Failed, "when_error: no such key: x"},
		"it errs, and is said to hold": {nil, Condition{Known: true, Holds: true, Error: "bad"}, Failed, "when_error: bad"},
		"it is not known":              {nil, Condition{}, Waiting, ""},
		"an edge refuses":              {refusing, Condition{Known: true, Holds: true}, Skipped, "dependency_success"},
		"an edge refuses unasked":      {refusing, Condition{}, Skipped, "dependency_success"},
	} {
		d, r := judged(FlagWhen)
		changed := d.Judge(1, tt.deps, tt.when)
		var text string
		if len(d.Ended) > 0 {
			if text = d.Ended[0].Error; r.State == Skipped {
				text = SkipReason(d.Ended[0].Result)
			}
		}
		if r.State != tt.want || changed != (tt.want != Waiting) || text != tt.reason {
			t.Errorf("%s: got %s (changed %t), %q", name, r.State, changed, text)
		}
		if r.State == Failed && (!d.Ended[0].Kind.Permanent() || !d.Ended[0].StartedAt.IsZero()) {
			t.Errorf("%s: %+v: it makes no attempt, and is never tried again", name, d.Ended[0])
		}
	}
}

// TestJudgedTwice: a followup that is done twice changes nothing the second time, nor one that finds the task otherwise than it was left.
func TestJudgedTwice(t *testing.T) {
	for _, f := range []Flags{FlagJudged, FlagWhen, FlagGroup | FlagFold | FlagJudged} {
		d, r := judged(f)
		holds := Condition{Known: true, Holds: true}
		if !d.Judge(1, nil, holds) {
			t.Fatalf("flags %b: nothing changed", f)
		}
		state, ended, events := r.State, len(d.Ended), len(d.Trees[Key(1).Tree()].Events)
		if d.Judge(1, nil, Condition{Known: true}) || r.State != state || len(d.Ended) != ended || len(d.Trees[Key(1).Tree()].Events) != events {
			t.Errorf("flags %b: judged again: %s, %+v", f, r.State, d.Ended)
		}
	}
	for name, row := range map[string]Row{
		"one that waits":       {Key: 1, State: Waiting, Remaining: 1, Flags: FlagJudged},
		"one that is plain":    {Key: 1, State: Waiting},
		"one that runs again":  {Key: 1, State: Ready, Attempt: 2, Flags: FlagJudged},
		"one that is held":     {Key: 1, State: Held, Flags: FlagJudged},
		"one that was skipped": {Key: 1, State: Skipped, Flags: FlagJudged},
		"one that is blocked":  {Key: 1, State: Blocked, Flags: FlagJudged},
	} {
		d := NewDecision(time.Unix(1, 0), nil)
		d.Add(row, false)
		if d.Judge(1, nil, Condition{Known: true, Holds: true}) || len(d.Changed()) > 0 {
			t.Errorf("%s was judged", name)
		}
	}
	if d := NewDecision(time.Unix(1, 0), nil); d.Judge(1, nil, Condition{}) {
		t.Error("a task that is not there was judged")
	}
}

// TestACancelledTreeIsNotJudged: nor is anything of it skipped; the cancellation ends its tasks.
func TestACancelledTreeIsNotJudged(t *testing.T) {
	d := NewDecision(time.Unix(1, 0), nil)
	d.Add(Row{Key: 1, State: Waiting, Attempt: 1, Flags: FlagGroup | FlagFold | FlagJudged}, true)
	if d.Judge(1, []Told{{State: Completed}}, Condition{}) || d.Skip(1, 1) || len(d.Changed()) > 0 {
		t.Errorf("got %+v", d.Row(1))
	}
}

// TestSkipsByUsers: a task is skipped only while an execution waits for it and none of its run has begun.
func TestSkipsByUsers(t *testing.T) {
	may := setOf(Waiting, Delayed, Ready)
	for _, s := range AllStates.States() {
		d := NewDecision(time.Unix(1, 0), nil)
		r := d.Add(Row{Key: 1, State: s, Attempt: 1}, false)
		if got := d.Skip(1, 1); got != may.Has(s) || got != (len(d.Ended) == 1) || got && r.State != Skipped {
			t.Errorf("%s: skipped %t, is %s", s, got, r.State)
		}
		if d.Skip(1, 1) {
			t.Errorf("%s was skipped twice", s)
		}
	}
	for name, tt := range map[string]struct {
		row Row
		run int32
		may bool
	}{
		"the first attempt of a later run": {Row{Attempt: 4}, 4, true},
		"after a failure":                  {Row{Attempt: 2, Failures: 1}, 1, false},
		"after a lost worker":              {Row{Attempt: 2, Crashes: 1}, 1, false},
		"after a drain":                    {Row{Attempt: 2}, 1, false},
		"after a repetition":               {Row{Attempt: 2, Repeats: 1}, 2, false},
		"what runs is not known":           {Row{Attempt: 1}, 0, false},
	} {
		for _, s := range may.States() {
			tt.row.Key, tt.row.State = 1, s
			d := NewDecision(time.Unix(1, 0), nil)
			d.Add(tt.row, false)
			if got := d.Skip(1, tt.run); got != tt.may {
				t.Errorf("%s, %s: skipped %t", name, s, got)
			}
		}
	}
	if d := NewDecision(time.Unix(1, 0), nil); d.Skip(1, 1) {
		t.Error("a task that is not there was skipped")
	}
}

// TestASkipTellsItsDependents: by the protocol's edges they go on.
func TestASkipTellsItsDependents(t *testing.T) {
	d := NewDecision(time.Unix(1, 0), nil)
	d.Add(Row{Key: 1, State: Waiting, Attempt: 1, Remaining: 1, Flags: FlagDependents | FlagLeaf}, false)
	d.Add(Row{Key: 2, State: Waiting, Attempt: 1, Remaining: 1}, false)
	d.AddDependent(1, Dependent{Key: 2, Required: true})
	if !d.Skip(1, 1) || d.Row(2).State != Ready {
		t.Errorf("the dependent is %s", d.Row(2).State)
	}
	delta := d.Trees[Key(1).Tree()]
	if delta.Skipped != 1 || delta.Completed != 1 || delta.LeavesCompleted != 1 || delta.Unfinished != -1 {
		t.Errorf("counted %+v", delta)
	}
	e := d.Ended[0]
	if e.Outcome != OutcomeSkipped || !strings.Contains(string(e.Result), `"reason":"user"`) || !e.StartedAt.IsZero() || e.Worker != 0 {
		t.Errorf("ended %+v with %s", e, e.Result)
	}
	d.DependencyEnded(Dependent{Key: 1, Required: true}, Completed, 9) // of what it waited for
	if d.Row(1).State != Skipped || d.Row(1).Remaining != 1 {
		t.Errorf("told after its end: %+v", d.Row(1))
	}
}

// TestWhatIsJudgedAtOnce: of tasks whose last dependencies a decision has ended, those are decided about of which enough is told. What the decision itself has ended counts as it says.
func TestWhatIsJudgedAtOnce(t *testing.T) {
	const fold, step, when, unknown, apart = Key(5), Key(6), Key(7), Key(8), Key(9)
	d := NewDecision(time.Unix(1, 0), func() float64 { return 0 })
	d.Add(Row{Key: 1, State: Running, Attempt: 3, Worker: 4, Pool: 1, Flags: FlagDependents, Failures: 2, Policy: &Policy{Retry: RetryPolicy{MaxAttempts: 1}}}, false)
	d.Add(Row{Key: 2, State: Waiting, Attempt: 1, Pool: 1, Flags: FlagDependents | FlagUnknown, Remaining: 1, Policy: &Policy{}}, false)
	for k, f := range map[Key]Flags{fold: FlagGroup | FlagFold | FlagJudged, step: FlagJudged, when: FlagWhen, unknown: FlagGroup | FlagFold | FlagJudged, apart: FlagJudged} {
		d.Add(Row{Key: k, State: Waiting, Attempt: 1, Pool: 1, Flags: f, Remaining: 1}, false)
	}
	whatever, _ := EdgeOf([]string{AcceptAny}, "", false, false)
	for _, k := range []Key{fold, step, when, apart} {
		d.AddDependent(1, Dependent{Key: k, Mode: whatever})
	}
	d.AddDependent(2, Dependent{Key: unknown, Mode: whatever})
	if !d.Settle(Result{Task: 1, Attempt: 3, Worker: 4, Outcome: OutcomeFailed, Error: "boom", Kind: KindInput}) {
		t.Fatal("nothing was settled")
	}
	d.DependencyEnded(Dependent{Key: 2, Required: true}, Completed, 3)
	if at := d.ToJudgeAtOnce(); !slices.Equal(at, []Key{fold, step, apart, unknown}) {
		t.Fatalf("to be judged at once: %v", at)
	}
	keys, states := d.SettledHere()
	if !slices.Equal(keys, []Key{1, 2}) || !slices.Equal(states, []State{Failed, Failed}) {
		t.Fatalf("it settles %v as %v", keys, states)
	}
	if d.Judge(step, []Told{{Task: 1, State: Running, Required: true}}, Condition{}) {
		t.Error("a task was judged by what was before")
	}
	d.JudgeAtOnce(map[Key][]Told{
		fold:    {{Ref: "a", Task: 1, Mode: whatever, State: Failed, Attempt: 3}, {Ref: "b", Task: 3, Mode: whatever, State: Completed}},
		step:    {{Ref: "a", Task: 1, Mode: whatever, State: Failed}},
		unknown: {{Ref: "c", Task: 2, Mode: whatever, State: Failed}}, // the store completes its error
	})
	if !slices.Equal(d.ToJudge, []Key{when, apart, unknown}) {
		t.Errorf("left to followups: %v", d.ToJudge)
	}
	end := d.Ended[len(d.Ended)-1]
	if d.Row(fold).State != Failed || end.Task != fold || end.Error != "a: boom" || end.Kind != KindInput {
		t.Errorf("the fold is %s, by %+v", d.Row(fold).State, end)
	}
	if d.Row(step).State != Ready || d.Row(apart).State != Waiting || d.Row(when).State != Waiting || d.Row(unknown).State != Waiting {
		t.Errorf("%s, %s, %s, %s", d.Row(step).State, d.Row(apart).State, d.Row(when).State, d.Row(unknown).State)
	}
}
