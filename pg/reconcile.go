package pg

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ReconcilePublished looks after up to limit stretches that were published, or looked at, over age ago. Those that are done
// with are deleted. oldest tells when the oldest message that a lane still holds was published, zero for none, and false
// when that can't be known: stretches published before that are gone. They are returned, to be published again, and count as
// published now; the others are looked at again after age.
func (s *Store) ReconcilePublished(ctx context.Context, age time.Duration, limit int, oldest func(dag.Lane) (time.Time, bool)) (again []*Work, looked int, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		again, looked = nil, 0
		st := staleStretches{}
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("StalePublished"), age.Seconds(), limit).Query(st.scan)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("look after published stretches: %w", err)
		}
		looked = len(st.ids)
		if looked == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		st.ask(oldest)
		b = &pgx.Batch{}
		b.Queue(sql("DeletePublished"), st.ids)
		queuePublished(b, st.live)
		var gone []Stretch
		for _, r := range st.live {
			if r.sent.IsZero() {
				gone = append(gone, r.Stretch)
			}
		}
		if len(gone) > 0 {
			queueTasks(b, gone, dag.Ready, func(w *Work) { again = append(again, w) })
		}
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, 0, err
	}
	if err := s.addResults(ctx, again); err != nil {
		return again, looked, err
	}
	if err := s.addLocks(ctx, again); err != nil {
		return again, looked, err
	}
	byKey := make(map[dag.Key]*Work, len(again))
	for _, w := range again {
		byKey[w.Key] = w
	}
	s.seals.openWork(ctx, byKey)
	return slices.DeleteFunc(again, func(w *Work) bool { return byKey[w.Key] == nil }), looked, nil
}

// staleStretches gathers the rows of StalePublished.
type staleStretches struct {
	ids  []int64
	live []sentStretch // what still is ready
}

// sentStretch is a stretch that was published.
type sentStretch struct {
	Stretch
	sent time.Time // zero: its messages are gone
}

// ask finds out which stretches are gone, lane by lane.
func (st *staleStretches) ask(oldest func(dag.Lane) (time.Time, bool)) {
	type answer struct {
		at    time.Time
		known bool
	}
	answers := map[dag.Lane]answer{}
	for i := range st.live {
		r := &st.live[i]
		lane := dag.Lane{Pool: r.Pool, Priority: r.Priority}
		a, asked := answers[lane]
		if !asked {
			a.at, a.known = oldest(lane)
			answers[lane] = a
		}
		if a.known && dag.Gone(r.sent, a.at) {
			r.sent = time.Time{}
		}
	}
}

// scan reads a row for each task that still is ready, or one without for a stretch that has none.
func (st *staleStretches) scan(rows pgx.Rows) error {
	var id int64
	var r sentStretch
	var key *dag.Key
	_, err := pgx.ForEachRow(rows, []any{&id, &r.Pool, &r.Priority, &r.Attempt, &r.sent, &key}, func() error {
		fresh := len(st.ids) == 0 || st.ids[len(st.ids)-1] != id
		if fresh {
			st.ids = append(st.ids, id)
		}
		if key == nil {
			return nil
		}
		if n := len(st.live); n > 0 && !fresh {
			if last := &st.live[n-1]; last.First+dag.Key(last.N) == *key && last.Pool == r.Pool && last.Priority == r.Priority && last.Attempt == r.Attempt {
				last.N++
				return nil
			}
		}
		r.First, r.N = *key, 1
		st.live = append(st.live, r)
		return nil
	})
	return err
}

// queuePublished puts stretches into published as they were, or as of now.
func queuePublished(b *pgx.Batch, stretches []sentStretch) {
	if len(stretches) == 0 {
		return
	}
	n := len(stretches)
	pools, prios, first := make([]int32, n), make([]int16, n), make([]int64, n)
	ns, attempts, sent := make([]int32, n), make([]int32, n), make([]time.Time, n)
	for i, r := range stretches {
		pools[i], prios[i], first[i], ns[i], attempts[i], sent[i] = r.Pool, int16(r.Priority), int64(r.First), r.N, r.Attempt, r.sent
	}
	b.Queue(sql("InsertPublished"), pools, prios, first, ns, attempts, sent)
}
