package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// TreeKeeper says which trees nobody may delete. Whatever it changes needs [dag.KeepingLevel]: a *[dag.LevelError] while a live coordinator is below it.
type TreeKeeper interface {
	// Hold keeps a tree from being deleted and its tasks from being changed, by anybody and by retention, until it is released. What is held already stays so, by
	// who held it first, and that hold is given. *[InvalidArgumentError]; [ErrNotFound]: there is no such task, or its tree is being deleted.
	Hold(ctx context.Context, spec HoldSpec) (*HoldInfo, error)
	// Release ends the hold of a tree. [ErrNotFound]: it is not held.
	Release(ctx context.Context, treeOf string) error
	// Holds lists the trees that are held and that the caller may see, the oldest trees first.
	Holds(ctx context.Context, f HoldFilter) (Page[*HoldInfo], error)
}

// HoldSpec is a hold to be set.
type HoldSpec struct {
	TreeID string // of the root, or of any task of the tree
	Reason string // at most [dag.MaxReasonBytes]; required

	by string // who sets it
}

// Check refuses what can't be set, with all that is wrong in one *[InvalidArgumentError].
func (s HoldSpec) Check() error {
	var faults faultList
	if s.TreeID == "" {
		faults.add("tree_id", "is required")
	}
	if s.Reason == "" {
		faults.add("reason", "is required: it is what tells others, and later ones, when the tree may go")
	}
	faults.text("reason", dag.ReasonFault(s.Reason))
	return faults.err()
}

// HoldInfo is the hold of a tree as shown.
type HoldInfo struct {
	TreeID string // of the root
	SetBy  string // empty: nobody was asked
	SetAt  time.Time
	Reason string
}

// HoldFilter selects holds.
type HoldFilter struct {
	UserID string // of trees of this owner only; empty: of all
	Limit  int    // default 100, at most 1000
	Cursor string
}

// HeldError says that a tree is held. It is an [ErrConflict]. Its text is safe to show.
type HeldError struct {
	TreeID, Reason string
	Since          time.Time
}

// Error names the tree, and why it is held.
func (e *HeldError) Error() string {
	return fmt.Sprintf("tree %s is held since %s (%s): nothing of it is deleted or changed until it is released", e.TreeID, e.Since.UTC().Format(time.RFC3339), e.Reason)
}

// Unwrap makes it an [ErrConflict].
func (e *HeldError) Unwrap() error { return ErrConflict }

func (g *guarded) Hold(ctx context.Context, spec HoldSpec) (*HoldInfo, error) {
	spec.by = g.caller.Name
	return ask(ctx, g, Call{Method: "Hold", ID: spec.TreeID, Details: detail("reason", spec.Reason)}, func() (*HoldInfo, error) { return g.next.Hold(ctx, spec) })
}

func (g *guarded) Release(ctx context.Context, treeOf string) error {
	_, err := ask(ctx, g, Call{Method: "Release", ID: treeOf}, func() (struct{}, error) { return struct{}{}, g.next.Release(ctx, treeOf) })
	return err
}

func (g *guarded) Holds(ctx context.Context, f HoldFilter) (Page[*HoldInfo], error) {
	return askFor(ctx, g, Call{Method: "Holds", UserID: f.UserID}, func(owner string) (Page[*HoldInfo], error) {
		f.UserID = owner
		return g.next.Holds(ctx, f)
	})
}

// Hold keeps a tree from being deleted; see [TreeKeeper].
func (c *Coordinator) Hold(ctx context.Context, spec HoldSpec) (*HoldInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	k, err := c.keyOf(ctx, spec.TreeID)
	if err != nil {
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	h, err := c.store.Hold(ctx, here, k.Tree(), spec.by, spec.Reason)
	if err != nil {
		return nil, c.setError("hold", err)
	}
	failpoint.Hit("coordinator.after-hold-commit")
	return showHold(h), nil
}

func showHold(h *pg.TreeHold) *HoldInfo {
	return &HoldInfo{TreeID: h.RootID, SetBy: h.By, SetAt: h.At, Reason: h.Reason}
}

// Release ends the hold of a tree; see [TreeKeeper].
func (c *Coordinator) Release(ctx context.Context, treeOf string) error {
	k, err := c.keyOf(ctx, treeOf)
	if err != nil {
		return err
	}
	if err := c.store.Release(ctx, k.Tree()); err != nil {
		return c.setError("release", err)
	}
	failpoint.Hit("coordinator.after-release-commit")
	return nil
}

// Holds lists the trees that are held; see [TreeKeeper].
func (c *Coordinator) Holds(ctx context.Context, f HoldFilter) (page Page[*HoldInfo], err error) {
	from, err := c.listFrom(ctx, "hold", f.UserID, f.Cursor, f.Limit)
	if err != nil || from == nil {
		return page, err
	}
	limit := from.limit
	list, err := c.store.Holds(ctx, from.here, f.UserID, dag.TreeKey(from.after), limit+1)
	if err != nil {
		return page, c.internal("list holds", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = cursorTo("hold", int64(list[limit-1].Tree))
	}
	for _, h := range list {
		page.Items = append(page.Items, showHold(h))
	}
	return page, nil
}

// listFrom is where a list of what is kept or paused goes on.
type listFrom struct {
	here  dag.NamespaceKey
	after int64 // the number of the last one that was shown; 0: from the first
	limit int
}

// listFrom reads what a list is asked for, whose cursors have the word; nil: nobody has what it asks for. *[InvalidArgumentError].
func (c *Coordinator) listFrom(ctx context.Context, word, user, cursor string, most int) (from *listFrom, err error) {
	from = &listFrom{}
	if from.limit, err = limitOf(most); err != nil {
		return nil, err
	}
	if cursor != "" {
		if err := cursorFrom(word, cursor, &from.after); err != nil {
			return nil, err
		}
	}
	if !text(user) {
		return nil, nil
	}
	from.here, err = c.here(ctx)
	return from, err
}

// heldError tells of the hold that forbids what was asked of a tree.
func (c *Coordinator) heldError(ctx context.Context, tree dag.TreeKey) error {
	k, err := c.store.KeepingOf(ctx, tree)
	switch {
	case err != nil:
		return c.internal("read a hold", err)
	case k.Hold == nil: // it was released since
		return fmt.Errorf("%w: the tree was held a moment ago, try again", ErrConflict)
	}
	t, err := c.store.Tree(ctx, tree)
	if err != nil {
		return c.internal("read a hold", err)
	}
	return &HeldError{TreeID: t.ID, Reason: k.Hold.Reason, Since: k.Hold.At}
}

// addKeeping adds to a tree that is shown how it is kept.
func (c *Coordinator) addKeeping(ctx context.Context, out *TreeStatus) error {
	k, err := c.store.KeepingOf(ctx, out.Key)
	if err != nil {
		return c.internal("read tree", err)
	}
	out.Retention = k.Retention
	if k.Hold != nil {
		k.Hold.RootID = out.ID
		out.Hold = showHold(k.Hold)
	}
	return nil
}
