package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// submitLarge stores a tree of any size on a connection of its own.
func (s *submissions) submitLarge(ctx context.Context, sub Submission) (*Submitted, error) {
	in := newIntake(&sub)
	if sub.IdempotencyKey != "" {
		if found, err := s.replay(ctx, sub, in); found != nil || err != nil {
			return found, err
		}
	}
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release()
	out, err := s.storeLarge(ctx, c.Conn(), sub, in)
	if err == nil {
		return out, nil
	}
	rollback(ctx, c.Conn())
	if sub.IdempotencyKey != "" && isUnique(err, "submission_pkey") { // another one was quicker: its answer is the answer
		return s.firstAnswer(context.WithoutCancel(ctx), sub.namespace, sub.IdempotencyKey, in.digests())
	}
	if src, ok := errors.AsType[sourceError](err); ok {
		return nil, src.error
	}
	return nil, firedRefusal(levelRefusal(err, sub.Levels, in.refusedBelow()))
}

// replay answers a submission whose idempotency key is known, after reading it whole to compare. nil, nil: not known.
func (s *submissions) replay(ctx context.Context, sub Submission, in *intake) (*Submitted, error) {
	if _, err := s.firstAnswer(ctx, sub.namespace, sub.IdempotencyKey, digests{}); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if !errors.Is(err, ErrDigest) { // no digest is equal to none: the key is known
			return nil, err
		}
	}
	for t, err := range sub.Tasks {
		if err != nil {
			return nil, err
		}
		if _, err := in.add(t); err != nil {
			return nil, err
		}
	}
	return s.firstAnswer(ctx, sub.namespace, sub.IdempotencyKey, in.digests())
}

// storeLarge stores a tree in a transaction of its own. Tasks are validated when the last has been read; until then their
// payloads are copied, and are undone with the transaction when a task is bad.
func (s *submissions) storeLarge(ctx context.Context, c *pgx.Conn, sub Submission, in *intake) (*Submitted, error) {
	tree, id, level, err := beginLarge(ctx, c)
	if err != nil {
		return nil, err
	}
	s.seals.belongs(tree, sub.namespace)
	z, err := s.seals.sealer(ctx, tree)
	if err != nil {
		return nil, err
	}
	if err := copyPayloads(ctx, c, z, tree, sub.Tasks, in); err != nil {
		return nil, err
	}
	t, err := s.stage(ctx, sub, in)
	if err != nil {
		return nil, err
	}
	if err := s.keepPools(ctx, c, t); err != nil {
		return nil, err
	}
	t.tree = tree
	t.begin(id.created, level)
	idMap, err := t.copySpecs(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := t.copyTasks(ctx, c); err != nil {
		return nil, err
	}
	if w := sub.Waiter; w != nil {
		if err := w.hold(ctx, c); err != nil {
			return nil, err
		}
	}
	if in.unique != nil {
		if there, err := t.lockKey(ctx, c); err != nil {
			return nil, err
		} else if there != nil {
			rollback(ctx, c)
			return there, nil
		}
	}
	eff, err := t.finish(ctx, c, s.seals)
	if err != nil {
		return nil, err
	}
	if !sub.Hold && largeResidentSize(t.g) <= residentLarge {
		s.resident.add(tree, newLargeResidentTree(t.g, tree, id))
	}
	return t.submitted(idMap, eff), nil
}

// keepPools keeps the tree's pools open until the transaction on c ends. Those that were closed meanwhile are opened again.
func (s *submissions) keepPools(ctx context.Context, c *pgx.Conn, t *stagedTree) error {
	for range maxRetries {
		open := map[int32]bool{}
		b := &pgx.Batch{}
		queuePoolLocks(b, t.poolIDs, open)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("keep pools open: %w", err)
		}
		if len(closedAmong(t.poolIDs, open)) == 0 {
			return nil
		}
		if err := s.reopenPools(ctx, t); err != nil {
			return err
		}
	}
	return errPoolClosed
}

// beginLarge begins the transaction, gives the tree its key, and finds the feature level in use.
func beginLarge(ctx context.Context, c *pgx.Conn) (tree dag.TreeKey, id identity, level dag.Level, err error) {
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue("set local statement_timeout = 0") // the client's pace, and ctx, bound the copy
	b.Queue("set local idle_in_transaction_session_timeout = '10min'")
	b.Queue(sql("NextTrees"), 1).QueryRow(func(row pgx.Row) error { return row.Scan(&tree, &id.created, &id.server, &level) })
	if err = c.SendBatch(ctx, b).Close(); err != nil {
		return 0, identity{}, 0, fmt.Errorf("begin submission: %w", err)
	}
	return tree, id, level, nil
}

