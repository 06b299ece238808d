package worker

import (
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/executors"
)

// override lets the last executor of each id in Override take the place of those before it, which are kept to be closed.
func (c *Config) override() {
	at := map[string]int{}
	var left []executors.Executor
	for _, e := range c.Executors {
		if isNil(e) {
			left = append(left, e) // which validate reports
			continue
		}
		id := e.Describe().ID
		i, taken := at[id]
		if taken && slices.Contains(c.Override, id) {
			c.replaced = append(c.replaced, left[i])
			left[i] = e
			continue
		}
		at[id] = len(left)
		left = append(left, e)
	}
	c.Executors = left
}

// twice says which executors have the same id.
func twice(id string, first, second executors.Executor) string {
	return fmt.Sprintf("executor id %q is registered by %s and by %s; TASKGROVE_EXECUTOR_OVERRIDE=%s, or worker.Config.Override, lets the last one take its place",
		id, executors.OwnerOf(first), executors.OwnerOf(second), id)
}
