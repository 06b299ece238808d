package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// puttingBack is the part at which an expansion is that goes on after a re-run: tasks that run again are let go first, as its window has room. Within is
// then how many keys were looked at.
const puttingBack = -1

// letGo lets the next items go that run again, and then has the expansion make what it has not made.
func (g *growing) letGo(ctx context.Context) (*Effects, bool, error) {
	first, end := g.e.keys(g.tree, g.e.made)
	keys, ends, err := g.putBack(ctx, first+dag.Key(g.e.within), end)
	if err != nil {
		return nil, false, err
	}
	if ends {
		if err := g.findCursor(ctx); err != nil {
			return nil, false, err
		}
	} else if len(keys) > 0 {
		per := dag.Key(max(g.e.perItem, 1))
		g.next.within = int32(((keys[len(keys)-1]-first)/per + 1) * per)
	}
	d, view, goes, err := g.lock(ctx, keys, true)
	if err != nil {
		return nil, false, err
	}
	if !goes {
		return g.leave(ctx)
	}
	for _, k := range keys {
		d.Release(k)
	}
	again := g.next.made < g.e.n
	if !ends { // what has ended since the items were counted has nobody else look
		room, err := g.itemRoom(ctx, g.next.within)
		if err != nil {
			return nil, false, err
		}
		again = room > 0
	}
	b := &pgx.Batch{}
	g.queueMove(b)
	if again {
		b.Queue(sql("MoveFollowup"), FollowupGrow, g.task, g.turns+1)
	} else {
		b.Queue(sql("DeleteFollowup"), FollowupGrow, g.task)
	}
	eff, err := g.s.apply(ctx, g.c, b, d, view, g.opts.Room)
	return eff, true, err
}

// putBack are the next tasks to be let go, of as many items as there is room for; ends: there are no others.
func (g *growing) putBack(ctx context.Context, from, end dag.Key) (keys []dag.Key, ends bool, err error) {
	if g.e.atOnce == 0 {
		return nil, true, nil
	}
	room, err := g.itemRoom(ctx, g.e.within)
	if err != nil {
		return nil, false, err
	}
	rows, err := g.c.Query(ctx, sql("ReleasableAfter"), from, end, releaseBatch)
	if err != nil {
		return nil, false, fmt.Errorf("look for tasks to let go below task %d: %w", g.task, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[dag.Key])
	if err != nil {
		return nil, false, fmt.Errorf("look for tasks to let go below task %d: %w", g.task, err)
	}
	itemOf := func(k dag.Key) int64 { return int64(k-g.tree.Key(int(g.e.first))) / int64(max(g.e.perItem, 1)) }
	items, last := int64(0), int64(-1)
	for _, k := range all {
		item := itemOf(k)
		if item != last {
			if items == room || len(all) == releaseBatch && item == itemOf(all[releaseBatch-1]) { // of which there may be more
				return keys, false, nil
			}
			items, last = items+1, item
		}
		keys = append(keys, k)
	}
	return keys, true, nil
}

// itemRoom is how many items may be let go, of which those of the first so many keys were looked at.
func (g *growing) itemRoom(ctx context.Context, within int32) (int64, error) {
	var busy int64
	first, end := g.e.keys(g.tree, within)
	if err := g.c.QueryRow(ctx, sql("ItemsInProgress"), first, end, int64(max(g.e.perItem, 1))).Scan(&busy); err != nil {
		return 0, fmt.Errorf("count items in progress of task %d: %w", g.task, err)
	}
	return max(0, int64(g.e.atOnce)-busy), nil
}

// findCursor finds where an expansion goes on of which so many tasks exist.
func (g *growing) findCursor(ctx context.Context) error {
	g.next.part, g.next.within = g.e.parts, g.e.n
	if g.e.made == g.e.n {
		return nil
	}
	rows, err := g.c.Query(ctx, sql("PartsOf"), g.task)
	if err != nil {
		return fmt.Errorf("read the parts of what task %d found: %w", g.task, err)
	}
	sizes, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return fmt.Errorf("read the parts of what task %d found: %w", g.task, err)
	}
	g.next.part, g.next.within = 0, g.e.made
	for _, n := range sizes {
		if g.next.within < n {
			break
		}
		g.next.part, g.next.within = g.next.part+1, g.next.within-n
	}
	return nil
}
