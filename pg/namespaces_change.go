package pg

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ErrNotEmpty: the namespace has trees or schedules.
var ErrNotEmpty = errors.New("the namespace has trees or schedules")

// storing is what a transaction stores, by namespaces.
type storing struct {
	keys                []dag.NamespaceKey
	trees, tasks, bytes []int64
	begun               []bool // executions begin there
}

// add adds to what is stored in a namespace.
func (s *storing) add(namespace dag.NamespaceKey, trees, tasks, bytes int64, begun bool) {
	for i, k := range s.keys {
		if k == namespace {
			s.trees[i], s.tasks[i], s.bytes[i], s.begun[i] = s.trees[i]+trees, s.tasks[i]+tasks, s.bytes[i]+bytes, s.begun[i] || begun
			return
		}
	}
	s.keys, s.trees, s.tasks, s.bytes, s.begun = append(s.keys, namespace), append(s.trees, trees), append(s.tasks, tasks), append(s.bytes, bytes), append(s.begun, begun)
}

// queue keeps the namespaces until the transaction ends, and has it fail over a quota. It comes last before the commit: what is counted is locked for
// all others that store something in the namespace. Of default alone, without quotas, it is nothing.
func (s *storing) queue(b *pgx.Batch) {
	if len(s.keys) == 0 {
		return
	}
	b.Queue(sql("KeepNamespaces"), s.keys)
	b.Queue(sql("AddStored"), s.keys, s.trees, s.tasks, s.bytes)
	for i, k := range s.keys {
		if s.begun[i] {
			b.Queue(sql(in(k, "RequireFewOpenTrees")), k)
		}
	}
}

// countsDefault says whether default has quotas, as far as this process knows.
type countsDefault struct {
	atomic.Bool
	waiting atomic.Bool // some limit bounds how many tasks of a user wait
}

// queueWaiting has the transaction fail when more tasks of the users of the trees wait than may, with those that it has stored or started, and so many more of each, which
// their trees do not count yet.
func (c *countsDefault) queueWaiting(b *pgx.Batch, trees []int64, more int) {
	if len(trees) > 0 && c.waiting.Load() {
		b.Queue(sql("LockWaiting"), trees)
		b.Queue(sql("RequireFewWaiting"), trees, int64(more))
	}
}

// counts reports whether what is stored in a namespace is looked at: always, but for default as long as it has no quotas.
func (c *countsDefault) counts(namespace dag.NamespaceKey) bool {
	return namespace != dag.DefaultNamespaceKey || c.Load()
}

// SetDefaultCounted says whether default has quotas, which this process has read lately.
func (s *Store) SetDefaultCounted(counted bool) { s.counted.Store(counted) }

// UpdateNamespace writes a namespace's description and quotas anew. When it gets its first quota, what is stored is counted. [ErrNotFound].
func (s *Store) UpdateNamespace(ctx context.Context, key dag.NamespaceKey, description string, quotas Quotas) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		n := &Namespace{}
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockNamespace"), key)
		b.Queue(sql("NamespacesByKeys"), []dag.NamespaceKey{key}).QueryRow(n.scan)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return ErrNotFound
			}
			return fmt.Errorf("lock namespace: %w", err)
		}
		has := n.Stored
		switch {
		case !quotas.Any():
			has = Stored{}
		case has.HasTrees == nil:
			if err := c.QueryRow(ctx, sql(in(key, "CountStored")), key).Scan(&has.HasTrees, &has.HasTasks, &has.HasBytes); err != nil {
				return fmt.Errorf("count what is stored: %w", err)
			}
		}
		done, err := c.Exec(ctx, sql("UpdateNamespace"), key, description, quotas.OpenTrees, quotas.Trees, quotas.Tasks, quotas.Bytes, has.HasTrees, has.HasTasks, has.HasBytes)
		switch {
		case err != nil:
			return fmt.Errorf("update namespace: %w", err)
		case done.RowsAffected() == 0:
			return ErrNotFound
		}
		_, err = c.Exec(ctx, "commit")
		return err
	})
}

