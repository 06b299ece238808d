package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// GrowOptions are what new tasks are made with.
type GrowOptions struct {
	Known, Repeatable func(executor string) bool // as of a [Submission]
	Executors         dag.Known
	Room              Room
}

// growBatch is the most tasks that one transaction makes, unless an item has more; releaseBatch the most that one lets go.
const (
	growBatch    = 1000
	releaseBatch = 2000
)

// Grow makes the next tasks of one expansion, in one transaction with its cursor, and reports whether there may be more to do. Each task is made exactly once.
func (s *Store) Grow(ctx context.Context, opts GrowOptions) (eff *Effects, more bool, err error) {
	pools := map[string]int32{}
	for try := 0; ; try++ {
		var g *growing
		err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
			g = &growing{s: s, c: c, opts: opts, known: pools}
			eff, more, err = g.run(ctx)
			return err
		})
		var needed *poolNeeded
		switch {
		case errors.As(err, &needed) && try < maxRetries:
			if err := s.openFor(ctx, needed, pools); err != nil {
				return nil, false, err
			}
		case (isRefused(err) || errors.Is(err, errEndedMeanwhile)) && try < maxRetries: // cancelled, or another one was quicker
		default:
			if eff != nil && g.tree != 0 {
				s.resident.drop(g.tree)
			}
			if err != nil && g != nil && g.task != 0 && !Unreachable(err) {
				err = errors.Join(err, s.postpone(ctx, g.task, g.turns))
			}
			return eff, more, err
		}
	}
}

// failedTurns is how many turns a failure counts for.
const failedTurns = 1000

// postpone lets other expansions go before one that failed to grow: it may fail again, and none of them is to wait for that.
func (s *Store) postpone(ctx context.Context, task, turns dag.Key) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("MoveFollowup"), FollowupGrow, task, turns+failedTurns); err != nil {
		return fmt.Errorf("postpone the expansion of task %d: %w", task, err)
	}
	return nil
}

// growing is one try to make tasks.
type growing struct {
	s     *Store
	c     *pgx.Conn
	opts  GrowOptions
	known map[string]int32 // pools that were found open

	task  dag.Key
	tree  dag.TreeKey
	turns dag.Key
	e     expansionRow
	made  []expansion.Made
	next  expansionRow // where it stands afterwards

	earlier []dag.Key        // what the new tasks depend on and what is made already, by key
	ended   map[dag.Key]bool // those of them that had ended before they were locked
}

// errEndedMeanwhile: between the look and the lock, a task has ended on which new ones depend.
var errEndedMeanwhile = errors.New("a task on which new ones depend has ended meanwhile")

// expansionRow is a row of expansion, with its task and tree.
type expansionRow struct {
	attempt, first, n, perItem, made, parts, part, within int32
	collect                                               expansion.Collect
	atOnce                                                int32
	stop, alone                                           bool

	state              dag.State
	current, remaining int32 // of the task
	flags              dag.Flags
	user               string
	namespace          dag.NamespaceKey
	failures           bool   // something in the tree failed, or was cancelled
	cancelled          bool   // the tree
	name, id, rootID   string // of the task, and the id of its tree
}

func (e *expansionRow) scan(row pgx.Row) error {
	return row.Scan(&e.attempt, &e.first, &e.n, &e.perItem, &e.made, &e.parts, &e.part, &e.within, &e.collect, &e.atOnce, &e.stop, &e.alone, &e.state, &e.current,
		&e.remaining, &e.flags, &e.user, &e.namespace, &e.failures, &e.cancelled, &e.name, &e.id, &e.rootID)
}

// grows reports whether the expansion waits for its tasks.
func (e *expansionRow) grows() bool {
	return e.state == dag.Expanded && e.current == e.attempt && !e.cancelled
}

// keys are the range of those of its first n tasks.
func (e *expansionRow) keys(tree dag.TreeKey, n int32) (first, end dag.Key) {
	return tree.Key(int(e.first)), tree.Key(int(e.first)) + dag.Key(n)
}

