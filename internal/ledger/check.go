package ledger

import "fmt"

// Check compares the counts with the attempts that are there. It costs a walk over all of them, and is for tests.
func (l *Ledger[A]) Check() error {
	inHand, kept, bytes := 0, 0, 0
	held, lined := make([]int, len(l.held)), make([]int, len(l.held))
	for k, a := range l.attempts {
		e := a.Self()
		if e.Key != k || e.phase == gone {
			return fmt.Errorf("attempt %v is listed as %v in phase %d", e.Key, k, e.phase)
		}
		if e.holdsSlot {
			inHand++
			held[e.Pool]++
		}
		if e.inLine {
			inHand++
			lined[e.Pool]++
			if e.holdsSlot || e.phase != waiting {
				return fmt.Errorf("attempt %v is in line in phase %d, with a slot: %v", e.Key, e.phase, e.holdsSlot)
			}
		}
		if e.phase == reported {
			kept++
			bytes += e.Result.Bytes
		}
	}
	if inHand != l.inHand || kept != l.kept || bytes != l.keptBytes {
		return fmt.Errorf("it counts %d in hand, %d kept results of %d bytes; it has %d, %d, %d", l.inHand, l.kept, l.keptBytes, inHand, kept, bytes)
	}
	for pool, n := range held {
		if n != l.held[pool] || n > l.limits.Slots[pool] {
			return fmt.Errorf("pool %d counts %d of %d slots; %d are held", pool, l.held[pool], l.limits.Slots[pool], n)
		}
		ln := &l.lines[pool]
		if lined[pool] != ln.n {
			return fmt.Errorf("pool %d counts %d in line; there are %d", pool, ln.n, lined[pool])
		}
		if _, _, some := ln.next(); some && n < l.limits.Slots[pool] {
			return fmt.Errorf("pool %d has a free slot, and an attempt that could start waits in line", pool)
		}
	}
	return nil
}
