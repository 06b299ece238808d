package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PoolDepth is what waits in Postgres for a pool.
type PoolDepth struct {
	Name   string
	Ready  int
	Oldest time.Duration
}

// PoolDepths shows all pools.
func (s *Store) PoolDepths(ctx context.Context) ([]PoolDepth, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("PoolDepths"))
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
