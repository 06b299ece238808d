package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ErrStarted: a task of the tree has started, or was cancelled, so that none can be added.
var ErrStarted = errors.New("a task of the tree has started")

// Added is the answer to Add.
type Added struct {
	RootID   string
	First    dag.Key // of the tasks that were added; 0 when replayed
	Tasks    int     // how many
	Replayed bool
	IDMap    map[string]string // ids that were taken, given -> actual; nil when none
}

// Add stores tasks below a stored one, as if they had been sent with its tree: all or none. Of sub it takes IdempotencyKey, Limits, Known,
// Repeatable, Levels, Version and Tasks. parentID is what the tasks without a parent are to name as theirs. Errors: [ErrStarted], [ErrDigest],
// those of the tasks iterator, *[dag.InvalidTreeError], and those of editing.
func (s *Store) Add(ctx context.Context, parent dag.Key, parentID string, sub Submission) (out *Added, eff *Effects, err error) {
	tasks, err := readAddition(sub.Tasks, parentID)
	if err != nil {
		return nil, nil, err
	}
	needed := dag.BaseLevel
	for _, t := range tasks {
		needed = max(needed, sub.Levels.Needed(t))
	}
	eff, err = s.editing(ctx, parent.Tree(), func(ctx context.Context, e *edit) (err error) {
		a := &adding{edit: e, sub: sub, tasks: tasks, parentID: parentID}
		out, err = a.run(ctx)
		return err
	})
	if isUnique(err, "submission_pkey") { // another one was quicker: its answer is the answer
		eff, err = s.editing(ctx, parent.Tree(), func(ctx context.Context, e *edit) (err error) {
			out, err = (&adding{edit: e, sub: sub, tasks: tasks, parentID: parentID}).run(ctx)
			return err
		})
	}
	return out, eff, levelRefusal(quotaRefusal(err), sub.Levels, needed)
}

// readAddition reads the tasks, as many as a small tree may have.
func readAddition(all iter.Seq2[*dag.Task, error], parentID string) ([]*dag.Task, error) {
	tasks, rest, stop := firstTasks(all)
	defer stop()
	if tasks == nil {
		n := 0
		for _, err := range rest {
			if n++; err != nil {
				return nil, err
			}
			if n > smallTasks {
				break
			}
		}
		reason := fmt.Sprintf("Fewer than %d tasks with less than %d bytes can be added at once. Add them in several parts.", smallTasks, smallBytes)
		if n == 0 {
			reason = "Tasks array cannot be empty. Submit one task at least."
		}
		return nil, &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Code: dag.InvalidTree, Index: -1, Reason: reason}}}
	}
	for _, t := range tasks {
		t.ParentRef = cmp.Or(t.ParentRef, parentID)
	}
	return tasks, nil
}

// adding is one try to add tasks to a tree.
type adding struct {
	*edit
	sub      Submission
	tasks    []*dag.Task
	parentID string

	stands []standIn        // what the new tasks refer to, in the order of their stand-ins
	edges  int              // of the tree
	staged *stagedTree      // the new tasks
	onto   []dag.Key        // stored tasks that new ones depend on, once for each
	under  map[dag.Key]bool // stored parents of new ones
}

// standIn is a task of the tree that a new one refers to.
type standIn struct {
	ref string // as it is written there
	key dag.Key
}

func (a *adding) run(ctx context.Context) (*Added, error) {
	a.sub.namespace = a.tree.namespace
	in := newIntake(&a.sub)
	for _, t := range a.tasks { // for the digest
		if in.digester != nil {
			in.digester.add(t)
		}
	}
	if out, err := a.replay(ctx, in); out != nil || err != nil {
		return out, err
	}
	if err := a.read(ctx); err != nil {
		return nil, err
	}
	if err := a.validate(ctx, in); err != nil {
		return nil, err
	}
	if err := a.findPools(ctx); err != nil {
		return nil, err
	}
	d, counts, err := a.lock(ctx, slices.Concat(a.onto, slices.Collect(maps.Keys(a.under))), a.onto)
	if err != nil {
		return nil, err
	}
	return a.store(ctx, d, counts)
}

