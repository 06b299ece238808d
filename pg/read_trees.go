package pg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Tree is a tree's aggregate.
type Tree struct {
	Key              dag.TreeKey
	ID, Name, UserID string
	Tasks, Leaves    int
	Span             int // keys that it uses: those of deleted tasks stay unused
	Held, Unfinished int
	Running          int
	Completed        int
	Skipped          int // part of Completed
	Failed           int
	Allowed          int // part of Failed
	Cancelled        int
	Blocked          int
	LeavesCompleted  int
	Execution        int   // 0: never executed
	ExecutionStart   int64 // the last sequence before the current execution
	Sequence         int64 // of the last event
	CreatedAt        time.Time
	StartedAt        *time.Time
	FinishedAt       *time.Time
	DueAt            *time.Time // by when it is to have ended; nil: it is never late
	LateAt           *time.Time // since when it was late; nil: it was not
	// OnlyOptionalFailed: all that failed was optional to tasks that ran, and the rest completed. Lists don't tell.
	OnlyOptionalFailed bool
	Labels             map[string]string // nil: none
	Namespace          dag.NamespaceKey
	Keeping            bool       `db:"keeping"` // it is kept otherwise than the operator's retention says, or being deleted: see [Store.KeepingOf]. Lists don't tell
	Unique             *UniqueKey `db:"-"`       // that it has now; nil: none. Only [Store.TreeWithUsage] tells
}

// Counts are the tree's figures as package dag wants them.
func (t *Tree) Counts() dag.Counts {
	return dag.Counts{Tasks: t.Tasks, Held: t.Held, Unfinished: t.Unfinished, Running: t.Running, Completed: t.Completed,
		Failed: t.Failed, Allowed: t.Allowed, Cancelled: t.Cancelled, Blocked: t.Blocked, Leaves: t.Leaves, LeavesCompleted: t.LeavesCompleted}
}

// Tree shows a tree. [ErrNotFound].
func (s *Store) Tree(ctx context.Context, key dag.TreeKey) (*Tree, error) {
	list, err := s.trees(ctx, "TreeByKey", key)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNotFound
	}
	return list[0], nil
}

// TreeWithUsage shows a tree, and what its tasks used, by model. [ErrNotFound].
func (s *Store) TreeWithUsage(ctx context.Context, key dag.TreeKey) (t *Tree, used []dag.Used, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(sql("TreeByKey"), key).Query(func(rows pgx.Rows) (err error) {
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Tree])
		return err
	})
	queueTreeUsage(b, key, &used)
	var unique *UniqueKey
	queueUniqueOf(b, key, &unique)
	switch err := s.pool.Send(ctx, b); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil, ErrNotFound
	case err != nil:
		return nil, nil, fmt.Errorf("read tree: %w", err)
	}
	t.Unique = unique
	return t, used, nil
}

// Trees lists trees of a namespace, newest first, below a key (0: from the newest), among the first so many; see [Store.TreeBelow].
func (s *Store) Trees(ctx context.Context, namespace dag.NamespaceKey, below dag.TreeKey, userID string, limit, looks int) ([]*Tree, error) {
	return s.trees(ctx, in(namespace, "TreesDown"), orNewest(below), orNull(userID), limit, namespace, looks)
}

// OpenTrees lists those with an execution in progress, which are few.
func (s *Store) OpenTrees(ctx context.Context, namespace dag.NamespaceKey, below dag.TreeKey, userID string, limit int) ([]*Tree, error) {
	return s.trees(ctx, in(namespace, "OpenTreesDown"), orNewest(below), orNull(userID), limit, namespace)
}

// orNewest is a key that a walk down begins below; 0: above all.
func orNewest(below dag.TreeKey) dag.TreeKey {
	if below == 0 {
		return math.MaxInt64
	}
	return below
}

// trees runs a query that gives trees.
func (s *Store) trees(ctx context.Context, statement string, args ...any) ([]*Tree, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	return pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[Tree])
}

// CountOpenTrees counts trees of a namespace with an execution in progress; an empty user counts all.
func (s *Store) CountOpenTrees(ctx context.Context, namespace dag.NamespaceKey, userID string) (n int, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql(in(namespace, "CountOpenTrees")), orNull(userID), namespace).Scan(&n)
	return n, err
}
