package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Eraser erases what there is of a user.
type Eraser interface {
	// Erase begins to erase all that is stored of a user in the namespace: trees with all that belongs to them, messages, logs, contents of artifacts, keys of models.
	// Coordinators carry it out, whoever dies. What is held stays. Where it is under way already, for all trees that there are, that erasure is given, and with Cancel it cancels from then on. With Preview nothing begins, and the answer
	// counts what would go. *[InvalidArgumentError]; [ErrConflict]: trees run, and Cancel is not given, or a schedule of somebody else begins with the ends of the user's.
	Erase(ctx context.Context, spec EraseSpec) (*ErasureInfo, error)
	// Erasure shows one, and when it is done, its receipt. [ErrNotFound].
	Erasure(ctx context.Context, id string) (*ErasureInfo, error)
	// Erasures lists those of the namespace, the newest first.
	Erasures(ctx context.Context, f ErasureFilter) (Page[*ErasureInfo], error)
}

// EraseSpec says what is to be erased.
type EraseSpec struct {
	UserID  string
	Cancel  bool // what runs is cancelled first
	Preview bool // nothing is erased

	by string // who asks
}

// Check refuses what can't be erased.
func (s EraseSpec) Check() error {
	switch {
	case s.UserID == "":
		return &InvalidArgumentError{Field: "user_id", Reason: "must not be empty"}
	case !isUser(s.UserID): // whoever can have trees can have them erased
		return &InvalidArgumentError{Field: "user_id", Reason: "must be 1 to 255 characters of UTF-8 without NUL"}
	}
	return nil
}

// ErasureInfo is an erasure as shown.
type ErasureInfo struct {
	ID         string // empty: a preview
	UserID     string
	Cancel     bool
	AskedBy    string
	AskedAt    time.Time
	Step       string // preview, trees, messages, contents, done
	MovedAt    time.Time
	FinishedAt time.Time // zero: it is not done
	// Counts are what is gone, by kind: schedules, trees, tasks, attempts, events, artifacts, checkpoints, usage, webhooks, deliveries, agent_tasks, model_keys, messages, logs,
	// archived_trees; and held_trees: what is held back. Of a preview: schedules, trees, tasks, archived_trees, running_trees and held_trees as they are.
	Counts map[string]int64
}

// ErasureFilter selects erasures.
type ErasureFilter struct {
	Limit  int // default 100, at most 1000
	Cursor string
}

var erasureSteps = map[pg.ErasureStep]string{pg.EraseTrees: "trees", pg.EraseMessages: "messages", pg.EraseContents: "contents", pg.Erased: "done"}

func showErasure(e *pg.Erasure) *ErasureInfo {
	out := &ErasureInfo{ID: e.ID, UserID: e.UserID, Cancel: e.Cancel, AskedBy: e.AskedBy, AskedAt: e.AskedAt, Step: erasureSteps[e.Step], MovedAt: e.MovedAt, Counts: e.Counts}
	if e.FinishedAt != nil {
		out.FinishedAt = *e.FinishedAt
	}
	return out
}

func (g *guarded) Erase(ctx context.Context, spec EraseSpec) (*ErasureInfo, error) {
	spec.by = g.caller.Name
	call := Call{Method: "Erase", UserID: spec.UserID, Details: detail("cancel", spec.Cancel, "preview", spec.Preview)}
	return ask(ctx, g, call, func() (*ErasureInfo, error) { return g.next.Erase(ctx, spec) })
}

func (g *guarded) Erasure(ctx context.Context, id string) (*ErasureInfo, error) {
	return ask(ctx, g, Call{Method: "Erasure"}, func() (*ErasureInfo, error) { return g.next.Erasure(ctx, id) })
}

func (g *guarded) Erasures(ctx context.Context, f ErasureFilter) (Page[*ErasureInfo], error) {
	return ask(ctx, g, Call{Method: "Erasures"}, func() (Page[*ErasureInfo], error) { return g.next.Erasures(ctx, f) })
}

// made says which erasure it is.
func (e *ErasureInfo) made() Details { return detail("erasure", e.ID) }

