package template

import "sync"

// Texts with tokens are kept parsed, as tasks of a tree often have the same ones: two generations of so many, so that memory is bounded, and what is in use stays.
const (
	maxKept      = 1024 // of a generation
	maxKeptBytes = 512  // of a text
)

var parsed cache

type cache struct {
	mu         sync.RWMutex
	young, old map[kept]*Text
}

// kept is what a parsed text depends on.
type kept struct {
	text          string
	plain, blanks bool
}

func (r *Rules) key(text string) kept { return kept{text, r.Plain, r.Blanks} }

// get is a text that was put, or nil.
func (c *cache) get(r *Rules, text string) *Text {
	k := r.key(text)
	c.mu.RLock()
	t := c.young[k]
	old := c.old[k]
	c.mu.RUnlock()
	if t == nil && old != nil {
		c.put(r, text, old)
		return old
	}
	return t
}

func (c *cache) put(r *Rules, text string, t *Text) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxKept || c.young == nil {
		c.old, c.young = c.young, make(map[kept]*Text)
	}
	c.young[r.key(text)] = t
}
