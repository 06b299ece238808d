package pg

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestLostMessageIsFoundWhileItsLaneIsBusy: a run counts from when it was published, however often it was looked at, so
// that its messages are missed as soon as all that its lane holds is younger.
func TestLostMessageIsFoundWhileItsLaneIsBusy(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Submit(t.Context(), Submission{
		Known: func(string) bool { return true },
		Room:  func(int32, dag.Priority, int32) bool { return true },
		Tasks: func(yield func(*dag.Task, error) bool) { yield(&dag.Task{ID: "a", Name: "a", Executor: "e"}, nil) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "update published set at = now() - interval '1 minute', sent = now() - interval '1 minute'"); err != nil {
		t.Fatal(err)
	}
	for _, look := range []struct {
		fact   string
		oldest time.Time
		known  bool
		again  int
	}{
		{"NATS is away", time.Time{}, false, 0},
		{"something older lies there", time.Now().Add(-2 * time.Minute), true, 0},
		{"all that lies there is younger", time.Now().Add(-30 * time.Second), true, 1},
		{"it was published again just now", time.Now().Add(-30 * time.Second), true, 0},
		{"nothing lies there", time.Time{}, true, 1},
	} {
		again, looked, err := s.ReconcilePublished(t.Context(), 0, 10, func(Lane) (time.Time, bool) { return look.oldest, look.known })
		if err != nil || looked != 1 || len(again) != look.again {
			t.Errorf("%s: %d of %d published again, %v; want %d of 1", look.fact, len(again), looked, err, look.again)
		}
	}
}