// CorrectStored counts anew what is stored in the namespaces that have quotas, unless another process is at it.
func (s *Store) CorrectStored(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, sql("CountedNamespaces"))
	if err != nil {
		return fmt.Errorf("look for namespaces with quotas: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[dag.NamespaceKey])
	if err != nil {
		return fmt.Errorf("look for namespaces with quotas: %w", err)
	}
	for _, key := range keys {
		if err := s.correctStored(ctx, key); err != nil {
			return fmt.Errorf("count what is stored in namespace %d: %w", key, err)
		}
	}
	return nil
}

func (s *Store) correctStored(ctx context.Context, key dag.NamespaceKey) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var mine bool
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("NamespaceTurn")).QueryRow(func(row pgx.Row) error { return row.Scan(&mine) })
		b.Queue(sql("LockNamespace"), key)
		if err := c.SendBatch(ctx, b).Close(); err != nil || !mine {
			rollback(ctx, c)
			return err
		}
		var trees, tasks, bytes int64
		if err := c.QueryRow(ctx, sql(in(key, "CountStored")), key).Scan(&trees, &tasks, &bytes); err != nil {
			return err
		}
		b = &pgx.Batch{}
		b.Queue(sql("CorrectStored"), key, trees, tasks, bytes)
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
}

// CloseNamespace has nothing more be stored in a namespace, so that it can be deleted; force: though there are trees or schedules in it. [ErrNotEmpty]; [ErrHeld]: some
// of them is.
func (s *Store) CloseNamespace(ctx context.Context, key dag.NamespaceKey, force bool) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockNamespace"), key)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("lock namespace: %w", err)
		}
		var held int
		if err := c.QueryRow(ctx, sql("HeldIn"), key).Scan(&held); err != nil {
			return fmt.Errorf("look for held trees: %w", err)
		}
		if held > 0 {
			return ErrHeld
		}
		done, err := c.Exec(ctx, sql("CloseNamespace"), key, force) // a look of its own: what was stored before the lock is seen
		switch {
		case err != nil:
			return fmt.Errorf("close namespace: %w", err)
		case done.RowsAffected() == 0:
			return ErrNotEmpty
		}
		_, err = c.Exec(ctx, "commit")
		return err
	})
}

// ClosedNamespaces are those that are being deleted, at most 100.
func (s *Store) ClosedNamespaces(ctx context.Context) ([]dag.NamespaceKey, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ClosedNamespaces"))
	if err != nil {
		return nil, fmt.Errorf("look for closed namespaces: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[dag.NamespaceKey])
}

// Doomed is a tree of a closed namespace.
type Doomed struct {
	Tree     dag.TreeKey
	Root     dag.Key
	Open     bool // it has tasks that have not ended
	Running  bool // attempts are open
	Executed bool
}

// Doomed are the first trees of a closed namespace.
func (s *Store) Doomed(ctx context.Context, key dag.NamespaceKey, limit int) ([]Doomed, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("TreesToDelete"), key, limit)
	if err != nil {
		return nil, fmt.Errorf("look for trees of a closed namespace: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Doomed])
}

// DeleteEnded deletes a tree that has ended, whenever that was, as [Store.Expire] does.
func (s *Store) DeleteEnded(ctx context.Context, tree dag.TreeKey) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return s.deleteTree(ctx, tree, 0)
}

// DropNamespace forgets a closed namespace that has no trees any more, and reports whether it did.
func (s *Store) DropNamespace(ctx context.Context, key dag.NamespaceKey) (gone bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var n int
	if err := s.pool.QueryRow(ctx, sql("DropNamespace"), key).Scan(&n); err != nil {
		return false, fmt.Errorf("drop namespace: %w", err)
	}
	return n > 0, nil
}
