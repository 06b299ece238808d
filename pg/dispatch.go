package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Dispatch moves up to n waiting tasks of a lane to published and returns them, to be sent, in one round trip and those
// that it takes to load what is not kept (see [keeper]). Those that got ready first; or, if shared, at most an equal share
// for each tree of the oldest that wait, so that a tree of very many tasks does not hold up the others; what they leave is
// for the next call. Empty: nothing waits, or another coordinator has it. What is returned along with an error is to be sent
// too; the rest, if there is any, is found by reconcile.
func (s *Store) Dispatch(ctx context.Context, lane dag.Lane, n int, shared bool) (work []*Work, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Dispatch"), lane.Pool, int16(lane.Priority), n, shared)
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	var runs, ask []Stretch
	all := map[dag.Key]*Work{}
	if err := eachRow(rows, func(v *values) {
		r := Stretch{Pool: lane.Pool, Priority: lane.Priority, First: v.key(), N: v.integer(), Attempt: v.integer()}
		runs = append(runs, r)
		known := s.keeper.waited(r, origin{v.timestamp(), v.timestamp()}, v.integer())
		for _, w := range known {
			all[w.Key] = w
		}
		if known == nil {
			ask = append(ask, r)
		}
	}); err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	if err = s.loadRuns(ctx, ask, all); err != nil { // they are taken already: once more, before reconcile has to find them
		if err = s.loadRuns(ctx, ask, all); err != nil {
			err = fmt.Errorf("load what was dispatched: %w", err)
		}
	}
	for _, r := range runs {
		work = append(work, r.among(all)...)
	}
	return work, err
}

// loadRuns loads what is to be published for ready tasks into work: all of it, or, with an error, nothing.
func (s *Store) loadRuns(ctx context.Context, runs []Stretch, work map[dag.Key]*Work) error {
	if len(runs) == 0 {
		return nil
	}
	var loaded []*Work
	b := &pgx.Batch{}
	queueTasks(b, runs, dag.Ready, func(w *Work) { loaded = append(loaded, w) })
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if err := s.addResults(ctx, loaded); err != nil {
		return err
	}
	for _, w := range loaded {
		work[w.Key] = w
	}
	return nil
}

// ErrTooLarge: what was asked for has more bytes than the caller can take.
var ErrTooLarge = errors.New("too large")

// Work loads what is to be published for one ready attempt, whatever its number of dependencies: for a worker that
// asks for large inputs. [ErrNotFound] when the attempt is neither ready nor open, [ErrTooLarge] when its inputs and the
// results that they are merged with have more than that many bytes.
func (s *Store) Work(ctx context.Context, k dag.Key, attempt int32, most int) (*Work, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LoadOneWork"), k, attempt)
	if err != nil {
		return nil, err
	}
	var w *Work
	if err := eachRow(rows, func(v *values) {
		w = &Work{
			Key: v.key(), Attempt: v.integer(), Priority: dag.Priority(v.smallint()), Pool: v.integer(), Flags: dag.Flags(v.integer()),
			TreeID: v.text(), UserID: v.text(), Execution: v.integer(), ID: v.text(), Name: v.text(), Executor: v.text(),
			TimeoutMS: v.bigint(), Deps: v.integer(), Inputs: v.json(), Params: v.json(), Schemas: v.json(),
		}
	}); err != nil {
		return nil, err
	}
	if w == nil {
		return nil, ErrNotFound
	}
	if err := s.dependencyResults(ctx, w, most-len(w.Inputs)); err != nil {
		return nil, err
	}
	return w, nil
}

