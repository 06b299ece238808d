package pg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// maxWhyHolders is how many holders of a key are named.
const maxWhyHolders = 10

// WhyLine is a line in which a ready task waits.
type WhyLine struct {
	dag.LimitKey
	Cost    int32
	Max     int32 // that is in force; 0: none, or nothing may start
	Held    int64 // sum of costs
	Holding int   // tasks that hold it
	Holders []WhyHolder
	Since   time.Time  // since when the task waits
	Ahead   int        // tasks before it, 10000 at most
	Due     *time.Time // of a rate: when the next start is due if starts come as fast as they may
	Per     time.Duration
}

// WhyHolder is a task that holds what another waits for.
type WhyHolder struct {
	ID, Name string
	Owner    string // of its tree
	Since    time.Time
}

// addLines adds the lines of a limited task.
func (w *Why) addLines(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, sql("WhyLines"), w.Key)
	if err != nil {
		return err
	}
	if err := eachRow(rows, func(v *values) {
		l := WhyLine{LimitKey: v.limitKey(), Cost: v.integer(), Max: v.integer(), Held: v.bigint(), Holding: int(v.bigint()), Since: v.timestamp(), Ahead: int(v.bigint())}
		if due := v.timestamp(); !due.IsZero() {
			l.Due = &due
		}
		l.Per = millis(v.bigint())
		w.Lines = append(w.Lines, l)
	}); err != nil {
		return err
	}
	for i := range w.Lines {
		l := &w.Lines[i]
		if l.Holding == 0 {
			continue
		}
		if l.Holders, err = whyHolders(ctx, tx, l.LimitKey, l.Namespace); err != nil {
			return err
		}
	}
	return nil
}

// whyHolders are the first that hold a key, as far as they are of the namespace.
func whyHolders(ctx context.Context, tx pgx.Tx, key dag.LimitKey, namespace dag.NamespaceKey) (holders []WhyHolder, err error) {
	rows, err := tx.Query(ctx, sql("WhyHolders"), int32(key.Namespace), int16(key.Kind), key.Key, maxWhyHolders)
	if err != nil {
		return nil, err
	}
	return holders, eachRow(rows, func(v *values) {
		h := WhyHolder{ID: v.text(), Name: v.text(), Owner: v.text(), Since: v.timestamp()}
		if dag.NamespaceKey(v.integer()) == namespace {
			holders = append(holders, h)
		}
	})
}

// WhyRule is an operator's limit of a pool, or of a user, that a ready task waits for.
type WhyRule struct {
	dag.LimitRule
	Holding int // tasks that have a place
	Holders []WhyHolder
}

// addRules adds the operators' limits that a ready task waits for.
func (w *Why) addRules(ctx context.Context, tx pgx.Tx, namespace dag.NamespaceKey) error {
	rows, err := tx.Query(ctx, sql("WhyRules"), w.Key)
	if err != nil {
		return err
	}
	var r WhyRule
	var numbers []string
	var number string
	if _, err := pgx.ForEachRow(rows, []any{&r.Kind, &r.Key, &number, &r.Max, &r.Counted, &r.SetBy, &r.SetAt, &r.Reason, &r.Holding}, func() error {
		w.Rules, numbers = append(w.Rules, r), append(numbers, number)
		return nil
	}); err != nil {
		return err
	}
	for i := range w.Rules {
		r := &w.Rules[i]
		if r.Holders, err = whyHolders(ctx, tx, dag.LimitKey{Kind: r.Kind, Key: numbers[i]}, namespace); err != nil {
			return err
		}
	}
	return nil
}
