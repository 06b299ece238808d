package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// openStore opens the database, brought up to date if so asked, and waits for a server that is not there yet, or for whoever brings it up
// to date. hindered is told the error of each attempt, or nil.
func openStore(ctx context.Context, log *slog.Logger, cfg pg.Config, migrate bool, hindered func(error)) (store *pg.Store, err error) {
	if err := cfg.CheckCredentials(ctx); err != nil { // a wrong file stays wrong
		return nil, err
	}
	err = patiently(ctx, log, "Postgres", waitsForStore, func() (err error) {
		defer func() { hindered(err) }()
		if migrate {
			if err := cfg.Migrate(ctx, func(m pg.Migration) { logMigration(log, m) }); err != nil {
				return fmt.Errorf("migrate the database: %w", cfg.ExplainRefusal(ctx, err))
			}
		} else if err := checkSchema(ctx, cfg); err != nil {
			return err
		}
		if store, err = pg.Open(ctx, cfg); err != nil {
			return cfg.ExplainRefusal(ctx, err)
		}
		if err = store.CheckRights(ctx); err != nil {
			store.Close()
		}
		return err
	})
	return store, err
}

// waitsForStore reports whether time may heal an error of a store that is opened: its server may come, and somebody may migrate it.
func waitsForStore(err error) bool {
	_, pending := errors.AsType[*pg.PendingError](err)
	return pending || pg.Unreachable(err)
}

// checkSchema is an error while the database lacks migrations.
func checkSchema(ctx context.Context, cfg pg.Config) error {
	schema, err := cfg.Schema(ctx)
	if err != nil {
		return cfg.ExplainRefusal(ctx, err)
	}
	return schema.Check()
}

func logMigration(log *slog.Logger, m pg.Migration) {
	if m.Waits != nil {
		log.Warn("migration waits for a table that is in use, and tries again", "migration", m.Name, "error", m.Waits)
		return
	}
	log.Info("database is migrated", "migration", m.Name, "took", m.Took.Round(time.Millisecond).String())
}

// patiently calls f until it succeeds, for as long as its error is one that time may heal. It logs an error in one line, and again when it is
// another one or 10 s old. Once ctx has ended, that is why it gave up, whatever the last attempt met.
func patiently(ctx context.Context, log *slog.Logger, what string, heals func(error) bool, f func() error) error {
	var said string
	var at time.Time
	for {
		err := f()
		if err == nil || !heals(err) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		if line := strings.Join(strings.Fields(err.Error()), " "); line != said || time.Since(at) >= waitsBetween {
			log.Warn("process waits for "+what, "error", line)
			said, at = line, time.Now()
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
}
