package pg

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestKeysAreNeededUntilTheTreeEnds: then coordinators drop them.
func TestKeysAreNeededUntilTheTreeEnds(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	one, two := h.begin("one"), h.begin("two")
	if run, err := h.s.KeyedRun(t.Context(), one.Key, 1, "w"); err != nil || run != nil {
		t.Errorf("a tree without a key: got %v, %v", run, err)
	}
	if done, _, err := h.s.Cancel(t.Context(), []dag.Key{one.Key.Tree().Key(0), one.Key.Tree().Key(1)}, "enough", nil); err != nil || len(done) == 0 {
		t.Fatal(done, err)
	}
	ended, err := h.s.EndedTrees(t.Context(), []int64{int64(one.Key.Tree()), int64(two.Key.Tree()), 1 << 30})
	if slices.Sort(ended); err != nil || !slices.Equal(ended, []int64{int64(one.Key.Tree()), 1 << 30}) {
		t.Errorf("of %d and %d have ended %v, %v", one.Key.Tree(), two.Key.Tree(), ended, err)
	}
}
