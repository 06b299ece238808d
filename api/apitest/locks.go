package apitest

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Locks lists no lock: nothing runs here.
func (s *Service) Locks(_ context.Context, f coordinator.LockFilter) (page coordinator.Page[*coordinator.LockInfo], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return page, s.fault("Locks")
}

// BreakLock finds none.
func (s *Service) BreakLock(_ context.Context, spec coordinator.LockBreak) (*coordinator.BrokenLock, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("BreakLock"); err != nil {
		return nil, err
	}
	return nil, coordinator.ErrNotFound
}
