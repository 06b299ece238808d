package apitest

import (
	"context"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// SealStatus has the keys that were made. Nothing is sealed with them here.
func (s *Service) SealStatus(context.Context) (*coordinator.SealStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &coordinator.SealStatus{Sealed: true, Master: "local:0123", Keys: slices.Clone(s.sealKeys), Round: 2, Rows: 7, Generation: s.generation}, nil
}

// RotateDataKeys makes a key.
func (s *Service) RotateDataKeys(_ context.Context, namespace string) ([]coordinator.SealKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("RotateDataKeys"); err != nil {
		return nil, err
	}
	if namespace == "" {
		namespace = coordinator.DefaultNamespace
	} else if namespace != coordinator.DefaultNamespace {
		return nil, coordinator.ErrNotFound
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range s.sealKeys {
		if s.sealKeys[i].Retired.IsZero() {
			s.sealKeys[i].Retired = now
		}
	}
	fresh := coordinator.SealKey{Number: len(s.sealKeys) + 1, Namespace: namespace, Master: "local:0123", Created: now}
	s.sealKeys = append(s.sealKeys, fresh)
	return []coordinator.SealKey{fresh}, nil
}

// RewrapDataKeys wraps none.
func (s *Service) RewrapDataKeys(context.Context) (int, error) { return 0, nil }

// RotateTokens counts.
func (s *Service) RotateTokens(context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	return s.generation, nil
}

// sealing are the scenarios of keys that values are sealed with.
var sealing = map[string]func(*site){
	"data keys are rotated and listed": func(s *site) {
		s.has("SealStatus", "RotateDataKeys")
		made, err := s.svc.RotateDataKeys(s.Context(), coordinator.DefaultNamespace)
		if must(s, made, err); len(made) != 1 || made[0].Namespace != coordinator.DefaultNamespace || made[0].Master == "" || made[0].Created.IsZero() {
			s.Fatalf("made: %+v", made)
		}
		status, err := s.svc.SealStatus(s.Context())
		if must(s, status, err); status.Master != made[0].Master || !slices.ContainsFunc(status.Keys, func(k coordinator.SealKey) bool { return k.Number == made[0].Number }) {
			s.Errorf("status: %+v, want %+v in it", status, made[0])
		}
		_, err = s.svc.RotateDataKeys(s.Context(), "nowhere")
		s.wantFault("keys of no namespace", err, api.NotFound)
	},
	"data keys are wrapped anew, and tokens have another secret": func(s *site) {
		s.has("RewrapDataKeys", "RotateTokens")
		n, err := s.svc.RewrapDataKeys(s.Context())
		must(s, n, err)
		one, err := s.svc.RotateTokens(s.Context())
		must(s, one, err)
		if two, err := s.svc.RotateTokens(s.Context()); err != nil || two <= one {
			s.Errorf("generations %d, %d, %v", one, two, err)
		}
	},
}
