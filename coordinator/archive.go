package coordinator

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const (
	archiveLease    = 10 * time.Minute // for how long who archives a tree has claimed it, and after how long one is tried again that could not be archived
	archiveCommit   = 45 * time.Second // for how long an object may take to become whole; a transaction is open
	archiveTasks    = 500              // of a tree, read at once
	archiveLogBytes = 16 << 20         // of lines of logs of one tree; the logs of further attempts are left out
	archiveFailures = 3                // in a row, after which the store is left alone until the next look at old trees
	archiveLate     = 2 * time.Hour    // after how long a diagnosis tells of a tree that is still there
)

// archiver archives the trees of one look at what is old.
type archiver struct {
	*Coordinator
	failures int // in a row
}

// expiry is what removes old trees: nil deletes them.
func (c *Coordinator) expiry() pg.RemoveTree {
	if c.cfg.Archive == nil {
		return nil
	}
	return (&archiver{Coordinator: c}).remove
}

// remove archives a tree and deletes it. One that can't be archived stays, and is tried again later; its error ends the look when several fail in a row.
func (a *archiver) remove(ctx context.Context, tree dag.TreeKey, age time.Duration) error {
	claimed, err := a.store.ClaimArchive(ctx, tree, archiveLease)
	if err != nil || !claimed {
		return err
	}
	failpoint.Hit("coordinator.after-archive-claim")
	switch err := a.archiveTree(ctx, tree, age); {
	case err == nil:
		a.failures = 0
		return nil
	case errors.Is(err, pg.ErrNotFound), errors.Is(err, pg.ErrHeld): // since it was looked at
		return nil
	case ctx.Err() != nil:
		return err
	default:
		a.meter.archived(ctx, "failed")
		a.log.Warn("a tree could not be archived, and stays; that is tried again", "tree", tree, "after", archiveLease.String(), "error", err)
		if a.failures++; a.failures >= archiveFailures {
			return fmt.Errorf("the archive takes nothing: %w", err)
		}
		return nil
	}
}

// archiveTree writes a tree into the archive and deletes it.
func (c *Coordinator) archiveTree(ctx context.Context, key dag.TreeKey, age time.Duration) error {
	tree, err := c.store.TreeToArchive(ctx, key)
	if err != nil {
		return err
	}
	name := archive.Name{Namespace: tree.InNamespace, Day: archive.DayOf(tree.CreatedAt), Owner: archive.OwnerOf(tree.InNamespace, tree.UserID), Tree: tree.ID, Number: int64(key)}
	object, err := c.cfg.Archive.CreateObject(ctx, name.Key())
	if err != nil {
		return err
	}
	defer object.Abort()
	lines, err := archive.NewEncoder(object, c.cfg.Version)
	if err != nil {
		return err
	}
	w := &treeWriter{Coordinator: c, Encoder: lines, tree: tree, logs: archiveLogBytes, renew: time.Now().Add(archiveLease / 4)}
	if err := errors.Join(w.write(ctx), lines.Close()); err != nil {
		return err
	}
	failpoint.Hit("coordinator.after-archive-written")
	deleted, err := c.store.DeleteArchived(ctx, key, age, pg.Archived{Version: tree.Version, Commit: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, archiveCommit)
		defer cancel()
		err := object.Commit(ctx)
		failpoint.Hit("coordinator.after-archive-commit")
		return err
	}})
	if err != nil {
		return err
	}
	failpoint.Hit("coordinator.after-archive-deletion")
	if deleted { // else it was executed, changed or held meanwhile
		c.meter.archived(ctx, "archived")
	}
	return nil
}

// treeWriter writes the lines of a tree.
type treeWriter struct {
	*Coordinator
	*archive.Encoder
	tree  *pg.ArchivedTree
	logs  int       // bytes of lines of logs that may follow
	renew time.Time // when the claim is to be renewed
}

