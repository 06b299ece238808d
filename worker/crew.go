package worker

import (
	"slices"
	"sync"
	"time"
)

const (
	crewIdle  = 512             // goroutines that wait for work, at most
	crewStays = 5 * time.Second // how long each waits
)

// crew runs functions in goroutines that are used again: a new one would grow its stack anew with every attempt, which was a
// sixth of what a no-op costs a worker. The one that waited least is used first, so that few are kept.
type crew struct {
	mu   sync.Mutex
	idle []chan func()
	over bool
}

// do runs f in a goroutine, at once.
func (c *crew) do(f func()) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		hand := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		hand <- f // has room
		return
	}
	c.mu.Unlock()
	go c.work(f)
}

// work runs f, and what else comes. A function may end the goroutine: it is not among those that wait then, and the next
// function gets another.
func (c *crew) work(f func()) {
	mine := make(chan func(), 1)
	stays := time.NewTimer(crewStays)
	defer stays.Stop()
	for f != nil {
		f()
		if !c.rest(mine) {
			return
		}
		stays.Reset(crewStays)
		select {
		case f = <-mine:
		case <-stays.C:
			if c.leave(mine) {
				return
			}
			f = <-mine
		}
	}
}

// rest puts a goroutine among those that wait. It reports false when there are enough.
func (c *crew) rest(mine chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || len(c.idle) == crewIdle {
		return false
	}
	c.idle = append(c.idle, mine)
	return true
}

// leave takes a goroutine from those that wait. It reports false when something was given to it.
func (c *crew) leave(mine chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.idle, mine)
	if i < 0 {
		return false
	}
	c.idle = slices.Delete(c.idle, i, i+1)
	return true
}

// end lets those that wait go; the others end with what they do.
func (c *crew) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, hand := range c.idle {
		hand <- nil
	}
	c.idle = nil
}
