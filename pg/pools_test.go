package pg

import (
	"errors"
	"fmt"
	"testing"
)

func TestEnsurePoolsMakesAllOrNone(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	pools := func(from, n int) map[string]bool {
		names := map[string]bool{}
		for i := range n {
			names[fmt.Sprint("p", from+i)] = true
		}
		return names
	}
	count := func() int {
		t.Helper()
		all, err := s.Pools(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := count()
	room := MaxPools - before
	if err := s.EnsurePools(t.Context(), pools(0, room-1)); err != nil {
		t.Fatal(err)
	}
	if err := s.EnsurePools(t.Context(), pools(room-1, 2)); !errors.Is(err, ErrTooManyPools) {
		t.Errorf("one too many: got %v, want %v", err, ErrTooManyPools)
	}
	if got := count(); got != MaxPools-1 || s.HasPool(fmt.Sprint("p", room-1)) {
		t.Errorf("after one too many: got %d pools, want %d", got, MaxPools-1)
	}
	if err := s.EnsurePools(t.Context(), pools(0, room)); err != nil { // all but one are there
		t.Errorf("the last: got %v", err)
	}
	if got := count(); got != MaxPools {
		t.Errorf("got %d pools, want %d", got, MaxPools)
	}
}
