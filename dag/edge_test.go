package dag

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// acceptLists are all lists that accept may be, and none.
func acceptLists() (lists [][]string) {
	words := Outcomes()
	for set := range 1 << len(words) {
		var list []string
		for i, word := range words {
			if set>>i&1 != 0 {
				list = append(list, word)
			}
		}
		lists = append(lists, list)
	}
	return append(lists, []string{AcceptAny})
}

// meant is what control 2 says of the outcome of a dependency, word by word: run, block or skip.
func meant(outcome string, required bool, accept []string, otherwise string) string {
	good := outcome == "success" || outcome == "skipped"
	accepted := slices.Contains(accept, outcome) || slices.Contains(accept, AcceptAny)
	if len(accept) == 0 {
		accepted = good || !required
	}
	switch {
	case accepted:
		return "run"
	case otherwise != "":
		return otherwise
	case good:
		return "skip"
	}
	return "block"
}

// TestEveryOutcomeByEveryEdge plays each pair of an outcome and an edge: an end that blocks does so at once, though another dependency has not ended; one
// that skips, when all have ended; and else the task runs.
func TestEveryOutcomeByEveryEdge(t *testing.T) {
	const task, first, second = Key(1), Key(2), Key(3)
	pairs := 0
	for _, outcome := range Outcomes() {
		state, _ := ParseOutcome(outcome)
		for _, accept := range acceptLists() {
			for _, otherwise := range []string{"", "block", "skip"} {
				for _, required := range []bool{true, false} {
					for _, order := range []bool{false, true} {
						pairs++
						mode, ok := EdgeOf(accept, otherwise, order, false)
						name := fmt.Sprintf("%s by accept %v otherwise %q required %t", outcome, accept, otherwise, required)
						if !ok {
							t.Fatalf("%s: no such mode", name)
						}
						want := meant(outcome, required, accept, otherwise)
						d := NewDecision(time.Unix(1, 0), nil)
						row := d.Add(Row{Key: task, State: Waiting, Attempt: 1, Remaining: 2, Flags: FlagJudged}, false)
						cause := first
						if state == Blocked {
							cause = 9
						}
						d.DependencyEnded(Dependent{Key: task, Required: required, Mode: mode}, state, cause)
						if got := Refusal(required, mode, state); got != map[string]string{"block": "block", "skip": "skip"}[want] {
							t.Errorf("%s: it is told as %q", name, got)
						}
						accepted := Accepted(required, mode)
						if got := slices.Contains(accepted, outcome) || slices.Equal(accepted, []string{AcceptAny}); got != (want == "run") {
							t.Errorf("%s: accepted are %v", name, accepted)
						}
						if want == "block" {
							if row.State != Blocked || row.BlockedBy != cause {
								t.Errorf("%s: got %s by %d, want it blocked by %d at once", name, row.State, row.BlockedBy, cause)
							}
							continue
						}
						if row.State != Waiting || row.Remaining != 1 || len(d.ToJudge) > 0 {
							t.Errorf("%s: got %s, waits for %d, before the other has ended", name, row.State, row.Remaining)
						}
						d.DependencyEnded(Dependent{Key: task, Required: true}, Completed, second)
						if row.State != Waiting || !slices.Equal(d.ToJudge, []Key{task}) {
							t.Errorf("%s: got %s, to judge %v", name, row.State, d.ToJudge)
						}
						told := []Told{{Ref: "a", Task: first, Required: required, Mode: mode, State: state, Cause: 9}, {Ref: "b", Task: second, Required: true, State: Completed}}
						if d.JudgeAtOnce(map[Key][]Told{task: told}); len(d.ToJudge) > 0 || row.State != map[string]State{"run": Ready, "skip": Skipped}[want] {
							t.Errorf("%s: judged %s, want %s", name, row.State, want)
						}
						if want == "skip" && SkipReason(d.Ended[0].Result) != SkipDependency+outcome {
							t.Errorf("%s: got %s", name, d.Ended[0].Result)
						}
					}
				}
			}
		}
	}
	if pairs != 5*33*3*2*2 {
		t.Errorf("%d pairs", pairs)
	}
}

// TestEdgesOfTheProtocol: a mode of none is what the protocol has, whatever is told by a followup or at once.
func TestEdgesOfTheProtocol(t *testing.T) {
	for _, s := range SettledStates.States() {
		for _, required := range []bool{true, false} {
			d := NewDecision(time.Unix(1, 0), nil)
			row := d.Add(Row{Key: 1, State: Waiting, Attempt: 1, Remaining: 1}, false)
			d.DependencyEnded(Dependent{Key: 1, Required: required}, s, 2)
			want := Ready
			if required && (s == Failed || s == Cancelled || s == Blocked) {
				want = Blocked
			}
			if row.State != want || len(d.ToJudge) > 0 {
				t.Errorf("%s, required %t: got %s, to judge %v, want %s", s, required, row.State, d.ToJudge, want)
			}
		}
	}
}

