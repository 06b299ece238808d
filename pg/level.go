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
}

// AnnounceCoordinator registers a coordinator, or extends its lease to lease from now, by Postgres's clock. The error is a
// *[dag.OutdatedError] when the store has used a level above the coordinator's.
func (s *Store) AnnounceCoordinator(ctx context.Context, a Announcement, lease time.Duration) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("AnnounceCoordinator"), a.Instance, a.Name, a.Version, a.Level, lease.Milliseconds())
	if err != nil {
		return fmt.Errorf("announce coordinator: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return s.Outdated(ctx, a.Level)
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

// Outdated is a *[dag.OutdatedError] when the store has used a level above the one given, and nil when it has not.
func (s *Store) Outdated(ctx context.Context, level dag.Level) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	e := &dag.OutdatedError{Level: level}
	if err := s.pool.QueryRow(ctx, sql("UsedLevel")).Scan(&e.Used, &e.Version); err != nil {
		return fmt.Errorf("read the level used: %w", err)
	}
	if e.Used <= level {
		return nil
	}
	return e
}

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
