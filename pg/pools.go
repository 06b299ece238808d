package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bounds of pools that are open: each has four consumers in NATS. Pools that nobody needs are closed (see [Store.ClosePools]).
const (
	MaxPools     = 500 // of a cluster
	MaxTreePools = 64  // that the tasks of one tree name
	// maxUnserved bounds the pools that submissions opened and no worker has served, so that there are some left for workers.
	maxUnserved = 400
	// maxUserUnserved bounds those of one user, so that one leaves some for others.
	maxUserUnserved = 100
)

// PoolLimitError refuses pools that would be too many. Its text is safe to show to users.
type PoolLimitError struct{ Reason string }

// Error is the reason.
func (e *PoolLimitError) Error() string { return e.Reason }

// poolCache knows pools and opens them. It asks Postgres only for names and ids that it does not know. A pool that it takes for
// open may have been closed: whoever is about to need it locks it (see lockPools).
type poolCache struct {
	database

	mu      sync.RWMutex
	all     map[int32]pool   // replaced as a whole, never changed
	open    map[string]int32 // likewise
	changed func([]string)   // see [Store.OnPoolsChanged]
}

// pool is a row.
type pool struct {
	Name      string
	Open      bool
	ChangedAt time.Time
}

func newPoolCache(db database) *poolCache { return &poolCache{database: db} }

// OnPoolsChanged sets what is called with the names of pools that were opened or closed, by whomever, since they were last looked at:
// what is remembered of their consumers is no longer true. It must not block. Call it before anything else.
func (s *Store) OnPoolsChanged(f func(names []string)) { s.pools.changed = f }

// RefreshPools reads all pools anew, and which are open.
func (s *Store) RefreshPools(ctx context.Context) error { return s.pools.refresh(ctx) }

func (p *poolCache) refresh(ctx context.Context) error {
	_, _, err := p.load(ctx)
	return err
}

// PoolID is the id of a pool that a worker serves. It is opened if it is not.
func (s *Store) PoolID(ctx context.Context, name string) (int32, error) {
	ids, refused, err := s.pools.ensure(ctx, map[string]bool{name: true}, nil)
	if err == nil && len(refused) > 0 {
		err = errNoRoom
	}
	return ids[name], err
}

// ServePools opens those of a worker's pools that are not, as many as there is room for, in one trip for all. It returns the others.
func (s *Store) ServePools(ctx context.Context, names map[string]bool) (refused []string, err error) {
	_, refused, err = s.pools.ensure(ctx, names, nil)
	return refused, err
}

// PoolName is the name of a pool, open or not.
func (s *Store) PoolName(ctx context.Context, id int32) (string, error) {
	all, _ := s.pools.known()
	p, ok := all[id]
	if ok {
		return p.Name, nil
	}
	all, _, err := s.pools.load(ctx)
	if err != nil {
		return "", err
	}
	if p, ok = all[id]; !ok {
		return "", fmt.Errorf("pool %d: %w", id, ErrNotFound)
	}
	return p.Name, nil
}

// HasPool reports whether this process takes a pool of that name for open.
func (s *Store) HasPool(name string) bool {
	_, open := s.pools.known()
	_, ok := open[name]
	return ok
}

// Pools are all open pools, by id.
func (s *Store) Pools(ctx context.Context) (map[int32]string, error) {
	_, open, err := s.pools.load(ctx)
	names := make(map[int32]string, len(open))
	for name, id := range open {
		names[id] = name
	}
	return names, err
}

// known is what the cache holds. Nobody changes the maps.
func (p *poolCache) known() (all map[int32]pool, open map[string]int32) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.all, p.open
}

// ensure finds or opens pools: all or none for a user's tree, as many as there is room for if maker is nil, for a worker.
func (p *poolCache) ensure(ctx context.Context, names map[string]bool, maker *string) (ids map[string]int32, refused []string, err error) {
	_, open := p.known()
	ids, missing := lookUp(names, open)
	if len(missing) == 0 {
		return ids, nil, nil
	}
	if refused, err = p.make(ctx, missing, maker); err != nil {
		return nil, nil, err
	}
	all, _, err := p.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	for id, row := range all { // one that was closed at once is noticed where it is needed
		if names[row.Name] {
			ids[row.Name] = id
		}
	}
	return ids, refused, nil
}

