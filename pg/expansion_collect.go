package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// Bounds of one transaction that ends expansions.
const (
	collectBatch = 100
	// MaxCollected is how long the result of an expanded task may be.
	MaxCollected = expansion.MaxCollected
)

// Collect ends expanded tasks whose tasks have all ended: with their results, or as a failure. It reports whether there may be more.
func (s *Store) Collect(ctx context.Context, room Room) (eff *Effects, more bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff, more = nil, false
		var tasks []dag.Key
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("TakeExpanding"), FollowupCollect, collectBatch).Query(func(rows pgx.Rows) error {
			var task, cursor dag.Key
			_, err := pgx.ForEachRow(rows, []any{&task, &cursor}, func() error {
				tasks = append(tasks, task)
				return nil
			})
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("take expansions that end: %w", err)
		}
		if len(tasks) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		more = true
		var ends []collected
		size := 0
		for _, k := range tasks {
			if size > MaxCollected/4 {
				break
			}
			end, err := s.collect(ctx, c, k)
			if Unreadable(err) { // and will never be: nothing else is to wait for it
				end.answer = dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindOutput, Error: cutText("what its tasks have ended with can't be read: "+err.Error(), 4<<10)}
			} else if err != nil {
				return err
			}
			ends, size = append(ends, end), size+len(end.answer.Result)
		}
		keys := make([]dag.Key, len(ends))
		for i := range ends {
			keys[i] = ends[i].task
		}
		d, view, err := load{keys: keys, policies: keys, dependents: true, begun: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		b = &pgx.Batch{}
		for _, end := range ends {
			if r := d.Row(end.task); end.known && r != nil && r.State == dag.Expanded && r.Remaining == 0 {
				d.Answer(end.task, end.attempt, end.answer)
			}
			b.Queue(sql("DeleteFollowup"), FollowupCollect, end.task)
		}
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	return eff, more, err
}

// collected is how one expanded task ends.
type collected struct {
	task    dag.Key
	attempt int32
	known   bool
	answer  dag.Answer
}

// collect reads what the tasks below an expanded one have ended with. They don't change any more.
func (s *Store) collect(ctx context.Context, c *pgx.Conn, k dag.Key) (end collected, err error) {
	end.task = k
	var e expansionRow
	err = e.scan(c.QueryRow(ctx, sql("ReadExpansion"), k))
	if errors.Is(err, pgx.ErrNoRows) {
		return end, nil
	}
	if err != nil {
		return end, fmt.Errorf("read the expansion of task %d: %w", k, err)
	}
	end.attempt, end.known = e.attempt, true
	tree := k.Tree()
	first, last := e.keys(tree, e.n)
	var failed struct {
		key      dag.Key
		id, name string
		state    dag.State
		message  *string
		envelope []byte
	}
	err = c.QueryRow(ctx, sql("FirstFailedBelow"), first, last).Scan(&failed.key, &failed.id, &failed.name, &failed.state, &failed.message, &failed.envelope)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return end, fmt.Errorf("look for failures below task %d: %w", k, err)
	default:
		var result []byte
		why := failed.state.String()
		if failed.message != nil {
			why = *failed.message
		}
		if err := s.seals.openText(ctx, tree, failed.envelope, &result, &why, nil); err != nil {
			return end, err
		}
		end.answer = expansion.Failed(failed.name, failed.id, failed.state, why)
		return end, nil
	}
	end.answer, err = s.results(ctx, c, k, &e)
	return end, err
}

func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:most]), nil)) + "…"
}

// results is the result of an expanded task: those of the tasks right below it, in order.
func (s *Store) results(ctx context.Context, c *pgx.Conn, k dag.Key, e *expansionRow) (a dag.Answer, err error) {
	all := expansion.NewCollecting(e.collect, int(e.perItem))
	if e.collect == expansion.None {
		return all.Answer(), nil
	}
	tree := k.Tree()
	first, last := e.keys(tree, e.n)
	rows, err := c.Query(ctx, sql("ResultsBelow"), first, last, k.Index())
	if err != nil {
		return a, fmt.Errorf("read results below task %d: %w", k, err)
	}
	var key dag.Key
	var ref string
	var state dag.State
	var result, envelope []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &ref, &state, &result, &envelope}, func() error {
		if all.Full() {
			return nil
		}
		value := result
		if err := s.seals.open(ctx, tree, kindAttempt, envelope, &value); err != nil {
			return err
		}
		return all.Add(int(key-first), ref, state, value)
	})
	if err != nil {
		return a, fmt.Errorf("read results below task %d: %w", k, err)
	}
	if a = all.Answer(); e.collect == expansion.Counted && e.perItem > 0 {
		_, text, err := s.expansionPart(ctx, c, k, templatePart)
		if err != nil {
			return a, err
		}
		a = expansion.AddOutputs(text, &dag.Rendering{TaskID: e.id, Name: e.name, TreeID: e.rootID, UserID: e.user, Attempt: int64(e.attempt)}, a)
	}
	return a, nil
}
