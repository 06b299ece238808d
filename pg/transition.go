package pg

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Work is what is to be published for one ready task.
type Work struct {
	Key                     dag.Key
	Attempt                 int32
	Priority                dag.Priority
	Pool                    int32
	Flags                   dag.Flags
	TreeID, UserID          string
	Execution               int32
	ID, Name, Executor      string
	TimeoutMS               int64
	Deps                    int32 // how many dependencies it has
	Inputs, Params, Schemas []byte
	Results                 []dag.DependencyResult // of its completed dependencies, unless they are too many (see MaxInlineDeps)
}

// Facts are what a claim or a result of the attempt can be decided by without its row.
func (w *Work) Facts() dag.Facts { return dag.FactsOf(w.Attempt, w.Flags, w.Priority, w.Pool) }

// MaxInlineDeps is the most dependencies whose results are loaded to be published with a task; with more, the worker
// asks for its inputs.
const MaxInlineDeps = 256

// Stretch is a stretch of adjacent ready tasks of one tree.
type Stretch struct {
	Pool     int32
	Priority dag.Priority
	First    dag.Key
	N        int32
	Attempt  int32
	Direct   bool // the caller has room to publish it at once
}

// among are the run's tasks of those that are to be published, by key.
func (r Stretch) among(work map[dag.Key]*Work) []*Work {
	out := make([]*Work, 0, r.N)
	for k := r.First; k < r.First+dag.Key(r.N); k++ {
		if w := work[k]; w != nil {
			out = append(out, w)
		}
	}
	return out
}

// Effects are what is left to do after a commit.
type Effects struct {
	Publish   []*Work    // published on record: send them now
	Handed    []Handover // claimed for workers that offered a slot: send them now
	Waiting   []Stretch  // runs that went to the ready table; those in Publish are not among them
	Stops     []dag.Stop
	Followups int // how many were added
	Timers    []dag.Timer
	Trees     []TreeSequence   // whose events advanced
	Taken     map[dag.Lane]int // ready tasks that left their lane: claimed, cancelled, settled
}

// Handover is what a worker is handed with its receipt.
type Handover struct {
	dag.Handover
	Work *Work
}

// TreeSequence is where a tree's events stand.
type TreeSequence struct {
	Tree     dag.TreeKey
	Sequence int64
	Final    bool
}

// Room tells whether n tasks of a pool and priority may be published at once, and reserves the room for them; with n = 0, whether
// there is any, as far as is known. Called once for each run, in order.
type Room func(pool int32, priority dag.Priority, n int32) bool

func noRoom(int32, dag.Priority, int32) bool { return false }

