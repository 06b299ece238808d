package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/record"
)

// RecordBy says by what the record is looked through; the first that is set counts, and none: all of it.
type RecordBy struct{ Task, Caller, Namespace string }

// RecordNumbers are the numbers of entries before the one given, newest first, limit at most. Some may be those of ends.
func (s *Store) RecordNumbers(ctx context.Context, by RecordBy, before int64, limit int) ([]int64, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	name, args := "RecordNumbers", []any{before, limit}
	switch {
	case by.Task != "":
		name, args = "RecordNumbersOfTask", append(args, by.Task)
	case by.Caller != "":
		name, args = "RecordNumbersOfCaller", append(args, by.Caller)
	case by.Namespace != "":
		name, args = "RecordNumbersOfNamespace", append(args, by.Namespace)
	}
	rows, err := s.pool.Query(ctx, sql(name), args...)
	if err == nil {
		var numbers []int64
		if numbers, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err == nil {
			return numbers, nil
		}
	}
	return nil, fmt.Errorf("look through the audit record: %w", err)
}

// RecordNumberAt is the number of the last entry that was made before a time; 0: there is none.
func (s *Store) RecordNumberAt(ctx context.Context, at time.Time) (seq int64, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("RecordNumberAt"), at).Scan(&seq); err != nil {
		return 0, fmt.Errorf("look when the audit record was at a time: %w", err)
	}
	return seq, nil
}

// RecordedCall is an entry that is no end, and the end, if there is one.
type RecordedCall struct {
	*record.Entry
	End *record.Entry // nil: none; only number, time, outcome, code, error and details are filled in
}

// RecordCalls are the entries with the numbers, newest first, but for those that are ends.
func (s *Store) RecordCalls(ctx context.Context, numbers []int64) (calls []RecordedCall, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("RecordCalls"), numbers)
	if err != nil {
		return nil, fmt.Errorf("read the audit record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var seq *int64
		var at *time.Time
		var outcome, code, text *string
		var details map[string]string
		e, err := scanEntry(rows, &seq, &at, &outcome, &code, &text, &details)
		if err != nil {
			return nil, err
		}
		call := RecordedCall{Entry: e}
		if seq != nil {
			call.End = &record.Entry{Seq: *seq, Of: e.Seq, At: record.At(*at), Kind: record.Ended, Outcome: record.Outcome(*outcome), Code: *code, Error: *text, Details: details}
		}
		calls = append(calls, call)
	}
	return calls, rows.Err()
}

// RecordEntries are the entries after a number, oldest first, limit at most: of a namespace, or, if that is nil, all.
func (s *Store) RecordEntries(ctx context.Context, after int64, limit int, namespace *string) (entries []*record.Entry, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	name, args := "RecordEntries", []any{after, limit}
	if namespace != nil {
		name, args = "RecordEntriesOf", append(args, *namespace)
	}
	rows, err := s.pool.Query(ctx, sql(name), args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// scanEntry reads the columns of an entry, and what comes after them into more.
func scanEntry(row pgx.Row, more ...any) (*record.Entry, error) {
	e := &record.Entry{}
	var at time.Time
	var prev, hash []byte
	c := &e.Caller
	err := row.Scan(append([]any{&e.Seq, &at, &e.Kind, &e.Of, &e.Namespace, &e.Method, &e.Permission, &e.Outcome, &e.Code, &e.Error,
		&c.Kind, &c.Name, &c.User, &c.Issuer, &c.KeyID, &c.From, &c.Surface, &e.Task, &e.Trace, &e.Count, &e.Coordinator, &e.Details, &e.Key, &prev, &hash}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("read the audit record: %w", err)
	}
	e.At = record.At(at)
	copy(e.Prev[:], prev)
	copy(e.Hash[:], hash)
	return e, nil
}
