package pg

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// supposition is what a decision about rows that nobody read takes for granted beside them (see [dag.Optimistic]).
type supposition struct {
	*dag.Optimistic
	origins map[dag.TreeKey]origin // of the trees that are kept
}

// queue begins the transaction, compares, and writes the rows and the attempts that ended.
func (s *supposition) queue(b *pgx.Batch, changed []*dag.Row, ended []dag.Ended) {
	b.Queue("begin")
	if len(s.Assumed.Workers) > 0 {
		b.Queue(sql("HoldWorkers"), s.Assumed.Workers)
	}
	if len(s.Assumed.Vacant) > 0 {
		pools, priorities := make([]int32, len(s.Assumed.Vacant)), make([]int16, len(s.Assumed.Vacant))
		for i, l := range s.Assumed.Vacant {
			pools[i], priorities[i] = l.Pool, int16(l.Priority)
		}
		b.Queue(sql("NothingWaits"), pools, priorities)
	}
	queueSupposed(b, changed, ended)
	if n := len(s.Assumed.Trees); n > 0 { // after the rows are locked: a cancellation that this does not see finds them as they are written
		trees, execution := make([]dag.TreeKey, 0, n), make([]int32, 0, n)
		created, server := make([]time.Time, 0, n), make([]time.Time, 0, n)
		for k, e := range s.Assumed.Trees {
			o := s.origins[k]
			trees, execution = append(trees, k), append(execution, e)
			created, server = append(created, o.created), append(server, o.server)
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

// suppose decides about results by what is thought of their tasks and of those that they unlock. false: they have to be read.
func (k *keeper) suppose(results []dag.Result, room *grants) (d locked, ok bool) {
	d = newSupposed(k)
	for _, r := range results {
		if len(r.Value) > largeResult { // ApplySupposed is not for those
			return d, false
		}
	}
	if !k.assume(d, results) {
		return d, false
	}
	return d, d.supposition.Settle(results, func(l dag.Lane) bool { return room.ask(l.Pool, l.Priority, 0) })
}

// assume hands in the rows of the results, and of the tasks that they unlock.
func (k *keeper) assume(d locked, results []dag.Result) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return d.supposition.AssumeResults(results, &memory{locked: d, now: time.Now()})
}

// memory is the keeper, for a decision: it notes the trees that it was asked for. The keeper's mutex is held.
type memory struct {
	locked
	now time.Time
}

// Dependents implements [dag.Memory].
func (m *memory) Dependents(k dag.Key) (dependents []dag.Dependent, execution int32) {
	tree := k.Tree()
	t := m.kept[tree].keptTree
	if t == nil {
		if t = m.keeper.trees[tree]; t == nil {
			return nil, 0
		}
		t.used = m.now
		m.kept[tree] = recalled{t, t.execution}
		m.supposition.origins[tree] = t.origin
	}
	return t.of(k), t.execution
}

// Waiting implements [dag.Memory].
func (m *memory) Waiting(k dag.Key) (f dag.Facts, remaining int32) {
	t := m.kept[k.Tree()].keptTree
	if t.large() {
		w := t.waiting[k]
		return w.facts, w.remaining
	}
	w := &t.work[k.Index()]
	return dag.FactsOf(1, w.Flags, w.Priority, w.Pool), t.remaining[k.Index()]
}

// supposeClaims decides about claims, as suppose does about results.
func (k *keeper) supposeClaims(claims []dag.Claim) (d locked, verdicts []dag.Verdict, ok bool) {
	d = newSupposed(k)
	verdicts, ok = d.supposition.Claim(claims)
	return d, verdicts, ok
}

func newSupposed(k *keeper) locked {
	o := dag.NewOptimistic()
	return locked{Decision: o.Decision, recall: recall{k, map[dag.TreeKey]recalled{}}, supposition: &supposition{o, map[dag.TreeKey]origin{}}}
}

// supposed is what is thought of the tasks of a kept tree that wait: those as they began, and as this process left them. Another
// process's transaction may have left them otherwise.
type supposed struct {
	execution int32             // that the tree is in, as last seen; 0: it is cancelled
	remaining []int32           // of a small tree, by index: how many dependencies a task waits for; 0: it is not known to
	waiting   map[dag.Key]waits // of a large tree, at most maxWaiting
}

// waits is a task of a large tree that waits.
type waits struct {
	facts     dag.Facts
	remaining int32
}

// maxWaiting is how many waiting tasks of a large tree are remembered, in some 5 KiB that are not counted.
const maxWaiting = 128

// left notes in which state a transaction left a task. The keeper's mutex is held.
func (t *keptTree) left(r *dag.Row) {
	switch {
	case !r.Memorable():
		t.forget(r.Key)
	case !t.large():
		if i := r.Key.Index(); i < len(t.remaining) { // else the key is another tree's now
			t.remaining[i] = r.Remaining
		}
	default:
		if _, known := t.waiting[r.Key]; t.waiting == nil || !known && len(t.waiting) == maxWaiting { // other processes may have settled those
			t.waiting = map[dag.Key]waits{}
		}
		t.waiting[r.Key] = waits{dag.FactsOf(r.Attempt, r.Flags, r.Priority, r.Pool), r.Remaining}
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
	given map[dag.Lane]int32 // to this try
	left  map[dag.Lane]int32 // of what was given to those before
}

func newGrants(room Room) *grants {
	if room == nil {
		room = noRoom
	}
	return &grants{room: room, given: map[dag.Lane]int32{}, left: map[dag.Lane]int32{}}
}

// ask is a [Room].
func (g *grants) ask(pool int32, priority dag.Priority, n int32) bool {
	l := dag.Lane{Pool: pool, Priority: priority}
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