// Erase begins to erase what there is of a user; see [Eraser].
func (c *Coordinator) Erase(ctx context.Context, spec EraseSpec) (*ErasureInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	if spec.Preview {
		found, err := c.store.Erasable(ctx, here, spec.UserID)
		if err != nil {
			return nil, c.internal("look what there is of a user", err)
		}
		counts := map[string]int64{"schedules": found.Schedules, "flows": found.Flows, "trees": found.Trees - found.Held, "tasks": found.Tasks, "running_trees": found.Running, "held_trees": found.Held}
		if c.cfg.Archive != nil {
			keys, err := c.archivedOf(ctx, here, spec.UserID, math.MaxInt64)
			if err != nil {
				return nil, c.internal("look what there is of a user", err)
			}
			counts["archived_trees"] = int64(len(keys))
		}
		return &ErasureInfo{UserID: spec.UserID, Cancel: spec.Cancel, AskedBy: spec.by, AskedAt: time.Now(), Step: "preview", Counts: counts}, nil
	}
	e, err := c.store.StartErasure(ctx, here, spec.UserID, spec.Cancel, spec.by)
	if running, ok := errors.AsType[*pg.RunningTreesError](err); ok {
		return nil, fmt.Errorf("%w: %d trees of user %s run: wait for their ends, or ask for their cancellation with cancel", ErrConflict, running.Trees, spec.UserID)
	}
	if needed, ok := errors.AsType[*pg.NeededScheduleError](err); ok {
		return nil, fmt.Errorf("%w: schedule %s, which is not of user %s, begins with the ends of schedule %s: change or delete it before", ErrConflict, needed.By, spec.UserID, needed.Schedule)
	}
	if err != nil {
		return nil, c.setError("erase", err)
	}
	failpoint.Hit("coordinator.after-erasure-commit")
	wake(c.wakeErasures)
	return showErasure(e), nil
}

// Erasure shows one; see [Eraser].
func (c *Coordinator) Erasure(ctx context.Context, id string) (*ErasureInfo, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	e, err := c.store.Erasure(ctx, here, id)
	if err != nil {
		return nil, c.internal("read an erasure", err)
	}
	return showErasure(e), nil
}

