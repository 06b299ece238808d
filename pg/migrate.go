package pg

import (
	"context"
	"embed"
	"fmt"
	"sort"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is the advisory lock that migrations are run under; any constant will do, if only nobody else uses it.
const migrationLock = 0x7461736b67 // "taskg"

// Migrate brings the database at url to the newest schema. Forward only; safe from several processes at once, through a pooler
// too: each migration is a transaction of its own, and one process migrates while the others wait. A database that has them all
// is only read.
func Migrate(ctx context.Context, url string) error { return Config{URL: url}.Migrate(ctx) }

// Migrate is [Migrate] of the configuration's database.
func (cfg Config) Migrate(ctx context.Context) (err error) {
	var m migrator
	if m.conn, err = cfg.connect(ctx, func(c *pgx.ConnConfig) { m.settings = throughPooler(c) }); err != nil { // whether there is one or not
		return fmt.Errorf("migrate: %w", checkPooler(err, PoolerUnknown))
	}
	defer m.conn.Close(context.WithoutCancel(ctx))
	done, err := m.done(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", checkPooler(err, PoolerUnknown))
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Name() < files[j].Name() })
	for _, f := range files {
		if done[f.Name()] {
			continue
		}
		if err := m.apply(ctx, f.Name()); err != nil {
			return fmt.Errorf("migrate %s: %w", f.Name(), err)
		}
	}
	return nil
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
			names[name] = true
			return nil
		})
		return err
	})
}

// apply runs a migration in a transaction, unless another process did so meanwhile, and records it.
func (m migrator) apply(ctx context.Context, name string) error {
	text, err := migrations.ReadFile("migrations/" + name)
	if err != nil {
		return err
	}
	return m.transaction(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", migrationLock); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if _, err := tx.Exec(ctx, "create table if not exists migration (name text primary key, at timestamptz not null default now())"); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "insert into migration (name) values ($1) on conflict do nothing", name)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, string(text))
		return err
	})
}
