package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// NamespaceKeeper makes, shows, changes and deletes namespaces. It is the same in every namespace. Where a name is that of none, the error is
// [ErrNotFound].
type NamespaceKeeper interface {
	// CreateNamespace makes one. A name that is taken is an [ErrConflict]; *[dag.LevelError] while a process lives that knows nothing of namespaces.
	CreateNamespace(ctx context.Context, spec NamespaceSpec) (*NamespaceInfo, error)
	GetNamespace(ctx context.Context, name string) (*NamespaceInfo, error)
	// ListNamespaces shows them by name, those too that are being deleted.
	ListNamespaces(ctx context.Context, f NamespaceFilter) (Page[*NamespaceInfo], error)
	// UpdateNamespace changes description and quotas. Other coordinators go by new quotas of default within 10 seconds, by those of others at once.
	UpdateNamespace(ctx context.Context, name string, change NamespaceChange) (*NamespaceInfo, error)
	// DeleteNamespace deletes one. One with trees or schedules is an [ErrConflict] unless force says that they go, too: what runs is cancelled, and coordinators
	// delete tree by tree. It answers what is left: nil when all is gone, else the namespace, in which nothing can be stored any more and which is
	// found by these methods only. default can't be deleted.
	DeleteNamespace(ctx context.Context, name string, force bool) (*NamespaceInfo, error)
}

// Quotas are how much there may be in a namespace; nil: any number. What would go above is refused with a *[QuotaError].
type Quotas struct {
	OpenTrees *int64 // with an execution in progress
	Trees     *int64 // stored
	Tasks     *int64 // stored
	Bytes     *int64 // of inputs, params, schemas and custom keys, as they were submitted
}

// NamespaceSpec is a namespace to be made.
type NamespaceSpec struct {
	Name        string // 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit
	Description string // at most 1000 characters
	Quotas      Quotas
}

// NamespaceChange changes a namespace; nil fields stay as they are. A negative quota takes it away.
type NamespaceChange struct {
	Description *string
	Quotas      Quotas
}

// NamespaceFilter selects namespaces.
type NamespaceFilter struct {
	Limit  int // default 100, at most 1000
	Cursor string
}

// NamespaceInfo is a namespace as shown.
type NamespaceInfo struct {
	Name        string
	Description string
	CreatedAt   time.Time
	Quotas      Quotas
	// Trees, Tasks and Bytes are how much is stored, as far as it is counted: from the first quota on. Deletions and changes of single tasks are
	// taken into account within ten minutes. nil: it is not counted.
	Trees, Tasks, Bytes *int64
	Deleting            bool
}

const maxDescription = 1000 // characters

func (g *guarded) CreateNamespace(ctx context.Context, spec NamespaceSpec) (*NamespaceInfo, error) {
	return ask(ctx, g, aboutNamespace("CreateNamespace", spec.Name), func() (*NamespaceInfo, error) { return g.next.CreateNamespace(ctx, spec) })
}

func (g *guarded) GetNamespace(ctx context.Context, name string) (*NamespaceInfo, error) {
	return ask(ctx, g, aboutNamespace("GetNamespace", name), func() (*NamespaceInfo, error) { return g.next.GetNamespace(ctx, name) })
}

func (g *guarded) ListNamespaces(ctx context.Context, f NamespaceFilter) (Page[*NamespaceInfo], error) {
	return ask(ctx, g, aboutNamespace("ListNamespaces", ""), func() (Page[*NamespaceInfo], error) { return g.next.ListNamespaces(ctx, f) })
}

func (g *guarded) UpdateNamespace(ctx context.Context, name string, change NamespaceChange) (*NamespaceInfo, error) {
	return ask(ctx, g, aboutNamespace("UpdateNamespace", name), func() (*NamespaceInfo, error) { return g.next.UpdateNamespace(ctx, name, change) })
}

func (g *guarded) DeleteNamespace(ctx context.Context, name string, force bool) (*NamespaceInfo, error) {
	return ask(ctx, g, aboutNamespace("DeleteNamespace", name), func() (*NamespaceInfo, error) { return g.next.DeleteNamespace(ctx, name, force) })
}

// aboutNamespace is a call about a namespace, which the record names. Their permissions are over the cluster.
func aboutNamespace(method, name string) Call {
	return Call{Method: method, Details: detail("namespace", clean(name))}
}

// Check refuses what can't be made, with an [InvalidArgumentError].
func (s NamespaceSpec) Check() error {
	if !policy.NamespaceName(s.Name) {
		return &InvalidArgumentError{Field: "name", Reason: "must be 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"}
	}
	for _, q := range s.Quotas.named() {
		if *q.of != nil && **q.of < 0 {
			return &InvalidArgumentError{Field: "quotas." + q.name, Reason: "must not be negative"}
		}
	}
	return checkDescription(s.Description)
}

