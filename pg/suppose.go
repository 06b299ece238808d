package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// supposition is what a decision about rows that nobody read takes for granted: of each row that it is as a first attempt's usually
// is, or as this process left it, and what stands below. The transaction that writes the decision compares all of it, and is
// given up when anything is otherwise; then the rows are locked and read after all. So a supposition saves a round trip and most of
// the work of locking, and never decides.
//
// Supposed are claims of first attempts, and plain completions with what these unlock: nothing whose decision needs the time
// or a policy.
type supposition struct {
	workers []dag.WorkerKey // are alive
	lanes   []Lane          // nothing as urgent waits in Postgres
	trees   map[dag.TreeKey]standing
	rows    int // how many are supposed
}

// standing is what is supposed of a tree that is not cancelled.
type standing struct {
	origin          // the one that is kept; zero: whichever it is
	execution int32 // 0: any
}

// queue begins the transaction, compares, and writes the rows and the attempts that ended.
func (s *supposition) queue(b *pgx.Batch, changed []*dag.Row, ended []dag.Ended) {
	b.Queue("begin")
	if len(s.workers) > 0 {
		b.Queue(sql("HoldWorkers"), s.workers)
	}
	if len(s.lanes) > 0 {
		pools, priorities := make([]int32, len(s.lanes)), make([]int16, len(s.lanes))
		for i, l := range s.lanes {
			pools[i], priorities[i] = l.Pool, int16(l.Priority)
		}
		b.Queue(sql("NothingWaits"), pools, priorities)
	}
	queueSupposed(b, changed, ended)
	if n := len(s.trees); n > 0 { // after the rows are locked: a cancellation that this does not see finds them as they are written
		trees, execution := make([]dag.TreeKey, 0, n), make([]int32, 0, n)
		created, server := make([]time.Time, 0, n), make([]time.Time, 0, n)
		for k, t := range s.trees {
			trees, execution = append(trees, k), append(execution, t.execution)
			created, server = append(created, t.created), append(server, t.server)
		}
		b.Queue(sql("TreesStand"), trees, created, server, execution)
	}
}

func queueSupposed(b *pgx.Batch, changed []*dag.Row, ended []dag.Ended) {
	completed := make(map[dag.Key][]byte, len(ended))
	for _, e := range ended {
		completed[e.Task] = e.Result
	}
	n := len(changed)
	keys, facts := make([]int64, n), make([]int64, n)
	was, wasRemaining, wasWorker := make([]int16, n), make([]int32, n), make([]int64, n)
	state, remaining, worker, results := make([]int16, n), make([]int32, n), make([]int64, n), make([]*string, n)
	for i, r := range changed {
		g := r.Expected()
		keys[i], facts[i] = int64(r.Key), int64(dag.FactsOf(g.Attempt, r.Flags, r.Priority, r.Pool))
		was[i], wasRemaining[i], wasWorker[i] = int16(g.State), g.Remaining, int64(g.Worker)
		state[i], remaining[i], worker[i] = int16(r.State), r.Remaining, int64(r.Worker)
		if result := completed[r.Key]; result != nil {
			text := string(result)
			results[i] = &text
		}
	}
	b.Queue(sql("ApplySupposed"), keys, facts, was, wasRemaining, wasWorker, state, remaining, worker, results, n)
}

func (s *supposition) worker(k dag.WorkerKey) {
	if !slices.Contains(s.workers, k) {
		s.workers = append(s.workers, k)
	}
}

func (s *supposition) lane(l Lane) {
	if !slices.Contains(s.lanes, l) {
		s.lanes = append(s.lanes, l)
	}
}

// suppose decides about results by what is thought of their tasks and of those that they unlock. false: they have to be read.
func (k *keeper) suppose(results []dag.Result, room *grants) (d locked, ok bool) {
	d = newSupposed(k)
	if !k.supposeRows(d, results) {
		return d, false
	}
	for _, r := range results {
		if !d.Settle(r) {
			return d, false
		}
	}
	for _, r := range results {
		if !r.Offer {
			continue
		}
		n := len(d.Handovers)
		d.HandOver(r, func(row *dag.Row) bool { return room.ask(row.Pool, row.Priority, 0) })
		for _, h := range d.Handovers[n:] {
			row := d.Row(h.Task)
			d.supposition.worker(h.Worker)
			d.supposition.lane(Lane{row.Pool, row.Priority})
		}
	}
	return d, d.guarded()
}

