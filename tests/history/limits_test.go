package history_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

func TestCheckOfHeldKeys(t *testing.T) {
	one := func(cost int) []history.Held { return []history.Held{{Key: "limit k", Cost: cost, Max: 3}} }
	lock := func(token int64) []history.Held {
		return []history.Held{{Key: "lock l", Cost: 1, Max: 1, Token: token}}
	}
	for _, row := range []struct {
		fact   string
		rule   history.Rule // empty: nothing is wrong
		change func(h *history.History)
	}{
		{"as much as the key has", "", func(h *history.History) { h.Runs[0].Held, h.Runs[1].Held = one(1), one(2) }},
		{"more than that", history.Limits, func(h *history.History) { h.Runs[0].Held, h.Runs[1].Held = one(2), one(2) }},
		{"of two keys", "", func(h *history.History) {
			h.Runs[0].Held, h.Runs[1].Held = one(3), []history.Held{{Key: "limit other", Cost: 3, Max: 3}}
		}},
		{"without a max", "", func(h *history.History) {
			h.Runs[0].Held, h.Runs[1].Held = []history.Held{{Key: "k", Cost: 9}}, []history.Held{{Key: "k", Cost: 9}}
		}},
		{"what may run twice is not excused", history.Limits, func(h *history.History) {
			h.Runs[0].Held, h.Runs[1].Held, h.Runs[0].Repeatable = one(2), one(2), true
		}},
		{"nor what is cancelled and has not stopped", history.Limits, func(h *history.History) {
			h.Runs[0].Held, h.Runs[1].Held, h.Runs[0].Abandoned = one(2), one(2), true
		}},
		{"what stands still is", "", func(h *history.History) {
			h.Runs[0].Held, h.Runs[1].Held, h.Runs[0].Frozen, h.Runs[0].FrozenAt = one(2), one(2), true, 1
		}},
		{"but not before it did", history.Limits, func(h *history.History) {
			h.Runs[0].Held, h.Runs[1].Held, h.Runs[0].Frozen, h.Runs[0].FrozenAt = one(2), one(2), true, 3
		}},
		{"a lock is taken at once after it went back", "", func(h *history.History) { h.Runs[2].Held, h.Runs[3].Held = lock(1), lock(2) }},
		{"two hold a lock", history.Limits, func(h *history.History) { h.Runs[0].Held, h.Runs[1].Held = lock(1), lock(2) }},
		{"an older token", history.Fencing, func(h *history.History) { h.Runs[2].Held, h.Runs[3].Held = lock(2), lock(1) }},
		{"the same token", history.Fencing, func(h *history.History) { h.Runs[2].Held, h.Runs[3].Held = lock(2), lock(2) }},
		{"a token is refused", history.Fencing, func(h *history.History) { h.Runs[2].Held = lock(1); h.Runs[2].Held[0].Refused = true }},
		{"of a process that stood still", "", func(h *history.History) {
			h.Runs[2].Held, h.Runs[2].Frozen, h.Runs[2].FrozenAt = lock(1), true, 5
			h.Runs[2].Held[0].Refused = true
		}},
		{"one that starts late", "", func(h *history.History) {
			h.Runs[2].Held, h.Runs[3].Held, h.Runs[3].Frozen = lock(2), lock(1), true
		}},
	} {
		t.Run(row.fact, func(t *testing.T) {
			h := sound()
			row.change(&h)
			problems, _ := history.Check(h, []oracle.Tree{tree()})
			if row.rule == "" && len(problems) > 0 || row.rule != "" && len(problems) == 0 {
				t.Errorf("got %v, want %q", problems, row.rule)
			}
			for _, p := range problems {
				if p.Rule != row.rule {
					t.Errorf("got %v, want only %q", p, row.rule)
				}
			}
		})
	}
}
