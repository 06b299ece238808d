package dag_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/taskgrove/taskgrove/dag"
)

// TestFactsComeBack: a row of what was packed has it, of a first attempt; of others nothing is said.
func TestFactsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flags := dag.Flags(rapid.Int32Min(0).Draw(t, "flags"))
		priority := dag.Priority(rapid.IntRange(0, dag.Priorities-1).Draw(t, "priority"))
		pool := rapid.Int32Range(1, 1<<30-1).Draw(t, "pool")
		r, ok := dag.FactsOf(1, flags, priority, pool).Row(key(3), 1, dag.Running, 9)
		want := dag.Row{Key: key(3), State: dag.Running, Flags: flags, Priority: priority, Pool: pool, Attempt: 1, Worker: 9}
		if !ok || r != want {
			t.Errorf("got %+v, %t, want %+v", r, ok, want)
		}
	})
	if r, ok := dag.FactsOf(1, dag.FlagGroup, 1, 0).Row(key(3), 1, dag.Waiting, 0); !ok || r.Flags != dag.FlagGroup || r.Pool != 0 {
		t.Errorf("a group has no pool: got %+v, %t", r, ok)
	}
	for name, f := range map[string]dag.Facts{
		"a second attempt": dag.FactsOf(2, 1, 1, 1), "no pool": dag.FactsOf(1, 1, 1, 0), "a pool of 31 bits": dag.FactsOf(1, 1, 1, 1<<30),
		"a priority that there is not": dag.FactsOf(1, 1, 4, 1), "flags that there can't be": dag.FactsOf(1, -1, 1, 1),
	} {
		if f != 0 {
			t.Errorf("%s: facts %x, want none", name, f)
		}
	}
	for name, f := range map[string]dag.Facts{"none": 0, "no pool": 1<<34 - 1, "flags that there can't be": 1<<34 | 1<<31} {
		if r, ok := f.Row(key(3), 1, dag.Ready, 0); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, ok := dag.FactsOf(1, 1, 1, 1).Row(key(3), 2, dag.Ready, 0); ok {
		t.Error("there is a row of a second attempt")
	}
}