// supposeRows hands in the rows of the results, and of the tasks that they unlock.
func (k *keeper) supposeRows(d locked, results []dag.Result) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for _, r := range results {
		row, ok := r.Facts.Row(r.Task, r.Attempt, dag.Running, r.Worker)
		if !ok || d.Row(r.Task) != nil || !plain(r) {
			return false
		}
		d.suppose(row)
		if !row.Flags.Unlocks() {
			continue
		}
		tree := r.Task.Tree()
		t := k.trees[tree]
		if t == nil {
			return false
		}
		dependents := t.of(r.Task)
		if len(dependents) == 0 {
			return false
		}
		for _, dep := range dependents {
			if d.Row(dep.Key) == nil {
				waits, ok := t.waits(dep.Key)
				if !ok {
					return false
				}
				d.suppose(waits)
			}
			d.AddDependent(r.Task, dep)
		}
		t.used = now
		d.kept[tree] = recalled{t, t.execution}
		d.supposition.trees[tree] = standing{t.origin, t.execution}
	}
	return true
}

// plain reports whether a result is one that ApplySupposed can write.
func plain(r dag.Result) bool {
	return r.Outcome == dag.OutcomeCompleted && !r.Early && !r.Chunked && len(r.Value) <= largeResult && r.Error == "" && r.Detail == ""
}

// supposeClaims decides about claims, as suppose does about results.
func (k *keeper) supposeClaims(claims []Claim) (d locked, verdicts []dag.Verdict, ok bool) {
	d, verdicts = newSupposed(k), make([]dag.Verdict, len(claims))
	for i, c := range claims {
		row, ok := c.Facts.Row(c.Task, c.Attempt, dag.Ready, 0)
		// What is repeatable may have ended before its claim comes.
		if !ok || row.Flags&(dag.FlagPolicy|dag.FlagRepeatable) != 0 || d.Row(c.Task) != nil {
			return d, nil, false
		}
		d.suppose(row)
		d.supposition.worker(c.Worker)
		d.supposition.trees[c.Task.Tree()] = standing{}
		verdicts[i] = d.Claim(c.Task, c.Attempt, c.Worker)
	}
	return d, verdicts, d.guarded()
}

func newSupposed(k *keeper) locked {
	return locked{Decision: dag.NewDecision(time.Time{}, rand.Float64), recall: recall{k, map[dag.TreeKey]recalled{}},
		supposition: &supposition{trees: map[dag.TreeKey]standing{}}}
}

// suppose hands in a row.
func (d locked) suppose(r dag.Row) {
	d.Add(r, false)
	d.supposition.rows++
}

// guarded reports whether every row is going to be written, and so compared.
func (d locked) guarded() bool { return len(d.Changed()) == d.supposition.rows }

// supposed is what is thought of the tasks of a kept tree that wait: those as they began, and as this process left them. Another
// process's transaction may have left them otherwise.
type supposed struct {
	execution int32               // that the tree is in, as last seen; 0: it is cancelled
	remaining []int32             // of a small tree, by index: how many dependencies a task waits for; 0: it is not known to
	waiting   map[dag.Key]dag.Row // of a large tree, at most maxWaiting
}

// maxWaiting is how many waiting tasks of a large tree are remembered, in some 20 KiB that are not counted.
const maxWaiting = 128

// waits gives the row of a task that waits. false: it has to be read. The keeper's mutex is held.
func (t *keptTree) waits(k dag.Key) (dag.Row, bool) {
	if t.execution != 1 { // later ones may begin with later attempts
		return dag.Row{}, false
	}
	if t.large() {
		r, ok := t.waiting[k]
		return r, ok
	}
	w, n := &t.work[k.Index()], t.remaining[k.Index()]
	if n == 0 || w.Flags&dag.FlagPolicy != 0 {
		return dag.Row{}, false
	}
	r, ok := dag.FactsOf(1, w.Flags, w.Priority, w.Pool).Row(k, 1, dag.Waiting, 0)
	r.Remaining = n
	return r, ok
}

// left notes in which state a transaction left a task. The keeper's mutex is held.
func (t *keptTree) left(r *dag.Row) {
	usual := r.State == dag.Waiting && r.Expected().State == dag.Waiting && r.Attempt == 1 && r.Failures == 0 && r.Crashes == 0
	switch {
	case !usual:
		t.forget(r.Key)
	case !t.large():
		if i := r.Key.Index(); i < len(t.remaining) { // else the key is another tree's now
			t.remaining[i] = r.Remaining
		}
	case r.Flags&(dag.FlagPolicy|dag.FlagGroup) == 0:
		if _, known := t.waiting[r.Key]; t.waiting == nil || !known && len(t.waiting) == maxWaiting { // other processes may have settled those
			t.waiting = map[dag.Key]dag.Row{}
		}
		t.waiting[r.Key] = dag.Row{Key: r.Key, State: r.State, Flags: r.Flags, Priority: r.Priority, Pool: r.Pool, Attempt: r.Attempt, Remaining: r.Remaining}
	}
}

