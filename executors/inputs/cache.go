package inputs

import (
	"container/list"
	"sync"
)

// maxCachedBytes is the largest schema that is kept compiled; larger ones are compiled each time, so that the cache is
// bounded in bytes as well as in entries.
const maxCachedBytes = 64 << 10

// cache keeps the schemas that were used last, also those that can't be compiled.
type cache struct {
	capacity int

	mu      sync.Mutex
	entries map[string]*list.Element
	order   *list.List // of *entry, the last used first
}

type entry struct {
	key    string // form and text
	schema *compiled
	err    error
}

func newCache(capacity int) *cache {
	return &cache{capacity: capacity, entries: map[string]*list.Element{}, order: list.New()}
}

// get compiles outside the lock: two attempts with a new schema may both do it.
func (c *cache) get(f form, text []byte) (*compiled, error) {
	if len(text) > maxCachedBytes {
		return compile(f, text)
	}
	key := string(f) + string(text)
	c.mu.Lock()
	if e, ok := c.entries[key]; ok {
		c.order.MoveToFront(e)
		c.mu.Unlock()
		found := e.Value.(*entry)
		return found.schema, found.err
	}
	c.mu.Unlock()
	made := &entry{key: key}
	made.schema, made.err = compile(f, text)

	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; !ok {
		c.entries[key] = c.order.PushFront(made)
		for c.order.Len() > c.capacity {
			last := c.order.Remove(c.order.Back()).(*entry)
			delete(c.entries, last.key)
		}
	}
	return made.schema, made.err
}
