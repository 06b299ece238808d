package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// KeyTakenError refuses a tree as another one has its key ([dag.Unique]).
type KeyTakenError struct {
	Key    string
	TreeID string    // the root's id of the one that has it
	Until  time.Time // zero: until it has ended
}

// Error names both.
func (e *KeyTakenError) Error() string { return fmt.Sprintf("tree %s has the key %q", e.TreeID, e.Key) }

// UniqueKey is a key that a tree has, and no other one of its user in its namespace.
type UniqueKey struct {
	Key   string
	Until *time.Time // nil: until the tree has ended
}

// UniqueOf is the key that a tree has; nil: none, or no longer.
func (s *Store) UniqueOf(ctx context.Context, tree dag.TreeKey) (u *UniqueKey, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	queueUniqueOf(b, tree, &u)
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("read the key of tree %d: %w", tree, err)
	}
	return u, nil
}

func queueUniqueOf(b *pgx.Batch, tree dag.TreeKey, into **UniqueKey) {
	b.Queue(sql("UniqueOf"), tree).Query(func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[UniqueKey])
		if len(all) > 0 {
			*into = all[0]
		}
		return err
	})
}

// lockKey keeps the tree's key for the rest of the transaction on c, whoever else wants it. If another tree has it, it is that one that is to be
// answered, or a *[KeyTakenError]; and the transaction is to be rolled back. nil, nil: the tree may have it.
func (t *stagedTree) lockKey(ctx context.Context, c *pgx.Conn) (*Submitted, error) {
	u := t.in.unique
	there := &Submitted{Existing: true}
	var until *time.Time
	taken := true
	b := &pgx.Batch{}
	b.Queue(sql("LockUniqueKey"), t.sub.namespace, t.g.UserID, u.Key)
	b.Queue(sql("HasUniqueKey"), t.sub.namespace, t.g.UserID, u.Key).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&there.RootID, &there.Tasks, &until)
		if taken = !errors.Is(err, pgx.ErrNoRows); !taken {
			return nil
		}
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("look who has a unique key: %w", err)
	}
	switch {
	case !taken && t.sub.Locked != nil:
		return nil, t.sub.Locked()
	case !taken:
		return nil, nil
	case u.Return:
		return there, nil
	}
	e := &KeyTakenError{Key: u.Key, TreeID: there.RootID}
	if until != nil {
		e.Until = *until
	}
	return nil, e
}

// lockKeys keeps the keys of trees for the rest of the transaction on c, in one order, so that nobody waits in a circle. It gives the trees that are to be
// stored; those whose keys other trees have are answered.
func lockKeys(ctx context.Context, c *pgx.Conn, trees []*batchedTree) (free []*batchedTree, err error) {
	var asking []*batchedTree
	for _, t := range trees {
		if t.in.unique != nil {
			asking = append(asking, t)
		}
	}
	if len(asking) == 0 {
		return trees, nil
	}
	slices.SortFunc(asking, func(a, b *batchedTree) int {
		return cmp.Or(cmp.Compare(a.g.UserID, b.g.UserID), cmp.Compare(a.in.unique.Key, b.in.unique.Key))
	})
	answered := map[*batchedTree]bool{}
	for _, t := range asking {
		out, err := t.lockKey(ctx, c)
		if _, taken := errors.AsType[*KeyTakenError](err); err != nil && !taken {
			return nil, err
		}
		if out != nil || err != nil {
			t.out, t.err, answered[t] = out, err, true
		}
	}
	return slices.DeleteFunc(trees, func(t *batchedTree) bool { return answered[t] }), nil
}

// takeKey gives the tree its key, which is locked.
func (t *stagedTree) takeKey(b *pgx.Batch) {
	b.Queue(sql("TakeUniqueKey"), t.sub.namespace, t.g.UserID, t.in.unique.Key, t.tree, t.in.unique.For.Milliseconds())
}
