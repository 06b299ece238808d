package coordinator

import (
	"fmt"
	"sync"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Bounds of what the workers of one id may bring into being, through this process. Pools and executors are never deleted;
// the store bounds pools of the whole cluster, so that one worker must not use them up.
const (
	maxMadePools     = 2 * workerv1.MaxPools
	maxMadeExecutors = 2 * workerv1.MaxExecutors
	maxMakers        = 10_000 // workers that are remembered; when there are more, all begin anew
)

// newcomers counts what each worker has made. Safe for concurrent use.
type newcomers struct {
	mu sync.Mutex
	by map[string]made
}

type made struct{ pools, executors int }

// admit counts new pools and executors of a worker, or says why they are too many.
func (n *newcomers) admit(worker string, pools, executors int) (refusal string) {
	if pools == 0 && executors == 0 {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.by[worker]
	switch {
	case m.pools+pools > maxMadePools:
		return fmt.Sprintf("pools: this worker has made %d and wants %d more, the most is %d", m.pools, pools, maxMadePools)
	case m.executors+executors > maxMadeExecutors:
		return fmt.Sprintf("executors: this worker has made %d known and announces %d more, the most is %d", m.executors, executors, maxMadeExecutors)
	}
	if n.by == nil || len(n.by) >= maxMakers {
		n.by = map[string]made{}
	}
	n.by[worker] = made{m.pools + pools, m.executors + executors}
	return ""
}
