package pg

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// MaxPools bounds the pools of a cluster, which are never deleted: each has four consumers in NATS. Coordinators that make
// pools at the same moment may exceed it by what one transaction makes.
const MaxPools = 500

// ErrTooManyPools: the cluster has [MaxPools] pools, and makes no more.
var ErrTooManyPools = fmt.Errorf("the cluster has its most pools, %d", MaxPools)

// poolNames caches the pools' ids; pools are never deleted.
type poolNames struct {
	id   map[string]int32
	name map[int32]string
}

func newPoolNames() poolNames { return poolNames{id: map[string]int32{}, name: map[int32]string{}} }

// PoolID is the id of a pool, which is made if there is none.
func (s *Store) PoolID(ctx context.Context, name string) (int32, error) {
	ids, err := s.poolIDs(ctx, map[string]bool{name: true})
	return ids[name], err
}

// EnsurePools makes those of the pools that don't exist, in one trip for all; none of them when they would be too many.
func (s *Store) EnsurePools(ctx context.Context, names map[string]bool) error {
	_, err := s.poolIDs(ctx, names)
	return err
}

// PoolName is the name of a pool.
func (s *Store) PoolName(ctx context.Context, id int32) (string, error) {
	s.mu.RLock()
	name, ok := s.pools.name[id]
	s.mu.RUnlock()
	if ok {
		return name, nil
	}
	if err := s.loadPools(ctx); err != nil {
		return "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if name, ok = s.pools.name[id]; !ok {
		return "", fmt.Errorf("pool %d: %w", id, ErrNotFound)
	}
	return name, nil
}

func (s *Store) poolCount() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.pools.id)
}

// HasPool reports whether this process knows a pool of that name.
func (s *Store) HasPool(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.pools.id[name]
	return ok
}

// Pools are all pools, by id.
func (s *Store) Pools(ctx context.Context) (map[int32]string, error) {
	if err := s.loadPools(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make(map[int32]string, len(s.pools.name))
	for id, name := range s.pools.name {
		out[id] = name
	}
	return out, nil
}

// poolIDs finds or makes pools.
func (s *Store) poolIDs(ctx context.Context, names map[string]bool) (map[string]int32, error) {
	out := make(map[string]int32, len(names))
	var missing []string
	s.mu.RLock()
	for name := range names {
		if id, ok := s.pools.id[name]; ok {
			out[name] = id
		} else {
			missing = append(missing, name)
		}
	}
	s.mu.RUnlock()
	if len(missing) == 0 {
		return out, nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if n := s.poolCount() + len(missing); n > MaxPools {
		if err := s.loadPools(ctx); err != nil { // others may have made some of them
			return nil, err
		}
		s.mu.RLock()
		missing = slices.DeleteFunc(missing, func(name string) bool {
			id, ok := s.pools.id[name]
			if ok {
				out[name] = id
			}
			return ok
		})
		n = len(s.pools.id) + len(missing)
		s.mu.RUnlock()
		if len(missing) == 0 {
			return out, nil
		}
		if n > MaxPools {
			return nil, fmt.Errorf("make pool %s and %d more: %w", missing[0], len(missing)-1, ErrTooManyPools)
		}
	}
	if _, err := s.pool.Exec(ctx, sql("EnsurePools"), missing); err != nil {
		return nil, fmt.Errorf("make pools: %w", err)
	}
	if err := s.loadPools(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, name := range missing {
		out[name] = s.pools.id[name]
	}
	return out, nil
}

func (s *Store) loadPools(ctx context.Context) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("PoolIDs"))
	if err != nil {
		return fmt.Errorf("read pools: %w", err)
	}
	fresh := newPoolNames()
	var id int32
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		fresh.id[name], fresh.name[id] = id, name
		return nil
	}); err != nil {
		return fmt.Errorf("read pools: %w", err)
	}
	s.mu.Lock()
	s.pools = fresh
	s.mu.Unlock()
	return nil
}

// Executors are the ids of all executors that a worker ever announced.
func (s *Store) Executors(ctx context.Context) ([]string, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ExecutorIDs"))
	if err != nil {
		return nil, fmt.Errorf("read executors: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// AddExecutors records executors that a worker announced.
func (s *Store) AddExecutors(ctx context.Context, ids []string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("EnsureExecutors"), ids)
	return err
}