func scanLocked(rows pgx.Rows, d *dag.Decision) error {
	return eachRow(rows, func(v *values) {
		r := dag.Row{
			Key: v.key(), State: dag.State(v.smallint()), Flags: dag.Flags(v.integer()), Priority: dag.Priority(v.smallint()),
			Pool: v.integer(), Attempt: v.integer(), Remaining: v.integer(), Failures: v.integer(), Crashes: v.integer(),
			Worker: dag.WorkerKey(v.bigint()), StartedAt: v.timestamp(), BlockedBy: v.key(),
		}
		cancelled := v.boolean()
		if specified := v.boolean(); specified {
			r.Policy = &dag.Policy{
				Executor: v.text(),
				Retry: dag.RetryPolicy{MaxAttempts: int(v.integer()), Backoff: dag.Backoff(v.text()),
					InitialDelay: millis(v.bigint()), MaxDelay: millis(v.bigint())},
				Timeout: millis(v.bigint()), ScheduleToStart: millis(v.bigint()), NotBefore: v.timestamp(),
				OnLost: dag.OnLost(v.smallint()),
			}
		} else {
			v.ignore()
		}
		d.Add(r, cancelled)
	})
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// load locks tasks and begins the transaction on c; what it returns holds them.
type load struct {
	keys       []dag.Key
	policies   []dag.Key // of which the policy is needed whatever their flags say
	dependents bool
	alone      []dag.Key          // of which none are needed: should there be any, a followup tells them
	joined     bool               // the transaction has begun already
	before     func(b *pgx.Batch) // queued before the locks, each with its own callback
}

// locked is a decision about tasks that are locked, or whose state is supposed.
type locked struct {
	*dag.Decision
	recall
	supposition *supposition // nil: they are locked
}

func (l load) run(ctx context.Context, c *pgx.Conn, k *keeper) (locked, error) {
	if l.policies == nil {
		l.policies = []dag.Key{}
	}
	slices.Sort(l.keys)
	l.keys = slices.Compact(l.keys) // a key that stands twice would tell its dependents twice
	trees := treesOf(l.keys)
	kept := recall{keeper: k}
	if l.dependents {
		kept = k.recall(trees)
	}
	d, changed, err := l.lock(ctx, c, trees, kept)
	if err == nil && changed { // what was kept of a tree is of another one: the locks stay, the rest is read anew
		l.joined, l.before = true, nil
		d, _, err = l.lock(ctx, c, trees, recall{keeper: k})
	}
	if err != nil {
		return locked{}, fmt.Errorf("lock %d tasks: %w", len(l.keys), err)
	}
	return d, nil
}

// lock locks the tasks of the trees. It reports whether a tree turned out to be another one than is kept.
func (l load) lock(ctx context.Context, c *pgx.Conn, trees []dag.TreeKey, kept recall) (d locked, changed bool, err error) {
	b := &pgx.Batch{}
	if !l.joined {
		b.Queue("begin")
	}
	b.Queue("select clock_timestamp()").QueryRow(func(row pgx.Row) error {
		var now time.Time
		err := row.Scan(&now)
		d = locked{Decision: dag.NewDecision(now, rand.Float64), recall: kept}
		return err
	})
	if l.before != nil {
		l.before(b)
	}
	known, ask := l.keys, []dag.Key(nil) // ask: whose dependents only Postgres knows
	if l.dependents {
		known, ask = kept.withDependents(l.keys)
		var alone []dag.Key
		ask, alone = l.without(ask)
		known = append(known, alone...)
	}
	scan := func(rows pgx.Rows) error { return scanLocked(rows, d.Decision) }
	if len(ask) == 0 {
		b.Queue(sql("LockTasks"), known, l.policies, trees).Query(scan)
	} else {
		b.Queue(sql("LockTasksAndDependents"), ask, l.policies, trees, known).Query(scan)
		b.Queue(sql("DependentsOf"), ask).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				d.AddDependent(v.key(), dag.Dependent{Key: v.key(), Required: v.boolean()})
			})
		})
	}
	if len(kept.kept) > 0 {
		kept.see(b, func() { changed = true })
	}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return locked{}, false, err
	}
	if l.dependents {
		kept.eachDependent(l.keys, d.AddDependent)
	}
	return d, changed, nil
}

// without gives those of the tasks that are not said to be alone, and those that are.
func (l load) without(keys []dag.Key) (others, alone []dag.Key) {
	if len(l.alone) == 0 {
		return keys, nil
	}
	slices.Sort(l.alone)
	for _, k := range keys {
		if _, said := slices.BinarySearch(l.alone, k); said {
			alone = append(alone, k)
		} else {
			others = append(others, k)
		}
	}
	return others, alone
}

// treesOf gives the trees of tasks, each once; keys are sorted.
func treesOf(keys []dag.Key) (trees []dag.TreeKey) {
	for _, k := range keys {
		if n := len(trees); n == 0 || trees[n-1] != k.Tree() {
			trees = append(trees, k.Tree())
		}
	}
	return trees
}

// apply writes what the decision says and commits, in one trip. extra, if any, queues further writes first.
func apply(ctx context.Context, c *pgx.Conn, d locked, room Room, extra func(b *pgx.Batch)) (*Effects, error) {
	eff := &Effects{Stops: d.Stops, Followups: len(d.Unlock), Timers: d.Timers}
	b := &pgx.Batch{}
	if extra != nil {
		extra(b)
	}
	changed := d.Changed()
	if d.supposition != nil {
		d.supposition.queue(b, changed, d.Ended)
	} else {
		queueRows(b, changed)
		queueEnded(b, d.Ended)
	}
	eff.take(changed)
	if len(d.Timers) > 0 {
		queueTimers(b, d.Timers)
	}
	if len(d.Unlock) > 0 {
		queueFollowups(b, FollowupUnlock, d.Unlock)
	}
	runs := Stretches(d.Readied(), room)
	completed := d.completed(d.Ended)
	placed, work := map[dag.Key]bool{}, map[dag.Key]*Work{}
	if len(runs) > 0 {
		queueStretches(b, runs, placed)
		queueWork(b, d.fill(directOf(runs), completed, work), dag.Ready, work)
	}
	if len(d.Handovers) > 0 {
		handed := make([]Stretch, len(d.Handovers))
		for i, h := range d.Handovers {
			row := d.Row(h.Task)
			handed[i] = Stretch{Pool: row.Pool, Priority: row.Priority, First: h.Task, N: 1, Attempt: h.Attempt}
		}
		queueWork(b, d.fill(handed, completed, work), dag.Running, work)
	}
	if len(d.Trees) > 0 {
		queueTrees(b, d.Trees, eff)
	}
	b.Queue("commit")
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("write %d tasks: %w", len(changed), err)
	}
	d.committed(changed, completed, eff)
	eff.place(runs, placed, work)
	for _, h := range d.Handovers {
		if w := work[h.Task]; w != nil {
			eff.Handed = append(eff.Handed, Handover{h, w})
		}
	}
	return eff, nil
}

