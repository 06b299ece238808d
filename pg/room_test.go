package pg

import (
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestGrants: what a try was granted is there for the next one, and no more is asked for.
func TestGrants(t *testing.T) {
	asked := int32(0)
	g := newGrants(func(_ int32, _ dag.Priority, n int32) bool { asked += n; return asked <= 10 })
	for _, try := range []struct {
		n, asked int32
		want     bool
	}{{4, 4, true}, {4, 4, true}, {0, 4, true}, {3, 4, true}, {6, 10, true}, {7, 10, true}} {
		g.again()
		if got := g.ask(1, 1, try.n); got != try.want || asked != try.asked {
			t.Fatalf("%d: got %t, %d were asked for in all; want %t and %d", try.n, got, asked, try.want, try.asked)
		}
	}
	if g.ask(1, 1, 5) || g.ask(1, 2, 1) {
		t.Error("more was granted than there is room")
	}
}