// sourceError is an error that the submission's own tasks iterator gave.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// copyPayloads reads the tasks and copies their payloads; tasks that have none cost nothing here.
func copyPayloads(ctx context.Context, c *pgx.Conn, z *sealer, tree dag.TreeKey, tasks iter.Seq2[*dag.Task, error], in *intake) error {
	next, stop := iter.Pull2(tasks)
	defer stop()
	var fault error
	read := func() (*dag.Task, int, bool) {
		for {
			t, err, ok := next()
			if !ok {
				return nil, 0, false
			}
			if err != nil {
				fault = sourceError{err}
				return nil, 0, false
			}
			i, err := in.add(t)
			if err != nil {
				fault = err
				return nil, 0, false
			}
			if carries(t) {
				return t, i, true
			}
		}
	}
	t, i, ok := read()
	if !ok {
		return fault
	}
	err := copyRows(ctx, c, sql("CopyPayloads"), func(w *rowWriter) (bool, error) {
		if !ok {
			return false, fault
		}
		if err := putPayload(w, z, tree.Key(i), t); err != nil {
			return false, err
		}
		t, i, ok = read()
		return true, nil
	})
	if err != nil && fault == nil {
		return fmt.Errorf("copy payloads: %w", err)
	}
	return cmp.Or(fault, err)
}

// copySpecs copies what identifies the tasks. Ids that are taken already get new ones (spec 2.1); when somebody takes
// one between the look and the copy, it looks again.
func (t *stagedTree) copySpecs(ctx context.Context, c *pgx.Conn) (idMap map[string]string, err error) {
	for try := 0; ; try++ {
		if idMap, err = t.renameTaken(ctx, c, idMap); err != nil {
			return nil, err
		}
		if _, err := c.Exec(ctx, "savepoint specs"); err != nil {
			return nil, err
		}
		rows := specs([]*stagedTree{t})
		err = copyRows(ctx, c, rows.statement, rows.rows)
		if err == nil {
			return idMap, nil
		}
		if !isUnique(err, "spec_id") || try == maxRetries {
			return nil, fmt.Errorf("copy specs: %w", err)
		}
		if _, err := c.Exec(ctx, "rollback to savepoint specs"); err != nil {
			return nil, err
		}
	}
}

// renameTaken looks which ids are taken, and gives those tasks new ones.
func (t *stagedTree) renameTaken(ctx context.Context, c *pgx.Conn, idMap map[string]string) (map[string]string, error) {
	const atOnce = 10_000
	for from := 0; from < len(t.g.IDs); from += atOnce {
		taken, err := takenIDs(ctx, c, t.sub.namespace, t.g.IDs[from:min(from+atOnce, len(t.g.IDs))])
		if err != nil {
			return nil, fmt.Errorf("look for taken ids: %w", err)
		}
		idMap = t.rename(taken, idMap)
	}
	return idMap, nil
}

// takenIDs are those of the ids that tasks of the namespace have.
func takenIDs(ctx context.Context, c *pgx.Conn, namespace dag.NamespaceKey, ids []string) (taken []string, err error) {
	rows, err := c.Query(ctx, sql("TakenIDs"), ids, []dag.NamespaceKey{namespace})
	if err != nil {
		return nil, err
	}
	err = eachRow(rows, func(v *values) {
		taken = append(taken, v.text())
		v.integer() // the namespace
	})
	return taken, err
}

// copyTasks copies the scheduling state and the edges, and finds which tasks begin.
func (t *stagedTree) copyTasks(ctx context.Context, c *pgx.Conn) error {
	trees := []*stagedTree{t}
	if err := copyRows(ctx, c, sql("CopyTasks"), eachTask(trees, (*stagedTree).putTask)); err != nil {
		return fmt.Errorf("copy tasks: %w", err)
	}
	if len(t.g.Dep) == 0 {
		return nil
	}
	if err := copyRows(ctx, c, sql("CopyEdges"), eachEdge(trees)); err != nil {
		return fmt.Errorf("copy edges: %w", err)
	}
	return nil
}

// finish writes the tree's row and what begins at once, and commits.
func (t *stagedTree) finish(ctx context.Context, c *pgx.Conn, x *seals) (*Effects, error) {
	z, err := x.sealer(ctx, t.tree) // anew: the copy may have taken longer than a key is the current one
	if err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	queueLevel(b, t.in.level, t.sub.Version)
	var rows treeRows
	rows.add(t, z)
	rows.queue(b)
	if w := t.sub.Waiter; w != nil {
		w.queue(b, t.tree, t.g.IDs[t.g.Root])
	}
	if err := t.queueImported(b, z); err != nil {
		return nil, err
	}
	placed, work := &placement{}, map[dag.Key]*Work{}
	if len(t.stretches) > 0 {
		t.reserve()
		queueStretches(b, t.stretches, placed)
		queueWork(b, directOf(t.stretches), dag.Ready, work)
	}
	b.Queue("commit")
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("write tree: %w", err)
	}
	x.openWork(ctx, work)
	eff := t.effects()
	eff.place(t.stretches, placed, work)
	return eff, nil
}
