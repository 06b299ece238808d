package ledger

import "fmt"

// Check compares the counts with the attempts that are there. It costs a walk over all of them, and is for tests.
func (l *Ledger[A]) Check() error {
	inHand, kept, bytes := 0, 0, 0
	held := make([]int, len(l.held))
	for k, a := range l.attempts {
		e := a.Self()
		if e.Key != k || e.phase == gone {
			return fmt.Errorf("attempt %v is listed as %v in phase %d", e.Key, k, e.phase)
		}
		if e.holdsSlot {
			inHand++
			held[e.Pool]++
		}
		if e.phase == reported {
			kept++
			bytes += e.Result.Bytes
		}
	}
	if inHand != l.inHand || kept != l.kept || bytes != l.keptBytes {
		return fmt.Errorf("it counts %d slots, %d kept results of %d bytes; it has %d, %d, %d", l.inHand, l.kept, l.keptBytes, inHand, kept, bytes)
	}
	for pool, n := range held {
		if n != l.held[pool] || n > l.limits.Slots[pool] {
			return fmt.Errorf("pool %d counts %d of %d slots; %d are held", pool, l.held[pool], l.limits.Slots[pool], n)
		}
	}
	return nil
}