func (g *growing) run(ctx context.Context) (eff *Effects, more bool, err error) {
	b := &pgx.Batch{}
	begin(b, g.c)
	b.Queue(sql("TakeExpanding"), FollowupGrow, 1).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&g.task, &g.turns}, func() error { return nil })
		return err
	})
	if err := g.c.SendBatch(ctx, b).Close(); err != nil {
		return nil, false, fmt.Errorf("take an expansion: %w", err)
	}
	if g.task == 0 {
		_, err := g.c.Exec(ctx, "rollback")
		return nil, false, err
	}
	g.tree = g.task.Tree()
	err = g.e.scan(g.c.QueryRow(ctx, sql("ReadExpansion"), g.task))
	switch {
	case errors.Is(err, pgx.ErrNoRows) || err == nil && !g.e.grows():
		return g.leave(ctx)
	case err != nil:
		return nil, false, fmt.Errorf("read the expansion of task %d: %w", g.task, err)
	}
	g.next = g.e
	if g.e.part == puttingBack {
		return g.letGo(ctx)
	}
	if g.e.made == g.e.n {
		return g.release(ctx)
	}
	if stops, err := g.stops(ctx); err != nil || stops {
		if err != nil {
			return nil, false, err
		}
		return g.shrink(ctx)
	}
	if err := g.make(ctx); err != nil {
		return nil, false, err
	}
	if err := g.keepPools(ctx); err != nil {
		return nil, false, err
	}
	if err := g.tellLater(ctx); err != nil {
		return nil, false, err
	}
	return g.store(ctx)
}

// lock locks the expanded task, and those below it. goes: it still waits for its tasks, by the attempt that found them.
func (g *growing) lock(ctx context.Context, below []dag.Key, policies bool) (d *dag.Decision, view *residentView, goes bool, err error) {
	l := load{keys: append(slices.Clone(below), g.task), begun: true}
	if policies {
		l.policies = l.keys
	}
	if d, view, err = l.lock(ctx, g.c, g.s.resident); err != nil {
		return nil, nil, false, err
	}
	r := d.Row(g.task)
	return d, view, r != nil && r.State == dag.Expanded && r.Attempt == g.e.attempt && !d.TreeCancelled(g.task), nil
}

// leave gives up the followup of an expansion that makes no tasks any more.
func (g *growing) leave(ctx context.Context) (*Effects, bool, error) {
	b := &pgx.Batch{}
	b.Queue(sql("DeleteFollowup"), FollowupGrow, g.task)
	b.Queue("commit")
	return &Effects{}, true, g.c.SendBatch(ctx, b).Close()
}

// stops reports whether no further items are made, as one has failed.
func (g *growing) stops(ctx context.Context) (stops bool, err error) {
	if !g.e.stop || !g.e.failures || g.e.made == 0 {
		return false, nil
	}
	first, end := g.e.keys(g.tree, g.e.made)
	if err := g.c.QueryRow(ctx, sql("HasFailedBelow"), first, end).Scan(&stops); err != nil {
		return false, fmt.Errorf("look for failures below task %d: %w", g.task, err)
	}
	return stops, nil
}

// shrink has the expansion end with what was made.
func (g *growing) shrink(ctx context.Context) (*Effects, bool, error) {
	d, view, err := load{keys: []dag.Key{g.task}, begun: true}.lock(ctx, g.c, g.s.resident)
	if err != nil {
		return nil, false, err
	}
	d.Shrink(g.task, g.e.n-g.e.made)
	g.next.made, g.next.part, g.next.within = g.e.n, g.e.parts, g.e.n
	b := &pgx.Batch{}
	g.queueMove(b)
	b.Queue(sql("DeleteFollowup"), FollowupGrow, g.task)
	eff, err := g.s.apply(ctx, g.c, b, d, view, g.opts.Room)
	return eff, true, err
}

// queueMove moves the cursor.
func (g *growing) queueMove(b *pgx.Batch) {
	b.Queue(sql("MoveExpansion"), g.task, g.e.attempt, g.e.made, g.next.made, g.next.part, g.next.within, g.e.part, g.e.within)
}

// room is how many tasks may be made now, of items of which so many may be in progress.
func (g *growing) room(ctx context.Context, made, remaining int32) (int32, error) {
	left := g.e.n - made
	if g.e.atOnce == 0 || g.e.perItem == 0 {
		return left, nil
	}
	busy := int64(made - (g.e.n - remaining)) // tasks in progress
	if g.e.perItem > 1 {
		first, end := g.e.keys(g.tree, made)
		if err := g.c.QueryRow(ctx, sql("ItemsInProgress"), first, end, int64(g.e.perItem)).Scan(&busy); err != nil {
			return 0, fmt.Errorf("count items in progress of task %d: %w", g.task, err)
		}
	}
	return int32(expansion.Room(int64(left), int64(g.e.atOnce), busy, int64(g.e.perItem))), nil
}

