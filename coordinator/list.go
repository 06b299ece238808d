package coordinator

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxOffset    = 100_000
)

func limitOf(n int) (int, error) {
	switch {
	case n == 0:
		return defaultLimit, nil
	case n < 0 || n > maxLimit:
		return 0, &InvalidArgumentError{Field: "limit", Reason: fmt.Sprintf("must be 1 to %d", maxLimit)}
	}
	return n, nil
}

// Cursors are opaque to clients; within, the kind of list and the place of the last item.

func cursorTo(kind string, place ...int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + strings.Trim(fmt.Sprint(place), "[]")))
}

func cursorFrom(kind, cursor string, place ...*int64) error {
	bad := &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || !strings.HasPrefix(string(raw), kind) {
		return bad
	}
	fields := strings.Split(string(raw[len(kind):]), " ")
	if len(fields) != len(place) {
		return bad
	}
	for i, f := range fields {
		if *place[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return bad
		}
	}
	return nil
}

// Tasks lists tasks; see [Service].
func (c *Coordinator) Tasks(ctx context.Context, f TaskFilter) (Page[*Task], error) {
	var page Page[*Task]
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	if f.Offset < 0 || f.Offset > maxOffset {
		return page, &InvalidArgumentError{Field: "offset", Reason: fmt.Sprintf("must be 0 to %d; use the cursor for more", maxOffset)}
	}
	if err := f.Check(); err != nil {
		return page, err
	}
	states := f.selected()
	if !text(f.Name) || !text(f.UserID) || !text(f.Executor) || !text(f.OriginalID) || !texts(f.Custom) || !text(f.Error) || states == 0 {
		return page, nil
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	filter := pg.Filter{Name: f.Name, Executor: f.Executor, UserID: f.UserID, Original: f.OriginalID, Error: f.Error, Own: f.Custom, AsSubmitted: f.AsSubmitted, Limit: limit, Offset: f.Offset}
	if states != dag.AllStates {
		filter.States = states
	}
	var list []*pg.Shown
	switch {
	case f.Approvals:
		list, page.Next, err = c.approvals(ctx, here, f, filter)
	case f.ParentID != "":
		list, page.Next, err = c.children(ctx, f, filter)
	case f.TreeOf != "":
		list, page.Next, err = c.treeTasks(ctx, f, filter)
	case len(f.Labels) > 0:
		list, page.Next, err = c.labelledRoots(ctx, here, f, filter)
	case f.OriginalID != "":
		list, page.Next, err = c.copies(ctx, here, f, filter)
	case f.RootOnly:
		list, page.Next, err = c.roots(ctx, here, f, filter)
	default:
		list, page.Next, err = c.allTasks(ctx, here, f, filter)
	}
	if err != nil {
		return page, err
	}
	for _, t := range list {
		page.Items = append(page.Items, c.show(t))
	}
	return page, nil
}

// MaxCustomFilters is for how many own keys a list of tasks asks at most.
const MaxCustomFilters = 16

// Check refuses parameters that have no effect together, as an [InvalidArgumentError].
func (f TaskFilter) Check() error {
	if len(f.Custom) > MaxCustomFilters {
		return &InvalidArgumentError{Field: "custom", Reason: fmt.Sprintf("must be at most %d keys", MaxCustomFilters)}
	}
	if err := (TreeFilter{Labels: f.Labels}).Check(); err != nil {
		return err
	}
	if len(f.Custom) > 0 && f.Offset > 0 {
		return &InvalidArgumentError{Field: "offset", Reason: "can't be counted where own keys are asked for; use the cursor"}
	}
	one := f.TreeOf != "" || f.ParentID != ""
	if len(f.Places) > maxLimit {
		return &InvalidArgumentError{Field: "places", Reason: fmt.Sprintf("must be at most %d", maxLimit)}
	}
	if slices.ContainsFunc(f.Places, func(n int) bool { return n < 1 || n > dag.MaxTreeTasks }) {
		return &InvalidArgumentError{Field: "places", Reason: fmt.Sprintf("must be 1 to %d", dag.MaxTreeTasks)}
	}
	if len(f.Places) > 0 && (f.TreeOf == "" || f.ParentID != "" || f.Status != "" || f.States != 0 || f.Name != "" || f.Executor != "" || f.OriginalID != "" || f.Error != "" || f.RootOnly ||
		f.Limit > 0 || f.Offset > 0 || len(f.Custom) > 0) {
		return &InvalidArgumentError{Field: "places", Reason: "are of the tree tree_id, and nothing else selects"}
	}
	if f.Error != "" && (f.TreeOf == "" || f.ParentID != "") {
		return &InvalidArgumentError{Field: "error", Reason: "is looked for in one tree: name tree_id"}
	}
	if f.Approvals && (one || f.Status != "" || f.States != 0 || f.Name != "" || f.Executor != "" || f.OriginalID != "" || f.RootOnly || f.Offset > 0 || len(f.Custom)+len(f.Labels) > 0) {
		return &InvalidArgumentError{Field: "approvals", Reason: "are asked for by their owner and the age of their trees only"}
	}
	const reason = "selects trees by their age, and one tree's tasks are asked for"
	switch {
	case len(f.Labels) > 0 && (one || !f.RootOnly || f.Offset > 0):
		return &InvalidArgumentError{Field: "labels", Reason: "select trees: ask for their roots only, and for more by the cursor"}
	case one && !f.Since.IsZero():
		return &InvalidArgumentError{Field: "since", Reason: reason}
	case one && !f.Before.IsZero():
		return &InvalidArgumentError{Field: "before", Reason: reason}
	}
	return nil
}

// texts reports whether Postgres can keep all keys and values.
func texts(all map[string]string) bool {
	for key, value := range all {
		if !text(key) || !text(value) {
			return false
		}
	}
	return true
}

// selected are the states that the filter lets through.
func (f TaskFilter) selected() dag.StateSet {
	states := dag.AllStates
	if f.Status != "" {
		states &= f.Status.Set()
	}
	if f.States != 0 {
		states &= f.States
	}
	return states
}

func (c *Coordinator) children(ctx context.Context, f TaskFilter, filter pg.Filter) (list []*pg.Shown, next string, err error) {
	parent, err := c.keyOf(ctx, f.ParentID)
	if err != nil {
		return nil, "", err
	}
	var after *pg.Shown
	if f.Cursor != "" {
		var priority, key int64
		if err := cursorFrom("c", f.Cursor, &priority, &key); err != nil {
			return nil, "", err
		}
		after = &pg.Shown{Priority: dag.Priority(priority), Key: dag.Key(key)}
	}
	part, err := c.store.Children(ctx, parent, after, filter)
	if err != nil {
		return nil, "", c.internal("list children", err)
	}
	if part.More {
		last := part.Last()
		next = cursorTo("c", int64(last.Priority), int64(last.Key))
	}
	return part.Tasks, next, nil
}

func (c *Coordinator) roots(ctx context.Context, here dag.NamespaceKey, f TaskFilter, filter pg.Filter) (list []*pg.Shown, next string, err error) {
	from, below, err := c.between(ctx, f.Since, f.Before)
	if err != nil {
		return nil, "", err
	}
	if f.Cursor != "" {
		place, err := placeIn("a", f.Cursor)
		if err != nil {
			return nil, "", err
		}
		below = min(below, place.Tree())
	}
	for w := (walk{filter: filter}); ; {
		part, err := c.store.Roots(ctx, here, below, from, w.step(), w.filter)
		if err != nil {
			return nil, "", c.internal("list tasks", err)
		}
		goOn := w.add(part)
		if part.More {
			return w.list, cursorTo("a", int64(part.Last().Key)), nil
		}
		if below, err = c.store.TreeBelow(ctx, here, below, from, w.step()); err != nil {
			return nil, "", c.internal("list tasks", err)
		}
		switch {
		case below == 0:
			return w.list, "", nil
		case !goOn:
			return w.list, cursorTo("a", int64(below.Key(0))), nil
		}
	}
}

// labelledRoots lists the roots of trees that have labels. As [walk], it gives a short page when it has looked at many.
func (c *Coordinator) labelledRoots(ctx context.Context, here dag.NamespaceKey, f TaskFilter, filter pg.Filter) (list []*pg.Shown, next string, err error) {
	from, below, err := c.between(ctx, f.Since, f.Before)
	if err != nil {
		return nil, "", err
	}
	if f.Cursor != "" {
		place, err := placeIn("a", f.Cursor)
		if err != nil {
			return nil, "", err
		}
		below = min(below, place.Tree())
	}
	w := walk{filter: filter}
	for looked := 0; ; looked += stepTrees {
		part, at, err := c.store.LabelledRoots(ctx, here, below, f.Labels, stepTrees, w.filter)
		if err != nil {
			return nil, "", c.internal("list tasks", err)
		}
		found := len(part.Tasks)
		part.Tasks = slices.DeleteFunc(part.Tasks, func(t *pg.Shown) bool { return t.Key.Tree() < from })
		older := len(part.Tasks) < found
		goOn := w.add(part)
		switch {
		case older || at == 0 || at <= from && !part.More:
			return w.list, "", nil
		case part.More:
			return w.list, cursorTo("a", int64(part.Last().Key)), nil
		case !goOn || looked >= mostTrees:
			return w.list, cursorTo("a", int64(at.Key(0))), nil
		}
		below = at
	}
}

// window are the keys that a list of all trees is among, from low up to, but without, high: by the times of the filter, and by its cursor.
func (c *Coordinator) window(ctx context.Context, f TaskFilter) (low, high dag.Key, err error) {
	from, below, err := c.between(ctx, f.Since, f.Before)
	if err != nil {
		return 0, 0, err
	}
	low, high = from.Key(0), dag.Key(math.MaxInt64)
	if !f.Before.IsZero() {
		high = below.Key(0)
	}
	if f.Cursor != "" {
		place, err := placeIn("a", f.Cursor)
		if err != nil {
			return 0, 0, err
		}
		high = min(high, place)
	}
	return low, high, nil
}

// copies lists the copies of a task.
func (c *Coordinator) copies(ctx context.Context, here dag.NamespaceKey, f TaskFilter, filter pg.Filter) (list []*pg.Shown, next string, err error) {
	low, high, err := c.window(ctx, f)
	if err != nil {
		return nil, "", err
	}
	part, err := c.store.Copies(ctx, here, high, low, f.RootOnly, filter)
	if err != nil {
		return nil, "", c.internal("list copies", err)
	}
	if part.More {
		next = cursorTo("a", int64(part.Last().Key))
	}
	return part.Tasks, next, nil
}

// approvals lists what waits for approvals, and looks at stepTasks of them a page at most.
func (c *Coordinator) approvals(ctx context.Context, here dag.NamespaceKey, f TaskFilter, filter pg.Filter) (list []*pg.Shown, next string, err error) {
	low, high, err := c.window(ctx, f)
	if err != nil {
		return nil, "", err
	}
	page, at, err := c.store.Approvals(ctx, here, high, low, stepTasks, filter)
	if err != nil {
		return nil, "", c.internal("list approvals", err)
	}
	if at != 0 {
		next = cursorTo("a", int64(at))
	}
	return page.Tasks, next, nil
}

// placeIn is the key that a cursor of the kind holds; 0 without a cursor.
func placeIn(kind, cursor string) (dag.Key, error) {
	var key int64
	if cursor == "" {
		return 0, nil
	}
	err := cursorFrom(kind, cursor, &key)
	return dag.Key(key), err
}

// A list of which few tasks are selected is walked in steps. It gives a short page, with a cursor to go on from, when it
// has looked at many tasks, or when what it has found is large: each step has its own bound in bytes.
const (
	stepTasks = 20_000
	mostTasks = 1_000_000
	stepOwn   = 2000 // of which what they carry is read; in all, as many steps
	stepBytes = 256 << 10
)

// walk is a walk over a list.
type walk struct {
	filter pg.Filter
	list   []*pg.Shown
	looked int
	bytes  int
}

// step is how many tasks the next step looks at: all when some are to be skipped, which a step could not count, and few when what they carry
// must be read.
func (w *walk) step() int {
	switch {
	case len(w.filter.Own) > 0:
		return stepOwn
	case w.filter.Offset > 0:
		return math.MaxInt32
	}
	return stepTasks
}

// add adds what a step has found, and reports whether the walk goes on, if there is more to look at.
func (w *walk) add(part pg.Page) bool {
	for _, t := range part.Tasks {
		w.bytes += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom) + len(t.Result)
	}
	w.list = append(w.list, part.Tasks...)
	w.filter.Limit -= len(part.Tasks)
	w.looked += stepTasks
	return w.looked < mostTasks && w.bytes < stepBytes
}

