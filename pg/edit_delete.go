package pg

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// DeleteOptions steer a deletion, as those of the service.
type DeleteOptions struct {
	Force bool
	Alone bool
	Room  Room
}

// NotDeletable says why tasks are not deleted.
type NotDeletable struct{ Reasons []string }

// Error is the first reason.
func (e *NotDeletable) Error() string { return e.Reasons[0] }

// Delete deletes a task and all below it, with all that is kept of them; of a root, the tree. n is how many tasks. Errors: *[NotDeletable] and
// those of editing.
func (s *Store) Delete(ctx context.Context, k dag.Key, opts DeleteOptions) (n int, eff *Effects, err error) {
	eff, err = s.editing(ctx, k.Tree(), func(ctx context.Context, e *edit) error {
		d := &deleting{edit: e, DeleteOptions: opts, k: k}
		err := d.run(ctx)
		n = len(d.gone)
		return err
	})
	return n, eff, err
}

// deleting is the deletion of a task.
type deleting struct {
	*edit
	DeleteOptions
	k dag.Key

	gone      []dag.Key // by key
	is        map[dag.Key]bool
	parent    dag.Key           // which may lose its last child; 0: the root is deleted
	childless bool              // it does
	pairs     [2][]dag.Key      // edges from tasks that stay to those that go
	after     []edgeRow         // edges from tasks that go to those that stay
	outside   map[dag.Key]wired // dependencies of those that stay and depend on some that go, as they are
	edges     dag.Edges
	graph     *wholeGraph
}

// edgeRow is an edge.
type edgeRow struct {
	Dependency, Dependent dag.Key
	Required              bool
}

// relation is a task's place in its tree.
type relation struct {
	key    dag.Key
	parent int32
	deps   []int32
}

func (d *deleting) run(ctx context.Context) error {
	if d.tree.held {
		return ErrHeld
	}
	if err := d.read(ctx); err != nil {
		return err
	}
	if d.k == d.tree.root {
		return d.deleteTree(ctx)
	}
	dec, counts, err := d.lock(ctx, d.touched(), d.pairs[0])
	if err != nil {
		return err
	}
	if d.Force && len(d.after) > 0 {
		if !dec.Foreseen(d.graph.state) {
			return errUntold // what was read is not what is needed
		}
		if err := d.told(ctx, d.touched()); err != nil {
			return err
		}
	}
	if err := d.check(ctx, dec.Row); err != nil {
		return err
	}
	return d.delete(ctx, dec, counts)
}

// read finds what is below the task, and which edges lead out of that.
func (d *deleting) read(ctx context.Context) error {
	all, err := d.relations(ctx)
	if err != nil {
		return err
	}
	d.is = map[dag.Key]bool{}
	children := map[int32][]dag.Key{}
	found := false
	for _, r := range all {
		children[r.parent] = append(children[r.parent], r.key)
		if r.key == d.k {
			found = true
			if r.parent >= 0 {
				d.parent = d.tree.key.Key(int(r.parent))
			}
		}
	}
	if !found {
		return ErrNotFound
	}
	for queue := []dag.Key{d.k}; len(queue) > 0; queue = queue[1:] {
		d.is[queue[0]] = true
		d.gone = append(d.gone, queue[0])
		queue = append(queue, children[int32(queue[0].Index())]...)
	}
	slices.Sort(d.gone)
	d.childless = d.parent != 0 && len(children[int32(d.parent.Index())]) == 1
	for _, r := range all {
		for _, on := range readWired(d.tree.key, r.deps, nil, nil).on {
			switch from, to := d.is[on.Key], d.is[r.key]; {
			case to && !from:
				d.pairs[0], d.pairs[1] = append(d.pairs[0], on.Key), append(d.pairs[1], r.key)
			case from && !to:
				d.after = append(d.after, edgeRow{on.Key, r.key, on.Required})
			}
		}
	}
	return d.readOutside(ctx)
}

