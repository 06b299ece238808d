package coordinator

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
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
	if len(m.Described) > workerv1.MaxExecutors || slices.ContainsFunc(m.Described, func(h []byte) bool { return len(h) != sha256.Size }) {
		return fmt.Sprintf("described: want at most %d hashes of %d bytes", workerv1.MaxExecutors, sha256.Size)
	}
	for _, id := range m.Executors {
		if id == "" || len(id) > workerv1.MaxNameBytes || strings.IndexByte(id, 0) >= 0 {
			return fmt.Sprintf("executors: want 1 to %d bytes each, none of them NUL", workerv1.MaxNameBytes)
		}
	}
	return ""
}

// learn makes what a worker announces known: its pools get numbers, its executors are no longer unknown. What is too much is left out
// of the beat, so that the worker serves the rest, and returned, with the reason. What fails otherwise is tried again with the next beat.
func (c *Coordinator) learn(ctx context.Context, worker string, m *workerv1.Beat) (refused []pg.WorkerFault) {
	pools := map[string]bool{}
	for _, p := range m.Pools {
		if !c.store.HasPool(p.Pool) {
			pools[p.Pool] = true
		}
	}
	fresh, stale := c.executors.fresh(m.Executors)
	left, leftOut := c.newcomers.admit(worker, pools, fresh)
	none := map[string]string{} // pools that the worker is not to serve: why
	for _, name := range left {
		none[name] = fmt.Sprintf("this worker has named too many new pools, the most within %s is %d", makersForget, maxMadePools)
		delete(pools, name)
	}
	over, err := c.store.ServePools(ctx, pools)
	if err != nil {
		c.log.Warn("pools of a worker could not be recorded", "worker_id", worker, "error", err)
	}
	for _, name := range over {
		none[name] = fmt.Sprintf("the cluster has reached its limit of %d pools", pg.MaxPools)
	}
	m.Pools = slices.DeleteFunc(m.Pools, func(p *workerv1.PoolCapacity) bool { return none[p.Pool] != "" })
	for _, name := range slices.Sorted(maps.Keys(none)) {
		refused = append(refused, pg.WorkerFault{Pool: name, Text: none[name]})
	}
	for _, id := range leftOut {
		refused = append(refused, pg.WorkerFault{Executor: id, Text: fmt.Sprintf("this worker has announced too many new executors, the most within %s is %d", makersForget, maxMadeExecutors)})
	}
	fresh = slices.DeleteFunc(fresh, func(id string) bool { return slices.Contains(leftOut, id) })
	unknown, err := c.executors.learn(ctx, append(fresh, stale...))
	if err != nil {
		c.log.Warn("executors of workers could not be recorded", "error", err)
	}
	for _, id := range unknown {
		refused = append(refused, pg.WorkerFault{Executor: id, Text: fmt.Sprintf("the cluster has reached its limit of %d executors", pg.MaxExecutors)})
	}
	return refused[:min(len(refused), workerv1.MaxPools+workerv1.MaxFaults)]
}

// executorIDs are the executors that exist: built in, or announced by a worker within [pg.ExecutorMemory].
type executorIDs struct {
	store *pg.Store
	known dag.Known

	mu   sync.Mutex
	ids  map[string]bool
	seen map[string]time.Time // when they were last recorded, by this process
	read time.Time
}

const (
	// refreshExecutors is how old a "no" may be before the store is asked again, and forgetExecutors how old a "yes".
	refreshExecutors = time.Second
	forgetExecutors  = time.Minute
	// recordExecutors is how often it is recorded that workers still announce an executor.
	recordExecutors = time.Hour
)

// has reports whether the executor exists.
func (e *executorIDs) has(ctx context.Context, id string) bool {
	if e.known.Has(id) {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if age := time.Since(e.read); age > forgetExecutors || !e.ids[id] && age > refreshExecutors {
		if all, err := e.store.Executors(ctx); err == nil {
			e.read = time.Now()
			clear(e.ids)
			for _, id := range all {
				e.ids[id] = true
			}
		}
	}
	return e.ids[id]
}

// fresh are the ids that are not known here yet, and stale those that are and are to be recorded again.
func (e *executorIDs) fresh(ids []string) (fresh, stale []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		switch {
		case e.known.Has(id) || slices.Contains(fresh, id) || slices.Contains(stale, id):
		case !e.ids[id]:
			fresh = append(fresh, id)
		case time.Since(e.seen[id]) > recordExecutors:
			stale = append(stale, id)
		}
	}
	return fresh, stale
}

// learn records executors. It returns those that there is no room for.
func (e *executorIDs) learn(ctx context.Context, ids []string) (unknown []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	known, err := e.store.AddExecutors(ctx, ids)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if len(e.seen) > pg.MaxExecutors { // forgotten ones among them
		clear(e.seen)
	}
	for _, id := range known {
		e.ids[id], e.seen[id] = true, now
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return e.ids[id] }), nil
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