// TestWordsOfEdges: what is written is what is shown, and a word that does not exist is refused.
func TestWordsOfEdges(t *testing.T) {
	for _, accept := range acceptLists() {
		for _, otherwise := range []string{"", "block", "skip"} {
			for _, both := range []bool{false, true} {
				m, ok := EdgeOf(accept, otherwise, both, both)
				shown := accept
				if len(accept) == len(Outcomes()) { // all of them are any
					shown = []string{AcceptAny}
				}
				if !ok || !slices.Equal(m.Accept(), shown) || m.Otherwise() != otherwise || m.OrderOnly() != both || m.Skips() != both || m.Child() {
					t.Errorf("%v %q %t: got %v %q %t %t, %t", accept, otherwise, both, m.Accept(), m.Otherwise(), m.OrderOnly(), m.Skips(), ok)
				}
			}
		}
	}
	for _, wrong := range []struct{ accept, otherwise string }{{"completed", ""}, {"", "fail"}, {"Success", ""}, {"any ", ""}} {
		var accept []string
		if wrong.accept != "" {
			accept = []string{wrong.accept}
		}
		if m, ok := EdgeOf(accept, wrong.otherwise, false, false); ok {
			t.Errorf("%+v: got %b", wrong, m)
		}
	}
}

// TestWhatEndsGiveAnEdge: what depends on a gate accepts its success alone, unless the edge names outcomes or is optional; a fold accepts all.
func TestWhatEndsGiveAnEdge(t *testing.T) {
	const gate = FlagGroup | FlagWhen
	failed, _ := EdgeOf([]string{"failed"}, "", false, false)
	for name, tt := range map[string]struct {
		mode                  EdgeMode
		required              bool
		dependent, dependency Flags
		want                  string
	}{
		"a plain edge":                         {0, true, 0, 0, ""},
		"on a group":                           {0, true, 0, FlagGroup, ""},
		"on a task with a condition":           {0, true, 0, FlagWhen, ""},
		"on a gate":                            {0, true, 0, gate, "success"},
		"on a gate, with outcomes":             {failed, true, 0, gate, "failed"},
		"on a gate, optional":                  {0, false, 0, gate, ""},
		"of a fold":                            {0, true, FlagGroup | FlagFold, 0, "any"},
		"of a fold on a gate":                  {0, true, FlagGroup | FlagFold, gate, "any"},
		"of a fold on a gate, optional":        {0, false, FlagGroup | FlagFold, gate, "any"},
		"on a gate, order only":                {EdgeOrder, true, 0, gate, "success"},
		"on a gate that a gate depends on":     {0, true, gate, gate, "success"},
		"of a gate on a task that may fail":    {0, true, gate, FlagAllowed, ""},
		"of a gate, optional, on a plain task": {0, false, gate, 0, ""},
	} {
		if got := strings.Join(tt.mode.Completed(tt.required, tt.dependent, tt.dependency).Accept(), " "); got != tt.want {
			t.Errorf("%s: accepts %q, want %q", name, got, tt.want)
		}
	}
}

// TestWhoIsJudged: how dependencies have ended decides about folds, and about tasks whose edges ask for what the protocol's do not; about a task with a condition it does anyway.
func TestWhoIsJudged(t *testing.T) {
	failed, _ := EdgeOf([]string{"failed"}, "", false, false)
	success, _ := EdgeOf([]string{"success", "skipped"}, "", false, false)
	succeeded, _ := EdgeOf([]string{"success"}, "", false, false)
	for name, tt := range map[string]struct {
		flags Flags
		mode  EdgeMode
		want  bool
	}{
		"plain":                     {0, 0, false},
		"order only":                {0, EdgeOrder, false},
		"a handler":                 {0, failed, true},
		"otherwise":                 {0, EdgeSkip, true},
		"a fold":                    {FlagGroup | FlagFold, EdgeAny, true},
		"a condition":               {FlagWhen, failed, false},
		"it was judged, and is not": {FlagJudged, 0, false},

		"what the protocol has, spelt out":    {0, success | EdgeOrder, false},
		"it blocks, as it would anyway":       {0, success | EdgeBlock, false},
		"a skip of its dependency is refused": {0, succeeded, true},
	} {
		if got := Judged(tt.flags, []Dependent{{}, {Required: true, Mode: tt.mode}})&FlagJudged != 0; got != tt.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
