package executors

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// Registry is the set of executors of one worker. Register all before the worker starts; reads need no lock.
type Registry struct {
	byID map[string]Executor
}

// NewRegistry holds the executors given.
// It panics on a duplicate or empty id: that is a programmer's error, seen at start-up.
func NewRegistry(all ...Executor) *Registry {
	r := &Registry{byID: map[string]Executor{}}
	for _, e := range all {
		r.Register(e)
	}
	return r
}

// Register adds an executor. It panics when the id is empty or taken.
func (r *Registry) Register(e Executor) {
	id := e.Describe().ID
	if id == "" {
		panic(fmt.Sprintf("executor %T has no id", e))
	}
	if old, taken := r.byID[id]; taken {
		panic(fmt.Sprintf("executor id %q is already registered by %T", id, old))
	}
	r.byID[id] = e
}

// Get is the executor with the id.
func (r *Registry) Get(id string) (Executor, bool) {
	e, ok := r.byID[id]
	return e, ok
}

// IDs are all ids, sorted.
func (r *Registry) IDs() []string {
	ids := make([]string, 0, len(r.byID))
	for id := range r.byID {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}

// Types are all types, sorted, each once.
func (r *Registry) Types() []string {
	var types []string
	for _, e := range r.byID {
		types = append(types, e.Describe().Type)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// Close closes the executors that are an io.Closer: those that keep connections open between attempts. The worker calls
// it once, when no attempt runs any more.
func (r *Registry) Close() error {
	var errs []error
	for _, id := range r.IDs() {
		if c, ok := r.byID[id].(io.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close executor %s: %w", id, err))
			}
		}
	}
	return errors.Join(errs...)
}
