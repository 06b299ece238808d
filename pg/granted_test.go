package pg

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestGrantedStretches: what was granted is joined to stretches of adjacent tasks of one tree, pool, priority and attempt, in whatever order it was granted.
func TestGrantedStretches(t *testing.T) {
	t.Parallel()
	task := func(tree dag.TreeKey, index int, pool int32, p dag.Priority, attempt int32) dag.Granted {
		return dag.Granted{Waiter: &dag.Waiter{Task: tree.Key(index), Pool: pool, Priority: p, Attempt: attempt}}
	}
	granted := []dag.Granted{task(2, 1, 1, dag.Normal, 1), task(1, 3, 1, dag.Normal, 1), task(1, 1, 1, dag.Normal, 1), task(1, 2, 1, dag.Normal, 1),
		task(1, 4, 1, dag.Normal, 2), task(1, 5, 1, dag.Low, 2), task(1, 6, 2, dag.Low, 2), task(1, 8, 2, dag.Low, 2)}
	first := slices.Clone(granted)
	want := []Stretch{
		{Pool: 1, Priority: dag.Normal, First: dag.TreeKey(1).Key(1), N: 3, Attempt: 1}, {Pool: 1, Priority: dag.Normal, First: dag.TreeKey(1).Key(4), N: 1, Attempt: 2},
		{Pool: 1, Priority: dag.Low, First: dag.TreeKey(1).Key(5), N: 1, Attempt: 2}, {Pool: 2, Priority: dag.Low, First: dag.TreeKey(1).Key(6), N: 1, Attempt: 2},
		{Pool: 2, Priority: dag.Low, First: dag.TreeKey(1).Key(8), N: 1, Attempt: 2}, {Pool: 1, Priority: dag.Normal, First: dag.TreeKey(2).Key(1), N: 1, Attempt: 1},
	}
	if got := grantedStretches(granted); !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for i := range granted {
		if granted[i].Task != first[i].Task {
			t.Fatal("the order in which tasks were granted is lost")
		}
	}
}
