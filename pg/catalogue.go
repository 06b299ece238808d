package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MaxDescriptions bounds the bytes of all descriptions of executors that workers sent. Those that none had for [ExecutorMemory] days are
// forgotten.
const MaxDescriptions = 64 << 20

// Description is what an executor says of itself, as a worker sent it. The hash is that of the body.
type Description struct {
	Hash     []byte
	Executor string // its id
	Body     []byte
}

// SeeDescriptions records that a worker has these descriptions. It returns the hashes of those that are stored.
func (s *Store) SeeDescriptions(ctx context.Context, hashes [][]byte) ([][]byte, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("SeeDescriptions"), hashes)
	if err != nil {
		return nil, fmt.Errorf("look for descriptions of executors: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// AddDescriptions stores descriptions. It returns the hashes of those that it stored: none when there is no room.
func (s *Store) AddDescriptions(ctx context.Context, all []Description) ([][]byte, error) {
	hashes, ids, bodies := make([][]byte, len(all)), make([]string, len(all)), make([][]byte, len(all))
	for i, d := range all {
		hashes[i], ids[i], bodies[i] = d.Hash, d.Executor, d.Body
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("AddDescriptions"), hashes, ids, bodies, MaxDescriptions)
	if err != nil {
		return nil, fmt.Errorf("store descriptions of executors: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// Described is a description that is stored, without its body.
type Described struct {
	Hash     []byte
	Executor string
	SeenAt   time.Time // when a worker last had it, to the hour
}

// Descriptions are all that are stored, by executor, the latest first.
func (s *Store) Descriptions(ctx context.Context) ([]Described, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Descriptions"))
	if err != nil {
		return nil, fmt.Errorf("read descriptions of executors: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Described])
}

// DescriptionBodies are the bodies of descriptions, by their hashes.
func (s *Store) DescriptionBodies(ctx context.Context, hashes [][]byte) (map[string][]byte, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DescriptionBodies"), hashes)
	if err != nil {
		return nil, fmt.Errorf("read descriptions of executors: %w", err)
	}
	out := make(map[string][]byte, len(hashes))
	var hash, body []byte
	_, err = pgx.ForEachRow(rows, []any{&hash, &body}, func() error {
		out[string(hash)] = append([]byte(nil), body...)
		return nil
	})
	return out, err
}

// DescribingWorker is a live worker, and the hashes of what it says of its executors.
type DescribingWorker struct {
	Pools     map[string]int
	Described [][]byte
}

// DescribingWorkers are the live workers.
func (s *Store) DescribingWorkers(ctx context.Context) ([]DescribingWorker, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DescribingWorkers"))
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[DescribingWorker])
}
