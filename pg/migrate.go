package pg

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is the advisory lock that migrations are run under; any constant will do, if only nobody else uses it.
const migrationLock = 0x7461736b67 // "taskg"

// lockPatience is how long a migration waits for a table: those behind it in the queue wait as long, too. Then it lets them pass and
// tries again after lockPause.
const (
	lockPatience = 3 * time.Second
	lockPause    = 2 * time.Second
)

// Migration is what [Config.Migrate] tells of one.
type Migration struct {
	Name string        // 0042_thing
	Took time.Duration // of a migration that was made
	// Waits is why it was not made and is tried again, such as a long transaction that holds one of its tables; nil: it was made.
	Waits error
}

// Migrate brings the database at url to the newest schema. Forward only; safe from several processes at once, through a pooler
// too: each migration is a transaction of its own, and one process migrates while the others wait. A database that has them all
// is only read.
func Migrate(ctx context.Context, url string) error { return Config{URL: url}.Migrate(ctx, nil) }

// Migrate is [Migrate] of the configuration's database. It calls told, unless that is nil, with each migration that it has made, and with
// each that has to wait for a table.
func (cfg Config) Migrate(ctx context.Context, told func(Migration)) error {
	if told == nil {
		told = func(Migration) {}
	}
	err := cfg.migrator(ctx, func(m migrator) error {
		state, err := m.schema(ctx)
		if err != nil {
			return checkPooler(err, PoolerUnknown)
		}
		for _, name := range state.Pending {
			if err := m.patiently(ctx, name, told); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Schema is how far the migrations of a database are.
type Schema struct {
	Newest  string   // the newest migration of this version
	Pending []string // migrations of this version that the database lacks, in their order
	Unknown []string // migrations that the database has and this version does not know: a newer version made them
}

// Schema reads how far the migrations are. It changes nothing.
func (cfg Config) Schema(ctx context.Context) (state Schema, err error) {
	err = cfg.migrator(ctx, func(m migrator) error {
		state, err = m.schema(ctx)
		return checkPooler(err, PoolerUnknown)
	})
	if err != nil {
		return state, fmt.Errorf("read which migrations there are: %w", err)
	}
	return state, nil
}

// PendingError says that the database lacks migrations. Its text is for operators.
type PendingError struct{ Schema }

// Error says what makes them.
func (e *PendingError) Error() string {
	return fmt.Sprintf("the database lacks %d migrations of this version, from %s to %s: run \"taskgrove migrate\", or start a coordinator with TASKGROVE_MIGRATE=true",
		len(e.Pending), e.Pending[0], e.Newest)
}

// Check is a *[PendingError] while the database lacks a migration of this version.
func (s Schema) Check() error {
	if len(s.Pending) == 0 {
		return nil
	}
	return &PendingError{s}
}

// migrationNames are the names of this version's migrations, in their order.
func migrationNames() (names []string) {
	files, err := migrations.ReadDir("migrations") // sorted
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".sql"))
	}
	return names
}

// migrator calls f with a connection that works through a pooler, whether there is one or not.
func (cfg Config) migrator(ctx context.Context, f func(migrator) error) (err error) {
	var m migrator
	if m.conn, err = cfg.connect(ctx, func(c *pgx.ConnConfig) { m.settings = throughPooler(c) }); err != nil {
		return checkPooler(err, PoolerUnknown)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = m.conn.Close(ctx)
	}()
	return f(m)
}

// migrator migrates over one connection.
type migrator struct {
	conn     *pgx.Conn
	settings string // what each transaction begins with; may be empty
}

// transaction runs f in one.
func (m migrator) transaction(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, m.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if m.settings != "" {
			if _, err := tx.Exec(ctx, m.settings); err != nil {
				return err
			}
		}
		return f(tx)
	})
}

// schema compares the migrations that are on record with those of this version.
func (m migrator) schema(ctx context.Context) (state Schema, err error) {
	done, err := m.done(ctx)
	if err != nil {
		return state, err
	}
	for _, name := range migrationNames() {
		state.Newest = name
		if !done[name] {
			state.Pending = append(state.Pending, name)
		}
		delete(done, name)
	}
	state.Unknown = slices.Sorted(maps.Keys(done))
	return state, nil
}

// patiently makes a migration, and tries again for as long as others hold its tables or run into it.
func (m migrator) patiently(ctx context.Context, name string, told func(Migration)) error {
	for {
		begin := time.Now()
		made, err := m.apply(ctx, name)
		switch {
		case err == nil:
			if made {
				told(Migration{Name: name, Took: time.Since(begin)})
			}
			return nil
		case !gaveUp(err) && !transient(err):
			return err
		}
		told(Migration{Name: name, Waits: err})
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// gaveUp reports whether a statement gave up its wait for a lock.
func gaveUp(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "55P03"
}

// done are the migrations that are on record.
func (m migrator) done(ctx context.Context) (names map[string]bool, err error) {
	names = map[string]bool{}
	return names, m.transaction(ctx, func(tx pgx.Tx) error {
		var begun bool
		if err := tx.QueryRow(ctx, "select to_regclass('migration') is not null").Scan(&begun); err != nil || !begun {
			return err
		}
		rows, err := tx.Query(ctx, "select name from migration")
		if err != nil {
			return err
		}
		var name string
		_, err = pgx.ForEachRow(rows, []any{&name}, func() error {
			names[strings.TrimSuffix(name, ".sql")] = true
			return nil
		})
		return err
	})
}

// apply runs a migration in a transaction and records it, unless another process did so meanwhile.
func (m migrator) apply(ctx context.Context, name string) (made bool, err error) {
	text, err := migrations.ReadFile("migrations/" + name + ".sql")
	if err != nil {
		return false, err
	}
	err = m.transaction(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", migrationLock); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if _, err := tx.Exec(ctx, "create table if not exists migration (name text primary key, at timestamptz not null default now())"); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "insert into migration (name) values ($1) on conflict do nothing", name+".sql")
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("set local lock_timeout = %d", lockPatience.Milliseconds())); err != nil {
			return err
		}
		made = true
		_, err = tx.Exec(ctx, string(text))
		return err
	})
	return made && err == nil, err
}