// Erasures lists those of the namespace; see [Eraser].
func (c *Coordinator) Erasures(ctx context.Context, f ErasureFilter) (page Page[*ErasureInfo], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	var below int64
	if f.Cursor != "" {
		if err := cursorFrom("erasure", f.Cursor, &below); err != nil {
			return page, err
		}
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	list, err := c.store.Erasures(ctx, here, below, limit+1)
	if err != nil {
		return page, c.internal("list erasures", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = cursorTo("erasure", list[limit-1].Key)
	}
	for _, e := range list {
		page.Items = append(page.Items, showErasure(e))
	}
	return page, nil
}

const (
	erasuresEvery = 2 * time.Second // how late a coordinator is that goes on with an erasure which another one began
	eraseAtOnce   = 100             // trees looked at in one read
	eraseMessage  = "What there is of its user is erased"
)

// runErasures carries out erasures, whoever began them. Coordinators may work at one side by side: each part is a transaction that counts what it deletes.
func (c *Coordinator) runErasures(ctx context.Context) error {
	for {
		list, err := c.store.OpenErasures(ctx)
		for _, e := range list {
			if err == nil {
				err = c.erase(ctx, e)
			}
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("an erasure could not be carried out; that is tried again", "error", err)
		}
		if !wait(ctx, c.wakeErasures, erasuresEvery) {
			return nil
		}
	}
}

// erase brings an erasure further, as far as it goes now.
func (c *Coordinator) erase(ctx context.Context, e *pg.Erasure) error {
	for _, step := range []struct {
		of pg.ErasureStep
		do func(context.Context, *pg.Erasure) (done bool, err error)
	}{{pg.EraseTrees, c.eraseTrees}, {pg.EraseMessages, c.eraseMessages}, {pg.EraseContents, c.eraseContents}} {
		if e.Step > step.of {
			continue
		}
		done, err := step.do(ctx, e)
		if err != nil || !done {
			return err
		}
		e.Step = step.of + 1
		e.Marked, e.MarkedStream = 0, 0
	}
	return nil
}

// eraseTrees deletes trees; done: there are none, but those that are held, and there will be none.
func (c *Coordinator) eraseTrees(ctx context.Context, e *pg.Erasure) (done bool, err error) {
	stored, err := c.store.AllErasedStored(ctx, e) // before they are looked for
	if err != nil {
		return false, err
	}
	left := false
	for after := dag.TreeKey(0); ; {
		list, err := c.store.TreesToErase(ctx, e, after, eraseAtOnce)
		if err != nil {
			return false, err
		}
		for _, t := range list {
			gone, err := c.eraseTree(ctx, e, t)
			if err != nil {
				return false, err
			}
			left = left || !gone && !t.Held
			after = t.Tree
		}
		if len(list) < eraseAtOnce || ctx.Err() != nil {
			break
		}
	}
	if left || !stored || ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	namespace, err := c.store.NamespaceByKey(ctx, e.Namespace)
	if err != nil {
		return false, err
	}
	failpoint.Hit("coordinator.after-trees-erased")
	return true, c.store.EraseUser(ctx, e, namespace.Name)
}

// eraseTree brings a tree nearer to its end, or deletes it; gone: it is.
func (c *Coordinator) eraseTree(ctx context.Context, e *pg.Erasure, t pg.ToErase) (gone bool, err error) {
	switch {
	case t.Held:
		return false, nil
	case t.Open && !e.Cancel: // it has been started since; it is deleted when it has ended
		return false, nil
	case t.Open && !t.Cancelled:
		if _, err := c.store.CancelTree(ctx, t.Tree, eraseMessage); err != nil && !errors.Is(err, pg.ErrNotFound) {
			return false, err
		}
		failpoint.Hit("coordinator.after-erasure-cancel")
		c.carryOut(ctx, t.Tree)
		return false, nil
	case t.Open, t.Running: // its workers are told to stop
		return false, nil
	}
	failpoint.Hit("coordinator.before-tree-erased")
	gone, err = c.store.EraseTree(ctx, e, t.Tree)
	failpoint.Hit("coordinator.after-tree-erased")
	return gone, err
}

// eraseMessages deletes what NATS has of the erased trees. Results are settled: those of trees that are gone change nothing, and are waited for.
func (c *Coordinator) eraseMessages(ctx context.Context, e *pg.Erasure) (done bool, err error) {
	last, settled, made, err := c.queue.ResultsEnd(ctx)
	if err != nil {
		return false, err
	}
	if stream := made.UnixMicro(); e.MarkedStream != stream {
		e.Marked, e.MarkedStream = int64(last), stream
		if err := c.store.MarkErasure(ctx, e, e.Marked, stream); err != nil {
			return false, err
		}
	}
	if int64(settled) < e.Marked {
		return false, nil
	}
	known := map[dag.TreeKey]bool{}
	erased := func(keys []dag.TreeKey) error {
		var ask []dag.TreeKey
		for _, t := range keys {
			if _, asked := known[t]; !asked {
				ask = append(ask, t)
			}
		}
		for part := range slices.Chunk(ask, 1000) {
			found, err := c.store.ErasedAmong(ctx, e, part)
			if err != nil {
				return err
			}
			for _, t := range part {
				known[t] = found[t]
			}
		}
		return nil
	}
	var failed error
	messages, err := c.queue.DropWork(ctx, func(data []byte) bool {
		m := &workerv1.Work{}
		if proto.Unmarshal(data, m) != nil {
			return false
		}
		tree := dag.Key(m.GetAttempt().GetTask()).Tree() // those with it are of the same lane, and of its tree or others
		trees := []dag.TreeKey{tree}
		for _, more := range m.More {
			trees = append(trees, dag.Key(more.GetAttempt().GetTask()).Tree())
		}
		failed = errors.Join(failed, erased(trees))
		return slices.ContainsFunc(trees, func(t dag.TreeKey) bool { return known[t] })
	})
	if err = errors.Join(err, failed); err != nil {
		return false, err
	}
	logs := map[int64]uint64{}
	if err := c.queue.LoggedTasks(ctx, func(task int64, batches uint64) { logs[task] = batches }); err != nil {
		return false, err
	}
	var trees []dag.TreeKey
	for task := range logs {
		trees = append(trees, dag.Key(task).Tree())
	}
	slices.Sort(trees)
	if err := erased(slices.Compact(trees)); err != nil {
		return false, err
	}
	lines := 0
	for task, batches := range logs {
		if !known[dag.Key(task).Tree()] {
			continue
		}
		if err := c.queue.DropLogs(ctx, task); err != nil {
			return false, err
		}
		lines += int(batches)
	}
	failpoint.Hit("coordinator.after-messages-erased")
	if err := c.store.CountMessagesErased(ctx, e, messages, lines); err != nil {
		return false, err
	}
	return true, c.store.ErasureToContents(ctx, e)
}

// archivedDays tells the folders of the archive that have objects of a user's trees, by day.
func (c *Coordinator) archivedDays(ctx context.Context, in dag.NamespaceKey, user string, told func(folder string) error) error {
	namespace, err := c.store.NamespaceByKey(ctx, in)
	if err != nil {
		return err
	}
	days, err := c.cfg.Archive.ListFolders(ctx, archive.Folder(namespace.Name))
	for _, day := range days {
		if err == nil {
			err = told(archive.Folder(namespace.Name, day, archive.OwnerOf(namespace.Name, user)))
		}
	}
	if err != nil {
		return fmt.Errorf("look for archived trees: %w", err)
	}
	return nil
}

// archivedOf are the objects of a user's trees up to a number in the archive.
func (c *Coordinator) archivedOf(ctx context.Context, in dag.NamespaceKey, user string, upto dag.TreeKey) (keys []string, err error) {
	err = c.archivedDays(ctx, in, user, func(folder string) error {
		return c.cfg.Archive.ListObjects(ctx, folder, func(o archive.Object) bool {
			if name, ok := archive.ParseKey(o.Key); ok && dag.TreeKey(name.Number) <= upto {
				keys = append(keys, o.Key)
			}
			return true
		})
	})
	return keys, err
}

// eraseArchived deletes the archived trees of the user. There will be no more: the objects become whole within transactions that lock the trees, and those are gone.
// They are counted before the first is deleted, and once.
func (c *Coordinator) eraseArchived(ctx context.Context, e *pg.Erasure) error {
	if c.cfg.Archive == nil {
		return nil
	}
	keys, err := c.archivedOf(ctx, e.Namespace, e.UserID, e.Upto)
	if err != nil {
		return err
	}
	if err := c.store.CountArchivedErased(ctx, e, len(keys)); err != nil {
		return err
	}
	failpoint.Hit("coordinator.after-archived-counted")
	if err := c.cleanArchive(ctx, e); err != nil {
		return err
	}
	for _, key := range keys {
		if err := c.cfg.Archive.RemoveObject(ctx, key); err != nil {
			return fmt.Errorf("erase archived trees: %w", err)
		}
		failpoint.Hit("coordinator.after-archived-erased")
	}
	return nil
}

// cleanArchive deletes what coordinators that were killed have left of objects of the user's trees.
func (c *Coordinator) cleanArchive(ctx context.Context, e *pg.Erasure) error {
	cleaner, ok := c.cfg.Archive.(archive.Cleaner)
	if !ok {
		return nil
	}
	return c.archivedDays(ctx, e.Namespace, e.UserID, func(folder string) error { return cleaner.RemoveUnfinished(ctx, folder) })
}

// eraseContents waits until the store of artifacts has nothing of the erased trees.
func (c *Coordinator) eraseContents(ctx context.Context, e *pg.Erasure) (done bool, err error) {
	if err := c.sweep(ctx); err != nil {
		return false, err
	}
	due, err := c.store.ErasedContentsDue(ctx, e)
	if err != nil || due {
		return false, err
	}
	if err := c.eraseArchived(ctx, e); err != nil {
		return false, err
	}
	failpoint.Hit("coordinator.after-contents-erased")
	first, err := c.store.FinishErasure(ctx, e)
	if err == nil && first {
		c.log.Info("what there is of a user was erased", "erasure", e.ID, "counts", e.Counts)
	}
	return true, err
}
