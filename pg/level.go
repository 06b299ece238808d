package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// Announcement is what a coordinator says of itself, again and again.
type Announcement struct {
	Instance string // one run of one process
	Name     string
	Version  string
	Level    dag.Level
	Adopts   dag.Level // that it has the cluster use once no live coordinator is below it
}

// AnnounceCoordinator registers a coordinator, or extends its lease to lease from now, by Postgres's clock. The error is a
// *[dag.OutdatedError] when the store has used a level above the coordinator's.
//
// The coordinator adopts its level, too, if it can: then no older one can begin.
func (s *Store) AnnounceCoordinator(ctx context.Context, a Announcement, lease time.Duration) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var used dag.Level
	err := s.pool.QueryRow(ctx, sql("AnnounceCoordinator"), a.Instance, a.Name, a.Version, a.Level, lease.Milliseconds()).Scan(&used)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return s.outdated(ctx, a.Level, false)
	case err != nil:
		return fmt.Errorf("announce coordinator: %w", err)
	case used < a.Adopts:
		return s.adoptLevel(ctx, a.Adopts, a.Version)
	}
	return nil
}

// adoptLevel lets coordinators begin to use a level, unless a live one is below it.
func (s *Store) adoptLevel(ctx context.Context, level dag.Level, version string) error {
	b := &pgx.Batch{}
	b.Queue(sql("LockLevel"), level)
	b.Queue(sql("AdoptLevel"), level, version)
	if err := s.pool.Send(ctx, b); err != nil {
		return fmt.Errorf("adopt feature level %d: %w", level, err)
	}
	return nil
}

// LeaveCoordinator says that a coordinator has ended.
func (s *Store) LeaveCoordinator(ctx context.Context, instance string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("LeaveCoordinator"), instance)
	return err
}

// LiveCoordinator is a coordinator whose lease lives.
type LiveCoordinator struct {
	Name, Instance, Version string
	Level                   dag.Level
	StartedAt, LeaseUntil   time.Time
}

// LiveCoordinators are the coordinators whose lease lives, oldest first, at most 1000.
func (s *Store) LiveCoordinators(ctx context.Context) ([]LiveCoordinator, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LiveCoordinators"))
	if err != nil {
		return nil, fmt.Errorf("list coordinators: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[LiveCoordinator])
}

// OutdatedWorker is a *[dag.OutdatedError] when workers must have a level above the one given, and nil when they need not.
func (s *Store) OutdatedWorker(ctx context.Context, level dag.Level) error {
	return s.outdated(ctx, level, true)
}

func (s *Store) outdated(ctx context.Context, level dag.Level, worker bool) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	e := &dag.OutdatedError{Level: level}
	if err := s.pool.QueryRow(ctx, sql("UsedLevel"), worker).Scan(&e.Used, &e.Version); err != nil {
		return fmt.Errorf("read the level used: %w", err)
	}
	if e.Used <= level {
		return nil
	}
	return e
}

// SetLevels says which feature levels this process has, and its version, for executions of stored trees; see [Submission] for the others.
// Call it before the store is used.
func (s *Store) SetLevels(levels dag.Levels, version string) { s.levels, s.version = levels, version }

// queueLevel adds to a transaction that stores trees what makes it fail while a live process is below the level that they
// need, and what records the level. It comes before anything else in the transaction that waits for locks of workers, and
// near the commit: while a level is used for the first time, no process can begin. Trees of the base level cost nothing.
func queueLevel(b *pgx.Batch, needed dag.Level, version string) {
	if needed <= dag.BaseLevel {
		return
	}
	b.Queue(sql("LockLevel"), needed)
	b.Queue(sql("CheckLevel"), needed)
	b.Queue(sql("UseLevel"), needed, version)
}

// levelRefusal makes of the server's refusal, by [queueLevel], a *[dag.LevelError]; another error stays as it is.
func levelRefusal(err error, levels dag.Levels, needed dag.Level) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refused.Code != "TG002" {
		return err
	}
	var below struct {
		Process, Version string
		Level            dag.Level
	}
	if json.Unmarshal([]byte(refused.Detail), &below) != nil {
		return err
	}
	return levels.Refuse(needed, below.Process, below.Version, below.Level)
}
