package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ErrBusy: the tree never rested for long enough to be changed; try again.
var ErrBusy = errors.New("the tree is changing all the time")

// errUntold: follow-up work concerns what an edit is about, and is to be done first.
var errUntold = errors.New("follow-up work is on its way")

// poolNeeded: an edit needs a pool that is not known to be open.
type poolNeeded struct{ name, user string }

func (p *poolNeeded) Error() string { return "pool " + p.name + " is needed" }

// edit is one try to change a stored tree, in one transaction. What is in flight of the tree stays correct: claims and results find their
// rows changed or the tree's revision raised, and look again.
type edit struct {
	s     *Store
	c     *pgx.Conn
	tree  treeToEdit
	pools map[string]int32 // that were found open for this edit

	view *residentView
	eff  *Effects
}

// treeToEdit is the row of the tree.
type treeToEdit struct {
	key                dag.TreeKey
	root               dag.Key
	rootID, name, user string
	tasks, span        int
	execution          int32
	unfinished         int
	revision           int64
	created            time.Time
	cancelled          bool
	pools              []int32
	namespace          dag.NamespaceKey
	held               bool // nothing of it is deleted, or changed
}

func (t *treeToEdit) scan(row pgx.Row) error {
	return row.Scan(&t.root, &t.rootID, &t.name, &t.user, &t.tasks, &t.span, &t.execution, &t.unfinished, &t.revision, &t.created, &t.cancelled, &t.pools, &t.namespace, &t.held)
}