// replay is the first answer to the idempotency key.
func (a *adding) replay(ctx context.Context, in *intake) (*Added, error) {
	if a.sub.IdempotencyKey == "" {
		return nil, nil
	}
	rows, err := a.c.Query(ctx, sql("FindSubmissions"), []string{a.sub.IdempotencyKey}, []dag.NamespaceKey{a.sub.namespace})
	if err != nil {
		return nil, fmt.Errorf("look for an idempotency key: %w", err)
	}
	had := existing{keys: map[named]submission{}}
	if err := had.takeSubmissions(rows); err != nil {
		return nil, fmt.Errorf("look for an idempotency key: %w", err)
	}
	first, ok := had.keys[named{a.sub.namespace, a.sub.IdempotencyKey}]
	if !ok {
		return nil, nil
	}
	if _, err := first.answer(ctx, a.s.seals, in.digests()); err != nil {
		return nil, err
	}
	return &Added{RootID: first.rootID, Tasks: len(a.tasks), Replayed: true}, nil
}

// read looks whether the tree has started, and for what the new tasks refer to: by ids, else by what the submission calls tasks.
func (a *adding) read(ctx context.Context) error {
	own := map[string]bool{}
	for _, t := range a.tasks {
		own[cmp.Or(t.ID, t.Name)] = true
	}
	refs := map[string]bool{a.parentID: true}
	for _, t := range a.tasks {
		refs[t.ParentRef] = true
		for _, d := range t.Dependencies {
			refs[d.Ref] = true
		}
	}
	maps.DeleteFunc(refs, func(ref string, _ bool) bool { return ref == "" || ref != a.parentID && own[ref] || !dag.Storable(ref) })
	unstarted := false
	byID, byRef := map[string]dag.Key{}, map[string]dag.Key{}
	first, end := a.tree.key.Range()
	b := &pgx.Batch{}
	b.Queue(sql("TreeUnstarted"), a.tree.key).QueryRow(func(row pgx.Row) error { return row.Scan(&unstarted) })
	b.Queue(sql("CountEdges"), first, end).QueryRow(func(row pgx.Row) error { return row.Scan(&a.edges) })
	b.Queue(sql("FindReferences"), first, end, slices.Sorted(maps.Keys(refs))).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			key := v.key()
			byID[v.text()] = key
			if ref := v.text(); byRef[ref] == 0 {
				byRef[ref] = key
			}
		})
	})
	if err := a.c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("read tree %d: %w", a.tree.key, err)
	}
	if !unstarted {
		return ErrStarted
	}
	if _, ok := byID[a.parentID]; !ok { // it was deleted since
		return ErrNotFound
	}
	a.stands = []standIn{{a.parentID, byID[a.parentID]}}
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		key, ok := byID[ref]
		if !ok {
			key, ok = byRef[ref]
		}
		if ok && ref != a.parentID {
			a.stands = append(a.stands, standIn{ref, key})
		}
	}
	return nil
}

// validate checks the new tasks as if the whole tree had been sent: those that they refer to stand in for it, by the same references.
func (a *adding) validate(ctx context.Context, in *intake) error {
	limits := a.sub.Limits.OrDefaults()
	limits.Tasks = max(0, limits.Tasks-a.tree.tasks) + len(a.stands)
	limits.Tasks = min(limits.Tasks, dag.MaxTreeTasks-a.tree.span+len(a.stands))
	limits.Edges = max(1, limits.Edges-a.edges)
	digester := in.digester
	in.builder, in.digester, in.payloads = dag.NewBuilder(limits, uuid.NewString).OwnedBy(a.tree.user), nil, nil
	named := !slices.ContainsFunc(a.tasks, func(t *dag.Task) bool { return t.ID != "" })
	for i, t := range a.tasks {
		if t.Imported != nil {
			return &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Code: dag.InvalidField, Index: i, Task: t.ID, Field: "outcome",
				Reason: fmt.Sprintf("tasks[%d].outcome: only tasks of a new tree may have ended before they are submitted", i)}}}
		}
		if _, err := in.add(t); err != nil {
			return err
		}
	}
	for i, s := range a.stands {
		stand := &dag.Task{Name: s.ref, Priority: dag.Normal, UserID: a.tree.user}
		if !named {
			stand.ID = s.ref
		}
		if i > 0 {
			stand.ParentRef = a.parentID
		}
		if _, err := in.add(stand); err != nil {
			return err
		}
	}
	if err := in.checkRules(ctx, a.c, a.sub.namespace); err != nil {
		return err
	}
	g, err := in.builder.Build()
	if err != nil {
		return err
	}
	in.tasks, in.digester = in.tasks[:len(a.tasks)], digester
	a.sub.Hold = a.tree.execution == 0
	a.staged = &stagedTree{in: in, sub: a.sub, tree: a.tree.key, first: a.tree.span, rootID: a.tree.rootID, level: dag.RunsLevel, g: a.grown(g)}
	return nil
}

