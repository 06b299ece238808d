package pg

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestAWorkersLine: a worker shows how many of its attempts wait for a slot, and never more than it has, which an older coordinator's
// record of its next beat or of its end would make it.
func TestAWorkersLine(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	exec := func(statement string) {
		t.Helper()
		if _, err := s.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	number := int64(0)
	beat := func(inLine int, attempts ...dag.Key) func() {
		return func() {
			t.Helper()
			number++
			b := Beat{Instance: "i", ID: "w", State: WorkerAlive, Number: number, Level: 9, Attempts: attempts, InLine: inLine}
			if keys, err := s.ExtendLeases(t.Context(), []Beat{b}, time.Hour); err != nil || len(keys) != 1 {
				t.Fatal(keys, err)
			}
		}
	}
	for _, step := range []struct {
		fact           string
		do             func()
		inHand, inLine int
	}{
		{"its first beat", beat(2, 1, 2, 3), 3, 2},
		{"another beat", beat(1, 1, 2, 3, 4), 4, 1},
		{"the line is empty", beat(0, 1), 1, 0},
		{"it is long", beat(5, 1, 2, 3, 4, 5, 6), 6, 5},
		{"an older coordinator has the next beat", func() { exec("update worker set beat = beat + 1, attempts = '{7,8}'") }, 2, 2},
		{"an older coordinator takes its attempts back", func() { exec("update worker set state = 4, attempts = '{-1}'") }, 0, 0},
	} {
		step.do()
		list, err := s.ListWorkers(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if got := list[0]; got.Attempts != step.inHand || got.InLine != step.inLine {
			t.Errorf("%s: got %d in hand, %d of them in line; want %d and %d", step.fact, got.Attempts, got.InLine, step.inHand, step.inLine)
		}
	}
}
