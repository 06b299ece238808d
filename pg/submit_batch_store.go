package pg

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// storeTrees stores small trees in one transaction and sets their answers. When it fails, only those that need no
// transaction have theirs. wait bounds the waits for locks; 0: the statement's own bound does.
func (s *submissions) storeTrees(ctx context.Context, trees []*batchedTree, wait time.Duration) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	if err := storeTrees(ctx, c.Conn(), s.seals, trees, wait); err != nil {
		rollback(ctx, c.Conn())
		return err
	}
	for _, t := range trees {
		if t.resident != nil {
			s.resident.add(t.tree, t.resident)
		}
	}
	return nil
}

// storeTrees is the transaction: it begins and looks what is there, copies the tasks, and writes the rest and commits, each
// in one round trip.
func storeTrees(ctx context.Context, c *pgx.Conn, x *seals, trees []*batchedTree, wait time.Duration) error {
	had, err := beginTrees(ctx, c, trees, wait)
	if err != nil {
		return fmt.Errorf("begin submission of %d trees: %w", len(trees), err)
	}
	fresh := slices.DeleteFunc(slices.Clone(trees), func(t *batchedTree) bool { return had.answer(ctx, x, t) })
	for _, t := range fresh {
		if len(closedAmong(t.poolIDs, had.pools)) > 0 {
			return errPoolClosed
		}
	}
	if fresh, err = lockKeys(ctx, c, fresh); err != nil {
		return err
	}
	if err := refusedTogether(trees); err != nil {
		return err
	}
	if len(fresh) == 0 {
		_, err := c.Exec(ctx, "rollback")
		return err
	}
	for _, t := range fresh {
		x.belongs(t.tree, t.sub.namespace)
	}
	z, err := x.sealer(ctx, keysOfTrees(fresh)...)
	if err != nil {
		return err
	}
	renamed := make([]map[string]string, len(fresh))
	for i, t := range fresh {
		renamed[i] = had.rename(t.stagedTree)
	}
	if err := copyAll(ctx, c, copies(fresh, z)); err != nil {
		return fmt.Errorf("copy %d trees: %w", len(fresh), err)
	}
	placed, work, err := finishTrees(ctx, c, z, fresh, had.identity)
	if err != nil {
		return fmt.Errorf("write %d trees: %w", len(fresh), err)
	}
	for i, t := range fresh {
		eff := t.effects()
		eff.place(t.stretches, placed, work)
		t.out, t.err = t.submitted(renamed[i], eff), nil
	}
	return nil
}

// finishTrees writes the trees' rows and what begins at once, and commits. It gives the stretches that were published, by
// their first tasks, and what is to be sent of them, which is known without reading it.
func finishTrees(ctx context.Context, c *pgx.Conn, z *sealer, trees []*batchedTree, id identity) (placed *placement, work map[dag.Key]*Work, err error) {
	placed, work = &placement{}, map[dag.Key]*Work{}
	b := &pgx.Batch{}
	queueLevel(b, levelOf(trees), trees[0].sub.Version)
	var rows treeRows
	var stretches []Stretch
	for _, t := range trees {
		rows.add(t.stagedTree, z)
		t.reserve()
		if t.resident = nil; !t.sub.Hold && t.born() == nil {
			t.resident = newResidentTree(t.g, t.tree, id, t.work(), t.refs(), t.size)
			t.begun(work)
		}
		stretches = append(stretches, t.stretches...)
	}
	rows.queue(b)
	for _, t := range trees {
		if err := t.queueImported(b, z); err != nil {
			return nil, nil, err
		}
	}
	if len(stretches) > 0 {
		queueStretches(b, stretches, placed)
	}
	b.Queue("commit")
	return placed, work, c.SendBatch(ctx, b).Close()
}

// keysOfTrees are the keys of trees; they have them once their transaction has begun.
func keysOfTrees(trees []*batchedTree) []dag.TreeKey {
	keys := make([]dag.TreeKey, len(trees))
	for i, t := range trees {
		keys[i] = t.tree
	}
	return keys
}

// levelOf is the level that the trees need.
func levelOf(trees []*batchedTree) dag.Level {
	level := dag.BaseLevel
	for _, t := range trees {
		level = max(level, t.in.level)
	}
	return level
}

// copies are the rows of the trees' tasks.
func copies(trees []*batchedTree, z *sealer) []copying {
	staged := make([]*stagedTree, len(trees))
	for i, t := range trees {
		staged[i] = t.stagedTree
	}
	all := []copying{specs(staged), {sql("CopyTasks"), eachTask(staged, (*stagedTree).putTask)}}
	if slices.ContainsFunc(trees, func(t *batchedTree) bool { return slices.ContainsFunc(t.tasks, carries) }) {
		all = append(all, copying{sql("CopyPayloads"), eachPayload(trees, z)})
	}
	if slices.ContainsFunc(staged, func(t *stagedTree) bool { return len(t.g.Dep) > 0 }) {
		all = append(all, copying{sql("CopyEdges"), eachEdge(staged)})
	}
	return all
}

