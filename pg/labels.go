package pg

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// labelRows are labels to be stored.
type labelRows struct {
	trees        []dag.TreeKey
	keys, values []string
}

// add adds those of a tree.
func (r *labelRows) add(tree dag.TreeKey, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		r.trees, r.keys, r.values = append(r.trees, tree), append(r.keys, key), append(r.values, labels[key])
	}
}

// queue writes them, if there are any.
func (r *labelRows) queue(b *pgx.Batch) {
	if len(r.trees) > 0 {
		b.Queue(sql("InsertLabels"), r.trees, r.keys, r.values)
	}
}

// SetLabels replaces the labels of a tree. They are not looked at: see [dag.CheckLabels]. [ErrNotFound].
func (s *Store) SetLabels(ctx context.Context, tree dag.TreeKey, labels map[string]string) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		found := false
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockExecution"), tree) // one change at a time, and none while the tree is deleted
		b.Queue(sql("KeepTree"), tree).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{nil}, func() error { found = true; return nil })
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("set labels of tree %d: %w", tree, err)
		}
		if !found {
			return ErrNotFound
		}
		var rows labelRows
		rows.add(tree, labels)
		b = &pgx.Batch{}
		b.Queue(sql("DeleteLabels"), tree)
		rows.queue(b)
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
}

// LabelledTrees gives trees of a namespace below a key (0: from the newest) that have all the labels, newest first, at most limit of them; an empty value
// stands for any. It takes so many steps at most, each of one look at each label, and tells where it has come to; 0: there are no more.
func (s *Store) LabelledTrees(ctx context.Context, namespace dag.NamespaceKey, below dag.TreeKey, labels map[string]string, limit, steps int) (list []*Tree, at dag.TreeKey, err error) {
	keys, at, err := s.labelled(ctx, orNewest(below), labels, limit, steps)
	if err != nil || len(keys) == 0 {
		return nil, at, err
	}
	list, err = s.trees(ctx, "TreesByKeys", keys, namespace)
	return list, at, err
}

func (s *Store) labelled(ctx context.Context, below dag.TreeKey, labels map[string]string, limit, steps int) (keys []dag.TreeKey, at dag.TreeKey, err error) {
	var names []string
	var values []*string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		names, values = append(names, key), append(values, nil)
		if value := labels[key]; value != "" {
			values[len(values)-1] = &value
		}
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LabelledTrees"), below, names, values, limit, steps)
	if err != nil {
		return nil, 0, fmt.Errorf("look for labelled trees: %w", err)
	}
	var hit bool
	if _, err := pgx.ForEachRow(rows, []any{&at, &hit}, func() error {
		if hit && at > 0 {
			keys = append(keys, at)
		}
		return nil
	}); err != nil {
		return nil, 0, fmt.Errorf("look for labelled trees: %w", err)
	}
	if at > 0 && !hit { // it may have all the labels
		at++
	}
	return keys, at, nil
}
