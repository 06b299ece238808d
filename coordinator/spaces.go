package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// spaceFresh is how long a coordinator goes by what it has read of a namespace: after so long at most, what another one changed of it holds here.
const spaceFresh = 10 * time.Second

// maxSpaceTrees is of how many trees the namespace is remembered.
const maxSpaceTrees = 100_000

// spaces are the namespaces that this process has met. The key of a name and the name of a key are in Postgres; a name may get another key when its
// namespace is deleted and made anew, a key never gets another name. Safe for concurrent use.
type spaces struct {
	store    *pg.Store
	internal func(what string, err error) error // see [Coordinator.internal]

	mu     sync.Mutex
	byName map[string]*space
	names  map[dag.NamespaceKey]string
	trees  map[dag.TreeKey]dag.NamespaceKey // of other namespaces than default; a tree stays in its namespace
}

// space is a namespace as it was read.
type space struct {
	pg.Namespace
	read time.Time
}

func newSpaces(store *pg.Store, internal func(string, error) error) *spaces {
	return &spaces{store: store, internal: internal, byName: map[string]*space{}, names: map[dag.NamespaceKey]string{}, trees: map[dag.TreeKey]dag.NamespaceKey{}}
}

// key is the key of a namespace, which is there. [ErrNotFound].
func (s *spaces) key(ctx context.Context, name string) (dag.NamespaceKey, error) {
	if name == DefaultNamespace {
		return dag.DefaultNamespaceKey, nil
	}
	n, err := s.get(ctx, name)
	if err != nil {
		return 0, err
	}
	return n.Key, nil
}

// get is a namespace by its name. What is not known is looked up, so that one that was just made is found. [ErrNotFound]: it is not there, or is
// being deleted.
func (s *spaces) get(ctx context.Context, name string) (*pg.Namespace, error) {
	if !policy.NamespaceName(name) {
		return nil, ErrNotFound
	}
	s.mu.Lock()
	had := s.byName[name]
	s.mu.Unlock()
	if had == nil || time.Since(had.read) > spaceFresh {
		n, err := s.store.NamespaceByName(ctx, name)
		switch {
		case errors.Is(err, pg.ErrNotFound):
			s.forget(name)
			return nil, ErrNotFound
		case err != nil:
			return nil, s.internal("look up a namespace", err)
		}
		had = s.keep(n)
	}
	if had.ClosedAt != nil {
		return nil, ErrNotFound
	}
	return &had.Namespace, nil
}

// keep remembers what was read.
func (s *spaces) keep(n *pg.Namespace) *space {
	one := &space{Namespace: *n, read: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byName) > pg.MaxNamespaces { // some are gone
		clear(s.byName)
	}
	if len(s.names) > 2*pg.MaxNamespaces {
		clear(s.names)
	}
	s.byName[n.Name], s.names[n.Key] = one, n.Name
	return one
}

// forget has a namespace looked up anew.
func (s *spaces) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
}

// name is what a namespace is called. Of one that can't be found it is made up.
func (s *spaces) name(ctx context.Context, key dag.NamespaceKey) string {
	if key == dag.DefaultNamespaceKey {
		return DefaultNamespace
	}
	s.mu.Lock()
	name := s.names[key]
	s.mu.Unlock()
	if name != "" {
		return name
	}
	n, err := s.store.NamespaceByKey(ctx, key)
	if err != nil {
		return fmt.Sprintf("namespace-%d", key)
	}
	return s.keep(n).Name
}

// ofTree is the namespace of a tree. [ErrNotFound].
func (s *spaces) ofTree(ctx context.Context, tree dag.TreeKey) (dag.NamespaceKey, error) {
	s.mu.Lock()
	key, known := s.trees[tree]
	s.mu.Unlock()
	if known {
		return key, nil
	}
	found, err := s.store.NamespacesOf(ctx, []dag.TreeKey{tree})
	if err != nil {
		return 0, s.internal("look up the namespace of a tree", err)
	}
	key, ok := found[tree]
	if !ok {
		return 0, ErrNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.trees) >= maxSpaceTrees {
		clear(s.trees)
	}
	s.trees[tree] = key
	return key, nil
}

// here is the key of the namespace whose calls this handle serves. [ErrNotFound].
func (c *Coordinator) here(ctx context.Context) (dag.NamespaceKey, error) {
	return c.spaces.key(ctx, c.namespace)
}

// NamespaceKey is the key of a namespace: what rows of other tables name it by. It is remembered for a while: a namespace that another coordinator
// deletes is found for 10 seconds more at most, one that it makes at once. [ErrNotFound].
func (c *Coordinator) NamespaceKey(ctx context.Context, name string) (dag.NamespaceKey, error) {
	return c.spaces.key(ctx, name)
}

// NamespaceName is the name of a key's namespace, which it had before if it is gone.
func (c *Coordinator) NamespaceName(ctx context.Context, key dag.NamespaceKey) string {
	return c.spaces.name(ctx, key)
}

// NamespaceOfTree is the namespace that a tree belongs to, which is remembered. [ErrNotFound].
func (c *Coordinator) NamespaceOfTree(ctx context.Context, tree dag.TreeKey) (dag.NamespaceKey, error) {
	return c.spaces.ofTree(ctx, tree)
}

// gone says that what was to be stored was of a namespace that is not there any more.
func (c *Coordinator) gone(err error) error {
	if errors.Is(err, pg.ErrNoNamespace) {
		c.spaces.forget(c.namespace)
		return ErrNotFound
	}
	return err
}
