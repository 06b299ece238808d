package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Bounds of a beat's numbers, besides those of its names in package workerv1.
const (
	maxConcurrency = 100_000 // of one worker's pool
	maxListed      = 250_000 // attempts in one beat
)

// fault says why a beat can't be taken, or nothing.
func fault(m *workerv1.Beat) string {
	switch {
	case m.Instance == "" || len(m.Instance) > workerv1.MaxNameBytes || strings.IndexByte(m.Instance, 0) >= 0:
		return fmt.Sprintf("instance: want 1 to %d bytes, none of them NUL", workerv1.MaxNameBytes)
	case m.Number > math.MaxInt64:
		return "number: too large"
	case len(m.Pools) > workerv1.MaxPools:
		return fmt.Sprintf("pools: %d, the most is %d", len(m.Pools), workerv1.MaxPools)
	case len(m.Executors) > workerv1.MaxExecutors:
		return fmt.Sprintf("executors: %d, the most is %d", len(m.Executors), workerv1.MaxExecutors)
	case len(m.Asked)+len(m.Running)+len(m.Reported) > maxListed:
		return fmt.Sprintf("attempts: more than %d", maxListed)
	}
	for _, p := range m.Pools {
		switch {
		case !dag.ValidPool(p.Pool):
			return fmt.Sprintf("pools: %.64q is no name of a pool", p.Pool)
		case p.Concurrency > maxConcurrency:
			return fmt.Sprintf("pools: %s with %d slots, the most is %d", p.Pool, p.Concurrency, maxConcurrency)
		}
	}
	if len(m.Faults) > workerv1.MaxFaults {
		return fmt.Sprintf("faults: %d, the most is %d", len(m.Faults), workerv1.MaxFaults)
	}
	for _, f := range m.Faults {
		switch {
		case f.Pool != "" && !dag.ValidPool(f.Pool):
			return fmt.Sprintf("faults: %.64q is no name of a pool", f.Pool)
		case len(f.Executor) > workerv1.MaxNameBytes || len(f.Text) > workerv1.MaxFaultText:
			return fmt.Sprintf("faults: want executors of at most %d bytes, and texts of %d", workerv1.MaxNameBytes, workerv1.MaxFaultText)
		}
	}
	for _, id := range m.Executors {
		if id == "" || len(id) > workerv1.MaxNameBytes || strings.IndexByte(id, 0) >= 0 {
			return fmt.Sprintf("executors: want 1 to %d bytes each, none of them NUL", workerv1.MaxNameBytes)
		}
	}
	return ""
}

// learn makes what a worker announces known: its pools get numbers, its executors are no longer unknown. It says why
// that is too much; what fails otherwise is tried again with the next beat.
func (c *Coordinator) learn(ctx context.Context, worker string, m *workerv1.Beat) (refusal string) {
	pools := map[string]bool{}
	for _, p := range m.Pools {
		if !c.store.HasPool(p.Pool) {
			pools[p.Pool] = true
		}
	}
	fresh := c.executors.fresh(m.Executors)
	if refusal := c.newcomers.admit(worker, len(pools), len(fresh)); refusal != "" {
		return refusal
	}
	err := c.store.EnsurePools(ctx, pools)
	if errors.Is(err, pg.ErrTooManyPools) {
		return "pools: " + pg.ErrTooManyPools.Error()
	}
	if err != nil {
		c.log.Warn("pools of a worker could not be recorded", "worker_id", worker, "error", err)
	}
	if err := c.executors.learn(ctx, fresh); err != nil {
		c.log.Warn("executors of workers could not be recorded", "error", err)
	}
	return ""
}

// executorIDs are the executors that exist: built in, or announced by a worker at any time.
type executorIDs struct {
	store *pg.Store
	known dag.Known

	mu   sync.Mutex
	ids  map[string]bool
	read time.Time
}

// refreshExecutors is how old a "no" may be before the store is asked again.
const refreshExecutors = time.Second

// has reports whether the executor exists.
func (e *executorIDs) has(ctx context.Context, id string) bool {
	if e.known.Has(id) {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ids[id] && time.Since(e.read) > refreshExecutors {
		if all, err := e.store.Executors(ctx); err == nil {
			e.read = time.Now()
			for _, id := range all {
				e.ids[id] = true
			}
		}
	}
	return e.ids[id]
}

// fresh are the ids that are not known here yet.
func (e *executorIDs) fresh(ids []string) (fresh []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if !e.known.Has(id) && !e.ids[id] && !slices.Contains(fresh, id) {
			fresh = append(fresh, id)
		}
	}
	return fresh
}

func (e *executorIDs) learn(ctx context.Context, fresh []string) error {
	if len(fresh) == 0 {
		return nil
	}
	if err := e.store.AddExecutors(ctx, fresh); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range fresh {
		e.ids[id] = true
	}
	return nil
}

// announcement is that of pools whose consumers this process has not made yet.
type announcement struct {
	pools []string
	made  func() // called when they are made, or can't be
}

// maxAnnouncements is how many may wait; what comes then is announced by a later beat.
const maxAnnouncements = 1000

// announcePools has the consumers made of a worker's pools. It reports whether answer will be called by then, which is
// the case of the first beat of an instance.
func (c *Coordinator) announcePools(m *workerv1.Beat, answer func()) bool {
	a := announcement{made: func() {}}
	for _, p := range m.Pools {
		if _, done := c.ensured.Load(p.Pool); !done {
			a.pools = append(a.pools, p.Pool)
		}
	}
	first := m.Number == 1
	if first {
		a.made = answer
	}
	if len(a.pools) == 0 {
		return false
	}
	select {
	case c.announced <- a:
		return first
	default:
		return false
	}
}

// runPools makes the consumers of pools that workers announce, beside the beats: NATS may take its time, and leases must
// not wait for it.
func (c *Coordinator) runPools(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-c.announced:
			c.makePools(ctx, a)
		}
	}
}

func (c *Coordinator) makePools(ctx context.Context, a announcement) {
	defer a.made()
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for _, name := range a.pools {
		if err := c.ensurePool(ctx, name); err != nil {
			c.log.Warn("a pool could not be made ready", "pool", name, "error", err)
		}
	}
}
