package dag

import (
	"fmt"
	"strings"
	"testing"
)

// TestPlanExecutionOfFound: 0 depends on 1, which may have 2 as it will. 1 has found 3, 4 and 5, of which 5 depends on 4; 4 has found 6 and 7. The states are in this
// order, each by its first letter, x for expanded; then what is asked for.
func TestPlanExecutionOfFound(t *testing.T) {
	letters := map[byte]State{'c': Completed, 'f': Failed, 'b': Blocked, 'x': Expanded, 'r': Running, 's': Skipped, 'k': Cancelled, 'w': Waiting}
	deps := func(i int) []Edge {
		return [][]Edge{{{Task: 1, Required: true}}, {{Task: 2}, {Task: 3, Mode: ChildEdge}, {Task: 4, Mode: ChildEdge}, {Task: 5, Mode: ChildEdge}}, nil, nil,
			{{Task: 6, Mode: ChildEdge}, {Task: 7, Mode: ChildEdge}}, {{Task: 4, Required: true}}, nil, nil}[i]
	}
	const unmade = 9 // of 1
	for _, tt := range []struct {
		fact, states string
		target       int
		opts         ExecutionOptions
		change       func(nodes []Node)
		want         string // restarts, then what is discarded
	}{
		{fact: "the failed one waits for what failed", states: "bfcfccc" + "c", want: "0:waiting/1(1) 1:expanded/2(1) 3:ready/2"},
		{fact: "and for what is blocked of it", states: "bfccfbfc", want: "0:waiting/1(1) 1:expanded/2(2) 4:expanded/2(1) 5:waiting/1(1) 6:ready/2"},
		{fact: "and for what was cancelled of it", states: "bfckcccc", want: "0:waiting/1(1) 1:expanded/2(1) 3:ready/2"},
		{fact: "and for what is not made", states: "bfcccccc", change: func(n []Node) { n[1].Unmade = unmade }, want: "0:waiting/1(1) 1:expanded/2(9)"},
		{fact: "with nothing to wait for, it ends anew", states: "bfcccccc", want: "0:waiting/1(1) 1:expanded/2(0)"},
		{fact: "asked for by itself", states: "bfcfcccc", target: 1, want: "1:expanded/2(1) 3:ready/2"},
		{fact: "force discards", states: "bfcfcccc", target: 1, opts: ExecutionOptions{Force: true}, want: "1:ready/2 -1 -4"},
		{fact: "force discards all of a tree", states: "cccccccc", opts: ExecutionOptions{Force: true}, want: "0:waiting/2(1) 1:waiting/2(1) 2:ready/2 -1 -4"},
		{fact: "force of one that was found", states: "bfcccccc", target: 4, opts: ExecutionOptions{Force: true}, want: "1:expanded/2(2) 4:ready/2 5:waiting/2(1) -4"},
		{fact: "what it depends on runs again: it finds anew", states: "bffcfbfc", want: "0:waiting/1(1) 1:waiting/2(1) 2:ready/2 -1 -4"},
		{fact: "unless what has completed is kept", states: "bffcfbfc", opts: ExecutionOptions{KeepCompleted: true}, want: "0:waiting/1(1) 1:expanded/2(2) 2:ready/2 4:expanded/2(1) 5:waiting/1(1) 6:ready/2"},
		{fact: "a completed one finds anew, too", states: "ccfccccc", want: "0:waiting/2(1) 1:waiting/2(1) 2:ready/2 -1 -4"},
		{fact: "and is kept", states: "ccfccccc", opts: ExecutionOptions{KeepCompleted: true}, want: "2:ready/2"},
		{fact: "so is one that skipped itself", states: "csfccccc", opts: ExecutionOptions{KeepCompleted: true}, change: func(n []Node) { n[1].Stays = true }, want: "2:ready/2"},
		{fact: "as a dependency that runs again, it finds anew", states: "fccccccc", opts: ExecutionOptions{RerunDependencies: true}, want: "0:waiting/2(1) 1:waiting/2(1) 2:ready/2 -1 -4"},
		{fact: "a completed one is left alone with the failures that it allows", states: "fccfccff", want: "0:ready/2"},
		{fact: "a cancelled one is left alone", states: "bkcfkbkk", want: "1 was cancelled"},
		{fact: "unless that is asked for", states: "bkcfkbkk", opts: ExecutionOptions{RerunCancelled: true}, want: "0:waiting/1(1) 1:expanded/2(3) 3:ready/2 4:expanded/2(2) 5:waiting/1(1) 6:ready/2 7:ready/2"},
		{fact: "it is being cancelled: what it found will be", states: "bkcfxwrk", opts: ExecutionOptions{RerunCancelled: true}, want: "untold"},
		{fact: "one that was found, and what depends on it", states: "bfcffbfc", target: 4, want: "1:expanded/2(2) 4:expanded/2(1) 5:waiting/1(1) 6:ready/2"},
		{fact: "one deeper", states: "bfcffbff", target: 6, want: "1:expanded/2(2) 4:expanded/2(1) 5:waiting/1(1) 6:ready/2"},
		{fact: "a blocked one brings what it depends on", states: "bfccfbfc", target: 5, want: "1:expanded/2(2) 4:expanded/2(1) 5:waiting/1(1) 6:ready/2"},
		{fact: "below one that goes on", states: "wxcfcccc", target: 3, want: "busy"},
		{fact: "somebody who depends on it is under way", states: "wccfcccc", target: 3, want: "busy"},
		{fact: "below a cancelled one", states: "bkcfkbkk", target: 3, want: "1 was cancelled"},
		{fact: "an end that it was not told yet", states: "bfcfcccc", target: 3, change: func(n []Node) { n[4].Untold = true }, want: "untold"},
		{fact: "one that has not stopped is discarded later", states: "bfckcccc", target: 1, opts: ExecutionOptions{Force: true}, change: func(n []Node) { n[3].Open = true }, want: "stopping"},
		{fact: "what was not made whole is found anew", states: "bkckkkkk", opts: ExecutionOptions{RerunCancelled: true}, change: func(n []Node) { n[1].Resumes = false }, want: "0:waiting/1(1) 1:ready/2 -1 -4"},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			nodes := make([]Node, len(tt.states))
			for i := range nodes {
				nodes[i] = Node{State: letters[tt.states[i]], Attempt: 1, Found: i == 1 || i == 4, Resumes: i == 1 || i == 4}
				switch {
				case i >= 6:
					nodes[i].By = 5
				case i >= 3:
					nodes[i].By = 2
				}
			}
			if tt.change != nil {
				tt.change(nodes)
			}
			plan := PlanExecution(nodes, deps, tt.target, tt.target == 0, tt.opts)
			var got []string
			switch {
			case plan.Busy >= 0:
				got = append(got, "busy")
			case plan.Stopping >= 0:
				got = append(got, "stopping")
			case plan.Untold >= 0:
				got = append(got, "untold")
			case plan.Cancelled >= 0:
				got = append(got, fmt.Sprintf("%d was cancelled", plan.Cancelled))
			}
			for _, r := range plan.Restarts {
				word := fmt.Sprintf("%d:%s/%d", r.Index, r.State, r.Attempt)
				if r.State != Ready {
					word += fmt.Sprintf("(%d)", r.Remaining)
				}
				got = append(got, word)
			}
			for _, i := range plan.Discards {
				got = append(got, fmt.Sprint(-i))
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
		})
	}
}
