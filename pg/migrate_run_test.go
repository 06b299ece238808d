package pg

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// Processes migrate together, and each is interrupted again and again: every migration is made once, in its order.
func TestMigrationsThatAreInterruptedAreMadeOnce(t *testing.T) {
	cfg := Config{URL: pgtest.Database(t)}
	var mu sync.Mutex
	var made []string
	var processes sync.WaitGroup
	for range 3 {
		processes.Go(func() {
			for n := 0; ; n++ {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+rand.IntN(100)+100*n)*time.Millisecond)
				err := cfg.Migrate(ctx, func(m Migration) {
					mu.Lock()
					defer mu.Unlock()
					made = append(made, m.Name)
				})
				interrupted := ctx.Err() != nil
				cancel()
				if err == nil {
					return
				}
				if !interrupted {
					t.Errorf("migrate: got %v", err)
					return
				}
			}
		})
	}
	processes.Wait()
	state, err := cfg.Schema(t.Context())
	if err != nil || state.Check() != nil || len(state.Unknown) > 0 || state.Newest != migrationNames()[len(migrationNames())-1] {
		t.Errorf("schema: got %+v, %v, want all migrations", state, err)
	}
	// a process that is interrupted after its commit does not tell of it, so some may be missing here, and none is twice
	slices.Sort(made)
	if twice := slices.Compact(slices.Clone(made)); len(twice) != len(made) {
		t.Errorf("made: got %v, want each at most once", made)
	}
}

// What a migration waits for does not hold up those who came after it, and it is made as soon as it can be.
func TestAMigrationLetsOthersPass(t *testing.T) {
	cfg := Config{URL: pgtest.Database(t)}
	if err := cfg.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	const last = "0011_faults"
	for _, statement := range []string{
		"alter table worker drop column faults", "delete from migration where name = '0011_faults.sql'", // as if it had not been made
		"begin", "lock table worker in access share mode",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if state, err := cfg.Schema(t.Context()); err != nil || !slices.Equal(state.Pending, []string{last}) {
		t.Fatalf("schema: got %+v, %v, want %s to be missing", state, err, last)
	} else if pending, ok := errors.AsType[*PendingError](state.Check()); !ok || !strings.Contains(pending.Error(), last) {
		t.Errorf("check: got %v", state.Check())
	}
	waited := make(chan error, 1)
	var told []Migration
	err = cfg.Migrate(t.Context(), func(m Migration) {
		if m.Waits == nil {
			told = append(told, m)
			return
		}
		select {
		case waited <- m.Waits:
			if _, err := conn.Exec(t.Context(), "commit"); err != nil {
				t.Error(err)
			}
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waited:
		if !gaveUp(err) {
			t.Errorf("waited: got %v, want a lock", err)
		}
	default:
		t.Error("it did not tell that it waits")
	}
	if len(told) != 1 || told[0].Name != last || told[0].Took <= 0 {
		t.Errorf("told: got %+v, want %s once", told, last)
	}
}

// A newer version has migrated the database: this one has nothing to do, and can tell.
func TestANewerSchemaIsLeftAlone(t *testing.T) {
	cfg := Config{URL: pgtest.Database(t)}
	if err := cfg.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "insert into migration (name) values ('9999_future.sql')"); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Migrate(t.Context(), func(m Migration) { t.Errorf("told: %+v", m) }); err != nil {
		t.Error(err)
	}
	if state, err := cfg.Schema(t.Context()); err != nil || state.Check() != nil || !slices.Equal(state.Unknown, []string{"9999_future"}) {
		t.Errorf("schema: got %+v, %v", state, err)
	}
}
