package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// The places of holds of pools and users: behind those that a task asks for.
const (
	ordPool = 100
	ordUser = 101
)

// uncounted is a limit of a pool or a user that does not count yet what has started before.
type uncounted struct {
	namespace dag.NamespaceKey
	kind      dag.LimitKind
	key       string
	pool      int32
	share     int32
	setAt     time.Time
}

// held is what was published and is to be called back before it is counted.
func (u *uncounted) held() Held { return Held{Pool: u.pool, Share: u.share} }

// Bounds of one step of counting.
const (
	countTrees = 500    // trees looked at
	countTasks = 50_000 // keys of a tree in one statement
)

// CountLimits lets limits of pools and users that are new, or lower, count what runs: it calls back what was published, and notes what open attempts hold. It
// gives what is left to do after each commit to after, and reports whether there was anything to count. Any number of processes may do it at once.
func (s *Store) CountLimits(ctx context.Context, after func(*Effects)) (any bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("UncountedRules"))
	if err != nil {
		return false, fmt.Errorf("look for limits that are not counted: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u uncounted, err error) {
		return u, row.Scan(&u.namespace, &u.kind, &u.key, &u.pool, &u.share, &u.setAt)
	})
	if err != nil {
		return false, fmt.Errorf("look for limits that are not counted: %w", err)
	}
	for i := range list {
		if err := s.count(ctx, &list[i], after); err != nil {
			return true, fmt.Errorf("count what runs: %w", err)
		}
	}
	return len(list) > 0, nil
}

func (s *Store) count(ctx context.Context, u *uncounted, after func(*Effects)) error {
	for u.share > 0 {
		var n int
		if err := s.pool.QueryRow(ctx, sql("ShareTrees"), u.namespace, u.key, u.share, countTrees).Scan(&n); err != nil {
			return err
		}
		if n < countTrees {
			break
		}
	}
	if err := s.RecallAll(ctx, u.held(), after); err != nil {
		return err
	}
	kind, key, ord := dag.KindPool, fmt.Sprint(u.pool), ordPool
	if u.kind == dag.KindUser {
		kind, key, ord = dag.KindUser, fmt.Sprint(u.share), ordUser
	}
	for tree := dag.TreeKey(0); ; {
		rows, err := s.pool.Query(ctx, sql("TreesRunning"), tree, u.share, countTrees)
		if err != nil {
			return err
		}
		trees, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
		if err != nil {
			return err
		}
		for _, tree = range trees {
			if err := s.countTree(ctx, tree, u.pool, kind, key, ord); err != nil {
				return err
			}
		}
		if len(trees) < countTrees {
			break
		}
	}
	_, err := s.pool.Exec(ctx, sql("RuleCounted"), u.namespace, u.kind, u.key, u.setAt)
	return err
}

// countTree notes what the open attempts of a tree hold.
func (s *Store) countTree(ctx context.Context, tree dag.TreeKey, pool int32, kind dag.LimitKind, key string, ord int) error {
	first, end := tree.Range()
	var span dag.Key
	if err := s.pool.QueryRow(ctx, sql("TreeSpan"), tree).Scan(&span); errors.Is(err, pgx.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	for end = min(end, first+span); first < end; first += countTasks {
		if _, err := s.pool.Exec(ctx, sql("CountRunning"), first, min(end, first+countTasks), pool, kind, key, ord); err != nil {
			return err
		}
	}
	return nil
}
