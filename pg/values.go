package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// LoadValues completes what is to be published for attempts whose tasks say more to their workers than the protocol has: [Work.Control] and
// [Work.Scope]. For others it does nothing. Values of more than so many bytes are left to be asked for ([Work.Large]).
func (s *Store) LoadValues(ctx context.Context, work []*Work, most int) error {
	var keys []dag.Key
	more := map[dag.Key]*Work{}
	for _, w := range work {
		if w.Flags&dag.FlagMore != 0 && w.Control == nil && w.Unreadable == nil {
			keys, more[w.Key] = append(keys, w.Key), w
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LoadControls"), keys)
	if err != nil {
		return fmt.Errorf("load what tasks say: %w", err)
	}
	envelopes := map[dag.Key][]byte{}
	if err := eachRow(rows, func(v *values) {
		k := v.key()
		more[k].control, envelopes[k], more[k].Repeats = v.json(), v.bytea(), v.integer()
	}); err != nil {
		return fmt.Errorf("load what tasks say: %w", err)
	}
	var named []*Work
	for _, k := range keys {
		w := more[k]
		skip := new([]byte)
		switch err := s.seals.open(ctx, k.Tree(), kindPayload, envelopes[k], skip, skip, skip, skip, &w.control); {
		case Unreadable(err):
			w.Unreadable = err
			continue
		case err != nil:
			return err
		}
		if err := w.readControl(); err != nil {
			return err
		}
		if w.paths != nil {
			named = append(named, w)
		}
	}
	return s.loadScopes(ctx, named, most)
}

// readControl reads what the task says, and what its templates name.
func (w *Work) readControl() (err error) {
	if w.Control, err = dag.ReadControl(w.control); err != nil {
		return fmt.Errorf("task %d: read what it says: %w", w.Key, err)
	}
	if w.control = nil; w.Control == nil {
		w.Control = &dag.Control{}
	}
	w.paths = w.Control.ValuePaths(w.Executor, w.Inputs)
	if w.Control.Template || w.Control.Outputs != nil || w.Control.Cache != nil {
		w.Scope = w.Control.AddItem(nil)
	}
	return nil
}

// completeValues is LoadValues for one attempt whose worker asks: [ErrTooLarge] if there is more than so much.
func (s *Store) completeValues(ctx context.Context, w *Work, most int) error {
	if w.Flags&(dag.FlagMore|dag.FlagCache) == 0 {
		return nil
	}
	if err := w.readControl(); err != nil {
		return err
	}
	if w.Control.Repeat != nil {
		if err := s.pool.QueryRow(ctx, sql("LoadRepeats"), w.Key).Scan(&w.Repeats); err != nil {
			return fmt.Errorf("load how often task %d has run: %w", w.Key, err)
		}
	}
	if w.paths == nil {
		return nil
	}
	if err := s.loadScopes(ctx, []*Work{w}, most); err != nil {
		return err
	}
	if w.Large {
		return ErrTooLarge
	}
	return nil
}

// loadScopes loads what the templates of tasks name of their dependencies, in one trip.
func (s *Store) loadScopes(ctx context.Context, work []*Work, most int) error {
	if len(work) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	for _, w := range work {
		b.Queue(sql("LoadDependencyValues"), w.Key, w.paths.Names()).Query(func(rows pgx.Rows) error {
			if err := s.readScope(ctx, w, rows, most); !errors.Is(err, ErrTooLarge) {
				return err
			}
			w.Large = true
			return nil
		})
	}
	if err := s.pool.Send(ctx, b); err != nil {
		return fmt.Errorf("load values of dependencies: %w", err)
	}
	return nil
}

// readScope reads the dependencies of a task that its templates name.
func (s *Store) readScope(ctx context.Context, w *Work, rows pgx.Rows, most int) error {
	type sealedValue struct {
		at       int
		envelope []byte
	}
	var all []dag.DependencyValue
	var hidden []sealedValue
	if err := eachRow(rows, func(v *values) {
		d := dag.DependencyValue{Ref: v.text(), Name: v.text(), State: dag.State(v.smallint()), Error: v.text(), Kind: dag.Kind(v.text()), Result: v.json(), Outputs: v.json()}
		envelope := v.bytea()
		if most -= len(d.Error) + len(d.Result) + len(d.Outputs) + len(envelope); most < 0 {
			v.fail(ErrTooLarge)
		}
		if envelope != nil {
			hidden = append(hidden, sealedValue{len(all), envelope})
		}
		all = append(all, d)
	}); err != nil {
		return err
	}
	for _, h := range hidden {
		d := &all[h.at]
		var message []byte
		switch err := s.seals.open(ctx, w.Key.Tree(), kindAttempt, h.envelope, (*[]byte)(&d.Result), &message, new([]byte), (*[]byte)(&d.Outputs)); {
		case Unreadable(err):
			w.Unreadable = err
			return nil
		case err != nil:
			return err
		case message != nil:
			d.Error = string(message)
		}
	}
	w.Scope = w.Control.AddItem(w.paths.Scope(all))
	return nil
}

// addRepeats adds how often tasks have run that may run again.
func (s *Store) addRepeats(ctx context.Context, list []*Shown) error {
	byKey := map[dag.Key]*Shown{}
	var keys []dag.Key
	for _, t := range list {
		if t.Flags&dag.FlagMore != 0 && bytes.Contains(t.Control, []byte(`"repeat"`)) {
			keys, byKey[t.Key] = append(keys, t.Key), t
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, sql("RepeatsOf"), keys)
	if err != nil {
		return fmt.Errorf("read how often %d tasks have run: %w", len(keys), err)
	}
	return eachRow(rows, func(v *values) { byKey[v.key()].Repeats = v.integer() })
}
