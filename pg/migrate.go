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

// Migrate brings the database at url to the newest schema. Forward only; safe from several processes at once: one
// migrates, the others wait. Each migration is a transaction of its own.
func Migrate(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Name() < files[j].Name() })
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("migrate: lock: %w", err)
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock($1)", migrationLock) }()
	if _, err := conn.Exec(ctx, `create table if not exists migration (
		name text primary key, at timestamptz not null default now())`); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, f := range files {
		if err := migrateOne(ctx, conn, f.Name()); err != nil {
			return fmt.Errorf("migrate %s: %w", f.Name(), err)
		}
	}
	return nil
}

// migrateOne runs a migration in a transaction, unless it is on record, and records it.
func migrateOne(ctx context.Context, conn *pgx.Conn, name string) error {
	text, err := migrations.ReadFile("migrations/" + name)
	if err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // a no-op after the commit
	tag, err := tx.Exec(ctx, "insert into migration (name) values ($1) on conflict do nothing", name)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, string(text)); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
