package apitest

import (
	"context"
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// SetModelKey keeps a key of a user.
func (s *Service) SetModelKey(_ context.Context, userID string, key coordinator.ModelKeyOf) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("SetModelKey"); err != nil {
		return err
	}
	if s.keys == nil {
		s.keys = map[string]map[string]modelkey.Key{}
	}
	if s.keys[userID] == nil {
		s.keys[userID] = map[string]modelkey.Key{}
	}
	provider := key.Provider
	if provider == "" {
		provider = coordinator.AnyProvider
	}
	s.keys[userID][provider] = key.Key
	return nil
}

// ModelKeys are the providers that a user has keys for.
func (s *Service) ModelKeys(_ context.Context, userID string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("ModelKeys"); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.keys[userID])), nil
}

// DeleteModelKey forgets keys of a user.
func (s *Service) DeleteModelKey(_ context.Context, userID, provider string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("DeleteModelKey"); err != nil {
		return false, err
	}
	before := len(s.keys[userID])
	if provider == "" {
		delete(s.keys, userID)
	} else {
		delete(s.keys[userID], provider)
	}
	return len(s.keys[userID]) < before, nil
}