// place sorts runs into those that were published and those that wait.
func (eff *Effects) place(runs []Stretch, placed map[dag.Key]bool, work map[dag.Key]*Work) {
	for _, r := range runs {
		if !placed[r.First] {
			eff.Waiting = append(eff.Waiting, r)
			continue
		}
		eff.Publish = append(eff.Publish, r.among(work)...)
	}
}

func queueRows(b *pgx.Batch, changed []*dag.Row) {
	n := len(changed)
	if n == 0 {
		return
	}
	keys, was, wasAttempt := make([]int64, n), make([]int16, n), make([]int32, n)
	state, attempt, remaining := make([]int16, n), make([]int32, n), make([]int32, n)
	failures, crashes, worker := make([]int32, n), make([]int32, n), make([]int64, n)
	started, blocked := make([]time.Time, n), make([]int64, n)
	for i, r := range changed {
		g := r.Expected()
		keys[i], was[i], wasAttempt[i] = int64(r.Key), int16(g.State), g.Attempt
		state[i], attempt[i], remaining[i] = int16(r.State), r.Attempt, r.Remaining
		failures[i], crashes[i], worker[i], blocked[i] = r.Failures, r.Crashes, int64(r.Worker), 0
		if r.State == dag.Blocked {
			blocked[i] = int64(r.BlockedBy)
		}
		started[i] = r.StartedAt
	}
	b.Queue(sql("ApplyRows"), keys, was, wasAttempt, state, attempt, remaining, failures, crashes, worker, started, blocked, n)
}

// take counts the ready tasks that leave their lanes.
func (eff *Effects) take(changed []*dag.Row) {
	for _, r := range changed {
		if g := r.Expected(); g.State == dag.Ready && (r.State != dag.Ready || g.Attempt != r.Attempt) {
			if eff.Taken == nil {
				eff.Taken = map[dag.Lane]int{}
			}
			eff.Taken[dag.Lane{Pool: r.Pool, Priority: r.Priority}]++
		}
	}
}

// largeResult is from how many bytes on a result is worth a statement of its own.
const largeResult = 8 << 10

func queueEnded(b *pgx.Batch, ended []dag.Ended) {
	var (
		keys, workers       []int64
		numbers             []int32
		outcomes            []int16
		counted             []bool
		started             []time.Time
		results             []*string
		errs, details       []string
		doneKeys, chunkKeys []int64
		doneNums, chunkNums []int32
		doneResults         []*string
	)
	for _, e := range ended {
		if len(e.Result) > largeResult && !e.Chunked && !e.Receipt {
			b.Queue(sql("InsertLargeAttempt"), e.Task, e.Attempt, int16(e.Outcome), e.Counted, int64(e.Worker), orNull(e.StartedAt),
				[]byte(e.Result), e.Error, e.Detail)
			continue
		}
		var result *string
		if e.Result != nil && !e.Chunked {
			s := string(e.Result)
			result = &s
		}
		if e.Chunked {
			chunkKeys, chunkNums = append(chunkKeys, int64(e.Task)), append(chunkNums, e.Attempt)
		}
		if e.Receipt {
			doneKeys, doneNums, doneResults = append(doneKeys, int64(e.Task)), append(doneNums, e.Attempt), append(doneResults, result)
			continue
		}
		keys, numbers, outcomes = append(keys, int64(e.Task)), append(numbers, e.Attempt), append(outcomes, int16(e.Outcome))
		counted, workers = append(counted, e.Counted), append(workers, int64(e.Worker))
		started, results = append(started, e.StartedAt), append(results, result)
		errs, details = append(errs, e.Error), append(details, e.Detail)
	}
	if len(keys) > 0 {
		b.Queue(sql("InsertAttempts"), keys, numbers, outcomes, counted, workers, started, results, errs, details)
	}
	if len(doneKeys) > 0 {
		b.Queue(sql("FinishCancelledAttempts"), doneKeys, doneNums, doneResults)
	}
	if len(chunkKeys) > 0 {
		b.Queue(sql("AssembleChunks"), chunkKeys, chunkNums)
		b.Queue(sql("DeleteChunks"), chunkKeys, chunkNums)
	}
}