// dependencyResults adds the results of the task's dependencies, of so many bytes at most: [ErrTooLarge].
func (s *Store) dependencyResults(ctx context.Context, w *Work, most int) error {
	result := func(v *values) []byte {
		r := v.json()
		if most -= len(r); most < 0 {
			v.fail(ErrTooLarge)
		}
		return r
	}
	sw, err := s.sweepOf(ctx, w)
	if err != nil {
		return err
	}
	if sw != nil {
		w.Results, err = sw.run(ctx, s, result)
		return err
	}
	rows, err := s.pool.Query(ctx, sql("LoadDependencyResults"), []dag.Key{w.Key}, dag.MaxTreeTasks)
	if err != nil {
		return err
	}
	return eachRow(rows, func(v *values) {
		_ = v.key() // the task's own
		w.Results = append(w.Results, dag.DependencyResult{ID: v.text(), Result: result(v)})
	})
}

// sweep reads the results of many dependencies that lie close together: ids and states by walks along the tables, where to
// look up each costs several times as much.
type sweep struct {
	first  dag.Key
	order  []int32 // the dependencies, by their distance from the first one
	places []sweptTask
}

type sweptTask struct {
	wanted bool
	id     string
	number int32 // of the attempt that completed; 0: none
	result []byte
}

// sweepOf prepares to read the results of the task's dependencies. nil: they are few, or too far apart.
func (s *Store) sweepOf(ctx context.Context, w *Work) (*sweep, error) {
	if w.Deps <= MaxInlineDeps {
		return nil, nil
	}
	rows, err := s.pool.Query(ctx, sql("DependenciesOf"), w.Key)
	if err != nil {
		return nil, err
	}
	sw := &sweep{}
	if err := eachRow(rows, func(v *values) { sw.order = append(sw.order, v.integer()) }); err != nil {
		return nil, err
	}
	if len(sw.order) == 0 { // the task is gone since
		return nil, ErrNotFound
	}
	least := slices.Min(sw.order)
	span := int(slices.Max(sw.order)-least) + 1
	if span > 4*len(sw.order) {
		return nil, nil
	}
	sw.first, sw.places = w.Key.Tree().Key(int(least)), make([]sweptTask, span)
	for i := range sw.order {
		sw.order[i] -= least
		sw.places[sw.order[i]].wanted = true
	}
	return sw, nil
}

// run gives the results of those dependencies that completed with one, in order. result reads one.
func (sw *sweep) run(ctx context.Context, s *Store, result func(v *values) []byte) ([]dag.DependencyResult, error) {
	place := func(v *values) *sweptTask { return &sw.places[v.key()-sw.first] }
	end := sw.first + dag.Key(len(sw.places))
	b := &pgx.Batch{}
	b.Queue(sql("SweepIDs"), sw.first, end).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { place(v).id = v.text() })
	})
	b.Queue(sql("SweepCompleted"), sw.first, end).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { place(v).number = v.integer() })
	})
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	var keys []dag.Key
	var numbers []int32
	for i, p := range sw.places {
		if p.wanted && p.number > 0 {
			keys, numbers = append(keys, sw.first+dag.Key(i)), append(numbers, p.number)
		}
	}
	rows, err := s.pool.Query(ctx, sql("ResultsOf"), keys, numbers) // none but those: they may be large
	if err != nil {
		return nil, err
	}
	if err := eachRow(rows, func(v *values) { place(v).result = result(v) }); err != nil {
		return nil, err
	}
	var out []dag.DependencyResult
	for _, i := range sw.order {
		if p := sw.places[i]; p.result != nil {
			out = append(out, dag.DependencyResult{ID: p.id, Result: p.result})
		}
	}
	return out, nil
}