func checkDescription(d string) error {
	if utf8.RuneCountInString(d) > maxDescription || !text(d) {
		return &InvalidArgumentError{Field: "description", Reason: fmt.Sprintf("must be at most %d characters of UTF-8 without NUL", maxDescription)}
	}
	return nil
}

// namedQuota is a quota by its name.
type namedQuota struct {
	name string
	of   **int64
}

func (q *Quotas) named() []namedQuota {
	return []namedQuota{{"open_trees", &q.OpenTrees}, {"trees", &q.Trees}, {"tasks", &q.Tasks}, {"bytes", &q.Bytes}}
}

// Changed are the quotas after a change, in which nil leaves one as it is and a negative number takes it away.
func (q Quotas) Changed(by Quotas) Quotas {
	to := q.named()
	for i, c := range by.named() {
		switch {
		case *c.of == nil:
		case **c.of < 0:
			*to[i].of = nil
		default:
			*to[i].of = *c.of
		}
	}
	return q
}

// CreateNamespace makes a namespace; see [NamespaceKeeper].
func (c *Coordinator) CreateNamespace(ctx context.Context, spec NamespaceSpec) (*NamespaceInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	n, err := c.store.CreateNamespace(ctx, spec.Name, spec.Description, pg.Quotas(spec.Quotas))
	if below, ok := errors.AsType[*dag.LevelError](err); ok {
		return nil, below
	}
	switch {
	case errors.Is(err, pg.ErrTaken):
		return nil, fmt.Errorf("%w: there is a namespace %s", ErrConflict, spec.Name)
	case errors.Is(err, pg.ErrTooManyNamespaces):
		return nil, fmt.Errorf("%w: %w", ErrConflict, err)
	case err != nil:
		return nil, c.internal("create a namespace", err)
	}
	failpoint.Hit("coordinator.after-namespace-created")
	c.spaces.keep(n)
	return showNamespace(n), nil
}

// GetNamespace shows a namespace; see [NamespaceKeeper].
func (c *Coordinator) GetNamespace(ctx context.Context, name string) (*NamespaceInfo, error) {
	n, err := c.storedNamespace(ctx, name)
	if err != nil {
		return nil, err
	}
	return showNamespace(n), nil
}

// storedNamespace is a namespace as it is now.
func (c *Coordinator) storedNamespace(ctx context.Context, name string) (*pg.Namespace, error) {
	if !policy.NamespaceName(name) {
		return nil, ErrNotFound
	}
	n, err := c.store.NamespaceByName(ctx, name)
	if err != nil {
		return nil, c.internal("read a namespace", err)
	}
	return n, nil
}

func showNamespace(n *pg.Namespace) *NamespaceInfo {
	return &NamespaceInfo{Name: n.Name, Description: n.Description, CreatedAt: n.CreatedAt, Quotas: Quotas(n.Quotas), Trees: n.HasTrees, Tasks: n.HasTasks, Bytes: n.HasBytes,
		Deleting: n.ClosedAt != nil}
}

