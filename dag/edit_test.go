package dag

import (
	"testing"
	"time"
)

// TestWhatAnEditDidNotForesee: a task that got blocked between the look and the locks makes the edit look anew, as the rows of what it waits for
// are missing.
func TestWhatAnEditDidNotForesee(t *testing.T) {
	t.Parallel()
	d := NewDecision(time.Unix(1, 0), nil)
	d.Add(Row{Key: 1, State: Blocked, BlockedBy: 9}, false)
	d.Add(Row{Key: 2, State: Blocked, BlockedBy: 9}, false)
	d.Add(Row{Key: 3, State: Completed}, false)
	for fact, tt := range map[string]struct {
		second State
		want   bool
	}{"both were blocked": {Blocked, true}, "the second waited": {Waiting, false}, "the second was held": {Held, false}} {
		seen := map[Key]State{1: Blocked, 2: tt.second, 3: Waiting}
		if got := d.Foreseen(func(k Key) State { return seen[k] }); got != tt.want {
			t.Errorf("%s: got %t", fact, got)
		}
	}
}
