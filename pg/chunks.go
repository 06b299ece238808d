package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Chunk is a part of a large result.
type Chunk struct {
	Task         dag.Key
	Attempt      int32
	Index, Count int32 // from 0; parts in all
	Data         []byte
}

// PutChunks stores parts of large results in one transaction and one trip; the first copy of a part stays. It tells which
// belong to attempts that are open.
func (s *Store) PutChunks(ctx context.Context, parts []Chunk) (stored []bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		stored = make([]bool, len(parts))
		b := &pgx.Batch{}
		begin(b, c)
		for i, p := range parts {
			z, err := s.seals.sealer(ctx, p.Task.Tree())
			if err != nil {
				return err
			}
			data := p.Data
			if z != nil {
				data = z.seal(p.Task.Tree(), kindChunk, append([]byte{}, data...))
			}
			b.Queue(sql("PutChunk"), p.Task, p.Attempt, p.Index, p.Count, data, z != nil).QueryRow(func(row pgx.Row) error {
				return row.Scan(&stored[i])
			})
		}
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, fmt.Errorf("store %d parts of results: %w", len(parts), err)
	}
	return stored, nil
}

// PartsOf names an attempt whose result came in parts.
type PartsOf struct {
	Task    dag.Key
	Attempt int32
}

// Incomplete picks out of the attempts given, each at most once, those that are open and whose result lacks parts.
func (s *Store) Incomplete(ctx context.Context, attempts []PartsOf) ([]PartsOf, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tasks, numbers := make([]dag.Key, len(attempts)), make([]int32, len(attempts))
	for i, a := range attempts {
		tasks[i], numbers[i] = a.Task, a.Attempt
	}
	rows, err := s.pool.Query(ctx, sql("Incomplete"), tasks, numbers)
	if err != nil {
		return nil, fmt.Errorf("look for the parts of %d results: %w", len(attempts), err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PartsOf])
}
