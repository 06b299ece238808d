package pg

import (
	"context"
	"encoding/hex"
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
	Level                     dag.Level
	State                     WorkerState // alive, draining or gone
	Number                    int64
	Attempts                  []dag.Key // all that it knows of
	InLine                    int       // how many of them wait for a slot
	Faults                    []WorkerFault
	Described                 [][]byte // hashes of what it says of its executors
	Counts                    map[string]PoolCounts
}

// PoolCounts are what a worker runs in a pool, and how much it began and ended there since its process began. The JSON is stored.
type PoolCounts struct {
	Running int   `json:"r"`
	Started int64 `json:"s"`
	Ended   int64 `json:"e"`
}

// WorkerFault is something that keeps a worker from work. The JSON is stored.
type WorkerFault struct {
	Pool     string `json:"pool"`     // whose tasks it does not take; empty: it is not about one
	Executor string `json:"executor"` // that can't run there; empty: it is not about one
	Text     string `json:"text"`
	Unasked  bool   `json:"unasked,omitempty"` // it keeps the worker from nothing that its operator has named
}

// ExtendLeases records beats, at most one of each instance, and extends each lease to lease from now, by Postgres's
// clock. It returns the keys of the instances whose lease lives on: an instance that is missing was lost, or its beat
// was old, or it is new and below the level that the store has used.
func (s *Store) ExtendLeases(ctx context.Context, beats []Beat, lease time.Duration) (map[string]dag.WorkerKey, error) {
	n := len(beats)
	instance, id, host, build := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	pools, attempts, faults, described, counts := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	state, number, level, inLine := make([]int16, n), make([]int64, n), make([]int32, n), make([]int32, n)
	for i, b := range beats {
		instance[i], id[i], host[i], build[i], state[i], number[i], level[i] = b.Instance, b.ID, b.Host, b.Build, int16(b.State), b.Number, int32(b.Level)
		p, err := json.Marshal(b.Pools)
		if err != nil {
			return nil, err
		}
		pools[i], inLine[i] = string(p), int32(b.InLine)
		f, err := json.Marshal(append([]WorkerFault{}, b.Faults...)) // never null
		if err != nil {
			return nil, err
		}
		faults[i], counts[i] = string(f), "{}"
		if len(b.Counts) > 0 {
			c, err := json.Marshal(b.Counts)
			if err != nil {
				return nil, err
			}
			counts[i] = string(c)
		}
		var list strings.Builder
		for j, k := range b.Attempts {
			if j > 0 {
				list.WriteByte(',')
			}
			list.WriteString(strconv.FormatInt(int64(k), 10))
		}
		attempts[i] = list.String()
		hashes := make([]string, len(b.Described))
		for j, hash := range b.Described {
			hashes[j] = hex.EncodeToString(hash)
		}
		described[i] = strings.Join(hashes, ",")
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	out := make(map[string]dag.WorkerKey, n)
	err := retry(ctx, func() error {
		rows, err := s.pool.Query(ctx, sql("ExtendLeases"), instance, id, host, build, pools, state, number, attempts, lease.Milliseconds(), level, faults, inLine, described, counts)
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

// Instance is one life of a worker's process.
type Instance struct {
	Key      dag.WorkerKey
	ID       string // the worker's
	Instance string
}

// Instances are those of the instance's worker, up to the 100 latest; empty: it is not registered.
func (s *Store) Instances(ctx context.Context, instance string) ([]Instance, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Instances"), instance)
	if err != nil {
		return nil, fmt.Errorf("look up worker: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Instance])
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
	rows, err := s.pool.Query(ctx, sql("DepartedWorkers"))
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

// LiveWorker is a worker whose lease lives.
type LiveWorker struct {
	Key      dag.WorkerKey
	Instance string
	ID       string
	Pools    map[string]int
	State    WorkerState
	Level    dag.Level
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
	Level                     dag.Level
	State                     WorkerState
	Pools                     map[string]int
	StartedAt, LeaseUntil     time.Time
	Attempts                  int // in hand, as its last beat lists them
	InLine                    int // those of them that wait for a slot
	Faults                    []WorkerFault
	Counts                    map[string]PoolCounts
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
