package pg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Claim answers claims, in their order, in one transaction, of one round trip or more as [Store.Settle]. Claims of workers
// whose lease is not alive stay Undecided.
func (s *Store) Claim(ctx context.Context, claims []dag.Claim) (verdicts []dag.Verdict, eff *Effects, err error) {
	if !s.ruledClaims(claims) {
		if verdicts, eff, done, err := s.claimOptimistically(ctx, claims); done {
			return verdicts, eff, err
		}
	}
	keys, workers := make([]dag.Key, len(claims)), make([]dag.WorkerKey, 0, 4)
	for i, c := range claims {
		keys[i] = c.Task
		if len(workers) == 0 || workers[len(workers)-1] != c.Worker {
			workers = append(workers, c.Worker)
		}
	}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		alive := map[dag.WorkerKey]bool{}
		d, view, err := load{keys: keys, before: func(b *pgx.Batch) { queueShareWorkers(b, workers, alive) }}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		if err := s.forbid(ctx, c, d, keys); err != nil {
			return err
		}
		verdicts = d.Claims(claims, func(w dag.WorkerKey) bool { return alive[w] })
		eff, err = s.apply(ctx, c, &pgx.Batch{}, d, view, nil)
		return err
	})
	return verdicts, eff, err
}

// queueShareWorkers finds out which workers are alive, and locks them so until the end of the transaction.
func queueShareWorkers(b *pgx.Batch, workers []dag.WorkerKey, alive map[dag.WorkerKey]bool) {
	b.Queue(sql("ShareWorkers"), workers).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { alive[dag.WorkerKey(v.bigint())] = true })
	})
}