func queueTimers(b *pgx.Batch, timers []dag.Timer) {
	n := len(timers)
	keys, attempts, kinds := make([]int64, n), make([]int32, n), make([]int16, n)
	delays, at := make([]float64, n), make([]time.Time, n)
	for i, t := range timers {
		keys[i], attempts[i], kinds[i] = int64(t.Task), t.Attempt, int16(t.Kind)
		delays[i], at[i] = float64(t.Delay)/float64(time.Millisecond), t.At
	}
	b.Queue(sql("InsertTimers"), keys, attempts, kinds, delays, at)
}

func queueFollowups(b *pgx.Batch, kind FollowupKind, keys []dag.Key) {
	kinds := make([]int16, len(keys))
	for i := range kinds {
		kinds[i] = int16(kind)
	}
	b.Queue(sql("InsertFollowups"), kinds, keys)
}

func queueStretches(b *pgx.Batch, runs []Stretch, placed map[dag.Key]bool) {
	n := len(runs)
	pools, prios, first := make([]int32, n), make([]int16, n), make([]int64, n)
	ns, attempts, direct := make([]int32, n), make([]int32, n), make([]bool, n)
	for i, r := range runs {
		pools[i], prios[i], first[i], ns[i], attempts[i], direct[i] = r.Pool, int16(r.Priority), int64(r.First), r.N, r.Attempt, r.Direct
	}
	b.Queue(sql("PlaceStretches"), pools, prios, first, ns, attempts, direct).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { placed[v.key()] = true })
	})
}

// directOf are the runs that the caller has room for.
func directOf(runs []Stretch) []Stretch {
	return slices.DeleteFunc(slices.Clone(runs), func(r Stretch) bool { return !r.Direct })
}

// queueWork loads what a worker needs of the tasks of the runs that are in the state.
func queueWork(b *pgx.Batch, runs []Stretch, state dag.State, work map[dag.Key]*Work) {
	if len(runs) == 0 {
		return
	}
	queueTasks(b, runs, state, func(w *Work) { work[w.Key] = w })
	var keys []dag.Key
	for _, r := range runs {
		for k := r.First; k < r.First+dag.Key(r.N); k++ {
			keys = append(keys, k)
		}
	}
	b.Queue(sql("LoadDependencyResults"), keys, MaxInlineDeps).Query(func(rows pgx.Rows) error {
		return scanResults(rows, work)
	})
}

// queueTasks is queueWork without the results that the tasks start from. each is called before all of a task is there.
func queueTasks(b *pgx.Batch, runs []Stretch, state dag.State, each func(*Work)) {
	n := len(runs)
	first, ns, attempts := make([]int64, n), make([]int32, n), make([]int32, n)
	for i, r := range runs {
		first[i], ns[i], attempts[i] = int64(r.First), r.N, r.Attempt
	}
	tasks := map[dag.Key]*Work{}
	b.Queue(sql("LoadTasks"), first, ns, attempts, int16(state)).Query(func(rows pgx.Rows) error {
		last := &Work{}
		return eachRow(rows, func(v *values) {
			w := &Work{Key: v.key(), Attempt: v.integer(), Priority: dag.Priority(v.smallint()), Pool: v.integer(), Flags: dag.Flags(v.integer()),
				TreeID: v.textLike(last.TreeID), UserID: v.textLike(last.UserID), Execution: v.integer()}
			tasks[w.Key], last = w, w
		})
	})
	b.Queue(sql("LoadSpecs"), first, ns).Query(func(rows pgx.Rows) error {
		last := &Work{}
		return eachRow(rows, func(v *values) {
			w := tasks[v.key()]
			if w == nil || w.ID != "" { // in another state, or in two runs
				v.ignore()
				return
			}
			w.ID, w.Name, w.Executor = v.text(), v.textLike(last.Name), v.textLike(last.Executor)
			w.TimeoutMS, w.Deps = v.bigint(), v.integer()
			last = w
			each(w)
		})
	})
	b.Queue(sql("LoadPayloads"), first, ns).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			w := tasks[v.key()]
			if w == nil {
				v.ignore()
				return
			}
			w.Inputs, w.Params, w.Schemas = v.json(), v.json(), v.json()
		})
	})
}