// make makes the next tasks, as far as they may be.
func (g *growing) make(ctx context.Context) error {
	limit, err := g.room(ctx, g.e.made, g.e.remaining)
	if err != nil || limit == 0 {
		return err
	}
	var tm *expansion.Template
	if g.e.perItem > 0 {
		_, text, err := g.part(ctx, templatePart)
		if err != nil {
			return err
		}
		if tm, err = expansion.ReadTemplate(text, g.opts.Executors); err != nil {
			return err
		}
	}
	limit = min(limit, max(growBatch, g.e.perItem))
	n, body, err := g.part(ctx, g.e.part)
	if err != nil {
		return err
	}
	if g.made, err = expansion.Tasks(tm, body, int(g.e.made-g.e.within), int(g.e.within), int(limit), g.opts.Executors); err != nil {
		return err
	}
	g.next.made, g.next.within = g.e.made+int32(len(g.made)), g.e.within+int32(len(g.made))
	if g.next.within >= n {
		g.next.part, g.next.within = g.e.part+1, 0
	}
	return nil
}

// tellLater has a followup tell the new tasks of dependencies that have ended: a user may cancel or skip a task of a list before all of it is made, and that let
// go what waited for it. The followup is locked before the task, as whoever does it locks them.
func (g *growing) tellLater(ctx context.Context) error {
	if g.e.alone || g.e.made == 0 {
		return nil
	}
	for i := range g.made {
		for _, e := range g.made[i].Edges {
			if e.Task < g.e.made {
				g.earlier = append(g.earlier, g.tree.Key(int(g.e.first+e.Task)))
			}
		}
	}
	slices.Sort(g.earlier)
	g.earlier = slices.Compact(g.earlier)
	if len(g.earlier) == 0 {
		return nil
	}
	rows, err := g.c.Query(ctx, sql("UnlockFrom"), g.earlier, g.tree.Key(int(g.e.first+g.e.made))-1)
	if err != nil {
		return fmt.Errorf("tell what the new tasks of task %d wait for: %w", g.task, err)
	}
	ended, err := pgx.CollectRows(rows, pgx.RowTo[dag.Key])
	if err != nil {
		return fmt.Errorf("tell what the new tasks of task %d wait for: %w", g.task, err)
	}
	g.ended = make(map[dag.Key]bool, len(ended))
	for _, k := range ended {
		g.ended[k] = true
	}
	return nil
}

func (g *growing) part(ctx context.Context, number int32) (n int32, body []byte, err error) {
	return g.s.expansionPart(ctx, g.c, g.task, number)
}

// expansionPart is a part of what a task found, and how many tasks are made of it.
func (s *Store) expansionPart(ctx context.Context, c *pgx.Conn, task dag.Key, number int32) (n int32, body []byte, err error) {
	var hidden bool
	if err := c.QueryRow(ctx, sql("ExpansionPart"), task, number).Scan(&n, &body, &hidden); err != nil {
		return 0, nil, fmt.Errorf("read part %d of what task %d found: %w", number, task, err)
	}
	if hidden {
		envelope := body
		if err := s.seals.open(ctx, task.Tree(), kindChunk, envelope, &body); err != nil {
			return 0, nil, err
		}
	}
	return n, body, nil
}

// keepPools keeps the pools of the new tasks open until the transaction ends.
func (g *growing) keepPools(ctx context.Context) error {
	names := map[string]bool{}
	for i := range g.made {
		t := g.made[i].Task
		if q := t.QueueName(); q != "" && (q != dag.PoolOf(t.Executor) || g.opts.Known == nil || g.opts.Known(t.Executor)) {
			names[q] = true
		}
	}
	for name := range names {
		if _, ok := g.known[name]; !ok {
			return &poolNeeded{name, g.e.user}
		}
	}
	open := map[int32]bool{}
	b := &pgx.Batch{}
	queuePoolLocks(b, poolIDsOf(g.known), open)
	if err := g.c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("keep pools open: %w", err)
	}
	for name := range names {
		if !open[g.known[name]] {
			return &poolNeeded{name, g.e.user}
		}
	}
	return nil
}

