package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of what is read of why a task ended without a run.
const (
	MaxWhySteps     = 20     // tasks that are named, each blocked or skipped by the next
	whyDependencies = 20_000 // of all of them that are looked at
)

// WhyStep is a task that was blocked or skipped, or that had others be so. Each but the first is a dependency of the one before, and how it ended decided
// about that.
type WhyStep struct {
	Key         dag.Key
	ID, Name    string
	State       dag.State
	Flags       dag.Flags
	Error, Kind string // of a failed or cancelled one
	Reason      string // of a skipped one
	When        string // its condition; empty: none, or it can't be read

	Required bool         // for the one before
	Mode     dag.EdgeMode // of the edge to the one before

	blockedBy dag.Key
}

// addSteps adds the task itself, and by whose ends it was blocked or skipped: one dependency after the other, down to the one whose end needs no other to
// be explained. What a later execution has changed can't be found any more: the steps end there.
func (w *Why) addSteps(ctx context.Context, tx pgx.Tx, x *seals) error {
	looks := whyDependencies
	for next := (&endedDependency{key: w.Key}); next != nil && len(w.Steps) < MaxWhySteps && looks > 0; {
		step, err := next.read(ctx, tx, x)
		if err != nil {
			return err
		}
		if step == nil { // it was deleted
			return nil
		}
		w.Steps = append(w.Steps, *step)
		if step.State != dag.Blocked && step.State != dag.Skipped {
			return nil
		}
		n := 0
		if next, n, err = step.refused(ctx, tx, looks); err != nil {
			return err
		}
		looks -= n
	}
	return nil
}

// endedDependency is a dependency that has ended, and the edge to it.
type endedDependency struct {
	key, blockedBy dag.Key
	state          dag.State
	required       bool
	mode           dag.EdgeMode
}

// read reads the dependency; nil: it is not there.
func (r *endedDependency) read(ctx context.Context, tx pgx.Tx, x *seals) (*WhyStep, error) {
	s := &WhyStep{Required: r.required, Mode: r.mode}
	var result, sealed, control, payload []byte
	err := tx.QueryRow(ctx, sql("WhyEnded"), r.key).Scan(&s.Key, &s.ID, &s.Name, &s.State, &s.Flags, &s.blockedBy, &s.Error, &s.Kind, &result, &sealed, &control, &payload)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("how it ended: %w", err)
	}
	tree := s.Key.Tree()
	if err := x.openText(ctx, tree, sealed, &result, &s.Error, nil); err != nil && !Unreadable(err) {
		return nil, err
	}
	if err := x.open(ctx, tree, kindPayload, payload, new([]byte), new([]byte), new([]byte), new([]byte), &control); err != nil && !Unreadable(err) {
		return nil, err
	}
	if s.State == dag.Skipped {
		s.Reason = dag.SkipReason(result)
	}
	if c, err := dag.ReadControl(control); err == nil && c != nil {
		s.When = c.When
	}
	return s, nil
}

// refused is the dependency by whose end the task was blocked or skipped; nil: none was, or it can't be told any more. n is how many were looked at.
func (s *WhyStep) refused(ctx context.Context, tx pgx.Tx, looks int) (out *endedDependency, n int, err error) {
	rows, err := tx.Query(ctx, sql("WhyRefused"), s.Key, looks)
	if err != nil {
		return nil, 0, err
	}
	var one endedDependency
	if _, err = pgx.ForEachRow(rows, []any{&one.key, &one.state, &one.blockedBy, &one.required, &one.mode}, func() error {
		if n++; out == nil && s.endedBy(&one) {
			out = &endedDependency{one.key, one.blockedBy, one.state, one.required, one.mode}
		}
		return nil
	}); err != nil {
		return nil, n, fmt.Errorf("by what it ended: %w", err)
	}
	return out, n, nil
}

// endedBy reports whether the task ended as the dependency has.
func (s *WhyStep) endedBy(r *endedDependency) bool {
	fold := s.Flags&dag.FlagFold != 0
	switch {
	case s.State == dag.Blocked:
		of := r.key
		if r.state == dag.Blocked {
			of = cmp.Or(r.blockedBy, r.key)
		}
		return (of == s.blockedBy || r.state == dag.Cancelled) && (fold || dag.Refusal(r.required, r.mode, r.state) == "block")
	case fold:
		return r.state == dag.Skipped && r.mode.Skips()
	}
	return s.Reason == dag.SkipDependency+r.state.Outcome() && dag.Refusal(r.required, r.mode, r.state) == "skip"
}