// ListNamespaces shows namespaces; see [NamespaceKeeper].
func (c *Coordinator) ListNamespaces(ctx context.Context, f NamespaceFilter) (page Page[*NamespaceInfo], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	if f.Cursor != "" && !policy.NamespaceName(f.Cursor) {
		return page, &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
	}
	list, err := c.store.Namespaces(ctx, f.Cursor, limit+1)
	if err != nil {
		return page, c.internal("list namespaces", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = list[limit-1].Name
	}
	for _, n := range list {
		page.Items = append(page.Items, showNamespace(n))
	}
	return page, nil
}

// UpdateNamespace changes a namespace; see [NamespaceKeeper].
func (c *Coordinator) UpdateNamespace(ctx context.Context, name string, change NamespaceChange) (*NamespaceInfo, error) {
	n, err := c.storedNamespace(ctx, name)
	if err != nil {
		return nil, err
	}
	description := n.Description
	if change.Description != nil {
		description = *change.Description
	}
	if err := checkDescription(description); err != nil {
		return nil, err
	}
	if err := c.store.UpdateNamespace(ctx, n.Key, description, pg.Quotas(Quotas(n.Quotas).Changed(change.Quotas))); err != nil {
		return nil, c.internal("update a namespace", err)
	}
	if n, err = c.storedNamespace(ctx, name); err != nil {
		return nil, err
	}
	c.spaces.keep(n)
	if n.Key == dag.DefaultNamespaceKey {
		c.store.SetDefaultCounted(n.Any())
	}
	return showNamespace(n), nil
}

const (
	closedEvery   = 10 * time.Second // how often namespaces that are being deleted are looked for
	countEvery    = 10 * time.Minute // how often what is stored is counted anew
	doomedAtOnce  = 100
	deleteWait    = 2 * time.Second // how long an answer waits for a deletion
	deleteMessage = "Its namespace is deleted"
)

// DeleteNamespace deletes a namespace; see [NamespaceKeeper].
func (c *Coordinator) DeleteNamespace(ctx context.Context, name string, force bool) (*NamespaceInfo, error) {
	n, err := c.storedNamespace(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case n.Key == dag.DefaultNamespaceKey:
		return nil, &InvalidArgumentError{Field: "name", Reason: "is that of the namespace of who names none, which can't be deleted"}
	}
	err = c.store.CloseNamespace(ctx, n.Key, force)
	switch {
	case errors.Is(err, pg.ErrNotEmpty):
		return nil, fmt.Errorf("%w: namespace %s has trees or schedules: delete them first, or ask for that with force", ErrConflict, name)
	case errors.Is(err, pg.ErrHeld):
		return nil, fmt.Errorf("%w: trees of namespace %s are held: nothing of them is deleted until they are released", ErrConflict, name)
	case err != nil:
		return nil, c.internal("delete a namespace", err)
	}
	failpoint.Hit("coordinator.after-namespace-closed")
	c.spaces.forget(name)
	for end := time.Now().Add(deleteWait); ; {
		gone, err := c.emptyNamespace(ctx, n.Key)
		if err != nil {
			return nil, c.internal("delete a namespace", err)
		}
		if gone {
			return nil, nil
		}
		if time.Now().After(end) || !sleep(ctx, 20*time.Millisecond) {
			break
		}
	}
	left, err := c.GetNamespace(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return left, err
}

// emptyNamespace deletes trees of a closed namespace, some at a time, and the namespace when there are none; gone: it is not there any more.
func (c *Coordinator) emptyNamespace(ctx context.Context, key dag.NamespaceKey) (gone bool, err error) {
	list, err := c.store.Doomed(ctx, key, doomedAtOnce)
	if err != nil {
		return false, err
	}
	if len(list) == 0 {
		return c.store.DropNamespace(ctx, key)
	}
	for _, t := range list {
		if err := c.deleteDoomed(ctx, t); err != nil {
			return false, err
		}
	}
	return false, nil
}

// deleteDoomed brings a tree of a closed namespace nearer to its end: it is cancelled, then, when its workers have stopped, deleted.
func (c *Coordinator) deleteDoomed(ctx context.Context, t pg.Doomed) error {
	switch {
	case !t.Executed:
		_, eff, err := c.store.Delete(ctx, t.Root, pg.DeleteOptions{Force: true, Room: c.lanes.room})
		if err == nil {
			c.after(ctx, eff)
		} else if errors.Is(err, pg.ErrNotFound) {
			err = nil
		}
		return err
	case t.Open:
		if _, err := c.store.CancelTree(ctx, t.Tree, deleteMessage); err != nil {
			return err
		}
		c.carryOut(ctx, t.Tree)
		return nil
	case t.Running: // its workers are told to stop
		return nil
	}
	return c.store.DeleteEnded(ctx, t.Tree)
}

// runNamespaces goes on with deletions of namespaces that somebody began, keeps what is counted right, and knows whether default has quotas.
func (c *Coordinator) runNamespaces(ctx context.Context) error {
	corrected := time.Now()
	for ok := true; ok; ok = sleep(ctx, closedEvery) {
		err := c.lookAtDefault(ctx)
		if err == nil {
			err = c.emptyClosed(ctx)
		}
		if err == nil && time.Since(corrected) > countEvery {
			corrected = time.Now()
			err = c.store.CorrectStored(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("namespaces could not be looked after", "error", err)
		}
	}
	return nil
}

func (c *Coordinator) emptyClosed(ctx context.Context) error {
	closed, err := c.store.ClosedNamespaces(ctx)
	if err != nil {
		return err
	}
	for _, key := range closed {
		if _, err := c.emptyNamespace(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// lookAtDefault finds out whether default has quotas.
func (c *Coordinator) lookAtDefault(ctx context.Context) error {
	n, err := c.store.NamespaceByKey(ctx, dag.DefaultNamespaceKey)
	if err == nil {
		c.store.SetDefaultCounted(n.Any())
	}
	return err
}
