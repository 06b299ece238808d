package pg

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

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

// largeResult is from how many bytes on a result is worth a statement of its own.
const largeResult = 8 << 10

// queueEnded writes attempts that ended now, sealed if z is not nil. Results that came in parts are put together in Postgres; sealed ones, see
// [Store.writeEnded].
func queueEnded(b *pgx.Batch, z *sealer, ended []dag.Ended, now time.Time) error {
	rows := endedRows{}
	for i := range ended {
		e := &ended[i]
		var envelope []byte
		if z != nil && !e.Receipt {
			if err := storable(e); err != nil {
				return err
			}
			envelope = z.attempt(e)
		}
		if len(e.Result) > largeResult && !e.Chunked && !e.Receipt {
			queueLarge(b, e, envelope, z != nil, now)
			continue
		}
		rows.add(e, envelope, z != nil)
	}
	rows.queue(b, now)
	return nil
}

// queueLarge writes one attempt with a statement of its own.
func queueLarge(b *pgx.Batch, e *dag.Ended, envelope []byte, hidden bool, now time.Time) {
	result, message, detail, outputs := []byte(e.Result), e.Error, e.Detail, textOf(e.Outputs)
	if hidden {
		result, message, detail, outputs = nil, "", "", nil
	}
	b.Queue(sql("InsertLargeAttempt"), e.Task, e.Attempt, int16(e.Outcome), e.Counted, int64(e.Worker), orNull(e.StartedAt), now, result, message, detail, envelope, string(e.Kind), outputs)
}

// endedRows are the rows of attempts that ended.
type endedRows struct {
	keys, workers       []int64
	numbers             []int32
	outcomes            []int16
	counted             []bool
	started             []time.Time
	results             []*string
	errs, details       []string
	envelopes           [][]byte
	kinds               []string
	outputs             []*string
	doneKeys, chunkKeys []int64
	doneNums, chunkNums []int32
	doneResults         []*string
	doneBegan           []bool
}

// add adds one; its values are hidden if they are in the envelope.
func (r *endedRows) add(e *dag.Ended, envelope []byte, hidden bool) {
	var result *string
	if e.Result != nil && !e.Chunked && (!hidden || e.Receipt) {
		s := string(e.Result)
		result = &s
	}
	if e.Chunked {
		r.chunkKeys, r.chunkNums = append(r.chunkKeys, int64(e.Task)), append(r.chunkNums, e.Attempt)
	}
	if e.Receipt {
		r.doneKeys, r.doneNums, r.doneResults = append(r.doneKeys, int64(e.Task)), append(r.doneNums, e.Attempt), append(r.doneResults, result)
		r.doneBegan = append(r.doneBegan, !e.StartedAt.IsZero())
		return
	}
	r.keys, r.numbers, r.outcomes = append(r.keys, int64(e.Task)), append(r.numbers, e.Attempt), append(r.outcomes, int16(e.Outcome))
	r.counted, r.workers = append(r.counted, e.Counted), append(r.workers, int64(e.Worker))
	r.started, r.results = append(r.started, e.StartedAt), append(r.results, result)
	message, detail, outputs := e.Error, e.Detail, textOf(e.Outputs)
	if hidden {
		message, detail, outputs, r.envelopes = "", "", nil, append(r.envelopes, envelope)
	}
	r.kinds, r.outputs = append(r.kinds, string(e.Kind)), append(r.outputs, outputs)
	r.errs, r.details = append(r.errs, message), append(r.details, detail)
}

// textOf is a value as a text; nil for none.
func textOf(value []byte) *string {
	if value == nil {
		return nil
	}
	s := string(value)
	return &s
}

func (r *endedRows) queue(b *pgx.Batch, now time.Time) {
	if len(r.keys) > 0 {
		b.Queue(sql("InsertAttempts"), r.keys, r.numbers, r.outcomes, r.counted, r.workers, r.started, now, r.results, r.errs, r.details, r.envelopes, r.kinds, r.outputs)
	}
	if len(r.doneKeys) > 0 {
		b.Queue(sql("FinishCancelledAttempts"), r.doneKeys, r.doneNums, r.doneResults, now, r.doneBegan)
	}
	if len(r.chunkKeys) > 0 {
		b.Queue(sql("AssembleChunks"), r.chunkKeys, r.chunkNums)
		b.Queue(sql("DeleteChunks"), r.chunkKeys, r.chunkNums)
	}
}

// queueTimers writes timers. now is when their delays begin; zero: when the transaction began.
func queueTimers(b *pgx.Batch, timers []dag.Timer, now time.Time) {
	n := len(timers)
	keys, attempts, kinds := make([]int64, n), make([]int32, n), make([]int16, n)
	delays, at := make([]float64, n), make([]time.Time, n)
	for i, t := range timers {
		keys[i], attempts[i], kinds[i] = int64(t.Task), t.Attempt, int16(t.Kind)
		delays[i], at[i] = float64(t.Delay)/float64(time.Millisecond), t.At
	}
	b.Queue(sql("InsertTimers"), keys, attempts, kinds, delays, at, orNull(now))
}

// queueTimeLimits begins the time of the groups above tasks that may start from now on; zero: from when the transaction began.
func queueTimeLimits(b *pgx.Batch, begun []dag.Key, now time.Time, eff *Effects) {
	if len(begun) == 0 {
		return
	}
	b.Queue(sql("StartTimeLimits"), begun, orNull(now)).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			t := dag.Timer{Task: v.key(), Attempt: v.integer(), Kind: dag.TimerGroup}
			t.Delay = time.Duration(v.bigint()) * time.Millisecond
			eff.Timers = append(eff.Timers, t)
		})
	})
}

func queueFollowups(b *pgx.Batch, kind FollowupKind, keys []dag.Key) {
	kinds := make([]int16, len(keys))
	for i := range kinds {
		kinds[i] = int16(kind)
	}
	b.Queue(sql("InsertFollowups"), kinds, keys)
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
	queueTreesBeside(b, keys, trees)
	b.Queue(sql("ApplyTrees"), keys, cols[0], cols[1], cols[2], cols[3], cols[4], cols[5], cols[6], cols[7], cols[8], started, bodies).
		Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				eff.Trees = append(eff.Trees, TreeSequence{Tree: dag.TreeKey(v.bigint()), Sequence: v.bigint(), Final: v.boolean(), Hooked: v.boolean(), Ended: End(v.smallint()), Fired: v.boolean()})
			})
		})
}
