package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Checkpoint is what an attempt noted to go on from.
type Checkpoint struct {
	Task    dag.Key
	Attempt int32
	Number  int64  // of the note, from 1 on within the attempt
	Data    []byte // JSON
}

// SetCheckpoints stores what attempts that worker runs noted, each in place of what was noted before. It returns the keys of the tasks whose note is
// stored, or a later one: those of attempts that do not run there, or not any more, are dropped.
func (s *Store) SetCheckpoints(ctx context.Context, worker dag.WorkerKey, notes []Checkpoint) (map[dag.Key]bool, error) {
	n := len(notes)
	c, err := s.columnsOf(ctx, notes)
	if err != nil {
		return nil, fmt.Errorf("store %d checkpoints: %w", n, err)
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	stored := make(map[dag.Key]bool, n)
	err = retry(ctx, func() error {
		rows, err := s.pool.Query(ctx, sql("SetCheckpoints"), c.keys, c.attempts, c.numbers, c.data, c.envelopes, worker)
		if err != nil {
			return err
		}
		var key dag.Key
		_, err = pgx.ForEachRow(rows, []any{&key}, func() error {
			stored[key] = true
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store %d checkpoints: %w", n, err)
	}
	return stored, nil
}

// queueNotes keeps what attempts noted last that end with a result which counts, and forgets it of tasks that end well.
func (s *Store) queueNotes(ctx context.Context, b *pgx.Batch, results []dag.Result, changed []bool) error {
	var dropped []dag.Key
	var kept []Checkpoint
	for i := range results {
		switch r := &results[i]; {
		case !r.Noted || !changed[i]:
		case r.Outcome == dag.OutcomeCompleted || r.Outcome == dag.OutcomeSkipped || r.Outcome == dag.OutcomeRepeated:
			dropped = append(dropped, r.Task)
		case r.Note != nil:
			kept = append(kept, Checkpoint{r.Task, r.Attempt, r.NoteNumber, r.Note})
		}
	}
	if len(dropped) > 0 {
		b.Queue(sql("DropCheckpoints"), dropped)
	}
	if len(kept) == 0 {
		return nil
	}
	c, err := s.columnsOf(ctx, kept)
	if err != nil {
		return err
	}
	b.Queue(sql("BringCheckpoints"), c.keys, c.attempts, c.numbers, c.data, c.envelopes)
	return nil
}

// noteColumns are checkpoints as statements take them.
type noteColumns struct {
	keys      []int64
	attempts  []int32
	numbers   []int64
	data      []*string
	envelopes [][]byte
}

func (s *Store) columnsOf(ctx context.Context, notes []Checkpoint) (*noteColumns, error) {
	n := len(notes)
	trees := make([]dag.TreeKey, n)
	for i := range notes {
		trees[i] = notes[i].Task.Tree()
	}
	z, err := s.seals.sealer(ctx, trees...)
	if err != nil {
		return nil, err
	}
	c := &noteColumns{make([]int64, n), make([]int32, n), make([]int64, n), make([]*string, n), make([][]byte, n)}
	for i, note := range notes {
		c.keys[i], c.attempts[i], c.numbers[i] = int64(note.Task), note.Attempt, note.Number
		if z == nil {
			text := string(note.Data)
			c.data[i] = &text
			continue
		}
		if err := storableJSON(note.Data); err != nil {
			return nil, err
		}
		c.envelopes[i] = z.seal(trees[i], kindCheckpoint, note.Data)
	}
	return c, nil
}

// queueNoted loads the checkpoints of tasks, as far as the stretches are of later attempts.
func queueNoted(b *pgx.Batch, stretches []Stretch, tasks map[dag.Key]*Work) {
	var first []int64
	var ns []int32
	for _, s := range stretches {
		if s.Attempt > 1 {
			first, ns = append(first, int64(s.First)), append(ns, s.N)
		}
	}
	if len(first) == 0 {
		return
	}
	b.Queue(sql("CheckpointsBefore"), first, ns).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			key, data, envelope := v.key(), v.json(), v.bytea()
			if w := tasks[key]; w != nil {
				w.Checkpoint, w.sealedCheckpoint = data, envelope
			}
		})
	})
}
