package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PoolDepth is what waits for a pool, in one place.
type PoolDepth struct {
	Name   string
	Ready  int           // tasks
	Oldest time.Duration // how long the oldest has waited
}

// sentLate is how many tasks that were sent last are looked at in each lane.
const sentLate = 20_000

// PoolDepths shows all pools: what waits in Postgres.
func (s *Store) PoolDepths(ctx context.Context) ([]PoolDepth, error) {
	return s.poolDepths(ctx, "PoolDepths")
}

// PoolsSent shows the pools whose tasks were sent to NATS and are not claimed: how many, and for how long. A message may hold
// several of them, and may be lost, which is found out later.
func (s *Store) PoolsSent(ctx context.Context) ([]PoolDepth, error) {
	return s.poolDepths(ctx, "PoolsSent", sentLate)
}

func (s *Store) poolDepths(ctx context.Context, statement string, args ...any) ([]PoolDepth, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read pools: %w", err)
	}
	var p PoolDepth
	var at *time.Time
	var now time.Time
	var out []PoolDepth
	_, err = pgx.ForEachRow(rows, []any{&p.Name, &p.Ready, &at, &now}, func() error {
		p.Oldest = 0
		if at != nil {
			p.Oldest = now.Sub(*at)
		}
		out = append(out, p)
		return nil
	})
	return out, err
}
