package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// MaxExecutors bounds the executors that workers made known. Those that none has announced for [ExecutorMemory] are forgotten.
const MaxExecutors = 10_000

// ExecutorMemory is for how many days an executor is known after a worker last announced it: until then its tasks wait for
// such a worker, and afterwards they fail as of an unknown one (spec K13).
const ExecutorMemory = 7

// Executors are the ids of all executors that workers made known.
func (s *Store) Executors(ctx context.Context) ([]string, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ExecutorIDs"))
	if err != nil {
		return nil, fmt.Errorf("read executors: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// AddExecutors records executors that a worker announced, as many new ones as there is room for. It returns those that are known.
func (s *Store) AddExecutors(ctx context.Context, ids []string) (known []string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("AddExecutors"), ids, MaxExecutors)
	if err != nil {
		return nil, fmt.Errorf("record executors: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
