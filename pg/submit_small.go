package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// A small tree is stored in two round trips: COPY, which needs two for each table, is for those that would not fit in
// memory.
const (
	smallTasks = 500
	smallBytes = 512 << 10 // of their JSON
)

// firstTasks reads up to a small tree's tasks. small is nil when there are more, or when reading failed: then all gives
// them again, and the rest, or the error. The caller calls stop when it is done with all.
func firstTasks(tasks iter.Seq2[*dag.Task, error]) (small []*dag.Task, all iter.Seq2[*dag.Task, error], stop func()) {
	next, stop := iter.Pull2(tasks)
	var read []*dag.Task
	var fault error
	size, whole := 0, false
	for len(read) < smallTasks && size < smallBytes {
		t, err, ok := next()
		if !ok || err != nil {
			whole, fault = err == nil, err
			break
		}
		t = keep(t)
		read = append(read, t)
		size += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom)
	}
	all = func(yield func(*dag.Task, error) bool) {
		for _, t := range read {
			if !yield(t, nil) {
				return
			}
		}
		if fault != nil {
			yield(nil, fault)
			return
		}
		for !whole {
			t, err, ok := next()
			if !ok || !yield(t, err) {
				return
			}
		}
	}
	if whole && len(read) > 0 {
		small = read
	}
	return small, all, stop
}

// keep copies a task whose memory its reader may use again.
func keep(t *dag.Task) *dag.Task {
	kept := *t
	kept.Inputs, kept.Params, kept.Schemas, kept.Custom = bytes.Clone(t.Inputs), bytes.Clone(t.Params), bytes.Clone(t.Schemas), bytes.Clone(t.Custom)
	kept.Dependencies = slices.Clone(t.Dependencies)
	return &kept
}

// errTyped: a tree with dependencies of types of their own, which are not worth a shape here.
var errTyped = errors.New("dependencies have types")

// tryCopy reports whether a small tree is to be stored the other way: somebody took one of its ids meanwhile, or it has
// what this way can't store.
func tryCopy(err error) bool { return errors.Is(err, errTyped) || isUnique(err, "spec_id") }

func (s *Store) submitSmall(ctx context.Context, c *pgx.Conn, sub Submission, in *intake, tasks []*dag.Task) (*Submitted, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	index := make([]int, len(tasks))
	for n, t := range tasks {
		i, err := in.add(t)
		if err != nil {
			return nil, err
		}
		index[n] = i
	}
	st, err := s.build(ctx, sub, in)
	if err != nil {
		return nil, err
	}
	for _, e := range st.g.Dep {
		if e.Type != "" && e.Type != "result" {
			return nil, errTyped
		}
	}
	var taken []string
	b := &pgx.Batch{}
	b.Queue("begin")
	b.Queue(sql("NextTree")).QueryRow(func(row pgx.Row) error { return row.Scan(&st.tree) })
	b.Queue(sql("TakenIDs"), st.g.IDs).Query(func(rows pgx.Rows) (err error) {
		taken, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("begin submission: %w", err)
	}
	idMap := st.rename(taken, nil)
	b = &pgx.Batch{}
	st.queuePayloads(b, tasks, index)
	if err := st.queueSpecs(b); err != nil {
		return nil, err
	}
	st.queueTasks(b)
	eff, err := st.finishBatch(ctx, c, b)
	if err != nil {
		return nil, err
	}
	return st.submitted(idMap, eff), nil
}

func (st *store) queuePayloads(b *pgx.Batch, tasks []*dag.Task, index []int) {
	var keys []int64
	var columns [4][]*string
	for n, t := range tasks {
		fields := [4][]byte{t.Inputs, t.Params, t.Schemas, t.Custom}
		if t.Inputs == nil && t.Params == nil && t.Schemas == nil && t.Custom == nil {
			continue
		}
		keys = append(keys, int64(st.tree.Key(index[n])))
		for i, raw := range fields {
			var value *string
			if raw != nil {
				s := string(raw)
				value = &s
			}
			columns[i] = append(columns[i], value)
		}
	}
	if len(keys) > 0 {
		b.Queue(sql("InsertPayloads"), keys, columns[0], columns[1], columns[2], columns[3])
	}
}

func (st *store) queueSpecs(b *pgx.Batch) error {
	rows := make([][]any, len(st.g.IDs))
	deps := make([]*string, len(rows))
	for i := range rows {
		var err error
		if rows[i], err = st.spec(i); err != nil {
			return err
		}
		if list, ok := rows[i][5].([]int32); ok {
			text := []byte{'{'}
			for n, d := range list {
				if n > 0 {
					text = append(text, ',')
				}
				text = strconv.AppendInt(text, int64(d), 10)
			}
			s := string(append(text, '}'))
			deps[i] = &s
		}
	}
	b.Queue(sql("InsertSpecs"), column[int64](rows, 0), column[string](rows, 1), column[int32](rows, 2), column[string](rows, 3),
		column[string](rows, 4), deps, column[int32](rows, 7), column[string](rows, 8), column[int64](rows, 9), column[int64](rows, 10),
		column[int64](rows, 11), column[int64](rows, 12), column[time.Time](rows, 13), column[int16](rows, 14))
	return nil
}

// column is one column of the rows; nil is null.
func column[T any](rows [][]any, i int) []*T {
	out := make([]*T, len(rows))
	for n, row := range rows {
		if v, ok := row[i].(T); ok {
			out[n] = &v
		}
	}
	return out
}

func (st *store) queueTasks(b *pgx.Batch) {
	n := len(st.g.IDs)
	dependents := st.dependents()
	keys, states, flags, priorities := make([]int64, n), make([]int16, n), make([]int16, n), make([]int16, n)
	pools, remaining := make([]int32, n), make([]int32, n)
	var from, to []int64
	var required []bool
	for i := range n {
		r := st.begin(i, dependents[i])
		keys[i], states[i], flags[i], priorities[i] = int64(r.Key), int16(r.State), int16(r.Flags), int16(r.Priority)
		pools[i], remaining[i] = r.Pool, r.Remaining
		for _, e := range st.g.Dependencies(i) {
			from, to, required = append(from, int64(st.tree.Key(int(e.Task)))), append(to, int64(r.Key)), append(required, e.Required)
		}
	}
	b.Queue(sql("InsertTasks"), keys, states, flags, priorities, pools, remaining)
	if len(from) > 0 {
		b.Queue(sql("InsertEdges"), from, to, required)
	}
}
