package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Expire deletes up to limit trees that ended over age ago, with all that belongs to them, and returns how many. Each
// key range is a transaction of its own; a tree's row goes last, so that what was begun is finished by the next call.
func (s *Store) Expire(ctx context.Context, age time.Duration, limit int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return s.ExpireBy(ctx, age, limit, nil)
}

// RemoveTree deletes a tree that ended over an age ago, unless it has changed since or is held; or it notes when the tree is to be looked at again.
type RemoveTree func(ctx context.Context, tree dag.TreeKey, age time.Duration) error

// ExpireBy is [Store.Expire] for who does more than to delete trees; nil deletes them.
func (s *Store) ExpireBy(ctx context.Context, age time.Duration, limit int, remove RemoveTree) (int, error) {
	looking, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(looking, sql("FinishedTrees"), age.Seconds(), limit)
	if err != nil {
		return 0, fmt.Errorf("look for old trees: %w", err)
	}
	trees, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
	if err != nil {
		return 0, fmt.Errorf("look for old trees: %w", err)
	}
	if remove == nil {
		remove = s.deleteTree
	}
	for n, t := range trees {
		if err := remove(ctx, t, age); err != nil {
			return n, fmt.Errorf("delete tree %d: %w", t, err)
		}
	}
	return len(trees), nil
}

// expireStep is how many keys of one tree are deleted in one transaction.
const expireStep = 20_000

// deleteTree deletes what belongs to a tree, and its row at last. A tree that was executed again meanwhile stays; one that has
// lost its first tasks can't be executed any more.
func (s *Store) deleteTree(ctx context.Context, t dag.TreeKey, age time.Duration) error {
	k, end := t.Range()
	for more := true; more; k += expireStep {
		if err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
			_, more, err = deleteStep(ctx, c, t, k, end, age, nil)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// deleteStep deletes the tasks from k on, and reports whether it did and whether there are more; with archived those of a tree that has not changed, once its object is whole.
func deleteStep(ctx context.Context, c *pgx.Conn, t dag.TreeKey, k, end dag.Key, age time.Duration, archived *Archived) (did, more bool, err error) {
	tasks := -1 // keys that it uses
	same := true
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue(sql("LockExecution"), t)
	b.Queue(sql("FinishedTree"), t, age.Seconds()).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&tasks}, func() error { return nil })
		return err
	})
	if archived != nil {
		v := archived.Version
		b.Queue(sql("UnchangedTree"), t, v.Execution, v.Sequence, v.Revision).QueryRow(func(row pgx.Row) error { return row.Scan(&same) })
	}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return false, false, err
	}
	if tasks < 0 || !same {
		_, err := c.Exec(ctx, "rollback")
		return false, false, err
	}
	if archived != nil {
		if err := archived.Commit(ctx); err != nil {
			return false, false, err
		}
	}
	b = &pgx.Batch{}
	last := min(end, t.Key(0)+dag.Key(tasks))
	to := min(k+expireStep, last)
	queueDeletion(b, k, to)
	switch {
	case to == last:
		queueTreeDeletion(b, t)
	case k == t.Key(0):
		b.Queue(sql("BeginDeletion"), t)
	}
	b.Queue("commit")
	return true, to < last, c.SendBatch(ctx, b).Close()
}

// queueDeletion deletes all that is kept of the tasks of a range of keys.
func queueDeletion(b *pgx.Batch, from, to dag.Key) {
	for _, statement := range []string{"DeleteAttempts", "DeleteUsage", "DeleteEdges", "DeletePayloads", "DeleteSentPayloads", "DeleteSpecs", "DeleteTasks", "DeleteTimers", "DeleteTaskChunks", "DeleteCopied", "DeleteBeyond", "DeleteArtifacts"} {
		b.Queue(sql(statement), from, to)
	}
}

// queueTreeDeletion deletes what is kept of a tree beside its tasks.
func queueTreeDeletion(b *pgx.Batch, t dag.TreeKey) {
	// Webhooks and agents' tasks go after the tree's row: who stores one of them locks that row, or looks for it.
	for _, statement := range []string{"TakeStored", "TellOfDeletion", "DeleteEvents", "DeleteSubmissions", "DeleteLabels", "DeleteTree", "DeleteAgentTasks", "DeleteTreeWebhooks"} {
		b.Queue(sql(statement), t)
	}
}

// strayRows is among how many rows of usage, of labels, of agents' tasks and of webhooks Tidy looks for those that nobody deleted with their tree.
const strayRows = 1000

// Tidy deletes small leftovers: departed workers of days ago, parts of results that nobody claimed,
// executors that no worker has, shares that no tree names, usage, labels, agents' tasks and webhooks of trees that are gone.
func (s *Store) Tidy(ctx context.Context) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(sql("DeleteWorkers"))
	b.Queue(sql("ForgetCoordinators"))
	b.Queue(sql("DeleteOldChunks"))
	b.Queue(sql("DeleteOldSentPayloads"))
	b.Queue(sql("DeleteStrayUsage"), strayRows)
	b.Queue(sql("DeleteStrayBeyond"), strayRows)
	b.Queue(sql("DeleteStrayLabels"), strayRows)
	b.Queue(sql("DeleteStrayKeeping"), strayRows)
	b.Queue(sql("DeleteStrayAgentTasks"), strayRows)
	b.Queue(sql("DeleteStrayCopied"), strayRows)
	b.Queue(sql("DeleteStrayArtifacts"), strayRows, s.strayArtifacts.Load()).QueryRow(func(row pgx.Row) error {
		var next int64
		err := row.Scan(&next)
		s.strayArtifacts.Store(next)
		return err
	})
	b.Queue(sql("SweepShares"), strayRows, s.sweptShares.Load()).QueryRow(func(row pgx.Row) error {
		var next int32
		err := row.Scan(&next)
		s.sweptShares.Store(next)
		return err
	})
	s.sweepCache(b)
	b.Queue(sql("DeleteOldAPIKeys"), strayRows)
	b.Queue(sql("ForgetErasedTrees"))
	b.Queue(sql("DeleteStrayWebhooks"), strayRows)
	b.Queue(sql("ForgetExecutors"), ExecutorMemory)
	b.Queue(sql("ForgetDescriptions"), ExecutorMemory)
	return s.pool.Send(ctx, b)
}
