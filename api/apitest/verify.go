package apitest

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Violate makes Verify find the violation from now on.
func (s *Service) Violate(v coordinator.Violation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, &v)
}

// Verify finds what [Service.Violate] was told.
func (s *Service) Verify(_ context.Context, treeOf string) iter.Seq2[*coordinator.Violation, error] {
	return func(yield func(*coordinator.Violation, error) bool) {
		found, tree, err := s.found(treeOf)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, v := range found {
			if tree != "" && v.TreeID != tree {
				continue
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (s *Service) found(treeOf string) (found []*coordinator.Violation, tree string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Verify"); err != nil {
		return nil, "", err
	}
	if treeOf != "" {
		t, ok := s.tasks[treeOf]
		if !ok {
			return nil, "", fmt.Errorf("verify tree of %s: %w", treeOf, coordinator.ErrNotFound)
		}
		tree = t.TreeID
	}
	return slices.Clone(s.violations), tree, nil
}
