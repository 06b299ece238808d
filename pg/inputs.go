package pg

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ErrTooLarge: what was asked for has more bytes than the caller can take.
var ErrTooLarge = errors.New("too large")

// Work loads what is to be published for one ready attempt, whatever its number of dependencies: for a worker that
// asks for large inputs. [ErrNotFound] when the attempt is neither ready nor open, [ErrTooLarge] when its inputs and the
// results that they are merged with have more than that many bytes.
func (s *Store) Work(ctx context.Context, k dag.Key, attempt int32, most int) (*Work, error) {
	return s.work(ctx, "LoadOneWork", k, attempt, most)
}

// work is Work, of an attempt that the statement gives.
func (s *Store) work(ctx context.Context, statement string, k dag.Key, attempt int32, most int) (*Work, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), k, attempt)
	if err != nil {
		return nil, err
	}
	var w *Work
	if err := eachRow(rows, func(v *values) {
		w = &Work{
			Key: v.key(), Attempt: v.integer(), Priority: dag.Priority(v.smallint()), Pool: v.integer(), Flags: dag.Flags(v.integer()),
			Run: v.integer(), TreeID: v.text(), UserID: v.text(), UID: v.uuid(), Execution: v.integer(), Namespace: dag.NamespaceKey(v.integer()), ID: v.text(), Name: v.text(), Executor: v.text(),
			TimeoutMS: v.bigint(), Deps: v.integer(), Inputs: v.json(), Params: v.json(), Schemas: v.json(), sealed: v.bytea(), control: v.json(),
		}
	}); err != nil {
		return nil, err
	}
	if w == nil {
		return nil, ErrNotFound
	}
	if err := s.dependencyResults(ctx, w, most-len(w.Inputs)-len(w.sealed)); err != nil {
		return nil, err
	}
	if err := s.seals.openOne(ctx, w); err != nil {
		return nil, err
	}
	return w, s.completeValues(ctx, w, most)
}

// dependencyResults adds the results of the task's dependencies, of so many bytes at most: [ErrTooLarge].
func (s *Store) dependencyResults(ctx context.Context, w *Work, most int) error {
	result := func(v *values) (r, envelope []byte) {
		r, envelope = v.json(), v.bytea()
		if most -= len(r) + len(envelope); most < 0 {
			v.fail(ErrTooLarge)
		}
		return r, envelope
	}
	sw, err := s.sweepOf(ctx, w)
	if err != nil {
		return err
	}
	if sw != nil {
		return sw.results(ctx, s, w, result)
	}
	rows, err := s.pool.Query(ctx, sql("LoadDependencyResults"), []dag.Key{w.Key}, dag.MaxTreeTasks)
	if err != nil {
		return err
	}
	return eachRow(rows, func(v *values) {
		_ = v.key() // the task's own
		ref := v.text()
		skipped := v.boolean()
		r, envelope := result(v)
		w.addResult(dag.DependencyResult{Ref: ref, Skipped: skipped, Result: r}, envelope)
	})
}

// sweep reads the results of many dependencies that lie close together: references and states by walks along the tables, where to
// look up each costs several times as much.
type sweep struct {
	first  dag.Key
	order  []int32 // the dependencies, by their distance from the first one
	places []sweptTask
}

type sweptTask struct {
	wanted  bool
	ref     string
	number  int32 // of the attempt that completed or was skipped; 0: none
	skipped bool
	result  []byte
	sealed  []byte
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
	sw, there := &sweep{}, false
	if err := eachRow(rows, func(v *values) {
		there = true
		if index := v.integer(); index >= 0 {
			sw.order = append(sw.order, index)
		}
	}); err != nil {
		return nil, err
	}
	if !there { // the task is gone since
		return nil, ErrNotFound
	}
	if len(sw.order) == 0 { // all its edges carry order only
		return nil, nil
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

// results adds those of the dependencies that completed with one, in order. result reads one.
func (sw *sweep) results(ctx context.Context, s *Store, w *Work, result func(v *values) (r, envelope []byte)) error {
	place := func(v *values) *sweptTask { return &sw.places[v.key()-sw.first] }
	end := sw.first + dag.Key(len(sw.places))
	b := &pgx.Batch{}
	b.Queue(sql("SweepReferences"), sw.first, end).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { place(v).ref = v.text() })
	})
	b.Queue(sql("SweepCompleted"), sw.first, end).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { p := place(v); p.number, p.skipped = v.integer(), v.boolean() })
	})
	if err := s.pool.Send(ctx, b); err != nil {
		return err
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
		return err
	}
	if err := eachRow(rows, func(v *values) { p := place(v); p.result, p.sealed = result(v) }); err != nil {
		return err
	}
	for _, i := range sw.order {
		if p := sw.places[i]; p.result != nil || p.sealed != nil {
			w.addResult(dag.DependencyResult{Ref: p.ref, Skipped: p.skipped, Result: p.result}, p.sealed)
		}
	}
	return nil
}
