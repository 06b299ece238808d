package history

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// concurrency checks, at each start, how many runs of its pool its process has. A run that ends as another starts has ended.
func (c *checker) concurrency() {
	type lane struct {
		process int
		pool    string
	}
	lanes := map[lane][]Run{}
	for _, r := range c.h.Runs {
		lanes[lane{r.Process, r.Pool}] = append(lanes[lane{r.Process, r.Pool}], r)
	}
	keys := slices.SortedFunc(maps.Keys(lanes), func(a, b lane) int {
		return cmp.Or(cmp.Compare(a.process, b.process), cmp.Compare(a.pool, b.pool))
	})
	for _, k := range keys {
		limit, limited := c.h.Slots[k.pool]
		if !limited {
			continue
		}
		if at, n := peak(lanes[k]); n > limit {
			c.broke(Concurrency, "", "process %d ran %d of pool %s at %s, of at most %d", k.process, n, k.pool, at, limit)
		}
	}
}

// peak is the most runs at a time, and the first moment of it.
func peak(runs []Run) (at time.Duration, most int) {
	for _, r := range runs {
		n := 0
		for _, o := range runs {
			if o.Start <= r.Start && !o.over(r.Start) {
				n++
			}
		}
		if n > most || n == most && r.Start < at {
			at, most = r.Start, n
		}
	}
	return at, most
}
