package pg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// An optimistic transaction writes a decision about rows that nobody read (see [dag.Optimistic]), in one round trip: it begins,
// compares all that the decision assumes in the statements that write, and commits. Postgres refuses it when anything is
// otherwise (SQLSTATE TG001, see the SQL function changed). Then nothing was written, and the caller reads the rows first.

// settleOptimistically records results without reading their tasks. done is false when they have to be read: nothing was
// written then.
func (s *Store) settleOptimistically(ctx context.Context, results []dag.Result, room *grants) (eff *Effects, done bool, err error) {
	if !s.settles.mayTry() || slices.ContainsFunc(results, isLarge) {
		return nil, false, nil
	}
	o := dag.NewOptimistic()
	view, ok := s.resident.assume(o, results)
	if !ok || !o.Settle(results, func(l dag.Lane) bool { return room.vacant(l) && s.mayHandOver(l.Pool) }) {
		return nil, false, nil
	}
	return s.writeOptimistic(ctx, o, view, room, &s.settles)
}

// isLarge reports whether a result has a statement of its own (see queueEnded), or more than what is written without reading.
func isLarge(r dag.Result) bool { return len(r.Value) > largeResult || r.Outputs != nil }

// claimOptimistically answers claims without reading their tasks. done is false when they have to be read.
func (s *Store) claimOptimistically(ctx context.Context, claims []dag.Claim) (verdicts []dag.Verdict, eff *Effects, done bool, err error) {
	if !s.claims.mayTry() {
		return nil, nil, false, nil
	}
	o := dag.NewOptimistic()
	verdicts, ok := o.Claim(claims)
	if !ok {
		return nil, nil, false, nil
	}
	eff, done, err = s.writeOptimistic(ctx, o, s.resident.view(nil), newGrants(nil), &s.claims)
	return verdicts, eff, done, err
}

// writeOptimistic writes a decision, unless Postgres refuses: then done is false. What is remembered of its tasks is forgotten
// then, as nobody knows which of them is otherwise.
func (s *Store) writeOptimistic(ctx context.Context, o *dag.Optimistic, view *residentView, room *grants, care *caution) (eff *Effects, done bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		if err := prepareOptimistic(ctx, c); err != nil {
			return err
		}
		room.again()
		z, err := s.seals.ofEnded(ctx, o.Decision.Ended)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		begin(b, c)
		queueAssumptions(b, o.Assumed)
		if err := queueOptimisticRows(b, z, o.Decision.Changed(), o.Decision.Ended); err != nil {
			return err
		}
		queueAssumedTrees(b, o.Assumed.Trees, view)
		eff, err = s.commit(ctx, c, b, o.Decision, view, room.ask)
		return err
	})
	refused := isRefused(err)
	if err == nil || refused {
		s.tried.Add(1)
		care.note(refused)
	}
	if !refused {
		return eff, true, err
	}
	s.refused.Add(1)
	s.resident.forget(o.Decision.Changed())
	return nil, false, nil
}

func isRefused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "TG001"
}

// queueAssumptions compares what has to be so before rows are written, and locks it until the end of the transaction where
// that is possible.
func queueAssumptions(b *pgx.Batch, assumed dag.Assumptions) {
	if len(assumed.Workers) > 0 {
		b.Queue(sql("RequireLiveWorkers"), assumed.Workers)
	}
	if len(assumed.Vacant) > 0 {
		pools, priorities := make([]int32, len(assumed.Vacant)), make([]int16, len(assumed.Vacant))
		for i, l := range assumed.Vacant {
			pools[i], priorities[i] = l.Pool, int16(l.Priority)
		}
		b.Queue(sql("RequireVacantLanes"), pools, priorities)
	}
}

// queueOptimisticRows writes rows and the attempts that completed, each row if it is as expected.
func queueOptimisticRows(b *pgx.Batch, z *sealer, changed []*dag.Row, ended []dag.Ended) error {
	completed := make(map[dag.Key]*dag.Ended, len(ended))
	for i := range ended {
		completed[ended[i].Task] = &ended[i]
	}
	n := len(changed)
	keys, facts := make([]int64, n), make([]int64, n)
	was, wasRemaining, wasWorker := make([]int16, n), make([]int32, n), make([]int64, n)
	state, remaining, worker, results, waited := make([]int16, n), make([]int32, n), make([]int64, n), make([]*string, n), make([]int32, n)
	var envelopes [][]byte
	if z != nil {
		envelopes = make([][]byte, n)
	}
	for i, r := range changed {
		g := r.Expected()
		keys[i], facts[i] = int64(r.Key), int64(dag.FactsOf(g.Attempt, r.Flags, r.Priority, r.Pool))
		was[i], wasRemaining[i], wasWorker[i] = int16(g.State), g.Remaining, int64(g.Worker)
		state[i], remaining[i], worker[i] = int16(r.State), r.Remaining, int64(r.Worker)
		if e := completed[r.Key]; e != nil {
			waited[i] = int32(min(e.Waited.Microseconds(), math.MaxInt32))
			switch {
			case e.Result == nil:
			case z != nil:
				if err := storable(e); err != nil {
					return err
				}
				envelopes[i] = z.attempt(e)
			default:
				text := string(e.Result)
				results[i] = &text
			}
		}
	}
	b.Queue(sql("ApplyOptimistic"), keys, facts, was, wasRemaining, wasWorker, state, remaining, worker, results, n, waited, envelopes)
	return nil
}

// queueAssumedTrees compares trees, once the rows are locked: a cancellation that this does not see finds the rows as they are
// written.
func queueAssumedTrees(b *pgx.Batch, assumed map[dag.TreeKey]int32, view *residentView) {
	n := len(assumed)
	if n == 0 {
		return
	}
	trees, executions, revisions := make([]dag.TreeKey, 0, n), make([]int32, 0, n), make([]int64, 0, n)
	created, server := make([]time.Time, 0, n), make([]time.Time, 0, n)
	for key, execution := range assumed {
		id := view.identity(key)
		trees, executions, revisions = append(trees, key), append(executions, execution), append(revisions, id.revision)
		created, server = append(created, id.created), append(server, id.server)
	}
	b.Queue(sql("RequireTrees"), trees, created, server, revisions, executions)
}

// optimisticStatements are those of transactions that may be refused.
var optimisticStatements = []string{beginning, "commit", sql("RequireLiveWorkers"), sql("RequireVacantLanes"), sql("ApplyOptimistic"), sql("InsertUsage"),
	sql("RequireTrees"), sql("InsertFollowups"), sql("PlaceStretches"), sql("LockTrees"), sql("ApplyTrees"),
	sql("LoadTasks"), sql("LoadSpecs"), sql("LoadPayloads"), sql("LoadDependencyResults")}

// prepareOptimistic prepares statements for good, once for a connection: those that pgx prepares by itself it prepares anew, and
// Postgres plans anew, after a batch with one of them has failed.
func prepareOptimistic(ctx context.Context, c *pgx.Conn) error {
	if c.Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement { // a pooler must have none on the server
		return nil
	}
	for _, text := range optimisticStatements {
		if _, err := c.Prepare(ctx, text, text); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

// OptimisticTransactions counts the transactions that were tried without reading first, and those of them that Postgres
// refused.
func (s *Store) OptimisticTransactions() (tried, refused int64) {
	return s.tried.Load(), s.refused.Load()
}