func (c *Coordinator) treeTasks(ctx context.Context, f TaskFilter, filter pg.Filter) (list []*pg.Shown, next string, err error) {
	k, err := c.keyOf(ctx, f.TreeOf)
	if err != nil {
		return nil, "", err
	}
	from, end := k.Tree().Range()
	if f.Cursor != "" {
		last, err := placeIn("t", f.Cursor)
		if err != nil {
			return nil, "", err
		}
		if last.Tree() != k.Tree() {
			return nil, "", &InvalidArgumentError{Field: "cursor", Reason: "is of another tree"}
		}
		from = last + 1
	}
	if len(f.Places) > 0 {
		var keys []dag.Key
		for _, n := range f.Places {
			if key := k.Tree().Key(n - 1); key >= from {
				keys = append(keys, key)
			}
		}
		filter.Limit = maxLimit
		page, err := c.store.TasksAt(ctx, keys, filter)
		if err != nil {
			return nil, "", c.internal("list tasks", err)
		}
		if page.More && len(page.Tasks) > 0 {
			next = cursorTo("t", int64(page.Last().Key))
		}
		return page.Tasks, next, nil
	}
	for w := (walk{filter: filter}); ; {
		if w.looked == stepTasks { // a large tree: how large?
			tree, err := c.store.Tree(ctx, k.Tree())
			if err != nil {
				return nil, "", c.internal("list tasks", err)
			}
			end = k.Tree().Key(tree.Span)
		}
		to := max(from, min(end, from+dag.Key(w.step()))) // of its keys; some may be deleted
		part, err := c.store.TreeTasks(ctx, from, to, w.filter)
		if err != nil {
			return nil, "", c.internal("list tasks", err)
		}
		goOn := w.add(part)
		switch {
		case part.More:
			return w.list, cursorTo("t", int64(part.Last().Key)), nil
		case to >= end:
			return w.list, "", nil
		case !goOn:
			return w.list, cursorTo("t", int64(to-1)), nil
		}
		from = to
	}
}

