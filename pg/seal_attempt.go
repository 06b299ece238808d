package pg

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// held is what an attempt holds.
type held struct {
	result        []byte
	message, text []byte // error and detail; nil: none
	outputs       []byte // nil: none
}

// attempt is the envelope of what an attempt ended with.
func (z *sealer) attempt(e *dag.Ended) []byte {
	return z.held(e.Task.Tree(), held{e.Result, textOrNil(e.Error), textOrNil(e.Detail), e.Outputs})
}

func (z *sealer) held(tree dag.TreeKey, h held) []byte {
	return z.seal(tree, kindAttempt, h.result, h.message, h.text, h.outputs)
}

// writeEnded queues the attempts of a decision. Where values are sealed, or may be, what Postgres would put together from rows is put together
// here, one attempt after the other, and written ahead of b on c, in the same transaction: results that came in parts, and those that add to
// what was written before.
func (s *Store) writeEnded(ctx context.Context, c *pgx.Conn, b *pgx.Batch, d *dag.Decision) error {
	z, err := s.seals.ofEnded(ctx, d.Ended)
	if err != nil {
		return err
	}
	ended := d.Ended
	joined := func(e dag.Ended) bool { return e.Chunked || e.Receipt && e.Result != nil }
	if s.seals.can() && slices.ContainsFunc(ended, joined) {
		ended = slices.Clone(ended)
		for i := range ended {
			if !joined(ended[i]) {
				continue
			}
			if err := s.writeJoined(ctx, c, z, &ended[i], d); err != nil {
				return err
			}
		}
		ended = slices.DeleteFunc(ended, func(e dag.Ended) bool { return e.Task == 0 })
	}
	return queueEnded(b, z, ended, d.Now())
}

// writeJoined writes what one attempt ended with. One that is left to be written has no result any more; else its task is 0.
func (s *Store) writeJoined(ctx context.Context, c *pgx.Conn, z *sealer, e *dag.Ended, d *dag.Decision) error {
	b, task := &pgx.Batch{}, e.Task
	if e.Chunked {
		result, err := s.joinChunks(ctx, c, e.Task, e.Attempt)
		if err != nil {
			return err
		}
		e.Result, e.Chunked = result, false
		b.Queue(sql("DeleteChunks"), []dag.Key{e.Task}, []int32{e.Attempt})
	}
	if err := storable(e); err != nil {
		return err
	}
	if e.Receipt {
		if err := s.addHeld(ctx, c, b, z, e.Task, e.Attempt, held{result: e.Result}); err != nil {
			return err
		}
		e.Result = nil
	} else {
		var envelope []byte
		if z != nil {
			envelope = z.attempt(e)
		}
		queueLarge(b, e, envelope, z != nil, d.Now())
		e.Task = 0
	}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write the result of task %d: %w", task, err)
	}
	return nil
}

// joinChunks puts a result together. A missing part is an error as Postgres has it for what is no JSON.
func (s *Store) joinChunks(ctx context.Context, c *pgx.Conn, task dag.Key, attempt int32) (result []byte, err error) {
	rows, err := c.Query(ctx, sql("ChunksOf"), task, attempt)
	if err != nil {
		return nil, err
	}
	var count, n int32
	var data []byte
	var hidden bool
	if _, err = pgx.ForEachRow(rows, []any{&count, &data, &hidden}, func() error {
		n++
		part := data
		if hidden {
			part = nil
			if err := s.seals.open(ctx, task.Tree(), kindChunk, data, &part); err != nil {
				return err
			}
		}
		result = append(result, part...)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the parts of a result of task %d: %w", task, err)
	}
	if n == 0 || n < count {
		return nil, &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "22P02", Message: "a result lacks parts"}
	}
	return result, nil
}

// heldBy is what a stored attempt holds. there is false if it is not stored.
func (s *Store) heldBy(ctx context.Context, c *pgx.Conn, task dag.Key, attempt int32) (h held, there bool, err error) {
	var envelope []byte
	rows, err := c.Query(ctx, sql("AttemptValues"), []dag.Key{task}, []int32{attempt})
	if err != nil {
		return h, false, err
	}
	var message, text *string
	if _, err := pgx.ForEachRow(rows, []any{nil, nil, &h.result, &message, &text, &envelope, &h.outputs}, func() error {
		there = true
		return nil
	}); err != nil {
		return h, false, fmt.Errorf("read what an attempt of task %d holds: %w", task, err)
	}
	for _, t := range []struct {
		from *string
		to   *[]byte
	}{{message, &h.message}, {text, &h.text}} {
		if t.from != nil {
			*t.to = []byte(*t.from)
		}
	}
	return h, there, s.seals.open(ctx, task.Tree(), kindAttempt, envelope, &h.result, &h.message, &h.text, &h.outputs)
}

// addHeld adds to what a stored attempt holds; nil adds nothing.
func (s *Store) addHeld(ctx context.Context, c *pgx.Conn, b *pgx.Batch, z *sealer, task dag.Key, attempt int32, more held) error {
	h, there, err := s.heldBy(ctx, c, task, attempt)
	if err != nil || !there {
		return err
	}
	queueHeld(b, z, task, attempt, h.with(more))
	return nil
}

func (h held) with(more held) held {
	for _, f := range []struct{ to, from *[]byte }{{&h.result, &more.result}, {&h.message, &more.message}, {&h.text, &more.text}, {&h.outputs, &more.outputs}} {
		if *f.from != nil {
			*f.to = *f.from
		}
	}
	return h
}

// queueHeld writes what a stored attempt holds.
func queueHeld(b *pgx.Batch, z *sealer, task dag.Key, attempt int32, h held) {
	if z != nil {
		b.Queue(sql("SetAttemptValues"), task, attempt, nil, nil, nil, z.held(task.Tree(), h), nil)
		return
	}
	b.Queue(sql("SetAttemptValues"), task, attempt, orNil(h.result), text(h.message), text(h.text), nil, orNil(h.outputs))
}

// text is a text as a parameter; nil for null.
func text(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}
