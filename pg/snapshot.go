package pg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/dag"
)

// SnapshotTask is a task of a snapshot.
type SnapshotTask struct {
	Key                            dag.Key
	ID                             string // if ids are asked for
	Name, Executor, Pool           string
	State                          dag.State
	Attempt, Parent                int32   // Parent is an index, -1: none
	Deps                           []int32 // index + 1, negative where optional; valid until the next task
	ReadyAt, StartedAt, FinishedAt time.Time
}

// Snapshot tells a tree, and then each of its tasks, in order, or those of only, unless that is nil: all as of one moment, in one read-only transaction and one round trip.
// It keeps none of them: what each gets is valid until it returns. An error of told or each ends it. [ErrNotFound].
func (s *Store) Snapshot(ctx context.Context, tree dag.TreeKey, ids bool, only []dag.Key, told func(*Tree) error, each func(*SnapshotTask) error) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err := s.pool.snapshot(ctx, func(tx pgx.Tx) error {
		first, end := tree.Range()
		statement, args := "SnapshotTasks", []any{tree, ids, first, end}
		if only != nil {
			statement, args = "SnapshotSome", []any{tree, ids, only}
		}
		pools := map[int32]string{}
		b := &pgx.Batch{}
		b.Queue(sql("TreeByKey"), tree).Query(func(rows pgx.Rows) error {
			t, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Tree])
			if err != nil {
				return err
			}
			return told(t)
		})
		b.Queue(sql("PoolNames")).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				id := v.integer()
				pools[id] = v.text()
			})
		})
		b.Queue(sql(statement), args...).Query(func(rows pgx.Rows) error {
			var t SnapshotTask
			return eachRow(rows, func(v *values) {
				t.Key, t.State, t.Attempt, t.Parent = v.key(), dag.State(v.smallint()), v.integer(), v.integer()
				t.Name, t.Deps = v.text(), v.integers(t.Deps[:0])
				t.Executor, t.Pool = v.textLike(t.Executor), pools[v.integer()]
				t.ReadyAt, t.StartedAt, t.FinishedAt, t.ID = v.timestamp(), v.timestamp(), v.timestamp(), v.text()
				if v.fault == nil {
					if err := each(&t); err != nil {
						v.fail(err)
					}
				}
			})
		})
		return tx.SendBatch(ctx, b).Close()
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read a snapshot: %w", err)
	}
	return nil
}

// integers appends the elements of an array of integers, in one dimension, without nulls.
func (v *values) integers(to []int32) []int32 {
	raw := v.next(pgtype.Int4ArrayOID, 0)
	if raw == nil {
		return to
	}
	const head = 12 // dimensions, nulls, type
	if len(raw) < head || (len(raw) > head && (len(raw)-head-8)%8 != 0) {
		v.fail(fmt.Errorf("an array of %d bytes", len(raw)))
		return to
	}
	if len(raw) == head {
		return to
	}
	for at := head + 8; at < len(raw); at += 8 { // the length of each goes before it
		if binary.BigEndian.Uint32(raw[at:]) != 4 {
			v.fail(errors.New("an array with nulls"))
			return to
		}
		to = append(to, int32(binary.BigEndian.Uint32(raw[at+4:])))
	}
	return to
}