// eachPayload puts what the trees' tasks carry, a tree a call.
func eachPayload(trees []*batchedTree, z *sealer) rowSource {
	return func(w *rowWriter) (bool, error) {
		if len(trees) == 0 {
			return false, nil
		}
		t := trees[0]
		trees = trees[1:]
		for i, task := range t.tasks {
			if carries(task) {
				if err := putPayload(w, z, t.key(i), task); err != nil {
					return false, err
				}
			}
		}
		return true, nil
	}
}

// work is what workers are sent of the tree's tasks, by index, but for what changes.
func (t *batchedTree) work() []Work {
	all := make([]Work, len(t.tasks))
	for i, task := range t.tasks {
		head := &t.in.tasks[i]
		all[i] = Work{Key: t.tree.Key(i), Namespace: t.sub.namespace, Priority: head.priority, Pool: t.pools[head.pool], Flags: t.flags(i), TreeID: t.g.IDs[t.g.Root],
			UserID: t.g.UserID, UID: t.uid, Run: 1, ID: t.g.IDs[i], Name: head.name, Executor: head.executor, Deps: int32(len(t.g.Dependencies(i))),
			Inputs: task.Inputs, Params: task.Params, Schemas: task.Schemas}
		if head.custom != nil {
			all[i].TimeoutMS = head.custom.timeout.Milliseconds()
		}
	}
	return all
}

// begun gives what is to be published at once of the tree's first execution: its ready tasks wait for nothing, so that
// they have no results to be given.
func (t *batchedTree) begun(into map[dag.Key]*Work) {
	for _, r := range t.stretches {
		if !r.Direct {
			continue
		}
		for k := r.First; k < r.First+dag.Key(r.N); k++ {
			into[k] = t.resident.workAt(k, r, 1)
		}
	}
}

// existing is what was stored before a batch.
type existing struct {
	pools    map[int32]bool // open, and kept so
	ids      map[named]bool // taken; those of the batch's trees are added
	keys     map[named]submission
	identity identity // of the trees of the batch
}

// named is what is unique within its namespace: an id, an idempotency key.
type named struct {
	namespace dag.NamespaceKey
	text      string
}

// beginTrees begins the transaction, gives the trees keys, and looks for what is there already.
func beginTrees(ctx context.Context, c *pgx.Conn, trees []*batchedTree, wait time.Duration) (*existing, error) {
	had := &existing{pools: map[int32]bool{}, ids: map[named]bool{}, keys: map[named]submission{}}
	var ids, keys []string
	var namespaces []dag.NamespaceKey
	var pools []int32
	for _, t := range trees {
		t.reset()
		pools = append(pools, t.poolIDs...)
		ids = append(ids, t.g.IDs...)
		if !slices.Contains(namespaces, t.sub.namespace) {
			namespaces = append(namespaces, t.sub.namespace)
		}
		if key := t.sub.IdempotencyKey; key != "" {
			keys = append(keys, key)
		}
	}
	b := &pgx.Batch{}
	begin(b, c)
	if wait > 0 {
		b.Queue(fmt.Sprintf("set local lock_timeout = %d", wait.Milliseconds()))
	}
	if len(pools) > 0 {
		queuePoolLocks(b, pools, had.pools)
	}
	b.Queue(sql("NextTrees"), len(trees)).Query(func(rows pgx.Rows) error {
		next := trees
		return eachRow(rows, func(v *values) {
			t := next[0]
			t.tree, had.identity.created, had.identity.server = dag.TreeKey(v.bigint()), v.timestamp(), v.timestamp()
			t.begin(had.identity.created, dag.Level(v.integer()))
			next = next[1:]
		})
	})
	b.Queue(sql("TakenIDs"), ids, namespaces).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			id := v.text()
			had.ids[named{dag.NamespaceKey(v.integer()), id}] = true
		})
	})
	if len(keys) > 0 {
		b.Queue(sql("FindSubmissions"), keys, namespaces).Query(had.takeSubmissions)
	}
	return had, c.SendBatch(ctx, b).Close()
}

// takeSubmissions reads what the idempotency keys stand for.
func (had *existing) takeSubmissions(rows pgx.Rows) error {
	var key named
	var one submission
	_, err := pgx.ForEachRow(rows, []any{&key.text, &one.digest, &one.canonical, &one.rootID, &one.tasks, &key.namespace}, func() error {
		had.keys[key] = one
		one.digest, one.canonical = nil, nil // the next are not to be read into them
		return nil
	})
	return err
}

// answer answers a tree whose idempotency key is known.
func (had *existing) answer(ctx context.Context, x *seals, t *batchedTree) bool {
	first, ok := had.keys[t.idempotency()]
	if ok {
		t.out, t.err = first.answer(ctx, x, t.in.digests())
	}
	return ok
}

// rename gives new ids to the tree's tasks whose own are taken, by trees that are stored or by others of the batch.
func (had *existing) rename(t *stagedTree) map[string]string {
	var taken []string
	for _, id := range t.g.IDs {
		if had.ids[named{t.sub.namespace, id}] {
			taken = append(taken, id)
		}
	}
	renamed := t.rename(taken, nil)
	for _, id := range t.g.IDs {
		had.ids[named{t.sub.namespace, id}] = true
	}
	return renamed
}
