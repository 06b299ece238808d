package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// RunsKeyed reports whether a worker runs an attempt of a task, in that execution of its tree, that came with the key of a model.
func (s *Store) RunsKeyed(ctx context.Context, k dag.Key, attempt int32, worker string, execution int32) (runs bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("RunsKeyed"), k, attempt, dag.FlagKeyed, worker, k.Tree(), execution).Scan(&runs); err != nil {
		return false, fmt.Errorf("look who runs task %d: %w", k, err)
	}
	return runs, nil
}

// EndedTrees are those of which nothing is unfinished, or that are not there.
func (s *Store) EndedTrees(ctx context.Context, trees []int64) ([]int64, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("EndedTrees"), trees)
	if err != nil {
		return nil, fmt.Errorf("look for trees that have ended: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
