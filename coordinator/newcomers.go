package coordinator

import (
	"maps"
	"slices"
	"sync"
	"time"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Bounds of what the workers of one id may bring into being, through this process and within makersForget. The store bounds pools
// and executors of the whole cluster, and forgets those that nobody has or needs; one worker must not use them up meanwhile.
const (
	maxMadePools     = 2 * workerv1.MaxPools
	maxMadeExecutors = 2 * workerv1.MaxExecutors
	maxMadeBytes     = 8 << 20 // of descriptions of executors
	maxMakers        = 10_000  // workers that are remembered; when there are more, all begin anew
	makersForget     = time.Hour
)

// newcomers counts what each worker has made. Safe for concurrent use.
type newcomers struct {
	mu sync.Mutex
	by map[string]*made
}

// made is what a worker has made.
type made struct {
	pools, executors map[string]bool
	described        map[string]bool // hashes
	bytes            int             // of those descriptions
	since            time.Time
}

// admit counts new pools and executors of a worker, each once. It returns those that are too many.
func (n *newcomers) admit(worker string, pools map[string]bool, executors []string) (leftPools, leftExecutors []string) {
	if len(pools)+len(executors) == 0 {
		return nil, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.of(worker)
	return within(m.pools, maxMadePools, slices.Sorted(maps.Keys(pools))), within(m.executors, maxMadeExecutors, executors)
}

// describes counts a new description of an executor, once. It reports whether it is too much.
func (n *newcomers) describes(worker string, hash []byte, size int) (tooMuch bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.of(worker)
	switch {
	case m.described[string(hash)]:
		return false
	case m.bytes+size > maxMadeBytes:
		return true
	}
	m.described[string(hash)] = true
	m.bytes += size
	return false
}

// of is what the worker has made within [makersForget]. The caller holds the lock.
func (n *newcomers) of(worker string) *made {
	m := n.by[worker]
	if m == nil || time.Since(m.since) > makersForget {
		if n.by == nil || len(n.by) >= maxMakers {
			n.by = map[string]*made{}
		}
		m = &made{pools: map[string]bool{}, executors: map[string]bool{}, described: map[string]bool{}, since: time.Now()}
		n.by[worker] = m
	}
	return m
}

// within adds names to a set up to a size. It returns those that are not in it then.
func within(set map[string]bool, most int, names []string) (left []string) {
	for _, name := range names {
		if !set[name] && len(set) >= most {
			left = append(left, name)
			continue
		}
		set[name] = true
	}
	return left
}