func (w *treeWriter) write(ctx context.Context) error {
	t := w.tree
	line := &archive.Tree{ID: t.ID, Number: int64(t.Key), Namespace: t.InNamespace, Name: t.Name, UserID: t.UserID, Labels: t.Labels, Tasks: t.Tasks, Completed: t.Completed,
		Skipped: t.Skipped, Failed: t.Failed, Cancelled: t.Cancelled, Blocked: t.Blocked, Executions: t.Execution, CreatedAt: t.CreatedAt, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt,
		CancelledAt: t.CancelledAt, CancelMessage: t.CancelMessage, DueAt: t.DueAt, LateAt: t.LateAt, Retention: max(t.Retention, 0).Seconds()}
	if err := w.Write(&archive.Line{Tree: line}); err != nil {
		return err
	}
	for from, end := t.Key.Range(); ; {
		page, err := w.store.TasksToArchive(ctx, from, end, archiveTasks)
		if err != nil {
			return err
		}
		if len(page.Tasks) == 0 {
			break
		}
		next := page.Last().Key + 1
		if err := errors.Join(w.tasks(page.Tasks), w.attempts(ctx, from, next), w.usage(ctx, from, next), w.files(ctx, from, next)); err != nil {
			return err
		}
		if from = next; !page.More {
			break
		}
		if err := w.keep(ctx); err != nil {
			return err
		}
	}
	return w.events(ctx)
}

// keep goes on with the claim, if it is time.
func (w *treeWriter) keep(ctx context.Context) error {
	if time.Now().Before(w.renew) {
		return nil
	}
	w.renew = time.Now().Add(archiveLease / 4)
	return w.store.KeepClaim(ctx, w.tree.Key, archiveLease)
}

func (w *treeWriter) tasks(list []*pg.Shown) error {
	for _, t := range list {
		line := &archive.Task{Number: t.Key.Index(), ID: t.ID, Name: t.Name, Executor: t.Executor, Pool: t.Pool, Priority: int(t.Priority), Inputs: t.Inputs, Params: t.Params, Schemas: t.Schemas,
			Custom: t.Custom, Control: t.Control, State: t.State.String(), Outcome: t.State.Outcome(), Attempt: int(t.Attempt), Result: t.Result, Outputs: t.Outputs,
			SubtreeID: t.SubtreeID, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt, SealedInputs: t.SealedPayload, SealedResult: t.SealedAttempt}
		for to, from := range map[*string]*string{&line.ParentID: t.ParentID, &line.Error: t.Error, &line.ErrorKind: t.Kind, &line.BlockedBy: t.BlockedBy, &line.Worker: t.Worker, &line.CopyOf: t.Original} {
			if from != nil {
				*to = *from
			}
		}
		if t.Ref != t.ID {
			line.Ref = t.Ref
		}
		if t.CachedFrom != nil {
			line.CachedFrom = t.CachedFrom.TaskID
		}
		for _, d := range t.Dependencies {
			edge := archive.Dependency{ID: d.ID, Required: d.Required, Accept: d.Mode.Accept(), Otherwise: d.Mode.Otherwise()}
			if d.Type != "result" {
				edge.Type = d.Type
			}
			if d.Mode.OrderOnly() {
				edge.Merge = new(bool)
			}
			line.Dependencies = append(line.Dependencies, edge)
		}
		if err := w.Write(&archive.Line{Task: line}); err != nil {
			return err
		}
	}
	return nil
}

func (w *treeWriter) attempts(ctx context.Context, from, end dag.Key) error {
	return w.store.AttemptsToArchive(ctx, from, end, func(a *pg.TaskAttempt) error {
		return w.Write(&archive.Line{Attempt: &archive.Attempt{Task: a.Task.Index(), Number: int(a.Number), Outcome: a.Outcome.String(), Counted: a.Counted, Result: a.Result, Outputs: a.Outputs,
			Error: a.Error, ErrorKind: a.Kind, Detail: a.Detail, Worker: a.Worker, StartedAt: a.StartedAt, FinishedAt: a.FinishedAt, Sealed: a.Sealed}})
	})
}

