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

// queueEnded writes attempts that ended now.
func queueEnded(b *pgx.Batch, ended []dag.Ended, now time.Time) {
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
		doneBegan           []bool
	)
	for _, e := range ended {
		if len(e.Result) > largeResult && !e.Chunked && !e.Receipt {
			b.Queue(sql("InsertLargeAttempt"), e.Task, e.Attempt, int16(e.Outcome), e.Counted, int64(e.Worker), orNull(e.StartedAt), now,
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
			doneBegan = append(doneBegan, !e.StartedAt.IsZero())
			continue
		}
		keys, numbers, outcomes = append(keys, int64(e.Task)), append(numbers, e.Attempt), append(outcomes, int16(e.Outcome))
		counted, workers = append(counted, e.Counted), append(workers, int64(e.Worker))
		started, results = append(started, e.StartedAt), append(results, result)
		errs, details = append(errs, e.Error), append(details, e.Detail)
	}
	if len(keys) > 0 {
		b.Queue(sql("InsertAttempts"), keys, numbers, outcomes, counted, workers, started, now, results, errs, details)
	}
	if len(doneKeys) > 0 {
		b.Queue(sql("FinishCancelledAttempts"), doneKeys, doneNums, doneResults, now, doneBegan)
	}
	if len(chunkKeys) > 0 {
		b.Queue(sql("AssembleChunks"), chunkKeys, chunkNums)
		b.Queue(sql("DeleteChunks"), chunkKeys, chunkNums)
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
	b.Queue(sql("ApplyTrees"), keys, cols[0], cols[1], cols[2], cols[3], cols[4], cols[5], cols[6], cols[7], cols[8], started, bodies).
		Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				eff.Trees = append(eff.Trees, TreeSequence{Tree: dag.TreeKey(v.bigint()), Sequence: v.bigint(), Final: v.boolean(), Hooked: v.boolean()})
			})
		})
}