// staged is the new tasks on their way into the database.
func (g *growing) staged() *batchedTree {
	n := len(g.made)
	graph := &dag.Graph{UserID: g.e.user, IDs: make([]string, n), Refs: make([]string, n), Parent: make([]int32, n), Leaf: make([]bool, n), DepStart: make([]int32, 1, n+1),
		Judged: make([]bool, n)}
	in := &intake{tasks: make([]taskHead, 0, n), intern: map[string]string{}}
	sub := Submission{namespace: g.e.namespace, Known: g.opts.Known, Repeatable: g.opts.Repeatable, Room: g.opts.Room}
	t := &stagedTree{g: graph, in: in, sub: sub, tree: g.tree, first: int(g.e.first + g.e.made), rootID: g.e.rootID, level: dag.RunsLevel, pools: g.known, dependents: make([]int32, n)}
	out := &batchedTree{stagedTree: t, tasks: make([]*dag.Task, n)}
	above := g.e.flags & (dag.FlagBounded | dag.FlagUnder)
	if g.e.flags&dag.FlagKept != 0 {
		above |= dag.FlagUnder
	}
	if slices.ContainsFunc(g.made, func(m expansion.Made) bool { return m.Task.Bounds() }) {
		above |= dag.FlagBounded
	}
	for i := range g.made {
		m := &g.made[i]
		graph.IDs[i], graph.Refs[i], graph.Leaf[i], graph.Judged[i] = uuid.NewString(), m.Ref, m.Leaf, m.Judged
		graph.Parent[i] = int32(g.task.Index())
		if m.Parent >= 0 {
			graph.Parent[i] = g.e.first + m.Parent
		}
		for _, e := range m.Edges {
			e.Task += g.e.first
			graph.Dep = append(graph.Dep, e)
		}
		graph.DepStart = append(graph.DepStart, int32(len(graph.Dep)))
		t.dependents[i] = m.Dependents + 1 // and the expanded task
		in.take(m.Task)
		head := &in.tasks[i]
		head.beyond |= dag.FlagChild | g.e.flags&dag.FlagFresh | above
		head.demo, head.keyed = g.e.flags&dag.FlagDemo != 0, g.e.flags&dag.FlagKeyed != 0
		out.tasks[i] = m.Task
	}
	t.later = !g.e.alone && (g.e.made > 0 || g.next.made < g.e.n)
	return out
}

// childEdges are those from the new tasks to the expanded one.
func (g *growing) childEdges(t *stagedTree) rowSource {
	i := 0
	return func(w *rowWriter) (bool, error) {
		if i == len(g.made) {
			return false, nil
		}
		w.row(4)
		w.key(t.key(i))
		w.key(g.task)
		w.boolean(false)
		w.smallint(int16(dag.ChildEdge))
		i++
		return true, nil
	}
}

// store writes the new tasks, and moves the expansion on.
func (g *growing) store(ctx context.Context) (*Effects, bool, error) {
	z, err := g.s.seals.sealer(ctx, g.tree)
	if err != nil {
		return nil, false, err
	}
	d, view, goes, err := g.lock(ctx, g.earlier, false)
	if err != nil {
		return nil, false, err
	}
	if !goes {
		return g.leave(ctx)
	}
	r := d.Row(g.task)
	for _, k := range g.earlier {
		if on := d.Row(k); on != nil && on.State.Settled() && !g.ended[k] {
			return nil, false, errEndedMeanwhile
		}
	}
	again := !g.e.alone || g.next.made < g.e.n
	if g.e.atOnce > 0 && again { // what has ended since the expansion was read has nobody else look
		room, err := g.room(ctx, g.next.made, r.Remaining)
		if err != nil {
			return nil, false, err
		}
		again = room > 0
	}
	if g.next.made == g.e.n && !g.e.alone && g.e.made == 0 {
		again = false // all are there at once
	}
	b := &pgx.Batch{}
	stagedTree := g.staged()
	t := stagedTree.stagedTree
	if len(g.made) > 0 {
		all := append(copies([]*batchedTree{stagedTree}, z), copying{sql("CopyEdges"), g.childEdges(t)})
		if err := copyAll(ctx, g.c, all); err != nil {
			return nil, false, fmt.Errorf("make %d tasks below task %d: %w", len(g.made), g.task, err)
		}
		d.Reflag(g.task, r.Flags&^dag.FlagLeaf)
		d.Grow(g.tree, len(g.made), t.leaves, false)
		queueRefixed(b, d.Changed())
	}
	queueRows(b, d.Changed())
	if len(t.releases) > 0 {
		queueFollowups(b, FollowupRelease, t.releases)
	}
	placed, work := &placement{}, map[dag.Key]*Work{}
	if len(t.stretches) > 0 {
		t.reserve()
		queueStretches(b, t.stretches, placed)
		queueWork(b, directOf(t.stretches), dag.Ready, work)
	}
	limits := &Effects{}
	queueTimeLimits(b, t.begun, d.Now(), limits)
	g.queueMove(b)
	if again {
		b.Queue(sql("MoveFollowup"), FollowupGrow, g.task, g.turns+1)
	} else {
		b.Queue(sql("DeleteFollowup"), FollowupGrow, g.task)
	}
	if delta := d.Trees[g.tree]; delta != nil {
		b.Queue(sql("GrowTree"), g.tree, delta.Tasks, delta.Leaves, t.in.bytes)
	}
	if g.s.counted.counts(g.e.namespace) {
		b.Queue(sql("KeepNamespaces"), []dag.NamespaceKey{g.e.namespace})
		b.Queue(sql("AddFound"), g.e.namespace, int64(len(g.made)), t.in.bytes)
	}
	eff, err := g.s.commit(ctx, g.c, b, d, view, g.opts.Room)
	if err != nil {
		return nil, false, err
	}
	g.s.seals.openWork(ctx, work)
	eff.place(t.stretches, placed, work)
	eff.Timers = append(eff.Timers, limits.Timers...)
	eff.Followups += len(t.releases) + len(g.ended)
	return eff, true, nil
}

