package inputs

import (
	"container/list"
	"sync"
)

// maxCachedBytes is the size of the largest schema that is cached. This bounds the cache in bytes, too; larger schemas are
// compiled each time.
const maxCachedBytes = 64 << 10

// cache holds the most recently used schemas, including those that can't be compiled.
type cache struct {
	capacity int

	mu      sync.Mutex
	entries map[string]*list.Element
	order   *list.List // of *entry, most recently used first
}

type entry struct {
	key    string // form and text
	schema *compiled
	err    error
}

func newCache(capacity int) *cache {
	return &cache{capacity: capacity, entries: map[string]*list.Element{}, order: list.New()}
}

// get compiles outside the lock, so two attempts with the same new schema may both compile it.
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
