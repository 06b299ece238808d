package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// openStore opens the database, brought up to date if so asked, and waits for a server that is not there yet.
func openStore(ctx context.Context, log *slog.Logger, cfg pg.Config, migrate bool) (store *pg.Store, err error) {
	if err := cfg.CheckCredentials(ctx); err != nil { // a wrong file stays wrong
		return nil, err
	}
	err = patiently(ctx, log, "Postgres", pg.Unreachable, func() error {
		if migrate {
			if err := cfg.Migrate(ctx); err != nil {
				return fmt.Errorf("migrate the database: %w", cfg.ExplainRefusal(ctx, err))
			}
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

// patiently calls f until it succeeds, for as long as its error is one that time may heal.
func patiently(ctx context.Context, log *slog.Logger, what string, heals func(error) bool, f func() error) error {
	for {
		err := f()
		if err == nil || !heals(err) || ctx.Err() != nil {
			return err
		}
		log.Warn("process waits for "+what, "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
}
