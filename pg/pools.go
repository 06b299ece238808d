package pg

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/jackc/pgx/v5"
)

// MaxPools bounds the pools of a cluster, which are never deleted: each has four consumers in NATS. Coordinators that make
// pools at the same moment may exceed it by what one transaction makes.
const MaxPools = 500

// ErrTooManyPools: the cluster has [MaxPools] pools, and makes no more.
var ErrTooManyPools = fmt.Errorf("the cluster has reached its limit of %d pools", MaxPools)

// poolCache knows the ids of pools and makes new ones. It asks Postgres only for names and ids that it does not know: pools
// are never deleted or renamed.
type poolCache struct {
	database

	mu   sync.RWMutex
	byID map[int32]string // replaced as a whole, never changed
	ids  map[string]int32 // likewise
}

func newPoolCache(db database) *poolCache { return &poolCache{database: db} }

// PoolID is the id of a pool, which is made if there is none.
func (s *Store) PoolID(ctx context.Context, name string) (int32, error) {
	ids, err := s.pools.ensure(ctx, map[string]bool{name: true})
	return ids[name], err
}

// EnsurePools makes those of the pools that don't exist, in one trip for all; none of them when they would be too many.
func (s *Store) EnsurePools(ctx context.Context, names map[string]bool) error {
	_, err := s.pools.ensure(ctx, names)
	return err
}

// PoolName is the name of a pool.
func (s *Store) PoolName(ctx context.Context, id int32) (string, error) {
	names, _ := s.pools.known()
	name, ok := names[id]
	if ok {
		return name, nil
	}
	names, _, err := s.pools.load(ctx)
	if err != nil {
		return "", err
	}
	if name, ok = names[id]; !ok {
		return "", fmt.Errorf("pool %d: %w", id, ErrNotFound)
	}
	return name, nil
}

// HasPool reports whether this process knows a pool of that name.
func (s *Store) HasPool(name string) bool {
	_, ids := s.pools.known()
	_, ok := ids[name]
	return ok
}

// Pools are all pools, by id.
func (s *Store) Pools(ctx context.Context) (map[int32]string, error) {
	names, _, err := s.pools.load(ctx)
	return maps.Clone(names), err
}

// known is what the cache holds. Nobody changes the maps.
func (p *poolCache) known() (byID map[int32]string, ids map[string]int32) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byID, p.ids
}

// ensure finds or makes pools, all or none.
func (p *poolCache) ensure(ctx context.Context, names map[string]bool) (map[string]int32, error) {
	_, ids := p.known()
	found, missing := lookUp(names, ids)
	if len(missing) == 0 {
		return found, nil
	}
	if len(ids)+len(missing) > MaxPools { // others may have made some of them
		var err error
		if _, ids, err = p.load(ctx); err != nil {
			return nil, err
		}
		if found, missing = lookUp(names, ids); len(missing) == 0 {
			return found, nil
		}
		if len(ids)+len(missing) > MaxPools {
			return nil, fmt.Errorf("make pool %s and %d more: %w", missing[0], len(missing)-1, ErrTooManyPools)
		}
	}
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	if _, err := p.pool.Exec(ctx, sql("EnsurePools"), missing); err != nil {
		return nil, fmt.Errorf("make pools: %w", err)
	}
	_, ids, err := p.load(ctx)
	found, _ = lookUp(names, ids)
	return found, err
}

// lookUp gives the ids of names, and the names that have none.
func lookUp(names map[string]bool, ids map[string]int32) (found map[string]int32, missing []string) {
	found = make(map[string]int32, len(names))
	for name := range names {
		if id, ok := ids[name]; ok {
			found[name] = id
		} else {
			missing = append(missing, name)
		}
	}
	return found, missing
}

// load reads all pools.
func (p *poolCache) load(ctx context.Context) (byID map[int32]string, ids map[string]int32, err error) {
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	rows, err := p.pool.Query(ctx, sql("PoolIDs"))
	if err != nil {
		return nil, nil, fmt.Errorf("read pools: %w", err)
	}
	byID, ids = map[int32]string{}, map[string]int32{}
	var id int32
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		ids[name], byID[id] = id, name
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("read pools: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byID, p.ids = byID, ids
	return byID, ids, nil
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