// forget what is thought of a task. The keeper's mutex is held.
func (t *keptTree) forget(k dag.Key) {
	delete(t.waiting, k)
	if i := k.Index(); i < len(t.remaining) {
		t.remaining[i] = 0
	}
}

// each calls f with the rows of kept trees, and their trees. The keeper's mutex is held.
func (k *keeper) each(rows []*dag.Row, f func(*keptTree, *dag.Row)) {
	if len(k.trees) == 0 {
		return
	}
	var last dag.TreeKey
	var t *keptTree
	for _, r := range rows {
		if tree := r.Key.Tree(); tree != last {
			last, t = tree, k.trees[tree]
		}
		if t != nil {
			f(t, r)
		}
	}
}

// caution keeps suppositions from failing often, which costs two round trips each time: after one that did, the next transactions
// read first, the more of them the more often it happens.
type caution struct {
	mu     sync.Mutex
	misses int // 0 to maxMisses
	skip   int // transactions
}

const maxMisses = 10 // then every thousandth transaction tries

// may reports whether the next transaction may suppose anything.
func (c *caution) may() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skip > 0 {
		c.skip--
		return false
	}
	return true
}

func (c *caution) note(held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held {
		c.misses = max(0, c.misses-1)
		return
	}
	c.misses = min(c.misses+2, maxMisses)
	c.skip = 1 << c.misses
}

// errOtherwise: something was not as was supposed, and nothing was written.
var errOtherwise = errors.New("a task or its surroundings are not as was supposed")

// writeSupposed writes a decision about supposed rows, and commits, in one round trip: [errOtherwise].
func (s *Store) writeSupposed(ctx context.Context, d locked, room *grants, care *caution) (eff *Effects, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		if err := prepareSupposed(ctx, c); err != nil {
			return err
		}
		room.again()
		eff, err = apply(ctx, c, d, room.ask, nil)
		return err
	})
	e, ok := errors.AsType[*pgconn.PgError](err)
	refused := ok && e.Code == "TG001"
	if err == nil || refused {
		care.note(!refused)
		s.supposed.Add(1)
	}
	if !refused {
		return eff, err
	}
	s.refused.Add(1)
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.keeper.each(d.Changed(), func(t *keptTree, r *dag.Row) { t.forget(r.Key) })
	return nil, errOtherwise
}

// supposedStatements are those of transactions that may be refused.
var supposedStatements = []string{"begin", "commit", sql("HoldWorkers"), sql("NothingWaits"), sql("ApplySupposed"), sql("TreesStand"),
	sql("InsertFollowups"), sql("PlaceStretches"), sql("LockTrees"), sql("ApplyTrees"),
	sql("LoadTasks"), sql("LoadSpecs"), sql("LoadPayloads"), sql("LoadDependencyResults")}

// prepareSupposed prepares statements for good, once for a connection: those that pgx keeps by itself it prepares anew, and
// Postgres plans anew, after a batch with one of them has failed.
func prepareSupposed(ctx context.Context, c *pgx.Conn) error {
	if c.Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement { // the user wants none on the server
		return nil
	}
	for _, text := range supposedStatements {
		if _, err := c.Prepare(ctx, text, text); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

// grants ask for room, for a transaction that may be tried again: what was granted to a try that failed is there for the next one.
type grants struct {
	room  Room
	given map[Lane]int32 // to this try
	left  map[Lane]int32 // of what was given to those before
}

func newGrants(room Room) *grants {
	if room == nil {
		room = noRoom
	}
	return &grants{room: room, given: map[Lane]int32{}, left: map[Lane]int32{}}
}

// ask is a [Room].
func (g *grants) ask(pool int32, priority dag.Priority, n int32) bool {
	l := Lane{pool, priority}
	switch {
	case n == 0:
		return g.room(pool, priority, 0)
	case g.left[l] >= n:
		g.left[l] -= n
	case !g.room(pool, priority, n):
		return false
	}
	g.given[l] += n
	return true
}

// again begins the next try.
func (g *grants) again() {
	for l, n := range g.given {
		g.left[l] += n
	}
	clear(g.given)
}

// Suppositions counts the transactions that were tried without reading first, and those of them that Postgres refused.
func (s *Store) Suppositions() (tried, refused int64) { return s.supposed.Load(), s.refused.Load() }
