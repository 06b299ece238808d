package pg

import (
	"errors"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// names are pools.
func poolNames(prefix string, from, n int) map[string]bool {
	names := map[string]bool{}
	for i := range n {
		names[fmt.Sprint(prefix, from+i)] = true
	}
	return names
}

func (h *poolStore) count() int {
	h.t.Helper()
	all, err := h.s.Pools(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return len(all)
}

type poolStore struct {
	t *testing.T
	s *Store
}

func newPoolStore(t *testing.T) *poolStore {
	s, _ := openStore(t)
	return &poolStore{t, s}
}

// open opens pools for a user's tree.
func (h *poolStore) open(user string, names map[string]bool) error {
	_, _, err := h.s.pools.ensure(h.t.Context(), names, &user)
	return err
}

// TestPoolsAreBounded: for each user, for all that no worker serves, and for all; a worker gets as many as there is room for.
func TestPoolsAreBounded(t *testing.T) {
	t.Parallel()
	h := newPoolStore(t)
	refused := func(fact string, err error) {
		t.Helper()
		if _, ok := errors.AsType[*PoolLimitError](err); !ok {
			t.Errorf("%s: got %v", fact, err)
		}
	}
	if err := h.open("a", poolNames("a", 0, maxUserUnserved)); err != nil {
		t.Fatal(err)
	}
	refused("one more of a user", h.open("a", poolNames("a", 0, maxUserUnserved+1)))
	if err := h.open("a", poolNames("a", 5, 20)); err != nil { // which are there
		t.Error(err)
	}
	for _, user := range []string{"b", "c", ""} {
		if err := h.open(user, poolNames("of"+user, 0, maxUserUnserved)); err != nil {
			t.Fatal(err)
		}
	}
	refused("one more that nobody serves", h.open("d", poolNames("d", 0, 1)))
	left, err := h.s.ServePools(t.Context(), poolNames("w", 0, 64))
	if err != nil || len(left) != 0 {
		t.Errorf("a worker's: %v, %v", left, err)
	}
	room := MaxPools - h.count()
	left, err = h.s.ServePools(t.Context(), poolNames("x", 100, room+2))
	if err != nil || len(left) != 2 || h.count() != MaxPools {
		t.Errorf("%d of two too many are refused, %v; there are %d pools", len(left), err, h.count())
	}
	if err := h.s.MarkServed(t.Context(), []string{"a0", "a1"}); err != nil {
		t.Fatal(err)
	}
	refused("one more than there is room for", h.open("a", poolNames("n", 0, 1)))
}

func TestATreeNamesSoManyPools(t *testing.T) {
	t.Parallel()
	h := newPoolStore(t)
	tree := func(prefix string, n int) Submission {
		tasks := []*dag.Task{{ID: prefix, Name: prefix, Executor: "e", Pool: prefix + "-0"}}
		for i := range n - 1 {
			tasks = append(tasks, &dag.Task{ID: fmt.Sprint(prefix, i), Name: "t", ParentRef: prefix, Executor: "e", Pool: fmt.Sprint(prefix, "-", i+1)})
		}
		return treeOf(tasks...)
	}
	if _, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, tree("most", MaxTreePools)); err != nil {
		t.Errorf("as many as it may: %v", err)
	}
	before := h.count()
	_, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, tree("more", MaxTreePools+1))
	if _, ok := errors.AsType[*PoolLimitError](err); !ok || h.count() != before {
		t.Errorf("one more: got %v, and %d pools more", err, h.count()-before)
	}
}