func (w *treeWriter) usage(ctx context.Context, from, end dag.Key) error {
	list, err := w.store.UsageToArchive(ctx, from, end)
	if err != nil {
		return err
	}
	for _, u := range list {
		line := &archive.Usage{Task: u.Task.Index(), Attempt: int(u.Attempt), Model: u.Model, Currency: u.Currency, Calls: u.Calls, Prompt: u.Prompt, Completion: u.Completion, Cached: u.Cached,
			CostNanos: u.CostNanos, Unpriced: u.Unpriced}
		if err := w.Write(&archive.Line{Usage: line}); err != nil {
			return err
		}
	}
	return nil
}

var fileKinds = map[int16]string{pg.ArtifactFile: "file", pg.ArtifactOutput: "output", pg.ArtifactLog: "log", pg.ArtifactManifest: "manifest"}

// files writes which files there are, and the lines of logs that are not sealed.
func (w *treeWriter) files(ctx context.Context, from, end dag.Key) error {
	list, err := w.store.FilesToArchive(ctx, from, end)
	if err != nil {
		return err
	}
	for i := range list {
		f := &list[i]
		line := &archive.File{Task: f.Task.Index(), Attempt: int(f.Attempt), Kind: fileKinds[f.Kind], Name: f.Name, MediaType: f.MediaType, Size: f.Size, SHA256: hex.EncodeToString(f.Digest), Sealed: f.Sealed}
		if f.Kind == pg.ArtifactLog {
			if line.LeftOut, err = w.log(ctx, f); err != nil {
				return err
			}
		}
		if err := w.Write(&archive.Line{File: line}); err != nil {
			return err
		}
	}
	return nil
}

// errLogFull ends a log that has more lines than the archive takes.
var errLogFull = errors.New("the archive takes no more lines of logs")

// log writes the lines of an attempt; leftOut: not all of them, as they are sealed, too many, or can't be read.
func (w *treeWriter) log(ctx context.Context, f *pg.FileToArchive) (leftOut bool, err error) {
	if f.Sealed || w.logs <= 0 {
		return true, nil
	}
	var failed error
	err = w.archivedLog(ctx, &f.Artifact, func(l *workerv1.LogLine) bool {
		if w.logs -= len(l.Text); w.logs < 0 {
			failed = errLogFull
			return false
		}
		failed = w.Write(&archive.Line{Log: &archive.Log{Task: f.Task.Index(), Attempt: int(f.Attempt), At: time.UnixMicro(l.UnixUs).UTC(), Stream: l.Stream, Text: l.Text}})
		return failed == nil
	})
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(failed, errLogFull):
		return true, nil
	case failed != nil:
		return false, failed
	case err != nil: // the store of artifacts has lost it: nothing brings it back
		w.Coordinator.log.Warn("a log can't be read, and is not archived", "tree", w.tree.ID, "attempt", f.Attempt, "error", err)
		return true, nil
	}
	return false, nil
}

var archivedEvents = map[dag.EventType]string{dag.EventExecution: "execution", dag.EventStart: "start", dag.EventCompleted: "completed", dag.EventFailed: "failed", dag.EventCancelled: "cancelled",
	dag.EventRetry: "retry", dag.EventFinal: "final", dag.EventSkipped: "skipped", dag.EventExpanded: "expanded", dag.EventAwaiting: "awaiting", dag.EventRepeat: "repeat", dag.EventSignal: "signal", dag.EventLate: "late"}

func (w *treeWriter) events(ctx context.Context) error {
	for after := int64(0); ; {
		list, err := w.store.EventsToArchive(ctx, w.tree.Key, after)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			line := &archive.Event{Sequence: e.Sequence, At: e.At.UTC(), Type: archivedEvents[e.Type], Attempt: int(e.Attempt)}
			if line.Type == "" {
				line.Type = fmt.Sprintf("event(%d)", e.Type)
			}
			if e.Task != 0 {
				number := e.Task.Index()
				line.Task = &number
			}
			if err := w.Write(&archive.Line{Event: line}); err != nil {
				return err
			}
		}
		after = list[len(list)-1].Sequence
		if err := w.keep(ctx); err != nil {
			return err
		}
	}
}
