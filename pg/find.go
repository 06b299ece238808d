package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// MaxNamed is among how many tasks of a tree [Store.TasksNamed] looks.
const MaxNamed = 100_000

// Found is a task that was looked for.
type Found struct {
	Key    dag.Key
	ID     string
	TreeID string `db:"tree_id"`
	Name   string
	State  dag.State
}

// maxOthers is among how many tasks [Store.TasksWithPrefix] looks for those of an owner, or of default.
const maxOthers = 10_000

// TasksWithPrefix finds tasks of the namespace whose ids begin with the text, limit of them at most. The one whose id it is comes first. With an
// owner it finds that user's tasks, among the first [maxOthers] of all.
func (s *Store) TasksWithPrefix(ctx context.Context, namespace dag.NamespaceKey, prefix, owner string, limit int) ([]Found, error) {
	looked := maxOthers
	if owner == "" && namespace != dag.DefaultNamespaceKey {
		looked = limit
	}
	list, err := s.find(ctx, in(namespace, "TasksFrom"), prefix, limit, orNull(owner), looked, namespace)
	for i, f := range list {
		if !strings.HasPrefix(f.ID, prefix) {
			return list[:i], err
		}
	}
	return list, err
}

// TasksNamed finds tasks of a tree by their name, or by what their submission calls them, limit of them at most, among the first [MaxNamed]
// of the tree.
func (s *Store) TasksNamed(ctx context.Context, tree dag.TreeKey, name string, limit int) ([]Found, error) {
	first, end := tree.Range()
	return s.find(ctx, "TasksNamed", first, end, name, MaxNamed, limit)
}

func (s *Store) find(ctx context.Context, statement string, args ...any) ([]Found, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Found])
}

// TreesSince is where the keys of trees begin that were created at a time or later; 0 when there are no trees.
func (s *Store) TreesSince(ctx context.Context, at time.Time) (first dag.TreeKey, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("TreesSince"), at).Scan(&first)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return first, err
}

// TaskBelow is the last of the n tasks that [Store.Tasks] looks at in the range; 0 when there are fewer.
func (s *Store) TaskBelow(ctx context.Context, namespace dag.NamespaceKey, below, from dag.Key, n int) (k dag.Key, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql(in(namespace, "TaskBelow")), below, from, n, namespace).Scan(&k)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return k, err
}

// TreeBelow is the last of the n trees that [Store.Roots] looks at in the range; 0 when there are fewer.
func (s *Store) TreeBelow(ctx context.Context, namespace dag.NamespaceKey, below, from dag.TreeKey, n int) (k dag.TreeKey, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql(in(namespace, "TreeBelow")), orNewest(below), from, n, namespace).Scan(&k)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return k, err
}

// addOptions adds what the tasks were submitted with.
func (s *Store) addOptions(ctx context.Context, list []*Shown) error {
	byKey := make(map[dag.Key]*Shown, len(list))
	keys := make([]dag.Key, len(list))
	for i, t := range list {
		keys[i], byKey[t.Key] = t.Key, t
	}
	rows, err := s.pool.Query(ctx, sql("OptionsOf"), keys)
	if err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	var bad error
	err = eachRow(rows, func(v *values) {
		t := byKey[v.key()]
		t.Submitted = true
		t.Policy = dag.Policy{
			Executor: t.Executor,
			Retry: dag.RetryPolicy{MaxAttempts: int(v.integer()), Backoff: dag.Backoff(v.text()),
				InitialDelay: millis(v.bigint()), MaxDelay: millis(v.bigint())},
			Timeout: millis(v.bigint()), ScheduleToStart: millis(v.bigint()), NotBefore: v.timestamp(), OnLost: dag.OnLost(v.smallint()),
		}
		t.TreeTimeout = millis(v.bigint())
		bad = errors.Join(bad, readRetry(&t.Policy.Retry, v.json()))
		t.Retention = retentionOf(v.bigint())
	})
	return errors.Join(err, bad)
}
