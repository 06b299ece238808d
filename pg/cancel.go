package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// queueTreeCancel puts a tree's cancellation on record, and the followup that carries it out. execution > 0: only while
// that execution is the current one.
func queueTreeCancel(b *pgx.Batch, root dag.Key, message string, execution int32) {
	b.Queue(sql("CancelTree"), root.Tree(), message, execution)
	b.Queue(sql("CancelTreeFollowup"), root)
}

// CancelTree cancels the unfinished tasks of a tree: at once, as a fact that dispatch and claim read; task by task by a
// followup. It reports whether there was anything to cancel.
func (s *Store) CancelTree(ctx context.Context, tree dag.TreeKey, message string) (bool, error) {
	var did bool
	err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		b.Queue("begin")
		b.Queue(sql("CancelTree"), tree, message, 0).Exec(func(ct pgconn.CommandTag) error {
			did = ct.RowsAffected() > 0
			return nil
		})
		b.Queue(sql("CancelTreeFollowupOf"), tree)
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	return did, err
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
