package pg

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// findPools looks up the pools of executors that nobody knew when the original was submitted, and that somebody has by now.
func (t *treeCopy) findPools(ctx context.Context) error {
	names := map[string]bool{}
	for _, i := range t.plan.Tasks {
		if executor, ok := t.unknown[int(i)]; ok && t.Known != nil && t.Known(executor) {
			names[dag.PoolOf(executor)] = true
		}
	}
	t.pools = nil
	if len(names) == 0 {
		return nil
	}
	var err error
	t.pools, _, err = t.s.pools.ensure(ctx, names, &t.user)
	return err
}

// lane is where a task of the copy will wait, and whether its executor is known.
func (t *treeCopy) lane(i int) (lane dag.Lane, known bool) {
	lane = t.lanes[i]
	executor, unknown := t.unknown[i]
	if !unknown {
		return lane, true
	}
	lane.Pool = t.pools[dag.PoolOf(executor)]
	return lane, lane.Pool != 0
}

// keepPools keeps the copy's pools open until the transaction ends, and gives the copy its key.
func (t *treeCopy) keepPools(ctx context.Context, c *pgx.Conn) error {
	needed := map[int32]bool{}
	for _, i := range t.plan.Tasks {
		if lane, _ := t.lane(int(i)); lane.Pool > 0 {
			needed[lane.Pool] = true
		}
	}
	ids, open := slices.Sorted(maps.Keys(needed)), map[int32]bool{}
	var level dag.Level
	b := &pgx.Batch{}
	queuePoolLocks(b, ids, open)
	b.Queue(sql("NextTrees"), 1).QueryRow(func(row pgx.Row) error { return row.Scan(&t.copy, nil, nil, &level) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("begin copy of tree %d: %w", t.tree, err)
	}
	t.runs, t.poolIDs = level >= dag.RunsLevel, ids
	if t.closed = closedAmong(ids, open); len(t.closed) > 0 {
		return errPoolClosed
	}
	return nil
}

// copiedRows are the rows of a copy.
type copiedRows struct {
	*treeCopy
	dependents []int32 // how many, by place in the copy
	inner      []bool  // has children in the copy
	same       bool    // the copy has the original's indices
	counts     dag.Counts
	skipped    int32 // parts of the counts
	allowed    int32

	keptAttempts []dag.Key // tasks of the copy with an attempt
}

// trimSealed takes what the copy shall not have out of the envelopes that its attempts came with.
func (r *copiedRows) trimSealed(ctx context.Context, c *pgx.Conn) error {
	if !r.s.seals.can() || !r.Reset.Result && !r.Reset.Error {
		return nil
	}
	r.s.seals.belongs(r.copy, r.Namespace)
	z, err := r.s.seals.sealer(ctx, r.copy)
	if err != nil {
		return err
	}
	for _, k := range r.keptAttempts {
		h, there, err := r.s.heldBy(ctx, c, k, 1)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if r.Reset.Result {
			h.result = nil
		}
		if r.Reset.Error {
			h.message = nil
		}
		b := &pgx.Batch{}
		queueHeld(b, z, k, 1, h)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	return nil
}

// rows works out what is to be written.
func (t *treeCopy) rows() *copiedRows {
	n := len(t.plan.Tasks)
	r := &copiedRows{treeCopy: t, dependents: make([]int32, n), inner: make([]bool, n), same: n == len(t.nodes)}
	t.place = make([]int32, len(t.nodes))
	for at, i := range t.plan.Tasks {
		t.place[i] = int32(at) + 1
	}
	for at, i := range t.plan.Tasks {
		if p := r.parent(at); p >= 0 {
			r.inner[p] = true
		}
		for _, e := range t.dependencies(int(i)) {
			r.dependents[t.place[e.Task]-1]++
		}
	}
	for at := range t.plan.Tasks {
		r.count(at)
	}
	return r
}

// parent is the place of a task's parent; -1 of the root.
func (r *copiedRows) parent(at int) int32 {
	p := r.nodes[r.plan.Tasks[at]].Parent
	if at == r.plan.Root || p < 0 {
		return -1
	}
	return r.place[p] - 1
}

// state is that which a task of the copy begins with.
func (r *copiedRows) state(at int) dag.State {
	if r.plan.Keep[at] {
		return r.nodes[r.plan.Tasks[at]].State
	}
	return dag.Held
}

func (r *copiedRows) count(at int) {
	r.counts.Tasks++
	leaf := !r.inner[at]
	if leaf {
		r.counts.Leaves++
	}
	switch r.state(at) {
	case dag.Held:
		r.counts.Held++
	case dag.Completed, dag.Skipped:
		r.counts.Completed++
		if leaf {
			r.counts.LeavesCompleted++
		}
		if r.state(at) == dag.Skipped {
			r.skipped++
		}
	case dag.Failed:
		r.counts.Failed++
		if r.flags[r.plan.Tasks[at]]&dag.FlagAllowed != 0 {
			r.allowed++
		}
	case dag.Cancelled:
		r.counts.Cancelled++
	}
}

// tasks puts the scheduling states, one a call.
func (r *copiedRows) tasks() rowSource {
	at := 0
	return func(w *rowWriter) (bool, error) {
		if at == len(r.plan.Tasks) {
			return false, nil
		}
		i := int(r.plan.Tasks[at])
		lane, known := r.lane(i)
		w.row(7)
		w.key(r.copy.Key(at))
		w.smallint(int16(r.state(at)))
		w.integer(int32(r.flags[i].Copied(!r.inner[at], r.dependents[at], known)))
		w.smallint(int16(lane.Priority))
		w.integer(lane.Pool)
		if progress := r.progress[i]; r.plan.Keep[at] {
			w.integer(0)
			w.real(progress)
		} else {
			w.integer(int32(len(r.dependencies(i))))
			w.null()
		}
		at++
		return true, nil
	}
}

// edges puts the edges, those of one task a call.
func (r *copiedRows) edges() rowSource {
	at := 0
	return func(w *rowWriter) (bool, error) {
		if at == len(r.plan.Tasks) {
			return false, nil
		}
		for _, e := range r.dependencies(int(r.plan.Tasks[at])) {
			w.row(4)
			w.key(r.copy.Key(int(r.place[e.Task] - 1)))
			w.key(r.copy.Key(at))
			w.boolean(e.Required)
			unlessZero(w, int16(e.Mode), w.smallint)
		}
		at++
		return true, nil
	}
}

// copyStep is how many rows one statement of a copy writes.
const copyStep = 10_000

// writeSpecs copies what identifies the tasks, what they carry, and how those that are kept ended. Inputs and results never leave Postgres.
func (r *copiedRows) writeSpecs(ctx context.Context, c *pgx.Conn) error {
	for from := 0; from < len(r.plan.Tasks); from += copyStep {
		b := &pgx.Batch{}
		r.queueSpecs(b, from, min(from+copyStep, len(r.plan.Tasks)))
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	return r.rekey(ctx, c)
}

// queueSpecs does that for the tasks at the places from and up to, but without, to.
func (r *copiedRows) queueSpecs(b *pgx.Batch, from, to int) {
	n := to - from
	keys, copies, parents, deps := make([]dag.Key, n), make([]dag.Key, n), make([]int32, n), make([]string, n)
	var kept, keptCopies []dag.Key
	var attempts []int32
	for at := from; at < to; at++ {
		i := int(r.plan.Tasks[at])
		keys[at-from], copies[at-from], parents[at-from] = r.tree.Key(i), r.copy.Key(at), r.parent(at)
		if !r.same {
			deps[at-from] = r.depsOf(i)
		}
		if r.plan.Keep[at] {
			kept, keptCopies, attempts = append(kept, r.tree.Key(i)), append(keptCopies, r.copy.Key(at)), append(attempts, r.attempts[i])
		}
	}
	b.Queue(sql("InsertCopiedSpecs"), keys, copies, parents, deps, r.same, r.runs, n)
	b.Queue(sql("InsertCopiedPayloads"), keys, copies)
	if len(kept) > 0 {
		r.keptAttempts = append(r.keptAttempts, keptCopies...)
		b.Queue(sql("InsertCopiedAttempts"), kept, attempts, keptCopies, r.tree, r.Reset.StartedAt, r.Reset.CompletedAt, r.Reset.Result, r.Reset.Error, len(kept))
	}
}

// depsOf are the dependencies of a task of the original as the copy's column has them, with commas: arrays of arrays must be rectangles.
func (r *copiedRows) depsOf(i int) string {
	var b []byte
	for k, e := range r.dependencies(i) {
		if k > 0 {
			b = append(b, ',')
		}
		dep := int64(r.place[e.Task])
		if !e.Required {
			dep = -dep
		}
		b = strconv.AppendInt(b, dep, 10)
	}
	return string(b)
}

// carried is what the copied tasks carry, in bytes: of what those of the original do, their share by number.
func (r *copiedRows) carried() int64 {
	if r.bytes == nil {
		return 0
	}
	return *r.bytes * int64(len(r.plan.Tasks)) / int64(max(r.treeCopy.count, 1))
}

// finish marks the originals, writes the tree's row and its labels, and commits.
func (r *copiedRows) finish(ctx context.Context, c *pgx.Conn) error {
	b := &pgx.Batch{}
	r.s.queueEditLevel(b)
	for part := range slices.Chunk(r.plan.Tasks, copyStep) {
		keys := make([]dag.Key, len(part))
		for n, i := range part {
			keys[n] = r.tree.Key(int(i))
		}
		b.Queue(sql("MarkCopied"), keys)
	}
	out := &Copied{Tree: r.copy, Tasks: len(r.plan.Tasks)}
	if r.IdempotencyKey != "" {
		b.Queue(sql("InsertSubmissions"), []string{r.IdempotencyKey}, []dag.TreeKey{r.copy}, [][]byte{r.Digest}, [][]byte{r.Digest}, []dag.NamespaceKey{r.Namespace})
	}
	n := r.counts
	revision := &r.revision
	if r.grows { // which is none of its changes that a copy sees
		revision = nil
	}
	b.Queue(sql("InsertCopiedTree"), r.tree, r.copy, revision, r.copy.Key(r.plan.Root), n.Tasks, n.Leaves, n.Held, n.Completed, n.Failed, n.Cancelled,
		n.LeavesCompleted, r.poolIDs, r.runs, r.carried(), r.skipped, r.allowed).QueryRow(func(row pgx.Row) error { return row.Scan(nil, &out.RootID) })
	if r.s.counted.counts(r.Namespace) {
		var more storing
		more.add(r.Namespace, 1, int64(n.Tasks), r.carried(), false)
		more.queue(b)
	}
	b.Queue("commit")
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	r.out = out
	return nil
}
