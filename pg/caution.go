package pg

import "sync"

// caution keeps optimistic transactions from being refused often, which costs two round trips each time: after one that was, the
// next ones read first, the more of them the more often it happens. Safe for concurrent use.
type caution struct {
	mu     sync.Mutex
	misses int // 0 to maxMisses
	skip   int // transactions that are still to read first
}

const maxMisses = 10 // then every thousandth transaction tries

// mayTry reports whether the next transaction may be optimistic.
func (c *caution) mayTry() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skip > 0 {
		c.skip--
		return false
	}
	return true
}

// note notes how a try ended.
func (c *caution) note(refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !refused {
		c.misses = max(0, c.misses-1)
		return
	}
	c.misses = min(c.misses+2, maxMisses)
	c.skip = 1 << c.misses
}
