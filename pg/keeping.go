package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ErrHeld: the tree is held, so that nothing of it is deleted or changed.
var ErrHeld = errors.New("the tree is held")

// keepingState is what the row of a tree says of how it is kept.
type keepingState int16

const (
	keepingOwn   keepingState = 1 // it has a row in keeping
	keepingGoing keepingState = 2 // likewise, and its deletion has begun
)

// Keeping is how a tree is kept.
type Keeping struct {
	Retention time.Duration // of its own; [dag.KeepForever]; 0: as the operator says
	Hold      *TreeHold     // nil: it is not held
}

// TreeHold keeps a tree from being deleted.
type TreeHold struct {
	Tree   dag.TreeKey
	RootID string
	At     time.Time
	By     string
	Reason string
}

func (h *TreeHold) columns() []any { return []any{&h.Tree, &h.RootID, &h.At, &h.By, &h.Reason} }

// keepingRows are retentions to be stored.
type keepingRows struct {
	trees      []int64
	namespaces []dag.NamespaceKey
	seconds    []int64
}

// add adds that of a tree, if it has one.
func (r *keepingRows) add(tree dag.TreeKey, namespace dag.NamespaceKey, retention time.Duration) {
	if retention == 0 {
		return
	}
	seconds := int64(-1)
	if retention != dag.KeepForever {
		seconds = int64((retention + time.Second - 1) / time.Second)
	}
	r.trees, r.namespaces, r.seconds = append(r.trees, int64(tree)), append(r.namespaces, namespace), append(r.seconds, seconds)
}

// queue writes them, if there are any.
func (r *keepingRows) queue(b *pgx.Batch, version string) {
	if len(r.trees) > 0 {
		queueCoordinators(b, dag.KeepingLevel, version)
		b.Queue(sql("InsertKeeping"), r.trees, r.namespaces, r.seconds)
	}
}

// KeepingOf is how a tree is kept.
func (s *Store) KeepingOf(ctx context.Context, tree dag.TreeKey) (Keeping, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var k Keeping
	var seconds int64
	var at *time.Time
	h := &TreeHold{Tree: tree}
	err := s.pool.QueryRow(ctx, sql("KeepingOf"), tree).Scan(&seconds, &at, &h.By, &h.Reason)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return k, nil
	case err != nil:
		return k, fmt.Errorf("read how tree %d is kept: %w", tree, err)
	}
	k.Retention = retentionOf(seconds)
	if at != nil {
		h.At, k.Hold = *at, h
	}
	return k, nil
}

// retentionOf is a retention as it is stored, 0: none.
func retentionOf(seconds int64) time.Duration {
	if seconds < 0 {
		return dag.KeepForever
	}
	return time.Duration(seconds) * time.Second
}

// keeping runs f in a transaction in which nobody else changes how a tree is kept, or deletes it.
func (s *Store) keeping(ctx context.Context, tree dag.TreeKey, f func(ctx context.Context, c *pgx.Conn) error) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		queueCoordinators(b, dag.KeepingLevel, s.version)
		b.Queue(sql("LockExecution"), tree)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return levelRefusal(err, s.editLevels(), dag.KeepingLevel)
		}
		if err := f(ctx, c); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
}

// Hold keeps a tree from being deleted until it is released. One that is held stays so, by who held it first, and that hold is returned.
// [ErrNotFound]: it is gone, or is being deleted; *[dag.LevelError].
func (s *Store) Hold(ctx context.Context, namespace dag.NamespaceKey, tree dag.TreeKey, by, reason string) (*TreeHold, error) {
	h := &TreeHold{}
	err := s.keeping(ctx, tree, func(ctx context.Context, c *pgx.Conn) error {
		if namespace != dag.DefaultNamespaceKey { // it is not being deleted
			if _, err := c.Exec(ctx, sql("KeepNamespaces"), []dag.NamespaceKey{namespace}); err != nil {
				return err
			}
		}
		return orNone(c.QueryRow(ctx, sql("HoldTree"), tree, by, reason).Scan(h.columns()...), ErrNotFound)
	})
	if err != nil {
		return nil, fmt.Errorf("hold tree %d: %w", tree, err)
	}
	return h, nil
}

// Release ends the hold of a tree. [ErrNotFound]: it is not held; *[dag.LevelError].
func (s *Store) Release(ctx context.Context, tree dag.TreeKey) error {
	err := s.keeping(ctx, tree, func(ctx context.Context, c *pgx.Conn) error {
		return orNone(c.QueryRow(ctx, sql("ReleaseTree"), tree).Scan(nil), ErrNotFound)
	})
	if err != nil {
		return fmt.Errorf("release tree %d: %w", tree, err)
	}
	return nil
}

// Holds lists the held trees of a namespace after one, by key; an empty owner: of all.
func (s *Store) Holds(ctx context.Context, namespace dag.NamespaceKey, owner string, after dag.TreeKey, limit int) ([]*TreeHold, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Holds"), namespace, after, owner, limit)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*TreeHold, error) {
		h := &TreeHold{}
		return h, row.Scan(h.columns()...)
	})
}

// HeldLonger counts the trees that are held, up to 1000, and those of them that would be deleted by now if they were not.
func (s *Store) HeldLonger(ctx context.Context, age time.Duration) (held, longer int, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("HeldLonger"), age.Seconds()).Scan(&held, &longer); err != nil {
		return 0, 0, fmt.Errorf("count holds: %w", err)
	}
	return held, longer, nil
}

// ExpireKept is [Store.Expire] for trees with a retention of their own, and for those whose deletion has begun; age is the operator's, 0: for ever. It looks at limit
// trees at most, and says at how many.
func (s *Store) ExpireKept(ctx context.Context, age time.Duration, limit int) (looked int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return s.ExpireKeptBy(ctx, age, limit, nil)
}

// ExpireKeptBy is [Store.ExpireKept] for who does more than to delete trees; nil deletes them. Those whose deletion has begun are deleted without it.
func (s *Store) ExpireKeptBy(ctx context.Context, age time.Duration, limit int, remove RemoveTree) (looked int, err error) {
	looking, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(looking, sql("DueKeeping"), limit, age.Seconds())
	if err != nil {
		return 0, fmt.Errorf("look for trees whose time is over: %w", err)
	}
	type due struct {
		Tree dag.TreeKey
		Age  float64
		Over bool
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[due])
	if err != nil {
		return 0, fmt.Errorf("look for trees whose time is over: %w", err)
	}
	var later []dag.TreeKey
	var ages []float64
	for _, d := range list {
		if d.Over && d.Age > 0 && remove != nil {
			if err := remove(ctx, d.Tree, time.Duration(d.Age*float64(time.Second))); err != nil {
				return 0, fmt.Errorf("delete tree %d: %w", d.Tree, err)
			}
			continue // it is gone, or remove has noted when it is looked at again
		}
		if d.Over {
			if err := s.deleteTree(ctx, d.Tree, time.Duration(d.Age*float64(time.Second))); err != nil {
				return 0, fmt.Errorf("delete tree %d: %w", d.Tree, err)
			}
		}
		later, ages = append(later, d.Tree), append(ages, max(d.Age, 0)) // it may have been executed again, and is looked at then
	}
	if len(later) > 0 {
		if _, err := s.pool.Exec(ctx, sql("LookLater"), later, ages); err != nil {
			return 0, fmt.Errorf("look at trees later: %w", err)
		}
	}
	return len(list), nil
}