func scanResults(rows pgx.Rows, work map[dag.Key]*Work) error {
	return eachRow(rows, func(v *values) {
		key, r := v.key(), dag.DependencyResult{ID: v.text(), Result: v.json()}
		if w := work[key]; w != nil {
			w.Results = append(w.Results, r)
		}
	})
}

func queueTrees(b *pgx.Batch, trees map[dag.TreeKey]*dag.TreeDelta, eff *Effects) {
	keys := make([]dag.TreeKey, 0, len(trees))
	for k := range trees {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	n := len(keys)
	cols := make([][]int32, 9)
	for i := range cols {
		cols[i] = make([]int32, n)
	}
	started, bodies := make([]bool, n), make([][]byte, n)
	for i, k := range keys {
		t := trees[k]
		for c, v := range [...]int{t.Held, t.Unfinished, t.Running, t.Completed, t.Failed, t.Cancelled, t.Blocked, t.LeavesCompleted, len(t.Events)} {
			cols[c][i] = int32(v)
		}
		started[i] = slices.ContainsFunc(t.Events, func(e dag.Event) bool { return e.Type == dag.EventStart })
		bodies[i] = encodeEvents(t.Events)
	}
	if n > 1 {
		b.Queue(sql("LockTrees"), keys)
	}
	b.Queue(sql("ApplyTrees"), keys, cols[0], cols[1], cols[2], cols[3], cols[4], cols[5], cols[6], cols[7], cols[8], started, bodies).
		Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				eff.Trees = append(eff.Trees, TreeSequence{Tree: dag.TreeKey(v.bigint()), Sequence: v.bigint(), Final: v.boolean()})
			})
		})
}

// encodeEvents packs events: for each its type, and, but for those of the whole tree, its task's index and attempt.
func encodeEvents(events []dag.Event) []byte {
	out := make([]byte, 0, len(events)*5)
	for _, e := range events {
		out = append(out, byte(e.Type))
		if e.Type != dag.EventExecution && e.Type != dag.EventFinal {
			out = binary.AppendUvarint(out, uint64(e.Task.Index()))
			out = binary.AppendUvarint(out, uint64(e.Attempt))
		}
	}
	return out
}

// decodeEvents unpacks what encodeEvents packed.
func decodeEvents(tree dag.TreeKey, body []byte) ([]dag.Event, error) {
	var out []dag.Event
	for len(body) > 0 {
		e := dag.Event{Type: dag.EventType(body[0])}
		body = body[1:]
		if e.Type != dag.EventExecution && e.Type != dag.EventFinal {
			index, n := binary.Uvarint(body)
			if n <= 0 || index >= dag.MaxTreeTasks {
				return nil, fmt.Errorf("events of tree %d: bad index", tree)
			}
			attempt, m := binary.Uvarint(body[n:])
			if m <= 0 {
				return nil, fmt.Errorf("events of tree %d: bad attempt", tree)
			}
			e.Task, e.Attempt = tree.Key(int(index)), int32(attempt)
			body = body[n+m:]
		}
		out = append(out, e)
	}
	return out, nil
}

// maxRun is the most tasks in one run, so that several coordinators can share a long stretch.
const maxRun = 4096

// Stretches joins ready tasks of adjacent keys, the same pool, priority and attempt; rows come by key.
func Stretches(rows []*dag.Row, room Room) []Stretch {
	var out []Stretch
	for _, r := range rows {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.Pool == r.Pool && last.Priority == r.Priority && last.Attempt == r.Attempt && last.First+dag.Key(last.N) == r.Key &&
				last.N < maxRun && last.First.Tree() == r.Key.Tree() {
				last.N++
				continue
			}
		}
		out = append(out, Stretch{Pool: r.Pool, Priority: r.Priority, First: r.Key, N: 1, Attempt: r.Attempt})
	}
	if room == nil {
		room = noRoom
	}
	for i := range out {
		out[i].Direct = room(out[i].Pool, out[i].Priority, out[i].N)
	}
	return out
}
