package demand_test

import (
	"maps"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/demand"
)

func TestRunning(t *testing.T) {
	t.Parallel()
	k := func(tree, i int) dag.Key { return dag.TreeKey(tree).Key(i) }
	run := func(key dag.Key, pool int32) demand.Seen {
		return demand.Seen{Key: key, Pool: pool, State: dag.Running, Open: true}
	}
	ended := func(key dag.Key, pool int32, state dag.State) demand.Seen {
		return demand.Seen{Key: key, Pool: pool, State: state}
	}
	for fact, tt := range map[string]struct {
		seen          []demand.Seen
		trees         map[dag.TreeKey]demand.Tree
		running, sent map[int32]int
	}{
		"nothing":                               {nil, nil, nil, nil},
		"what runs":                             {[]demand.Seen{run(k(1, 1), 1), run(k(1, 2), 2)}, map[dag.TreeKey]demand.Tree{1: {Running: 2}}, map[int32]int{1: 1, 2: 1}, nil},
		"what was sent":                         {[]demand.Seen{{Key: k(1, 1), Pool: 1, State: dag.Ready, Sent: true}}, map[dag.TreeKey]demand.Tree{1: {}}, nil, map[int32]int{1: 1}},
		"an older attempt":                      {[]demand.Seen{{Key: k(1, 1), Pool: 1, State: dag.Ready}}, map[dag.TreeKey]demand.Tree{1: {}}, nil, nil},
		"a cancelled tree":                      {[]demand.Seen{run(k(1, 1), 1), {Key: k(1, 2), Pool: 1, State: dag.Ready, Sent: true}}, map[dag.TreeKey]demand.Tree{1: {Running: 1, Cancelled: true}}, nil, nil},
		"a tree that is gone":                   {[]demand.Seen{run(k(1, 1), 1)}, nil, nil, nil},
		"a cancelled task that has not stopped": {[]demand.Seen{{Key: k(1, 1), Pool: 1, State: dag.Cancelled, Open: true}}, map[dag.TreeKey]demand.Tree{1: {Running: 1}}, nil, nil},
		"a worker that drains":                  {[]demand.Seen{{Key: k(1, 1), Pool: 1, State: dag.Running, Open: true, Draining: true}}, map[dag.TreeKey]demand.Tree{1: {Running: 1, Pools: []int32{1}}}, nil, nil},
		"one that goes on unheard where its last has ended": {[]demand.Seen{ended(k(1, 1), 2, dag.Completed)}, map[dag.TreeKey]demand.Tree{1: {Running: 1, Pools: []int32{1, 2}}}, map[int32]int{2: 1}, nil},
		"no more than the tree has": {[]demand.Seen{ended(k(1, 1), 2, dag.Completed), ended(k(1, 2), 2, dag.Failed), run(k(1, 3), 1)},
			map[dag.TreeKey]demand.Tree{1: {Running: 2}}, map[int32]int{1: 1, 2: 1}, nil},
		"what has ended":        {[]demand.Seen{ended(k(1, 1), 2, dag.Completed)}, map[dag.TreeKey]demand.Tree{1: {}}, nil, nil},
		"a tree of one pool":    {[]demand.Seen{run(k(1, 3), 1)}, map[dag.TreeKey]demand.Tree{1: {Running: 5, Pools: []int32{1}}}, map[int32]int{1: 5}, nil},
		"where nobody can tell": {[]demand.Seen{run(k(1, 3), 1)}, map[dag.TreeKey]demand.Tree{1: {Running: 5, Pools: []int32{1, 2}}}, map[int32]int{1: 1}, nil},
	} {
		running, sent := demand.Running(tt.seen, tt.trees)
		if !maps.Equal(running, tt.running) || !maps.Equal(sent, tt.sent) {
			t.Errorf("%s: got %v and %v, want %v and %v", fact, running, sent, tt.running, tt.sent)
		}
	}
}

func TestLasting(t *testing.T) {
	t.Parallel()
	l := demand.NewLasting()
	near := func(fact string, got time.Duration, ok bool, want time.Duration) {
		t.Helper()
		if !ok || got < want*3/4 || got > want*3/2 {
			t.Errorf("%s: got %s, %t, want about %s", fact, got, ok, want)
		}
	}
	l.Learn(1, time.Second)
	l.Learn(1, time.Second)
	if got, ok := l.Left(1, 0); ok {
		t.Errorf("after two: got %s", got)
	}
	l.Learn(1, time.Second)
	got, ok := l.Left(1, 0)
	near("all alike", got, ok, time.Second)
	if got, ok := l.Left(1, 5*time.Second); ok {
		t.Errorf("longer than any: got %s", got)
	}
	if got, ok := l.Left(2, 0); ok {
		t.Errorf("another pool: got %s", got)
	}
	for range 100 {
		l.Learn(3, 100*time.Millisecond)
	}
	for range 20 {
		l.Learn(3, 60*time.Second)
	}
	got, ok = l.Left(3, 0)
	near("most are short", got, ok, 100*time.Millisecond)
	got, ok = l.Left(3, 10*time.Second)
	near("one that is not", got, ok, 50*time.Second)
	for range 4000 {
		l.Learn(1, time.Minute)
	}
	got, ok = l.Left(1, 0)
	near("they have become longer", got, ok, time.Minute)
	for range 4000 {
		l.Learn(1, time.Millisecond)
	}
	if got, ok := l.Left(1, 2*time.Minute); ok {
		t.Errorf("old ones are forgotten: got %s", got)
	}
	for _, d := range []time.Duration{0, -1, time.Nanosecond, 1 << 62} {
		l.Learn(4, d)
		if got, _ := l.Left(4, 0); got < 0 {
			t.Errorf("%d: got %s", d, got)
		}
	}
	for pool := range int32(5000) {
		l.Learn(pool, time.Second)
	}
}
