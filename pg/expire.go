package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Expire deletes up to limit trees that ended over age ago, with all that belongs to them, and returns how many. Each
// is a transaction of its own per table and key range, smallest harm first; a tree's row goes last, so that what was
// begun is finished by the next call.
func (s *Store) Expire(ctx context.Context, age time.Duration, limit int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("FinishedTrees"), age.Seconds(), limit)
	if err != nil {
		return 0, fmt.Errorf("look for old trees: %w", err)
	}
	trees, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
	if err != nil {
		return 0, fmt.Errorf("look for old trees: %w", err)
	}
	for n, t := range trees {
		if err := s.deleteTree(ctx, t); err != nil {
			return n, fmt.Errorf("delete tree %d: %w", t, err)
		}
	}
	return len(trees), nil
}

// expireStep is how many keys of one tree are deleted in one transaction.
const expireStep = 20_000

// deleteTree deletes what belongs to a tree, and its row at last.
func (s *Store) deleteTree(ctx context.Context, t dag.TreeKey) error {
	first, end := t.Range()
	var tasks int
	if err := s.pool.QueryRow(ctx, "select tasks from tree where key = $1", t).Scan(&tasks); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	}
	last := min(end, first+dag.Key(tasks))
	for k := first; k < last; k += expireStep {
		to := min(k+expireStep, last)
		b := &pgx.Batch{}
		for _, statement := range []string{"DeleteAttempts", "DeleteEdges", "DeletePayloads", "DeleteSpecs", "DeleteTasks", "DeleteTimers", "DeleteTaskChunks"} {
			b.Queue(sql(statement), k, to)
		}
		if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	for _, statement := range []string{"DeleteEvents", "DeleteSubmissions", "DeleteTree"} {
		b.Queue(sql(statement), t)
	}
	return s.pool.SendBatch(ctx, b).Close()
}

// Tidy deletes small leftovers: departed workers of days ago, parts of results that nobody claimed.
func (s *Store) Tidy(ctx context.Context) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(sql("DeleteWorkers"))
	b.Queue(sql("ForgetCoordinators"))
	b.Queue(sql("DeleteOldChunks"))
	return s.pool.SendBatch(ctx, b).Close()
}
