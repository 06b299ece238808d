package pg

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// TestWhyIsBounded explains the last of many that wait: one count is given up at its bound, and no table is scanned.
func TestWhyIsBounded(t *testing.T) {
	s, _ := openStore(t)
	pool, err := s.PoolID(t.Context(), "e")
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := s.pool.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("insert into task (key, state, flags, priority, pool, remaining) select 1 << 50 | g, 3, 0, 2, $1, 0 from generate_series(1, 60000) g", pool)
	exec("insert into published (pool, priority, first, n, attempt) select $1, 2, 1 << 50 | g, 1, 1 from generate_series(1, 60000) g", pool)
	submit := func(id string) {
		t.Helper()
		_, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, Submission{
			Known: func(string) bool { return true },
			Room:  func(int32, dag.Priority, int32) bool { return false },
			Tasks: func(yield func(*dag.Task, error) bool) {
				yield(&dag.Task{ID: id, Name: id, Executor: "e", Priority: dag.Normal}, nil)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		id, before string // what comes to wait before the task, in single runs
		n          int
		ahead      int
		more       bool
	}{
		{"first", "nothing but what was published last", 0, whyLate, false},
		{"second", "one, and 50 000 more", 50_000, whyLate + 50_001, false},
		{"third", "more than are counted", 60_000, whyLate + whyStretches + 1, true},
	} {
		exec("insert into ready (pool, priority, first, n, attempt) select $1, 2, 2::bigint << 50 | g, 1, 1 from generate_series(1, $2::integer) g", pool, step.n)
		submit(step.id)
		begun := time.Now()
		w, err := s.Why(t.Context(), dag.DefaultNamespaceKey, step.id, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if w.Place == nil || w.Place.Ahead != step.ahead || w.Place.More != step.more || w.Place.Sent != nil || w.Workers.Since != nil {
			t.Errorf("%s: got %+v, want %d ahead, more: %t", step.before, w.Place, step.ahead, step.more)
		}
		t.Logf("%s: %s", step.before, time.Since(begun))
	}
	if _, err := s.Why(t.Context(), dag.DefaultNamespaceKey, "nope", time.Second); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown task: got %v", err)
	}
	for statement, args := range map[string][]any{
		"WhyTask":         {"first", dag.DefaultNamespaceKey},
		"WhyDependencies": {dag.Key(1), 100},
		"WhyAhead":        {pool, 2, dag.Key(1), 1, whyLate, whyStretches},
	} {
		rows, err := s.pool.Query(t.Context(), "explain "+sql(statement), args...)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		for _, line := range plan {
			for _, table := range []string{"task", "spec", "attempt", "payload", "tree", "ready", "timer"} {
				if strings.Contains(line+" ", fmt.Sprintf("Seq Scan on %s ", table)) {
					t.Errorf("%s reads all of %s:\n%s", statement, table, strings.Join(plan, "\n"))
				}
			}
		}
	}
}
