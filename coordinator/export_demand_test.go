package coordinator

import "time"

// LearnLasting lets the coordinator know how long an attempt of a pool lasted.
func (c *Coordinator) LearnLasting(pool int32, lasted time.Duration) {
	c.demands.lasting.Learn(pool, lasted)
}
