package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// KeyedRun is an execution for which there is the key of a model.
type KeyedRun struct {
	Execution int32
	Owner     string // of its tree; empty: nobody
	Namespace dag.NamespaceKey
}

// KeyedRun is the execution in which a worker runs an attempt of a task, if there is a key for it; nil: the worker does not, or there is none.
func (s *Store) KeyedRun(ctx context.Context, k dag.Key, attempt int32, worker string) (*KeyedRun, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	run := &KeyedRun{}
	err := s.pool.QueryRow(ctx, sql("KeyedRun"), k, attempt, dag.FlagKeyed, worker, k.Tree()).Scan(&run.Execution, &run.Owner, &run.Namespace)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look who runs task %d: %w", k, err)
	}
	return run, nil
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