// release lets the tasks of a list go that wait for nothing, once all of them are there.
func (g *growing) release(ctx context.Context) (*Effects, bool, error) {
	first, end := g.e.keys(g.tree, g.e.n)
	from := first
	if g.e.part == g.e.parts {
		from += dag.Key(g.e.within)
	}
	rows, err := g.c.Query(ctx, sql("ReleasableAfter"), from, end, releaseBatch)
	if err != nil {
		return nil, false, fmt.Errorf("look for tasks to let go below task %d: %w", g.task, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[dag.Key])
	if err != nil {
		return nil, false, fmt.Errorf("look for tasks to let go below task %d: %w", g.task, err)
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
	b := &pgx.Batch{}
	if len(keys) < releaseBatch {
		g.next.within = g.e.n
		b.Queue(sql("DeleteFollowup"), FollowupGrow, g.task)
	} else {
		g.next.within = int32(keys[len(keys)-1]-first) + 1
		b.Queue(sql("MoveFollowup"), FollowupGrow, g.task, g.turns+1)
	}
	g.queueMove(b)
	eff, err := g.s.apply(ctx, g.c, b, d, view, g.opts.Room)
	return eff, true, err
}

// CancelBelow cancels the next tasks that a cancelled task found.
func (s *Store) CancelBelow(ctx context.Context, room Room) (eff *Effects, more bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff, more = nil, false
		var task, cursor dag.Key
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("TakeExpanding"), FollowupCancelBelow, 1).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&task, &cursor}, func() error { return nil })
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("take a cancellation: %w", err)
		}
		if task == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		more = true
		var e expansionRow
		var keys []dag.Key
		switch err := e.scan(c.QueryRow(ctx, sql("ReadExpansion"), task)); {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return fmt.Errorf("read the expansion of task %d: %w", task, err)
		default:
			first, end := e.keys(task.Tree(), e.made)
			rows, err := c.Query(ctx, sql("UnfinishedAfter"), max(first, cursor+1), end, releaseBatch)
			if err != nil {
				return fmt.Errorf("look for tasks to cancel below task %d: %w", task, err)
			}
			if keys, err = pgx.CollectRows(rows, pgx.RowTo[dag.Key]); err != nil {
				return fmt.Errorf("look for tasks to cancel below task %d: %w", task, err)
			}
		}
		all := append(slices.Clone(keys), task)
		d, view, err := load{keys: all, policies: keys, dependents: true, begun: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		b = &pgx.Batch{}
		if r := d.Row(task); r == nil || r.State != dag.Cancelled {
			keys = nil // it runs again
		}
		for _, k := range keys {
			d.Cancel(k, "the task that found it was cancelled", false)
		}
		if len(keys) < releaseBatch {
			b.Queue(sql("DeleteFollowup"), FollowupCancelBelow, task)
		} else {
			b.Queue(sql("MoveFollowup"), FollowupCancelBelow, task, keys[len(keys)-1])
		}
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	return eff, more, err
}
