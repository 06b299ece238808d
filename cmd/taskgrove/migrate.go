package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/pg"
)

// exitPending is the exit code of migrate --check when there is something to do.
const exitPending = 3

// migrateCommand brings the database to this version's schema.
func migrateCommand() *cobra.Command {
	var cfg config.Database
	var output *formatFlag
	var check, restored bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema of this version, and end",
		Long: "Makes the migrations that the database lacks, each in a transaction of its own, and ends. It may run again, beside others and while\n" +
			"coordinators run: a migration that has to wait for a table in use lets the others pass after 3 s, and tries again. Coordinators do\n" +
			"the same when they start, unless TASKGROVE_MIGRATE is false.\n\n" +
			"It reads the settings of a coordinator that are about Postgres, see docs/configuration.md. The role must own the tables.\n\n" +
			"With --check it only says what it would do. The exit code is then 3 if the database lacks migrations, else 0. If a newer version has\n" +
			"migrated the database, that is said, too: versions that are neighbours work with each other's schema (docs/upgrades.md).",
		Example: "  taskgrove migrate --check || taskgrove migrate",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			database, err := openDatabase(cmd, &cfg)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), wait, fmt.Errorf("not done after %s (--wait)", wait))
			defer cancel()
			if restored && check {
				return usage("--restored and --check do not go together")
			}
			done, err := migrate(ctx, database, check)
			if err == nil && restored {
				err = database.Restored(ctx)
			}
			if err == nil || done != nil && len(done.Applied) > 0 {
				err = errors.Join(done.print(cmd.OutOrStdout(), output.format), err)
			}
			if err == nil && check && len(done.Pending) > 0 {
				return errPending{}
			}
			return err
		},
	}
	output = outputFlag(cmd, formatText, formatJSON, formatYAML)
	cmd.Flags().BoolVar(&check, "check", false, "only say which migrations the database lacks; exit code 3 if there are any")
	cmd.Flags().BoolVar(&restored, "restored", false, "say that the server's files were put back to an earlier moment by a copy, such as a snapshot (docs/backup.md)")
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for Postgres, for tables in use and for the migrations themselves")
	return cmd
}

// openDatabase reads the settings that are about Postgres. Notes go to the command's error output.
func openDatabase(cmd *cobra.Command, cfg *config.Database) (*node.Database, error) {
	if _, err := config.ReadEnvFiles(); err != nil {
		return nil, err
	}
	if err := config.LoadPart(cfg); err != nil {
		return nil, err
	}
	return node.NewDatabase(cfg, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
}

// errPending ends migrate --check when there is something to do, which is said already.
type errPending struct{}

func (errPending) Error() string { return "" }

// ExitCode is that of a database that lacks migrations.
func (errPending) ExitCode() int { return exitPending }

// migrationReport is what migrate prints.
type migrationReport struct {
	Version string              `json:"version"` // of this program
	Newest  string              `json:"newest"`  // the newest migration of this version
	Applied []migrationDocument `json:"applied"`
	Pending []string            `json:"pending"`
	Unknown []string            `json:"unknown"` // of a newer version
}

type migrationDocument struct {
	Name string `json:"name"`
	Took string `json:"took"`
}

// migrate makes what is missing, unless it only checks, and tells how far it came.
func migrate(ctx context.Context, database *node.Database, check bool) (*migrationReport, error) {
	r := &migrationReport{Version: node.Version(), Applied: []migrationDocument{}, Pending: []string{}, Unknown: []string{}}
	if !check {
		err := database.Migrate(ctx, func(m pg.Migration) {
			if m.Waits == nil {
				r.Applied = append(r.Applied, migrationDocument{m.Name, m.Took.Round(time.Millisecond).String()})
			}
		})
		if err != nil {
			return r, err
		}
	}
	state, err := database.Schema(ctx)
	if err != nil {
		return r, err
	}
	r.Newest = state.Newest
	r.Pending = append(r.Pending, state.Pending...)
	r.Unknown = append(r.Unknown, state.Unknown...)
	return r, nil
}

func (r *migrationReport) print(out io.Writer, as format) error {
	if as != formatText {
		return as.write(out, r)
	}
	w := &firstError{Writer: harmlessWriter{out}}
	for _, m := range r.Applied {
		fmt.Fprintf(w, "made     %s in %s\n", m.Name, m.Took)
	}
	for _, name := range r.Pending {
		fmt.Fprintf(w, "missing  %s\n", name)
	}
	for _, name := range r.Unknown {
		fmt.Fprintf(w, "newer    %s: this version does not know it\n", name)
	}
	switch {
	case len(r.Pending) > 0:
		fmt.Fprintf(w, "the database lacks migrations: run \"taskgrove migrate\"\n")
	case r.Newest != "":
		fmt.Fprintf(w, "the database has the schema of version %s (%s)\n", r.Version, r.Newest)
	}
	return w.err
}
