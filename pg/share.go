package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// WaitingShares are the shares after the one given of which tasks wait in a lane, by number, at most so many: what they are, their weights, and how many of their
// tasks wait, as far as was counted.
func (s *Store) WaitingShares(ctx context.Context, lane dag.Lane, after dag.ShareKey, most int) (all []dag.Claimant, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("WaitingShares"), lane.Pool, int16(lane.Priority), after, most)
	if err == nil {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c dag.Claimant, err error) {
			var weight float32
			err = row.Scan(&c.Share, &weight, &c.Waits)
			c.Weight = float64(weight)
			return c, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read which shares wait: %w", err)
	}
	return all, nil
}

// InFlight is how many tasks of a tree are in flight.
type InFlight struct {
	Tree  dag.TreeKey
	Share dag.ShareKey
	N     int
}

// InFlight counts the tasks of a pool that are published or run, by their trees: nearly all of them, as what has been published for long is not looked at
// unless it runs.
func (s *Store) InFlight(ctx context.Context, pool int32) ([]InFlight, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("InFlight"), pool)
	if err != nil {
		return nil, fmt.Errorf("count what is in flight: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[InFlight])
}
