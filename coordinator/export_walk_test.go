package coordinator

import "time"

// SetWalkAfter shortens the time after a change of keys until rows are sealed anew.
func (c *Coordinator) SetWalkAfter(d time.Duration) { c.walkAfter.Store(int64(d)) }
