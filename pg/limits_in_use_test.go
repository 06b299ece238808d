package pg

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestWhatLimitsHoldBackIsCounted: for metrics, by kind, each task once, whatever the namespace of a key.
func TestWhatLimitsHoldBackIsCounted(t *testing.T) {
	t.Parallel()
	both := &dag.Limiting{Limits: []dag.Limit{{Key: "k", Max: 1}, {Key: "l", Max: 9}}, Lock: &dag.Lock{Key: "x"}}
	rated := &dag.Limiting{Rates: []dag.Rate{{Key: "r", Max: 1, Per: time.Hour}}}
	l := newLimitedTree(t, both, both, both, rated, rated)
	if n, err := l.LimitsInUse(t.Context()); err != nil || len(n.Waiting)+len(n.Held) > 0 {
		t.Fatalf("counted %v before anything ran (%v)", n, err)
	}
	l.execute()
	if got := l.grantAll(10); len(got) != 2 {
		t.Fatalf("granted %v, want one of the limited and one of those with a rate", got)
	}
	for _, text := range []string{"insert into hold (task, ord, attempt, namespace, kind, key, cost, id) values (1, 0, 1, 0, 4, '1', 1, 0), (2, 0, 1, 9, 1, 'k', 1, 0)",
		"insert into waiter (namespace, kind, key, priority, id, task, attempt, n, cost, pool, share) values (9, 1, 'k', 2, 0, 2, 1, 1, 1, 1, 0)"} {
		if _, err := l.conns().Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	n, err := l.LimitsInUse(t.Context())
	waiting, held := map[dag.LimitKind]int64{dag.KindLimit: 3, dag.KindLock: 2, dag.KindRate: 1}, map[dag.LimitKind]int64{dag.KindLimit: 3, dag.KindLock: 1, dag.KindPool: 1}
	for kind := dag.KindLimit; kind <= dag.KindUser; kind++ {
		if err != nil || n.Waiting[kind] != waiting[kind] || n.Held[kind] != held[kind] {
			t.Errorf("kind %d: %d wait and %d are held, want %d and %d (%v)", kind, n.Waiting[kind], n.Held[kind], waiting[kind], held[kind], err)
		}
	}
}
