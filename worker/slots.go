package worker

import (
	"cmp"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
)

// Served is a pool that a worker serves.
type Served struct {
	Pool
	Why string // the reason for its number of slots, for operators
}

// Why a pool has its number of slots.
const (
	whySet    = "set for this pool"
	whySetAll = "set for all pools"
	whySuits  = "what suits the executor"
	whyLeast  = "what suits %s, which may run there"
	whyNobody = "the default"
)

// setSlots gives each pool its slots. A second call changes nothing.
func (c *Config) setSlots() {
	if c.why != nil {
		return
	}
	c.why = map[string]string{}
	for i := range c.Pools {
		p := &c.Pools[i]
		why := whySet
		if p.Concurrency == 0 {
			p.Concurrency, why = c.Concurrency, whySetAll
		}
		if p.Concurrency == 0 {
			p.Concurrency, why = c.suits(p.Name)
		}
		c.why[p.Name] = why
	}
}

// suits is how many slots a pool has if nobody says. Any executor of the worker may run in a pool that has a name of its own, so
// that pool gets the least that suits one of them: what runs there holds its slot until it ends, and nothing else holds back commands.
func (c *Config) suits(pool string) (slots int, why string) {
	for _, e := range c.Executors {
		if isNil(e) || isOff(e) {
			continue
		}
		d := e.Describe()
		n, reason := d.Concurrency, fmt.Sprintf(whyLeast, d.ID)
		if dag.PoolOf(d.ID) == pool {
			reason = whySuits
		}
		if n == 0 {
			n, reason = executors.DefaultConcurrency, whyNobody
		}
		if dag.PoolOf(d.ID) == pool {
			return n, reason
		}
		if slots == 0 || n < slots {
			slots, why = n, reason
		}
	}
	return cmp.Or(slots, executors.DefaultConcurrency), cmp.Or(why, whyNobody)
}

// isOff reports whether the executor runs nothing here.
func isOff(e executors.Executor) bool {
	d, ok := e.(executors.Disabler)
	return ok && d.Disabled() != ""
}

// Pools are the pools that the worker serves.
func (w *Worker) Pools() (all []Served) {
	for _, p := range w.pools {
		all = append(all, Served{Pool{p.name, p.slots}, w.cfg.why[p.name]})
	}
	return all
}

// Slots is how many attempts the worker has in hand at most.
func (w *Worker) Slots() (total int) {
	for _, p := range w.pools {
		total += p.slots
	}
	return total
}

// slotsOfPools are the slots of each pool and the reason, for the log: "command_executor=2: what suits the executor".
func (w *Worker) slotsOfPools() (all []string) {
	for _, p := range w.Pools() {
		all = append(all, fmt.Sprintf("%s=%d: %s", p.Name, p.Concurrency, p.Why))
	}
	return all
}
