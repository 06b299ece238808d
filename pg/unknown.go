package pg

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// SetKnown says which executors there are beside those that workers announced. Call it before the store is used.
func (s *Store) SetKnown(known dag.Known) { s.known = known }

// explainUnknown completes the errors of attempts whose executor nobody has, by a look at what is registered, in the transaction's own
// snapshot: one round trip, where there are any.
func (s *Store) explainUnknown(ctx context.Context, c *pgx.Conn, ended []dag.Ended) error {
	byKey := map[dag.Key]*dag.Ended{}
	for i := range ended {
		if ended[i].Unknown {
			byKey[ended[i].Task] = &ended[i]
		}
	}
	if len(byKey) == 0 {
		return nil
	}
	ids := s.known.IDs()
	b := &pgx.Batch{}
	b.Queue(sql("ExecutorIDs")).Query(func(rows pgx.Rows) error {
		more, err := pgx.CollectRows(rows, pgx.RowTo[string])
		ids = append(ids, more...)
		slices.Sort(ids)
		ids = slices.Compact(ids)
		return err
	})
	b.Queue(sql("AskedExecutors"), slices.Sorted(maps.Keys(byKey))).Query(func(rows pgx.Rows) error {
		var key dag.Key
		var executor string
		var schemas, envelope []byte
		_, err := pgx.ForEachRow(rows, []any{&key, &executor, &schemas, &envelope}, func() error {
			if err := s.seals.open(ctx, key.Tree(), kindPayload, envelope, new([]byte), new([]byte), &schemas); err != nil {
				return err
			}
			byKey[key].Error = dag.UnknownExecutor(executor, json.RawMessage(schemas), s.known.Types(), ids)
			schemas, envelope = nil, nil
			return nil
		})
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("look for executors: %w", err)
	}
	return nil
}