// Backlog tells which lanes have waiting tasks.
func (s *Store) Backlog(ctx context.Context) ([]dag.Lane, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Backlog"))
	if err != nil {
		return nil, fmt.Errorf("read backlog: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[dag.Lane])
}

// clockSkew is how far the clocks of Postgres and NATS may be apart before a message that is there counts as gone.
const clockSkew = time.Second

// ReconcilePublished looks after up to limit runs that were published, or looked at, over age ago. Runs that are done
// with are deleted. oldest tells when the oldest message that a lane still holds was published, zero for none, and false
// when that can't be known: runs published before that are gone. They are returned, to be published again, and count as
// published now; the others are looked at again after age.
func (s *Store) ReconcilePublished(ctx context.Context, age time.Duration, limit int, oldest func(dag.Lane) (time.Time, bool)) (again []*Work, looked int, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		again, looked = nil, 0
		st := staleRuns{}
		b := &pgx.Batch{}
		b.Queue("begin")
		b.Queue(sql("StalePublished"), age.Seconds(), limit).Query(st.scan)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("look after published runs: %w", err)
		}
		looked = len(st.ids)
		if looked == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		st.ask(oldest)
		b = &pgx.Batch{}
		b.Queue(sql("DeletePublished"), st.ids)
		queuePublished(b, st.runs)
		var gone []Stretch
		for _, r := range st.runs {
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
	return again, looked, s.addResults(ctx, again)
}

// addResults loads the results that tasks with dependencies start from.
func (s *Store) addResults(ctx context.Context, work []*Work) error {
	var keys []dag.Key
	byKey := map[dag.Key]*Work{}
	for _, w := range work {
		if w.Deps > 0 && w.Deps <= MaxInlineDeps {
			keys = append(keys, w.Key)
			byKey[w.Key] = w
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LoadDependencyResults"), keys, MaxInlineDeps)
	if err != nil {
		return err
	}
	return scanResults(rows, byKey)
}

// staleRuns gathers the rows of StalePublished.
type staleRuns struct {
	ids  []int64
	runs []sentRun // what still is ready, as runs
}

// sentRun is a run that was published.
type sentRun struct {
	Stretch
	sent time.Time // zero: its messages are gone
}

// ask finds out which runs are gone, lane by lane.
func (st *staleRuns) ask(oldest func(dag.Lane) (time.Time, bool)) {
	type answer struct {
		at    time.Time
		known bool
	}
	answers := map[dag.Lane]answer{}
	for i := range st.runs {
		r := &st.runs[i]
		lane := dag.Lane{Pool: r.Pool, Priority: r.Priority}
		a, asked := answers[lane]
		if !asked {
			a.at, a.known = oldest(lane)
			answers[lane] = a
		}
		if a.known && (a.at.IsZero() || a.at.After(r.sent.Add(clockSkew))) {
			r.sent = time.Time{}
		}
	}
}

func (st *staleRuns) scan(rows pgx.Rows) error {
	var id int64
	var r sentRun
	var key *dag.Key
	_, err := pgx.ForEachRow(rows, []any{&id, &r.Pool, &r.Priority, &r.Attempt, &r.sent, &key}, func() error {
		fresh := len(st.ids) == 0 || st.ids[len(st.ids)-1] != id
		if fresh {
			st.ids = append(st.ids, id)
		}
		if key == nil {
			return nil
		}
		if n := len(st.runs); n > 0 && !fresh {
			if last := &st.runs[n-1]; last.First+dag.Key(last.N) == *key && last.Pool == r.Pool && last.Priority == r.Priority && last.Attempt == r.Attempt {
				last.N++
				return nil
			}
		}
		r.First, r.N = *key, 1
		st.runs = append(st.runs, r)
		return nil
	})
	return err
}

func queuePublished(b *pgx.Batch, runs []sentRun) {
	if len(runs) == 0 {
		return
	}
	n := len(runs)
	pools, prios, first := make([]int32, n), make([]int16, n), make([]int64, n)
	ns, attempts, sent := make([]int32, n), make([]int32, n), make([]time.Time, n)
	for i, r := range runs {
		pools[i], prios[i], first[i], ns[i], attempts[i], sent[i] = r.Pool, int16(r.Priority), int64(r.First), r.N, r.Attempt, r.sent
	}
	b.Queue(sql("InsertPublished"), pools, prios, first, ns, attempts, sent)
}
