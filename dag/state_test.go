package dag_test

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestSetsOfStates says in plain lists what the sets are; stores list them in what they ask.
func TestSetsOfStates(t *testing.T) {
	for _, row := range []struct {
		name string
		set  dag.StateSet
		want []dag.State
	}{
		{"all", dag.AllStates, []dag.State{dag.Held, dag.Waiting, dag.Delayed, dag.Ready, dag.Running, dag.Blocked, dag.Completed, dag.Failed, dag.Cancelled, dag.Skipped, dag.Expanded, dag.Awaiting}},
		{"unfinished", dag.UnfinishedStates, []dag.State{dag.Waiting, dag.Delayed, dag.Ready, dag.Running, dag.Expanded, dag.Awaiting}},
		{"settled", dag.SettledStates, []dag.State{dag.Blocked, dag.Completed, dag.Failed, dag.Cancelled, dag.Skipped}},
		{"unsettled", dag.UnsettledStates, []dag.State{dag.Held, dag.Waiting, dag.Delayed, dag.Ready, dag.Running, dag.Expanded, dag.Awaiting}},
		{"unsuccessful", dag.UnsuccessfulStates, []dag.State{dag.Blocked, dag.Failed, dag.Cancelled}},
		{"with an outcome", dag.OutcomeStates, []dag.State{dag.Completed, dag.Failed, dag.Cancelled, dag.Skipped}},
		{"cancellable", dag.CancellableStates, []dag.State{dag.Held, dag.Waiting, dag.Delayed, dag.Ready, dag.Running, dag.Blocked, dag.Expanded, dag.Awaiting}},
	} {
		if got := row.set.States(); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

// TestStatesThatThereAreNot: a number that no state has is in no set, and no move leads to it or from it.
func TestStatesThatThereAreNot(t *testing.T) {
	for _, s := range []dag.State{-1, 12, 15, 16, 100} {
		if dag.AllStates.Has(s) || s.Settled() || s.Unfinished() || dag.CanMove(s, dag.Ready) || dag.CanMove(dag.Ready, s) {
			t.Errorf("%d is taken for a state", s)
		}
	}
}
