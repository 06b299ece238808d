package pg

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// TreeVersion is by what a tree is known not to have changed.
type TreeVersion struct {
	Execution          int32
	Sequence, Revision int64
}

// ArchivedTree is a tree as it is archived.
type ArchivedTree struct {
	*Tree
	Version       TreeVersion
	CancelledAt   *time.Time
	CancelMessage string
	InNamespace   string        // its name
	Retention     time.Duration // of its own; 0: none
}

// ClaimArchive says that the caller archives a tree for so long. claimed: nobody else does, it is not held, and its deletion has not begun.
func (s *Store) ClaimArchive(ctx context.Context, tree dag.TreeKey, lease time.Duration) (claimed bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockExecution"), tree)
		b.Queue(sql("ClaimArchive"), tree, lease.Seconds()).Exec(func(tag pgconn.CommandTag) error { claimed = tag.RowsAffected() > 0; return nil })
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return false, fmt.Errorf("claim tree %d for the archive: %w", tree, err)
	}
	return claimed, nil
}

// KeepClaim goes on with a claim for so long. ErrHeld: the tree is held by now, or gone.
func (s *Store) KeepClaim(ctx context.Context, tree dag.TreeKey, lease time.Duration) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := orNone(s.pool.QueryRow(ctx, sql("KeepClaim"), tree, lease.Seconds()).Scan(nil), ErrHeld); err != nil {
		return fmt.Errorf("go on archiving tree %d: %w", tree, err)
	}
	return nil
}

// TreeToArchive is the tree, if all of it has ended. [ErrNotFound]: it is gone, being deleted, or something of it runs.
func (s *Store) TreeToArchive(ctx context.Context, tree dag.TreeKey) (*ArchivedTree, error) {
	a := &ArchivedTree{}
	var seconds int64
	v, cancel := s.deadline(ctx)
	defer cancel()
	err := s.pool.QueryRow(v, sql("VersionOfTree"), tree).Scan(&a.Version.Execution, &a.Version.Sequence, &a.Version.Revision, &a.CancelledAt, &a.CancelMessage, &a.InNamespace, &seconds)
	if err := orNone(err, ErrNotFound); err != nil {
		return nil, fmt.Errorf("read tree %d: %w", tree, err)
	}
	a.Retention = retentionOf(seconds)
	a.Tree, err = s.Tree(ctx, tree)
	return a, err
}

// TasksToArchive are some tasks of a tree with keys in [from, end), as they are stored: what is sealed stays so, in SealedPayload and SealedAttempt.
func (s *Store) TasksToArchive(ctx context.Context, from, end dag.Key, limit int) (Page, error) {
	f := Filter{Limit: limit}
	page, err := s.storedPage(ctx, f, "TasksUp", f.up(from, end)...)
	if err != nil {
		return page, err
	}
	if err := s.addDependencies(ctx, page.Tasks); err != nil {
		return page, err
	}
	if err := s.addSubtrees(ctx, page.Tasks); err != nil {
		return page, err
	}
	return page, s.addCachedFrom(ctx, page.Tasks)
}

// TaskAttempt is an attempt of a task. What is sealed of it stays so.
type TaskAttempt struct {
	Task dag.Key
	Attempt
}

// AttemptsToArchive tells the ended attempts of the tasks with keys in [from, end), one at a time, without what the last one of a task has given: that is with the task.
// An error of told ends it.
func (s *Store) AttemptsToArchive(ctx context.Context, from, end dag.Key, told func(*TaskAttempt) error) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("AttemptsIn"), from, end)
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	var a TaskAttempt
	_, err = pgx.ForEachRow(rows, []any{&a.Task, &a.Number, &a.Outcome, &a.Counted, &a.Error, &a.Detail, &a.Kind, &a.Result, &a.Outputs, &a.Worker, &a.StartedAt, &a.FinishedAt, &a.Sealed},
		func() error { return told(&a) })
	return err
}

// TaskUsage is what an attempt of a task used of a model.
type TaskUsage struct {
	Task    dag.Key
	Attempt int32
	dag.Used
}

// UsageToArchive is what the attempts of the tasks with keys in [from, end) used.
func (s *Store) UsageToArchive(ctx context.Context, from, end dag.Key) (list []TaskUsage, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("UsageIn"), from, end)
	if err == nil {
		err = eachRow(rows, func(v *values) { list = append(list, TaskUsage{v.key(), v.integer(), scanUsed(v)}) })
	}
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	return list, nil
}

// FileToArchive is an artifact. Of a sealed one neither the name nor the digest is told.
type FileToArchive struct {
	Artifact
	Sealed bool
}

// FilesToArchive are the artifacts of the tasks with keys in [from, end).
func (s *Store) FilesToArchive(ctx context.Context, from, end dag.Key) (list []FileToArchive, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("FilesIn"), from, end)
	if err != nil {
		return nil, fmt.Errorf("read artifacts: %w", err)
	}
	var a FileToArchive
	var id *[16]byte
	var block *int
	var digests []byte
	var contentSealed bool
	_, err = pgx.ForEachRow(rows, []any{&a.Task, &a.Attempt, &a.Kind, &a.Number, &a.Size, &a.Name, &a.MediaType, &a.Digest, &a.Sealed, &id, &block, &digests, &contentSealed}, func() error {
		one := a
		one.Sealed = a.Sealed || contentSealed
		one.Digest = bytes.Clone(a.Digest)
		if one.Sealed {
			one.Digest = nil // it is keyed
		} else if one.Kind == ArtifactManifest {
			if err := one.manifest(); err != nil {
				return err
			}
		}
		if id != nil {
			one.Content = &Content{ID: *id, Task: a.Task, Attempt: a.Attempt, Stored: true, Size: a.Size, Block: *block, Digests: bytes.Clone(digests)}
		}
		list = append(list, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read artifacts: %w", err)
	}
	return list, nil
}

// EventsToArchive are the next events of a tree after a sequence, in order, some thousands at most; none: there are no more.
func (s *Store) EventsToArchive(ctx context.Context, tree dag.TreeKey, after int64) ([]TreeEvent, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("EventsAfter"), tree, after, eventRows)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return scanEvents(rows, tree, after)
}

// Archived is how a tree that has been read becomes an archived one.
type Archived struct {
	Version TreeVersion                     // as it was read
	Commit  func(ctx context.Context) error // makes the object whole
}

// DeleteArchived deletes a tree that ended over age ago, if it is as it was read. Nobody changes, holds or erases it meanwhile: its object is made whole within the transaction
// that deletes the first of it. So who erases its user afterwards finds the object, and none comes later. deleted: it is.
func (s *Store) DeleteArchived(ctx context.Context, t dag.TreeKey, age time.Duration, a Archived) (deleted bool, err error) {
	k, end := t.Range()
	more := true
	if err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		deleted, more, err = deleteStep(ctx, c, t, k, end, age, &a)
		return err
	}); err != nil || !deleted {
		return false, err
	}
	if more {
		return true, s.deleteTree(ctx, t, 0) // what is left of it can't be executed, and goes on in any case
	}
	return true, nil
}

// ArchiveLate counts the trees, up to 2000, that are still there so long after their retention is over; age is the operator's, 0: for ever.
func (s *Store) ArchiveLate(ctx context.Context, late, age time.Duration) (n int, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("ArchiveLate"), late.Seconds(), age.Seconds()).Scan(&n); err != nil {
		return 0, fmt.Errorf("count trees that are not archived: %w", err)
	}
	return n, nil
}
