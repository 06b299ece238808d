package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// TreeCancellation is the answer to CancelTree.
type TreeCancellation struct {
	Did     bool   // this call put it on record
	Pending bool   // it is on record, and has not reached all tasks
	Message string // as recorded
}

// CancelTree cancels the unfinished tasks of a tree: at once, as a fact that dispatch and claim read; task by task by a
// followup. A tree whose cancellation is on record keeps it, and that is carried out. The zero value: there was nothing to cancel,
// or no such tree.
func (s *Store) CancelTree(ctx context.Context, tree dag.TreeKey, message string) (out TreeCancellation, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		out = TreeCancellation{}
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("ExpectCancellations"), []dag.TreeKey{tree})
		b.Queue(sql("CancelTree"), tree, message, 0).Exec(func(ct pgconn.CommandTag) error {
			out.Did = ct.RowsAffected() > 0
			return nil
		})
		b.Queue(sql("PendingCancellation"), tree).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&out.Message}, func() error {
				out.Pending = true
				return nil
			})
			return err
		})
		b.Queue(sql("DropVoidCancellations"), []dag.TreeKey{tree})
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	return out, err
}

// Cancel cancels single tasks, not what depends on them. It returns which were cancelled.
func (s *Store) Cancel(ctx context.Context, keys []dag.Key, message string, room Room) (done map[dag.Key]bool, eff *Effects, err error) {
	eff, err = s.decide(ctx, load{keys: keys, policies: keys, dependents: true}, room, func(d *dag.Decision) {
		done = map[dag.Key]bool{}
		for _, k := range keys {
			done[k] = d.Cancel(k, message, false)
		}
	})
	return done, eff, err
}

// Skip ends a task that has not begun, in one transaction. state is the one that it was in; did is false if it was not skipped, and nothing changed then:
// it has ended, or has begun. [ErrNotFound].
func (s *Store) Skip(ctx context.Context, k dag.Key, room Room) (did bool, state dag.State, eff *Effects, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff = nil
		d, view, err := load{keys: []dag.Key{k}, policies: []dag.Key{k}, dependents: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		r := d.Row(k)
		if r == nil {
			return ErrNotFound
		}
		var run int32
		if err := c.QueryRow(ctx, sql("FirstOfRun"), k).Scan(&run); err != nil {
			return fmt.Errorf("read the first attempt of task %d: %w", k, err)
		}
		state = r.State
		if did = d.Skip(k, run); !did {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		eff, err = s.apply(ctx, c, &pgx.Batch{}, d, view, room)
		return err
	})
	return did, state, eff, err
}
