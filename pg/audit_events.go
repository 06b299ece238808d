package pg

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// lookAtEvents follows the events of trees, which come in their order.
func (a *audit) lookAtEvents(rows pgx.Rows) error {
	var (
		t    eventTrail
		last *int64
		body []byte
		r    eventTrail
	)
	_, err := pgx.ForEachRow(rows, []any{&r.tree, &r.sequence, &r.execution, &r.start, &r.finished, &r.late, &last, &body}, func() error {
		if r.tree != t.tree {
			t.end(a)
			t = eventTrail{tree: r.tree, sequence: r.sequence, execution: r.execution, start: r.start, finished: r.finished, late: r.late}
		}
		if last != nil {
			t.follow(a, *last, body)
		}
		return nil
	})
	t.end(a)
	return err
}

// eventTrail is one tree's events as they are followed.
type eventTrail struct {
	tree            dag.TreeKey
	sequence, start int64 // by the tree's row
	execution       int32
	finished        bool
	late            bool // it was, since when is in the row

	at         int64 // the sequence of the event before
	executions int32
	lates      int   // events that say that the tree is late
	begun      int64 // the sequence before the latest execution's first event
	final      bool  // the event before was a final one
	broken     bool
}

// fault notes a violation, the tree's first.
func (t *eventTrail) fault(a *audit, kind, format string, args ...any) {
	if !t.broken { // what follows may only be the consequence
		a.found = append(a.found, Violation{Kind: kind, Tree: t.tree, Text: fmt.Sprintf(format, args...)})
	}
	t.broken = true
}

// follow takes the next row, whose events end with the sequence last. Sequences have no gaps; an execution begins each part of
// the trail, and nothing but the next one comes after its final event.
func (t *eventTrail) follow(a *audit, last int64, body []byte) {
	events, err := decodeEvents(t.tree, body)
	if err != nil {
		t.fault(a, "event_sequence", "the events up to %d can't be read: %v", last, err)
		return
	}
	if first := last - int64(len(events)) + 1; first != t.at+1 {
		t.fault(a, "event_sequence", "%d events up to %d follow event %d", len(events), last, t.at)
	}
	for i, e := range events {
		switch {
		case e.Type == dag.EventExecution:
			t.executions++
			t.begun = last - int64(len(events)) + int64(i)
		case t.final:
			t.fault(a, "event_final", "event %d follows the final one of its execution", last-int64(len(events))+int64(i)+1)
		case t.executions == 0:
			t.fault(a, "event_sequence", "event %d comes before the first execution", last-int64(len(events))+int64(i)+1)
		}
		if e.Type == dag.EventLate {
			t.lates++
		}
		t.final = e.Type == dag.EventFinal
	}
	t.at = last
}

// end compares the trail with what the tree's row says.
func (t *eventTrail) end(a *audit) {
	switch {
	case t.tree == 0:
	case t.at != t.sequence:
		t.fault(a, "event_sequence", "the last event is %d, the tree's row says %d", t.at, t.sequence)
	case t.executions != t.execution || t.execution > 0 && t.begun != t.start:
		t.fault(a, "event_sequence", "%d executions have begun, the last after event %d; the tree's row says %d, after %d", t.executions, t.begun, t.execution, t.start)
	case t.finished != t.final:
		t.fault(a, "event_final", "the execution has ended: %t; its last event is the final one: %t", t.finished, t.final)
	case t.lates > 1 || t.late != (t.lates == 1):
		t.fault(a, "event_late", "%d events say that the tree is late, by its row it was: %t; one says so of a tree that was", t.lates, t.late)
	}
}