// errNoRoom is why a worker's pool is not opened.
var errNoRoom = &PoolLimitError{fmt.Sprintf("the cluster has reached its limit of %d pools", MaxPools)}

// make opens pools. One transaction at a time makes or removes them.
func (p *poolCache) make(ctx context.Context, names []string, maker *string) (refused []string, err error) {
	slices.Sort(names)
	err = p.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		refused = nil
		var total, unserved, own int
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockPools"))
		b.Queue(sql("CountPools"), names, maker).QueryRow(func(row pgx.Row) error { return row.Scan(&total, &unserved, &own) })
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("open pools: %w", err)
		}
		fit := names[:min(len(names), max(0, MaxPools-total))]
		if maker == nil {
			refused = names[len(fit):]
		} else if err := refuse(len(names), len(fit), unserved, own, *maker); err != nil {
			return err
		}
		b = &pgx.Batch{}
		b.Queue(sql("OpenPools"), fit, maker)
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	return refused, err
}

// refuse says why a tree may not open n pools.
func refuse(n, fit, unserved, own int, user string) error {
	switch {
	case own+n > maxUserUnserved:
		who := "trees without a user"
		if user != "" {
			who = fmt.Sprintf("the trees of user %q", user)
		}
		return &PoolLimitError{fmt.Sprintf("%s name %d pools that no worker serves, and this one %d more; the most is %d: start workers for them, or cancel such trees", who, own, n, maxUserUnserved)}
	case unserved+n > maxUnserved:
		return &PoolLimitError{fmt.Sprintf("trees name %d pools that no worker serves, and this one %d more; the most is %d", unserved, n, maxUnserved)}
	case fit < n:
		return errNoRoom
	}
	return nil
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

// load reads all pools, and tells of those that have changed.
func (p *poolCache) load(ctx context.Context) (all map[int32]pool, open map[string]int32, err error) {
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	rows, err := p.pool.Query(ctx, sql("PoolRows"))
	if err != nil {
		return nil, nil, fmt.Errorf("read pools: %w", err)
	}
	all, open = map[int32]pool{}, map[string]int32{}
	var id int32
	var row pool
	if _, err := pgx.ForEachRow(rows, []any{&id, &row.Name, &row.Open, &row.ChangedAt}, func() error {
		all[id] = row
		if row.Open {
			open[row.Name] = id
		}
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("read pools: %w", err)
	}
	p.mu.Lock()
	var changed []string
	for id, is := range all {
		if was, known := p.all[id]; known && (was.Open != is.Open || !was.ChangedAt.Equal(is.ChangedAt)) {
			changed = append(changed, is.Name)
		}
	}
	for id, was := range p.all {
		if _, there := all[id]; !there {
			changed = append(changed, was.Name)
		}
	}
	p.all, p.open = all, open
	p.mu.Unlock()
	if len(changed) > 0 && p.changed != nil {
		p.changed(changed)
	}
	return all, open, nil
}

// reopen opens closed pools again that tasks refer to.
func (p *poolCache) reopen(ctx context.Context, ids []int32, maker string) error {
	all, _, err := p.load(ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, id := range ids {
		row, ok := all[id]
		if !ok {
			return fmt.Errorf("pool %d: %w", id, ErrNotFound)
		}
		names[row.Name] = true
	}
	_, _, err = p.ensure(ctx, names, &maker)
	return err
}

// queuePoolLocks keeps the pools open until the transaction ends. open gets those of them that are; if some are missing, the
// transaction is to be given up, and its pools opened again. Locks: pools, shared, by id; before all else.
func queuePoolLocks(b *pgx.Batch, ids []int32, open map[int32]bool) {
	b.Queue(sql("KeepPools"), ids).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { open[v.integer()] = true })
	})
}

// closedAmong are the pools that are not open.
func closedAmong(ids []int32, open map[int32]bool) (closed []int32) {
	for _, id := range ids {
		if !open[id] {
			closed = append(closed, id)
		}
	}
	return closed
}

// errPoolClosed: a transaction needs a pool that was closed meanwhile.
var errPoolClosed = errors.New("a pool was closed meanwhile")

// poolIDsOf are the ids of pools, sorted, each once.
func poolIDsOf(pools map[string]int32) []int32 {
	return slices.Compact(slices.Sorted(maps.Values(pools)))
}
