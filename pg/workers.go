package pg

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// WorkerState is where a worker stands. The numbers are stored.
type WorkerState int16

// The states of a worker.
const (
	WorkerAlive    WorkerState = 1
	WorkerDraining WorkerState = 2
	WorkerGone     WorkerState = 3 // left by itself
	WorkerLost     WorkerState = 4 // its lease ran out
)

// String is the state's name in our own API.
func (w WorkerState) String() string {
	switch w {
	case WorkerAlive:
		return "alive"
	case WorkerDraining:
		return "draining"
	case WorkerGone:
		return "gone"
	}
	return "lost"
}

// Beat is what a worker says of itself, every few seconds.
type Beat struct {
	Instance, ID, Host, Build string
	Pools                     map[string]int // name to concurrency
	State                     WorkerState    // alive, draining or gone
	Number                    int64
	Attempts                  []dag.Key // all that it knows of
}

// ExtendLeases records beats, at most one of each instance, and extends each lease to lease from now, by Postgres's
// clock. It returns the keys of the instances whose lease lives on: an instance that is missing was lost, or its beat
// was old.
func (s *Store) ExtendLeases(ctx context.Context, beats []Beat, lease time.Duration) (map[string]dag.WorkerKey, error) {
	n := len(beats)
	instance, id, host, build := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	pools, attempts := make([]string, n), make([]string, n)
	state, number := make([]int16, n), make([]int64, n)
	for i, b := range beats {
		instance[i], id[i], host[i], build[i], state[i], number[i] = b.Instance, b.ID, b.Host, b.Build, int16(b.State), b.Number
		p, err := json.Marshal(b.Pools)
		if err != nil {
			return nil, err
		}
		pools[i] = string(p)
		var list strings.Builder
		for j, k := range b.Attempts {
			if j > 0 {
				list.WriteByte(',')
			}
			list.WriteString(strconv.FormatInt(int64(k), 10))
		}
		attempts[i] = list.String()
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	out := make(map[string]dag.WorkerKey, n)
	err := retry(ctx, func() error {
		rows, err := s.pool.Query(ctx, sql("ExtendLeases"), instance, id, host, build, pools, state, number, attempts, lease.Milliseconds())
		if err != nil {
			return err
		}
		var key dag.WorkerKey
		var name string
		_, err = pgx.ForEachRow(rows, []any{&key, &name}, func() error {
			out[name] = key
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("extend %d leases: %w", n, err)
	}
	return out, nil
}

// Instance is one run of a worker.
type Instance struct {
	Key      dag.WorkerKey
	ID       string // the worker's
	Instance string
}

// Instances are the runs, up to the 100 latest, of the worker that the instance is one of; empty: not registered.
func (s *Store) Instances(ctx context.Context, instance string) ([]Instance, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Instances"), instance)
	if err != nil {
		return nil, fmt.Errorf("look up worker: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Instance])
}

// TaskState is where a task stands, for a worker that asks.
type TaskState struct {
	Key     dag.Key
	State   dag.State
	Attempt int32
	Worker  dag.WorkerKey
}

// LookAt tells where tasks stand. Keys that do not exist are missing from the answer.
func (s *Store) LookAt(ctx context.Context, keys []dag.Key) (map[dag.Key]TaskState, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LookAt"), keys)
	if err != nil {
		return nil, fmt.Errorf("look at %d tasks: %w", len(keys), err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TaskState])
	if err != nil {
		return nil, fmt.Errorf("look at %d tasks: %w", len(keys), err)
	}
	out := make(map[dag.Key]TaskState, len(list))
	for _, st := range list {
		out[st.Key] = st
	}
	return out, nil
}

// EndWorkers makes workers lost whose lease has run out, and returns them.
func (s *Store) EndWorkers(ctx context.Context) ([]Instance, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("EndWorkers"))
	if err != nil {
		return nil, fmt.Errorf("end leases: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Instance])
}

// Departed is a worker that is lost or gone and may still hold attempts on record.
type Departed struct {
	Instance
	State WorkerState
}

// DepartedWorkers are those whose attempts have not all been taken back.
func (s *Store) DepartedWorkers(ctx context.Context) ([]Departed, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LostWorkers"))
	if err != nil {
		return nil, fmt.Errorf("look for departed workers: %w", err)
	}
	var d Departed
	var out []Departed
	_, err = pgx.ForEachRow(rows, []any{&d.Key, &d.ID, &d.Instance.Instance, &d.State}, func() error {
		out = append(out, d)
		return nil
	})
	return out, err
}

// WorkersDone marks departed workers from whom all attempts were taken back.
func (s *Store) WorkersDone(ctx context.Context, keys []dag.WorkerKey) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("WorkersDone"), keys)
	return err
}

// Held is an open attempt.
type Held struct {
	Key     dag.Key
	Attempt int32
	Worker  dag.WorkerKey
}

// OpenAttempts walks over all open attempts, in steps of at most limit rows: pass the last key of a step (0 first), and
// get the next step and its last key, 0 at the end. Reads only trees that have open attempts.
func (s *Store) OpenAttempts(ctx context.Context, after dag.Key, limit int) (open []Held, next dag.Key, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tree := after.Tree()
	if after != 0 {
		if open, err = s.openIn(ctx, tree, after+1, limit); err != nil || len(open) == limit {
			return open, lastKey(open), err
		}
	}
	rows, err := s.pool.Query(ctx, sql("TreesWithAttempts"), tree, 100)
	if err != nil {
		return nil, 0, fmt.Errorf("look for open attempts: %w", err)
	}
	trees, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
	if err != nil {
		return nil, 0, fmt.Errorf("look for open attempts: %w", err)
	}
	for _, t := range trees {
		first, end := t.Range()
		more, err := s.openIn(ctx, t, first, limit-len(open))
		if err != nil {
			return nil, 0, err
		}
		open = append(open, more...)
		if len(open) == limit {
			return open, lastKey(open), nil
		}
		next = end - 1
	}
	if len(trees) < 100 {
		next = 0
	}
	return open, next, nil
}

func lastKey(open []Held) dag.Key {
	if len(open) == 0 {
		return 0
	}
	return open[len(open)-1].Key
}

func (s *Store) openIn(ctx context.Context, tree dag.TreeKey, from dag.Key, limit int) ([]Held, error) {
	_, end := tree.Range()
	rows, err := s.pool.Query(ctx, sql("OpenAttempts"), from, end, limit)
	if err != nil {
		return nil, fmt.Errorf("look for open attempts: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Held])
}

// HandedOver are open attempts that were claimed over a second ago and that may have been handed over with the result of
// one of the settled tasks given: what depends on them.
func (s *Store) HandedOver(ctx context.Context, settled []dag.Key) ([]Held, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("HandedOver"), settled)
	if err != nil {
		return nil, fmt.Errorf("look for handovers after %d tasks: %w", len(settled), err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Held])
}

// LiveWorker is a worker whose lease lives.
type LiveWorker struct {
	Key      dag.WorkerKey
	Instance string
	ID       string
	Pools    map[string]int
	State    WorkerState
	Attempts []dag.Key // that its last beat listed
}

// LiveWorkers are all workers whose lease lives.
func (s *Store) LiveWorkers(ctx context.Context) ([]LiveWorker, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LiveWorkers"))
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[LiveWorker])
}

// WorkerInfo is a worker as shown.
type WorkerInfo struct {
	ID, Instance, Host, Build string
	State                     WorkerState
	Pools                     map[string]int
	StartedAt, LeaseUntil     time.Time
	Attempts                  int
}

// ListWorkers shows workers that are alive or departed within the last hour, newest first, at most 1000.
func (s *Store) ListWorkers(ctx context.Context) ([]WorkerInfo, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ListWorkers"))
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[WorkerInfo])
}

// Chunk is a part of a large result.
type Chunk struct {
	Task         dag.Key
	Attempt      int32
	Index, Count int32 // from 0; parts in all
	Data         []byte
}

// PutChunks stores parts of large results in one transaction and one trip; the first copy of a part stays. It tells which
// belong to attempts that are open.
func (s *Store) PutChunks(ctx context.Context, parts []Chunk) (stored []bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		stored = make([]bool, len(parts))
		b := &pgx.Batch{}
		b.Queue("begin")
		for i, p := range parts {
			b.Queue(sql("PutChunk"), p.Task, p.Attempt, p.Index, p.Count, p.Data).QueryRow(func(row pgx.Row) error {
				return row.Scan(&stored[i])
			})
		}
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, fmt.Errorf("store %d parts of results: %w", len(parts), err)
	}
	return stored, nil
}
