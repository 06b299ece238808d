package coordinator

import (
	"fmt"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// TestLinesAreLookedAtAsFarAsThereIsRoom: as many tasks as keys were given back, and the next one; more where tasks have begun to wait, and more yet where all of these were passed.
func TestLinesAreLookedAtAsFarAsThereIsRoom(t *testing.T) {
	key := func(name string) dag.LimitKey { return dag.LimitKey{Namespace: 1, Kind: dag.KindLimit, Key: name} }
	pools := map[int32]capacity{1: {slots: 100, workers: 1}}
	g := newGranter(newLanes(256))
	expect := func(what string, want map[string]int) pg.GrantRound {
		t.Helper()
		r, none, _ := g.take(pools)
		got := map[string]int{}
		for i, k := range r.Keys {
			got[k.Key] = int(r.Heads[i])
		}
		if none != (len(want) == 0) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: looks at %v, want %v", what, got, want)
		}
		return r
	}
	many := slices.Repeat([]dag.LimitKey{key("many")}, 100)
	g.note([]dag.LimitKey{key("asked"), key("both")}, append(many, key("once"), key("twice"), key("both"), key("twice"), dag.PoolLimitKey(1)), nil)
	r := expect("after a transaction", map[string]int{"asked": pg.GrantHeads, "both": pg.GrantHeads, "many": pg.GrantHeads, "once": 2, "twice": 3})
	expect("once", nil)
	g.again(r)
	r = expect("after a round that failed", map[string]int{"asked": pg.GrantHeads, "both": pg.GrantHeads, "many": pg.GrantHeads, "once": 2, "twice": 3})
	g.took(r, pg.GrantResult{Deeper: map[dag.LimitKey]int{key("once"): 2, key("many"): pg.GrantHeads, key("end"): pg.MaxGrantHeads}})
	r = expect("where all were passed", map[string]int{"once": 16, "many": 8 * pg.GrantHeads})
	g.again(r)
	expect("after such a round that failed", map[string]int{"once": pg.GrantHeads, "many": pg.GrantHeads})
}

// TestGrantedAttemptsShareMessagesWhereSlotsAreFree: none waits in a worker's line with what it holds.
func TestGrantedAttemptsShareMessagesWhereSlotsAreFree(t *testing.T) {
	for name, tt := range map[string]struct {
		of           capacity
		n, unclaimed int
		want         int
	}{
		"most of the slots are free":        {capacity{slots: 4000, workers: 1, bundles: true}, 1000, 1000, mostBundled},
		"half of what there is":             {capacity{slots: 4000, workers: 1, bundles: true}, 20, 20, 10},
		"each worker gets some":             {capacity{slots: 4000, workers: 4, bundles: true}, 40, 40, 5},
		"a part of a worker's slots":        {capacity{slots: 64, workers: 2, bundles: true}, 32, 32, 4},
		"one at a time where slots are few": {capacity{slots: 16, workers: 4, bundles: true}, 8, 8, 1},
		"one at a time where many run":      {capacity{slots: 4000, workers: 1, held: 1900, bundles: true}, 200, 200, 1},
		"one where many are on their way":   {capacity{slots: 4000, workers: 1, bundles: true}, 200, 2001, 1},
		"a worker that takes none of them":  {capacity{slots: 4000, workers: 1}, 1000, 1000, 1},
		"no worker":                         {capacity{}, 1000, 1000, 1},
	} {
		l, id := quick(1e6, tt.of)
		if got := l.bundleGranted(id, tt.n, tt.unclaimed); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
	limited := func(flags dag.Flags, attempt int32) *pg.Work {
		return &pg.Work{Pool: 1, Priority: dag.Normal, Attempt: attempt, Run: 1, Flags: dag.FlagLimited | flags}
	}
	plain := &pg.Work{Pool: 1, Priority: dag.Normal, Attempt: 1, Run: 1}
	if n := adjacent([]*pg.Work{limited(0, 1), limited(0, 1), plain, plain}); n != 2 {
		t.Errorf("%d are of one kind, want 2", n)
	}
	if n := fits([]*pg.Work{limited(0, 1), limited(0, 1), limited(0, 1)}, 2); n != 2 {
		t.Errorf("%d share a message, want 2", n)
	}
	for _, alone := range []*pg.Work{limited(dag.FlagOnce, 1), limited(0, 2)} {
		if a, b := fits([]*pg.Work{limited(0, 1), alone}, 9), fits([]*pg.Work{alone, limited(0, 1)}, 9); a != 1 || b != 1 {
			t.Errorf("what must not start twice, or follows another attempt, shares a message: %d, %d", a, b)
		}
	}
}
