package apitest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// CreateNamespace makes a namespace. This service has no trees in any but default.
func (s *Service) CreateNamespace(_ context.Context, spec coordinator.NamespaceSpec) (*coordinator.NamespaceInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("CreateNamespace"); err != nil {
		return nil, err
	}
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if _, taken := s.namespaces[spec.Name]; taken || spec.Name == coordinator.DefaultNamespace {
		return nil, fmt.Errorf("%w: there is a namespace %s", coordinator.ErrConflict, spec.Name)
	}
	n := &coordinator.NamespaceInfo{Name: spec.Name, Description: spec.Description, CreatedAt: time.Now().Truncate(time.Microsecond), Quotas: spec.Quotas}
	counted(n)
	if s.namespaces == nil {
		s.namespaces = map[string]*coordinator.NamespaceInfo{}
	}
	s.namespaces[n.Name] = n
	one := *n
	return &one, nil
}

// counted has a namespace with quotas show that it is empty.
func counted(n *coordinator.NamespaceInfo) {
	n.Trees, n.Tasks, n.Bytes = nil, nil, nil
	if n.Quotas != (coordinator.Quotas{}) {
		n.Trees, n.Tasks, n.Bytes = new(int64), new(int64), new(int64)
	}
}

// namespace is the one with the name. The caller holds mu.
func (s *Service) namespace(name string) (*coordinator.NamespaceInfo, error) {
	if n, ok := s.namespaces[name]; ok {
		return n, nil
	}
	if name == coordinator.DefaultNamespace {
		return &coordinator.NamespaceInfo{Name: name, Description: "of who names none", CreatedAt: time.Unix(0, 0)}, nil
	}
	return nil, coordinator.ErrNotFound
}

// GetNamespace shows a namespace.
func (s *Service) GetNamespace(_ context.Context, name string) (*coordinator.NamespaceInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.namespace(name)
	if err != nil {
		return nil, err
	}
	one := *n
	return &one, nil
}

// ListNamespaces shows namespaces.
func (s *Service) ListNamespaces(_ context.Context, f coordinator.NamespaceFilter) (page coordinator.Page[*coordinator.NamespaceInfo], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := append(slices.Collect(maps.Keys(s.namespaces)), coordinator.DefaultNamespace)
	slices.Sort(names)
	var all []*coordinator.NamespaceInfo
	for _, name := range names {
		n, err := s.namespace(name)
		if err != nil {
			return page, err
		}
		one := *n
		all = append(all, &one)
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// UpdateNamespace changes a namespace.
func (s *Service) UpdateNamespace(_ context.Context, name string, change coordinator.NamespaceChange) (*coordinator.NamespaceInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.namespace(name)
	if err != nil {
		return nil, err
	}
	if change.Description != nil {
		n.Description = *change.Description
	}
	n.Quotas = n.Quotas.Changed(change.Quotas)
	counted(n)
	one := *n
	return &one, nil
}

// DeleteNamespace deletes a namespace.
func (s *Service) DeleteNamespace(_ context.Context, name string, _ bool) (*coordinator.NamespaceInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == coordinator.DefaultNamespace {
		return nil, &coordinator.InvalidArgumentError{Field: "name", Reason: "is that of the namespace of who names none, which can't be deleted"}
	}
	if _, err := s.namespace(name); err != nil {
		return nil, err
	}
	delete(s.namespaces, name)
	return nil, nil
}

// naming are the scenarios of namespaces.
var naming = map[string]func(*site){
	"namespaces are made, listed, changed and deleted": func(s *site) {
		s.has("CreateNamespace", "GetNamespace", "ListNamespaces", "UpdateNamespace", "DeleteNamespace")
		name, most := "n-"+fmt.Sprint(time.Now().UnixNano()), int64(5)
		got, err := s.svc.CreateNamespace(s.Context(), coordinator.NamespaceSpec{Name: name, Description: "a team's", Quotas: coordinator.Quotas{Trees: &most}})
		made := must(s, got, err)
		want := func(n *coordinator.NamespaceInfo, description string) {
			s.Helper()
			if n.Name != name || n.Description != description || n.Quotas.Trees == nil || *n.Quotas.Trees != 5 || n.Quotas.Tasks != nil || n.Trees == nil || *n.Trees != 0 ||
				n.CreatedAt.IsZero() || n.Deleting {
				s.Errorf("it is shown as %+v", n)
			}
		}
		want(made, "a team's")
		_, err = s.svc.CreateNamespace(s.Context(), coordinator.NamespaceSpec{Name: name})
		s.wantFault("a name twice", err, api.Conflict)
		found := false
		for cursor, more := "", true; more; more = cursor != "" {
			page, err := s.svc.ListNamespaces(s.Context(), coordinator.NamespaceFilter{Cursor: cursor})
			page = must(s, page, err)
			for _, n := range page.Items {
				found = found || n.Name == name
			}
			cursor = page.Next
		}
		if !found {
			s.Errorf("it is not listed")
		}
		other := "of another team"
		changed, err := s.svc.UpdateNamespace(s.Context(), name, coordinator.NamespaceChange{Description: &other})
		want(must(s, changed, err), other)
		left, err := s.svc.DeleteNamespace(s.Context(), name, false)
		if err != nil || left != nil {
			s.Errorf("deleted: %+v, %v", left, err)
		}
		_, err = s.svc.GetNamespace(s.Context(), name)
		s.wantFault("it is still there", err, api.NotFound)
	},
	"what is no name of a namespace is refused": func(s *site) {
		s.has("CreateNamespace", "DeleteNamespace")
		for _, name := range []string{"", "-a", "a-", "A", "a_b", "ä"} {
			_, err := s.svc.CreateNamespace(s.Context(), coordinator.NamespaceSpec{Name: name})
			s.wantFault(name, err, api.Invalid)
		}
		_, err := s.svc.DeleteNamespace(s.Context(), coordinator.DefaultNamespace, true)
		s.wantFault("default", err, api.Invalid)
	},
}
