package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// TaskState is where a task stands, for a worker that asks.
type TaskState struct {
	Key     dag.Key
	State   dag.State
	Attempt int32
	Worker  dag.WorkerKey
}

// TaskStates tells where tasks stand. Keys that do not exist are missing from the answer.
func (s *Store) TaskStates(ctx context.Context, keys []dag.Key) (map[dag.Key]TaskState, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("TaskStates"), keys)
	if err != nil {
		return nil, fmt.Errorf("look at %d tasks: %w", len(keys), err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TaskState])
	if err != nil {
		return nil, fmt.Errorf("look at %d tasks: %w", len(keys), err)
	}
	out := make(map[dag.Key]TaskState, len(list))
	for _, st := range list {
		out[st.Key] = st
	}
	return out, nil
}

// OpenAttempt is an attempt that a worker holds.
type OpenAttempt struct {
	Key     dag.Key
	Attempt int32
	Worker  dag.WorkerKey
}

// OpenAttempts walks over all open attempts, in steps of at most limit rows: pass the last key of a step (0 first), and
// get the next step and its last key, 0 at the end. Reads only trees that have open attempts.
func (s *Store) OpenAttempts(ctx context.Context, after dag.Key, limit int) (open []OpenAttempt, next dag.Key, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tree := after.Tree()
	if after != 0 {
		if open, err = s.openIn(ctx, tree, after+1, limit); err != nil || len(open) == limit {
			return open, lastKey(open), err
		}
	}
	rows, err := s.pool.Query(ctx, sql("TreesWithAttempts"), tree, 100)
	if err != nil {
		return nil, 0, fmt.Errorf("look for open attempts: %w", err)
	}
	trees, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
	if err != nil {
		return nil, 0, fmt.Errorf("look for open attempts: %w", err)
	}
	for _, t := range trees {
		first, end := t.Range()
		more, err := s.openIn(ctx, t, first, limit-len(open))
		if err != nil {
			return nil, 0, err
		}
		open = append(open, more...)
		if len(open) == limit {
			return open, lastKey(open), nil
		}
		next = end - 1
	}
	if len(trees) < 100 {
		next = 0
	}
	return open, next, nil
}

// lastKey is where the next step of a walk goes on.
func lastKey(open []OpenAttempt) dag.Key {
	if len(open) == 0 {
		return 0
	}
	return open[len(open)-1].Key
}

// openIn reads one step of a walk within a tree.
func (s *Store) openIn(ctx context.Context, tree dag.TreeKey, from dag.Key, limit int) ([]OpenAttempt, error) {
	_, end := tree.Range()
	rows, err := s.pool.Query(ctx, sql("OpenAttempts"), from, end, limit)
	if err != nil {
		return nil, fmt.Errorf("look for open attempts: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OpenAttempt])
}

// HandedOver are open attempts that were claimed over a second ago and that may have been handed over with the result of
// one of the settled tasks given: what depends on them.
func (s *Store) HandedOver(ctx context.Context, settled []dag.Key) ([]OpenAttempt, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("HandedOver"), settled)
	if err != nil {
		return nil, fmt.Errorf("look for handovers after %d tasks: %w", len(settled), err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OpenAttempt])
}
