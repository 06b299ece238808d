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

// TreeEvent is one event with what it is told with.
type TreeEvent struct {
	dag.Event
	Sequence int64
	At       time.Time
	ID, Name string // of its task; empty for those of the whole tree
	Result   []byte
	Error    string
	Used     []dag.Used // by the attempt; by the tree, with dag.EventFinal
}

// eventRows is how many rows of events are read at a time; each holds those of one transaction.
const eventRows = 20

// Events reads a tree and its events after a sequence, in order, some thousands at most, in one round trip and one more
// for what the events are told with. The tree is as new as the events or newer: there are more when its Sequence is above
// that of the last one. [ErrNotFound].
func (s *Store) Events(ctx context.Context, tree dag.TreeKey, after int64) (*Tree, []TreeEvent, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var out []TreeEvent
	var status *Tree
	b := &pgx.Batch{}
	b.Queue(sql("EventsAfter"), tree, after, eventRows).Query(func(rows pgx.Rows) (err error) {
		out, err = scanEvents(rows, tree, after)
		return err
	})
	b.Queue(sql("TreeByKey"), tree).Query(func(rows pgx.Rows) (err error) {
		status, err = pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Tree])
		return err
	})
	switch err := s.pool.Send(ctx, b); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil, ErrNotFound
	case err != nil:
		return nil, nil, fmt.Errorf("read events: %w", err)
	}
	return status, out, s.addEventDetails(ctx, tree, out)
}

// scanEvents unpacks rows of events and drops those up to the sequence after.
func scanEvents(rows pgx.Rows, tree dag.TreeKey, after int64) (out []TreeEvent, err error) {
	var last int64
	var at time.Time
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&last, &at, &body}, func() error {
		events, err := decodeEvents(tree, body)
		if err != nil {
			return err
		}
		for i, e := range events {
			if seq := last - int64(len(events)-1-i); seq > after {
				out = append(out, TreeEvent{Event: e, Sequence: seq, At: at})
			}
		}
		return nil
	})
	return out, err
}

// addEventDetails adds what events of a tree are told with. A result and usage are told with the end that they belong to.
func (s *Store) addEventDetails(ctx context.Context, tree dag.TreeKey, events []TreeEvent) error {
	var keys []dag.Key
	var attempts []int32
	var at []int
	var treeUsed []dag.Used
	b := &pgx.Batch{}
	for i, e := range events {
		if e.Task != 0 {
			keys, attempts, at = append(keys, e.Task), append(attempts, e.Attempt), append(at, i)
		}
	}
	if len(keys) > 0 {
		b.Queue(sql("EventDetails"), keys, attempts).Query(func(rows pgx.Rows) error { return s.scanEventDetails(ctx, rows, events, at) })
		b.Queue(sql("UsageOfAttempts"), keys, attempts).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				e := &events[at[v.bigint()-1]]
				if used := scanUsed(v); e.Type.Ends() {
					e.Used = append(e.Used, used)
				}
			})
		})
	}
	if slices.ContainsFunc(events, isFinal) {
		queueTreeUsage(b, tree, &treeUsed)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := s.pool.Send(ctx, b); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for i := range events {
		if isFinal(events[i]) {
			events[i].Used = treeUsed
		}
	}
	return nil
}

func isFinal(e TreeEvent) bool { return e.Type == dag.EventFinal }

// scanEventDetails reads what the events at the places given are told with.
func (s *Store) scanEventDetails(ctx context.Context, rows pgx.Rows, events []TreeEvent, at []int) error {
	var ord int
	var d TreeEvent
	var envelope []byte
	_, err := pgx.ForEachRow(rows, []any{&ord, &d.ID, &d.Name, &d.Result, &d.Error, &envelope}, func() error {
		e := &events[at[ord-1]]
		if err := s.seals.openText(ctx, e.Task.Tree(), envelope, &d.Result, &d.Error, nil); err != nil {
			return err
		}
		e.ID, e.Name, e.Error = d.ID, d.Name, d.Error
		if e.Type == dag.EventCompleted || e.Type == dag.EventSkipped || e.Type == dag.EventCancelled {
			e.Result = append([]byte(nil), d.Result...)
		}
		return nil
	})
	return err
}
