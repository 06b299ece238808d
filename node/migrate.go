package node

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg"
)

// Database is a database that no process serves from: it is migrated, or looked at.
type Database struct {
	cfg pg.Config
	log *slog.Logger
}

// NewDatabase checks the settings of a database. It does not connect.
func NewDatabase(cfg *config.Database, log *slog.Logger) (*Database, error) {
	parts, err := partsOfDatabase(cfg)
	if err != nil {
		return nil, err
	}
	return &Database{parts, log}, nil
}

func partsOfDatabase(cfg *config.Database) (pg.Config, error) {
	return postgresLoginOf(&cfg.PostgresLogin).login(pg.Config{
		URL: cfg.PostgresURL.Reveal(), MaxConns: cfg.MaxConns, StatementTimeout: cfg.StatementTimeout, Pooler: poolers[cfg.Pooler],
	})
}

// Schema tells how far its migrations are, once the server answers.
func (d *Database) Schema(ctx context.Context) (state pg.Schema, err error) {
	err = d.patiently(ctx, func() error {
		state, err = d.cfg.Schema(ctx)
		return err
	})
	return state, err
}

// Migrate makes the migrations that the database lacks, once the server answers, and tells each. It may be interrupted and run again.
func (d *Database) Migrate(ctx context.Context, told func(pg.Migration)) error {
	return d.patiently(ctx, func() error {
		return d.cfg.Migrate(ctx, func(m pg.Migration) {
			logMigration(d.log, m)
			told(m)
		})
	})
}

// Restored says that the server's files were put back to an earlier moment by a copy of them, which Postgres can't tell. No coordinator may run
// meanwhile.
func (d *Database) Restored(ctx context.Context) error {
	return d.patiently(ctx, func() error { return d.cfg.RestartEpoch(ctx) })
}

func (d *Database) patiently(ctx context.Context, f func() error) error {
	err := d.cfg.CheckCredentials(ctx) // a wrong file stays wrong
	if err == nil {
		err = patiently(ctx, d.log, "Postgres", pg.Unreachable, f)
	}
	if err = d.cfg.ExplainRefusal(ctx, err); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}