func (c *Coordinator) allTasks(ctx context.Context, here dag.NamespaceKey, f TaskFilter, filter pg.Filter) (list []*pg.Shown, next string, err error) {
	low, high, err := c.window(ctx, f)
	if err != nil {
		return nil, "", err
	}
	for w := (walk{filter: filter}); ; {
		part, err := c.store.Tasks(ctx, here, high, low, w.step(), w.filter)
		if err != nil {
			return nil, "", c.internal("list tasks", err)
		}
		goOn := w.add(part)
		if part.More {
			return w.list, cursorTo("a", int64(part.Last().Key)), nil
		}
		if high, err = c.store.TaskBelow(ctx, here, high, low, w.step()); err != nil {
			return nil, "", c.internal("list tasks", err)
		}
		switch {
		case high == 0:
			return w.list, "", nil
		case !goOn:
			return w.list, cursorTo("a", int64(high)), nil
		}
	}
}

// between are the keys of the trees that were created since and before two times; zero ones are no bounds.
func (c *Coordinator) between(ctx context.Context, since, before time.Time) (from, below dag.TreeKey, err error) {
	below = math.MaxInt64
	if !since.IsZero() {
		if from, err = c.store.TreesSince(ctx, since); err != nil {
			return 0, 0, c.internal("look for trees by time", err)
		}
	}
	if !before.IsZero() {
		if below, err = c.store.TreesSince(ctx, before); err != nil {
			return 0, 0, c.internal("look for trees by time", err)
		}
	}
	return from, below, nil
}
