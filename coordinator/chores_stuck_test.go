package coordinator

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestAuditorMissesAChoreThatStandsStill: one that moves is none; one that was not there before is none.
func TestAuditorMissesAChoreThatStandsStill(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	if err := pg.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	store, err := pg.Open(t.Context(), pg.Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the test ends
	a := &auditor{Coordinator: &Coordinator{engine: &engine{cfg: Config{Stuck: time.Nanosecond}, store: store}}}
	for _, step := range []struct {
		fact, sql string
		late      int
	}{
		{"two are new", "insert into followup (kind, task) values (1, 16777216), (2, 16777217)", 0},
		{"one has moved", "update followup set cursor = 7 where kind = 1", 1},
		{"both stand still", "", 2},
		{"one is done", "delete from followup where kind = 2", 1},
	} {
		if _, err := conn.Exec(t.Context(), step.sql); err != nil {
			t.Fatal(err)
		}
		late, err := a.lateFollowups(t.Context())
		if err != nil || len(late) != step.late {
			t.Errorf("%s: %v, %v; want %d", step.fact, late, err, step.late)
		}
	}
}

// TestOneAuditorAtATime: a turn is nobody else's until it ends.
func TestOneAuditorAtATime(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	if err := pg.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	store, err := pg.Open(t.Context(), pg.Config{URL: url, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	first, err := store.TakeAuditTurn(t.Context())
	if err != nil || first == nil {
		t.Fatal("nobody had it:", err)
	}
	if second, err := store.TakeAuditTurn(t.Context()); second != nil || err != nil {
		t.Error("two have it:", err)
	}
	if err := first.Keep(t.Context()); err != nil {
		t.Error(err)
	}
	first.End()
	again, err := store.TakeAuditTurn(t.Context())
	if err != nil || again == nil {
		t.Fatal("nobody has it any more:", err)
	}
	again.End()
}