func (d *deleting) relations(ctx context.Context) ([]relation, error) {
	first, end := d.tree.key.Range()
	rows, err := d.c.Query(ctx, sql("Relations"), first, end)
	if err != nil {
		return nil, fmt.Errorf("read tree %d: %w", d.tree.key, err)
	}
	var all []relation
	var r relation
	if _, err := pgx.ForEachRow(rows, []any{&r.key, &r.parent, &r.deps}, func() error {
		all = append(all, r)
		r.deps = nil
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read tree %d: %w", d.tree.key, err)
	}
	return all, nil
}

// readOutside reads what those that stay depend on, and the edges of the whole tree, if some depend on what goes and that is forced.
func (d *deleting) readOutside(ctx context.Context) (err error) {
	d.outside = map[dag.Key]wired{}
	d.edges = fewEdges{}
	if !d.Force || len(d.after) == 0 {
		return nil
	}
	if d.graph, err = d.readGraph(ctx); err != nil {
		return err
	}
	var keys []dag.Key
	for _, e := range d.after {
		keys = append(keys, e.Dependent)
	}
	rows, err := d.c.Query(ctx, sql("SpecsToRewire"), keys)
	if err != nil {
		return fmt.Errorf("read dependencies: %w", err)
	}
	var key dag.Key
	var deps []int32
	var types []string
	var modes []int16
	if _, err := pgx.ForEachRow(rows, []any{&key, &deps, &types, &modes}, func() error {
		d.outside[key] = readWired(d.tree.key, deps, types, modes)
		d.graph.rewired[key.Index()] = d.left(key).on
		deps, types, modes = nil, nil, nil
		return nil
	}); err != nil {
		return fmt.Errorf("read dependencies: %w", err)
	}
	d.edges = d.graph
	return nil
}

// left is what a task that stays will depend on.
func (d *deleting) left(k dag.Key) wired {
	return d.outside[k].without(func(on dag.Key) bool { return d.is[on] })
}

// touched are the tasks to be locked.
func (d *deleting) touched() []dag.Key {
	keys := slices.Concat(d.gone, d.pairs[0])
	if d.parent != 0 {
		keys = append(keys, d.parent)
	}
	for k := range d.outside {
		keys = append(keys, dag.Touched(k, d.edges, d.graph.state)...)
		keys = append(keys, keysOf(d.edges.Dependents(k))...)
	}
	for _, e := range d.after {
		keys = append(keys, e.Dependent)
	}
	return keys
}

// check refuses what must not be deleted (spec 2.4).
func (d *deleting) check(ctx context.Context, row func(dag.Key) *dag.Row) error {
	view := dag.Deletion{Force: d.Force, Alone: d.Alone}
	for _, k := range d.gone {
		r := row(k)
		if r == nil {
			return ErrNotFound
		}
		if k == d.k && r.Flags&dag.FlagChild != 0 {
			labels, err := d.labels(ctx, []dag.Key{k})
			if err != nil {
				return err
			}
			return &NotDeletable{[]string{fmt.Sprintf("Task '%s' can't be deleted: it was found by another task, and is deleted with it", labels[k].ID)}}
		}
		view.See(k, k == d.k, r.State, r.Worker != 0)
	}
	for _, e := range d.after {
		if r := row(e.Dependent); r != nil {
			view.SeeDependent(e.Dependent, r.State, r.Worker != 0)
		}
	}
	if !view.Refused() {
		return nil
	}
	labels, err := d.labels(ctx, view.Named())
	if err != nil {
		return err
	}
	return &NotDeletable{view.Reasons(func(k dag.Key) string { return labels[k].ID })}
}

// delete writes what the deletion of a part of a tree changes.
func (d *deleting) delete(ctx context.Context, dec *dag.Decision, counts edgeCounts) error {
	edit := dag.Edit{Decision: dec, Edges: d.edges, Underway: d.tree.unfinished > 0}
	for _, on := range d.pairs[0] {
		counts[on]--
	}
	for _, on := range d.pairs[0] {
		edit.Reflag(on, counts.flags(on, edit.Row(on).Flags))
	}
	if d.childless {
		edit.Reflag(d.parent, edit.Row(d.parent).Flags|dag.FlagLeaf)
	}
	for _, k := range slices.Sorted(maps.Keys(d.outside)) {
		for _, dep := range d.edges.Dependents(k) {
			if !d.is[dep.Key] && len(d.edges.Dependents(k)) <= dag.InlineDependents {
				edit.AddDependent(k, dep)
			}
		}
	}
	var taken leaving
	for _, k := range d.gone {
		taken.add(edit.Row(k))
		edit.Remove(k)
	}
	for _, k := range slices.Sorted(maps.Keys(d.outside)) {
		r := edit.Row(k)
		edit.Revise(k, dag.Revision{Priority: r.Priority, Pool: r.Pool, Flags: r.Flags, Executor: executorOf(r), Rewired: true})
	}
	early := func(b *pgx.Batch) error {
		if len(d.pairs[0]) > 0 {
			b.Queue(sql("DeleteEdgePairs"), d.pairs[0], d.pairs[1])
		}
		b.Queue(sql("DeleteEdgesFrom"), d.gone)
		for k := range d.outside {
			deps, types, modes := d.left(k).columns()
			b.Queue(sql("RewireSpec"), k, deps, types, modes)
		}
		b.Queue(sql("DeleteArtifactsOf"), d.gone)
		b.Queue(sql("DeleteTheseTasks"), d.gone)
		taken.queue(b)
		return nil
	}
	if err := d.commit(ctx, edit, early, nothingMore, treeEdit{}, len(d.outside) > 0, d.Room); err != nil {
		return err
	}
	d.eff.leave(&taken)
	return nil
}

func executorOf(r *dag.Row) string {
	if r.Policy == nil {
		return ""
	}
	return r.Policy.Executor
}

// deleteTree deletes the whole tree.
func (d *deleting) deleteTree(ctx context.Context) error {
	rows := map[dag.Key]*dag.Row{}
	first, end := d.tree.key.Range()
	got, err := d.c.Query(ctx, sql("LockTree"), first, end)
	if err != nil {
		return fmt.Errorf("lock tree %d: %w", d.tree.key, err)
	}
	var taken leaving
	if err := eachRow(got, func(v *values) {
		r := &dag.Row{Key: v.key(), State: dag.State(v.smallint()), Worker: dag.WorkerKey(v.bigint()), Pool: v.integer(), Priority: dag.Priority(v.smallint()), Flags: dag.Flags(v.integer())}
		rows[r.Key] = r
		taken.add(r)
	}); err != nil {
		return fmt.Errorf("lock tree %d: %w", d.tree.key, err)
	}
	if err := d.check(ctx, func(k dag.Key) *dag.Row { return rows[k] }); err != nil {
		return err
	}
	b := &pgx.Batch{}
	d.s.queueEditLevel(b)
	queueDeletion(b, first, end)
	queueTreeDeletion(b, d.tree.key)
	taken.queue(b)
	b.Queue("commit")
	if err := d.c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("delete tree %d: %w", d.tree.key, err)
	}
	d.s.resident.drop(d.tree.key)
	d.eff = &Effects{}
	d.eff.leave(&taken)
	return nil
}