// grown is the part of the graph that is new, with the indexes that tasks have in the tree.
func (a *adding) grown(g *dag.Graph) *dag.Graph {
	n := len(a.tasks)
	index := func(i int32) int32 {
		if int(i) < n {
			return int32(a.tree.span) + i
		}
		return int32(a.stands[int(i)-n].key.Index())
	}
	out := &dag.Graph{IDs: g.IDs[:n], Refs: g.Refs[:n], UserID: a.tree.user, Leaf: g.Leaf[:n], DepStart: []int32{0}}
	if g.Judged != nil {
		out.Judged = g.Judged[:n]
	}
	if g.Holds != nil {
		out.Holds = g.Holds[:n]
	}
	if g.Bounded != nil {
		out.Bounded = g.Bounded[:n]
	}
	if g.Under != nil {
		out.Under = g.Under[:n]
	}
	a.under = map[dag.Key]bool{}
	for i := range n {
		p := index(g.Parent[i])
		if out.Parent = append(out.Parent, p); int(p) < a.tree.span {
			a.under[a.tree.key.Key(int(p))] = true
		}
		from := len(out.Dep)
		for _, e := range g.Dependencies(i) {
			e.Task = index(e.Task)
			if at := slices.IndexFunc(out.Dep[from:], func(o dag.Edge) bool { return o.Task == e.Task }); at >= 0 { // by two references
				out.Dep[from+at].Required = out.Dep[from+at].Required || e.Required
				continue
			}
			if int(e.Task) < a.tree.span {
				on := a.tree.key.Key(int(e.Task))
				a.onto = append(a.onto, on)
			}
			out.Dep = append(out.Dep, e)
		}
		out.DepStart = append(out.DepStart, int32(len(out.Dep)))
	}
	return out
}

// findPools keeps the pools of the new tasks open.
func (a *adding) findPools(ctx context.Context) (err error) {
	names := map[string]bool{}
	for i := range a.staged.in.tasks {
		if p := &a.staged.in.tasks[i]; p.pool != "" && !unknown(p, a.sub.Known) {
			names[p.pool] = true
		}
	}
	if a.staged.pools, err = a.keepPools(ctx, names); err != nil {
		return err
	}
	a.staged.poolIDs = poolIDsOf(a.staged.pools)
	all := slices.Concat(a.tree.pools, a.staged.poolIDs)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n > MaxTreePools {
		return &PoolLimitError{fmt.Sprintf("the tasks of this tree would name %d pools, the most is %d", n, MaxTreePools)}
	}
	return nil
}

