package coordinator

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

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
	if !text(f.Name) || !text(f.UserID) {
		return page, nil
	}
	filter := pg.Filter{Status: f.Status, Name: f.Name, UserID: f.UserID, Limit: limit, Offset: f.Offset}
	var list pg.Page
	var next func(*pg.Shown) string
	switch {
	case f.ParentID != "":
		list, next, err = c.children(ctx, f, filter)
	case f.TreeOf != "":
		list, next, err = c.treeTasks(ctx, f, filter)
	default:
		list, next, err = c.allTasks(ctx, f, filter)
	}
	if err != nil {
		return page, err
	}
	for _, t := range list.Tasks {
		page.Items = append(page.Items, show(t))
	}
	if list.More {
		page.Next = next(list.Tasks[len(list.Tasks)-1])
	}
	return page, nil
}

func (c *Coordinator) children(ctx context.Context, f TaskFilter, filter pg.Filter) (list pg.Page, next func(*pg.Shown) string, err error) {
	parent, err := c.keyOf(ctx, f.ParentID)
	if err != nil {
		return list, nil, err
	}
	var after *pg.Shown
	if f.Cursor != "" {
		var priority, key int64
		if err := cursorFrom("c", f.Cursor, &priority, &key); err != nil {
			return list, nil, err
		}
		after = &pg.Shown{Priority: dag.Priority(priority), Key: dag.Key(key)}
	}
	list, err = c.store.Children(ctx, parent, after, filter)
	if err != nil {
		return list, nil, c.internal("list children", err)
	}
	return list, func(t *pg.Shown) string { return cursorTo("c", int64(t.Priority), int64(t.Key)) }, nil
}

func (c *Coordinator) treeTasks(ctx context.Context, f TaskFilter, filter pg.Filter) (list pg.Page, next func(*pg.Shown) string, err error) {
	k, err := c.keyOf(ctx, f.TreeOf)
	if err != nil {
		return list, nil, err
	}
	from, _ := k.Tree().Range()
	if f.Cursor != "" {
		var last int64
		if err := cursorFrom("t", f.Cursor, &last); err != nil {
			return list, nil, err
		}
		if dag.Key(last).Tree() != k.Tree() {
			return list, nil, &InvalidArgumentError{Field: "cursor", Reason: "is of another tree"}
		}
		from = dag.Key(last) + 1
	}
	list, err = c.store.TreeTasks(ctx, from, filter)
	if err != nil {
		return list, nil, c.internal("list tasks", err)
	}
	return list, func(t *pg.Shown) string { return cursorTo("t", int64(t.Key)) }, nil
}

func (c *Coordinator) allTasks(ctx context.Context, f TaskFilter, filter pg.Filter) (list pg.Page, next func(*pg.Shown) string, err error) {
	var below int64
	if f.Cursor != "" {
		if err := cursorFrom("a", f.Cursor, &below); err != nil {
			return list, nil, err
		}
	}
	if f.RootOnly {
		list, err = c.store.Roots(ctx, dag.Key(below).Tree(), filter)
	} else {
		list, err = c.store.Tasks(ctx, dag.Key(below), filter)
	}
	if err != nil {
		return list, nil, c.internal("list tasks", err)
	}
	return list, func(t *pg.Shown) string { return cursorTo("a", int64(t.Key)) }, nil
}

// treeScan is how many trees one call looks at to find those of a status.
const treeScan = 5000

// Trees lists trees; see [Service]. A filter by status looks at so many trees at most, and may give a short page with
// a cursor to go on from.
func (c *Coordinator) Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error) {
	var page Page[*TreeStatus]
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	if !text(f.UserID) {
		return page, nil
	}
	var below int64
	if f.Cursor != "" {
		if err := cursorFrom("r", f.Cursor, &below); err != nil {
			return page, err
		}
	}
	for scanned := 0; scanned < treeScan; scanned += limit {
		list, err := c.store.Trees(ctx, dag.TreeKey(below), f.UserID, f.Running, limit)
		if err != nil {
			return page, c.internal("list trees", err)
		}
		for _, t := range list {
			below = int64(t.Key)
			if st := showTree(t); f.Status == "" || st.Status == f.Status {
				page.Items = append(page.Items, st)
			}
			if len(page.Items) == limit {
				page.Next = cursorTo("r", below)
				return page, nil
			}
		}
		if len(list) < limit {
			return page, nil
		}
	}
	page.Next = cursorTo("r", below)
	return page, nil
}