// editing runs an edit of a tree in a transaction, again while others change what it is about. f commits. Errors: those of f, [ErrNotFound],
// [ErrBusy], *[PoolLimitError], *[dag.LevelError].
func (s *Store) editing(ctx context.Context, tree dag.TreeKey, f func(ctx context.Context, e *edit) error) (*Effects, error) {
	pools := map[string]int32{}
	for tries := 1; ; tries++ {
		eff, err := s.tryEdit(ctx, tree, pools, f)
		var needed *poolNeeded
		switch {
		case errors.As(err, &needed):
			if err := s.openFor(ctx, needed, pools); err != nil {
				return nil, err
			}
		case isRefused(err), errors.Is(err, errUntold), isUnique(err, "spec_id"):
		default:
			return eff, levelRefusal(err, s.editLevels(), dag.EditLevel)
		}
		if tries == executionTries {
			return nil, ErrBusy
		}
		if needed != nil {
			continue
		}
		select {
		case <-time.After(executionPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// editLevels are the levels that this process has; a store of a test has none of its own.
func (s *Store) editLevels() dag.Levels {
	if s.levels == nil {
		return dag.AllLevels
	}
	return s.levels
}

// openFor opens a pool that an edit needs.
func (s *Store) openFor(ctx context.Context, needed *poolNeeded, pools map[string]int32) error {
	if _, asked := pools[needed.name]; asked { // it was closed since
		if err := s.pools.refresh(ctx); err != nil {
			return err
		}
	}
	ids, _, err := s.pools.ensure(ctx, map[string]bool{needed.name: true}, &needed.user)
	if err != nil {
		return err
	}
	pools[needed.name] = ids[needed.name]
	return nil
}

// tryEdit is one transaction, tried again when Postgres asks for it.
func (s *Store) tryEdit(ctx context.Context, tree dag.TreeKey, pools map[string]int32, f func(ctx context.Context, e *edit) error) (*Effects, error) {
	var eff *Effects
	err := retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Release()
		e := &edit{s: s, c: c.Conn(), tree: treeToEdit{key: tree}, pools: pools, view: &residentView{all: s.resident}}
		if err = e.begin(ctx); err == nil {
			err = f(ctx, e)
		}
		rollback(ctx, c.Conn())
		eff = e.eff
		return err
	})
	return eff, err
}

// begin begins the transaction and reads the tree's row. Others that change the tree's edges, or start it, wait for it.
func (e *edit) begin(ctx context.Context) error {
	b := &pgx.Batch{}
	begin(b, e.c)
	b.Queue("set local statement_timeout = 0") // as long as ctx, as one that starts the whole tree
	b.Queue(sql("LockExecution"), e.tree.key)
	b.Queue(sql("TreeToEdit"), e.tree.key).QueryRow(e.tree.scan)
	if err := e.c.SendBatch(ctx, b).Close(); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		return fmt.Errorf("begin to edit tree %d: %w", e.tree.key, err)
	}
	return nil
}

// readGraph reads all tasks and edges of the tree.
func (e *edit) readGraph(ctx context.Context) (*wholeGraph, error) {
	g := &wholeGraph{planner: &planner{}, tree: e.tree.key, rewired: map[int][]dag.Dependent{}}
	first, end := e.tree.key.Range()
	rows, err := e.c.Query(ctx, sql("PlanRows"), first, end)
	if err == nil {
		err = g.scan(rows)
	}
	if err != nil {
		return nil, fmt.Errorf("read tree %d: %w", e.tree.key, err)
	}
	return g, nil
}

// lock locks tasks and gives a decision about them as they are, and counts the dependents of some, one for each that they lose.
func (e *edit) lock(ctx context.Context, keys, counted []dag.Key) (*dag.Decision, edgeCounts, error) {
	d, _, err := load{keys: keys, policies: keys, begun: true}.lock(ctx, e.c, e.s.resident)
	if err != nil {
		return nil, nil, err
	}
	counts := edgeCounts{}
	if len(counted) > 0 {
		b := &pgx.Batch{}
		queueEdgeCounts(b, counted, len(counted), counts)
		if err := e.c.SendBatch(ctx, b).Close(); err != nil {
			return nil, nil, fmt.Errorf("count edges: %w", err)
		}
	}
	return d, counts, nil
}

// told fails with errUntold unless the ends of the tasks, which are locked, have been told to all that depends on them, and the tree is not being
// cancelled.
func (e *edit) told(ctx context.Context, keys []dag.Key) error {
	slices.Sort(keys)
	first, end := e.tree.key.Range()
	rows, err := e.c.Query(ctx, sql("FollowupsOf"), first, end)
	if err != nil {
		return fmt.Errorf("read follow-up work: %w", err)
	}
	pending := false
	var kind FollowupKind
	var task dag.Key
	_, err = pgx.ForEachRow(rows, []any{&kind, &task}, func() error {
		_, concerned := slices.BinarySearch(keys, task)
		pending = pending || kind == FollowupCancel || kind == FollowupUnlock && concerned
		return nil
	})
	if err == nil && pending {
		err = errUntold
	}
	return err
}

// labels are the ids and names of tasks.
func (e *edit) labels(ctx context.Context, keys []dag.Key) (map[dag.Key]Label, error) {
	rows, err := e.c.Query(ctx, sql("LabelsOf"), keys)
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	out := map[dag.Key]Label{}
	var key dag.Key
	var label Label
	if _, err := pgx.ForEachRow(rows, []any{&key, &label.ID, &label.Name}, func() error {
		out[key] = label
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	return out, nil
}

// keepPools keeps pools open until the transaction ends. It comes before tasks are locked.
func (e *edit) keepPools(ctx context.Context, names map[string]bool) (ids map[string]int32, err error) {
	ids = map[string]int32{}
	for name := range names {
		if id, ok := e.pools[name]; ok {
			ids[name] = id
			continue
		}
		return nil, &poolNeeded{name, e.tree.user}
	}
	open := map[int32]bool{}
	b := &pgx.Batch{}
	queuePoolLocks(b, poolIDsOf(ids), open)
	if err := e.c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("keep pools open: %w", err)
	}
	for name, id := range ids {
		if !open[id] {
			return nil, &poolNeeded{name, e.tree.user}
		}
	}
	return ids, nil
}

// queueEditLevel makes the transaction fail while a live coordinator is below the level that edits and copies need. Once that is used, it costs
// a look.
func (s *Store) queueEditLevel(b *pgx.Batch) { queueCoordinators(b, dag.EditLevel, s.version) }

// queueCoordinators is [queueLevel] for what workers need not know.
func queueCoordinators(b *pgx.Batch, level dag.Level, version string) {
	b.Queue(sql("LockEditLevel"), level)
	b.Queue(sql("CheckEditLevel"), level)
	b.Queue(sql("UseEditLevel"), level, version)
}

// queueRefixed writes what only edits change of rows. It comes before their other changes.
func queueRefixed(b *pgx.Batch, changed []*dag.Row) {
	var keys []int64
	var was, priorities []int16
	var attempts, flags, pools []int32
	for _, r := range changed {
		if g := r.Expected(); r.Refixed() {
			keys, was, attempts = append(keys, int64(r.Key)), append(was, int16(g.State)), append(attempts, g.Attempt)
			flags, priorities, pools = append(flags, int32(r.Flags)), append(priorities, int16(r.Priority)), append(pools, r.Pool)
		}
	}
	if len(keys) > 0 {
		b.Queue(sql("EditRows"), keys, was, attempts, flags, priorities, pools, len(keys))
	}
}

// treeEdit is what an edit writes into the tree's row, beside what its decision adds up to.
type treeEdit struct {
	name  *string            // of the root
	pools []int32            // that tasks of the tree name, too
	span  int                // keys that the tree uses more
	check func(b *pgx.Batch) // compares or writes more, once the row is locked; nil: nothing
}

// nothingMore is for an edit that writes nothing at one of the places.
func nothingMore(*pgx.Batch) error { return nil }

// commit writes a decision and commits. early has the statements that come before rows are written, late those after.
func (e *edit) commit(ctx context.Context, d dag.Edit, early, late func(b *pgx.Batch) error, of treeEdit, assumed bool, room Room) error {
	b := &pgx.Batch{}
	e.s.queueEditLevel(b)
	if err := early(b); err != nil {
		return err
	}
	queueRefixed(b, d.Changed())
	if err := e.c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("edit tasks: %w", err)
	}
	if err := e.s.explainUnknown(ctx, e.c, d.Ended); err != nil {
		return err
	}
	b = &pgx.Batch{}
	queueRows(b, d.Changed())
	if err := e.s.writeEnded(ctx, e.c, b, d.Decision); err != nil {
		return err
	}
	if err := late(b); err != nil {
		return err
	}
	var underway *bool
	if assumed {
		underway = &d.Underway
	}
	delta := d.Trees[e.tree.key]
	if delta == nil {
		delta = &dag.TreeDelta{}
	}
	b.Queue(sql("EditTree"), e.tree.key, e.tree.revision, underway, delta.Tasks, delta.Leaves, of.name, of.pools, of.span)
	if of.check != nil {
		of.check(b)
	}
	eff, err := e.s.commit(ctx, e.c, b, d.Decision, e.view, room)
	if err != nil {
		return err
	}
	e.eff = eff
	e.s.resident.drop(e.tree.key)
	return nil
}