// store writes the new tasks, and what they change of those around them, which are locked.
func (a *adding) store(ctx context.Context, d *dag.Decision, counts edgeCounts) (*Added, error) {
	t := a.staged
	t.dependents = make([]int32, len(a.tasks))
	for _, e := range t.g.Dep {
		if i := int(e.Task) - a.tree.span; i >= 0 {
			t.dependents[i]++
		}
	}
	for _, k := range a.onto {
		counts[k]++
	}
	for _, k := range a.onto {
		d.Reflag(k, counts.flags(k, d.Row(k).Flags))
	}
	var execution dag.Flags // what the tree's execution says of its tasks
	var above dag.Flags     // what groups above have to say
	for k := range a.under {
		row := d.Row(k)
		if row.Flags&dag.FlagBounded != 0 || row.Flags&(dag.FlagGroup|dag.FlagTimeout) == dag.FlagGroup|dag.FlagTimeout {
			above |= dag.FlagBounded
		}
		if row.Flags&(dag.FlagUnder|dag.FlagKept) != 0 {
			above |= dag.FlagUnder
		}
		execution |= row.Flags
		d.Reflag(k, row.Flags&^dag.FlagLeaf)
	}
	for i := range t.in.tasks {
		t.in.tasks[i].demo, t.in.tasks[i].keyed = execution&dag.FlagDemo != 0, execution&dag.FlagKeyed != 0
		t.in.tasks[i].beyond |= execution&dag.FlagFresh | above
	}
	idMap, err := a.copy(ctx)
	if err != nil {
		return nil, err
	}
	d.Grow(a.tree.key, len(a.tasks), t.leaves, t.sub.Hold)
	placed, limits := &placement{}, &Effects{}
	late := func(b *pgx.Batch) error {
		queueLevel(b, t.in.level, a.sub.Version)
		if len(t.releases) > 0 {
			queueFollowups(b, FollowupRelease, t.releases)
		}
		if len(t.stretches) > 0 {
			queueStretches(b, t.stretches, placed)
		}
		queueTimeLimits(b, t.begun, time.Time{}, limits)
		if key := a.sub.IdempotencyKey; key != "" {
			z, err := a.s.seals.sealer(ctx, a.tree.key)
			if err != nil {
				return err
			}
			digests := z.digests(t.in.digests())
			b.Queue(sql("InsertSubmissions"), []string{key}, []int64{int64(a.tree.key)}, [][]byte{digests.digest}, [][]byte{digests.canonical}, []dag.NamespaceKey{a.sub.namespace})
		}
		return nil
	}
	of := treeEdit{pools: t.poolIDs, span: len(a.tasks), check: func(b *pgx.Batch) {
		b.Queue(sql("RequireUnstarted"), a.tree.key)
		a.count(b)
	}}
	if err := a.commit(ctx, dag.Edit{Decision: d, Edges: fewEdges{}}, nothingMore, late, of, false, nil); err != nil {
		return nil, err
	}
	a.eff.Followups += len(t.releases)
	a.eff.Timers = append(a.eff.Timers, limits.Timers...)
	a.eff.place(t.stretches, placed, nil)
	return &Added{RootID: a.tree.rootID, First: t.key(0), Tasks: len(a.tasks), IDMap: idMap}, nil
}

// count counts what is added.
func (a *adding) count(b *pgx.Batch) {
	if t := a.staged; a.s.counted.counts(a.sub.namespace) {
		b.Queue(sql("GrowBytes"), a.tree.key, t.in.bytes)
		var more storing
		more.add(a.sub.namespace, 0, int64(len(a.tasks)), t.in.bytes, false)
		more.queue(b)
	}
	if a.tree.execution > 0 {
		a.s.counted.queueWaiting(b, []int64{int64(a.tree.key)}, len(a.tasks))
	}
}

// copy writes the rows of the new tasks. Ids that are taken get new ones.
func (a *adding) copy(ctx context.Context) (map[string]string, error) {
	t := a.staged
	taken, err := takenIDs(ctx, a.c, a.sub.namespace, t.g.IDs)
	if err != nil {
		return nil, fmt.Errorf("look for taken ids: %w", err)
	}
	idMap := t.rename(taken, nil)
	z, err := a.s.seals.sealer(ctx, t.tree)
	if err != nil {
		return nil, err
	}
	tree := &batchedTree{stagedTree: t, tasks: a.tasks}
	if err := copyAll(ctx, a.c, copies([]*batchedTree{tree}, z)); err != nil {
		return nil, fmt.Errorf("copy %d tasks: %w", len(a.tasks), err)
	}
	return idMap, nil
}
