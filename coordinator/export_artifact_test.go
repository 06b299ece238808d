package coordinator

import "context"

// Sweep deletes the contents that nothing refers to now.
func (c *Coordinator) Sweep(ctx context.Context) error { return c.sweep(ctx) }
