package apitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// CreateAPIKey makes a key. Nobody calls with it here.
func (s *Service) CreateAPIKey(_ context.Context, spec coordinator.APIKeySpec) (*coordinator.NewAPIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("CreateAPIKey"); err != nil {
		return nil, err
	}
	if spec.UserID == "" {
		return nil, &coordinator.InvalidArgumentError{Field: "user_id", Reason: "must be 1 to 255 characters without control characters"}
	}
	now := time.Now().Truncate(time.Microsecond)
	k := &coordinator.APIKey{ID: fmt.Sprint("key_", len(s.apiKeys)+1), Name: spec.Name, Namespace: coordinator.DefaultNamespace, UserID: spec.UserID, Scopes: spec.Scopes,
		CreatedAt: now, ExpiresAt: now.Add(cmp.Or(spec.Expires, coordinator.DefaultKeyLife))}
	for _, role := range spec.Roles {
		if !strings.Contains(role, ":") {
			role = k.Namespace + ":" + role
		}
		k.Roles = append(k.Roles, role)
	}
	s.apiKeys = append(s.apiKeys, k)
	return s.newKey(k), nil
}

// newKey is a key with another secret each time. The caller holds mu.
func (s *Service) newKey(k *coordinator.APIKey) *coordinator.NewAPIKey {
	s.secrets++
	return &coordinator.NewAPIKey{APIKey: *k, Secret: fmt.Sprintf("%s%043d000000", coordinator.KeyPrefix, s.secrets)}
}

// APIKeys lists keys.
func (s *Service) APIKeys(_ context.Context, f coordinator.APIKeyFilter) (page coordinator.Page[*coordinator.APIKey], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinator.APIKey
	for _, k := range s.apiKeys {
		if (f.UserID == "" || k.UserID == f.UserID) && (f.Ended || k.RevokedAt.IsZero()) {
			one := *k
			all = append(all, &one)
		}
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// apiKey is the one with the id. The caller holds mu.
func (s *Service) apiKey(id string) (*coordinator.APIKey, error) {
	i := slices.IndexFunc(s.apiKeys, func(k *coordinator.APIKey) bool { return k.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("API key %s: %w", id, coordinator.ErrNotFound)
	}
	return s.apiKeys[i], nil
}

// RevokeAPIKey ends a key.
func (s *Service) RevokeAPIKey(_ context.Context, id string) (*coordinator.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.apiKey(id)
	if err != nil {
		return nil, err
	}
	if k.RevokedAt.IsZero() {
		k.RevokedAt = time.Now().Truncate(time.Microsecond)
	}
	one := *k
	return &one, nil
}

// RotateAPIKey replaces a key.
func (s *Service) RotateAPIKey(_ context.Context, id string, grace time.Duration) (*coordinator.NewAPIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.apiKey(id)
	switch {
	case err != nil:
		return nil, err
	case grace < 0 || grace > coordinator.MaxKeyGrace:
		return nil, &coordinator.InvalidArgumentError{Field: "grace", Reason: "must be from 0 to 7 days"}
	case !k.RevokedAt.IsZero():
		return nil, coordinator.ErrNotFound
	}
	return s.newKey(k), nil
}

// keying are the scenarios of API keys.
var keying = map[string]func(*site){
	"API keys are made, listed, replaced and ended": func(s *site) {
		s.has("CreateAPIKey", "APIKeys", "RevokeAPIKey", "RotateAPIKey")
		owner := s.id("owner")
		spec := coordinator.APIKeySpec{Name: "night job", UserID: owner, Roles: []string{"operator", "team-a:viewer"}, Scopes: []coordinator.Permission{"trees.read"}, Expires: time.Hour}
		got, err := s.svc.CreateAPIKey(s.Context(), spec)
		made := must(s, got, err)
		want := func(k *coordinator.APIKey) {
			s.Helper()
			if k.ID != made.ID || k.Name != spec.Name || k.UserID != owner || k.Namespace != coordinator.DefaultNamespace || !slices.Equal(k.Roles, []string{"default:operator", "team-a:viewer"}) ||
				!slices.Equal(k.Scopes, spec.Scopes) || k.CreatedAt.IsZero() || k.ExpiresAt.Sub(k.CreatedAt) != time.Hour {
				s.Errorf("it is shown as %+v", k)
			}
		}
		want(&made.APIKey)
		if !strings.HasPrefix(made.Secret, coordinator.KeyPrefix) || len(made.Secret) != 53 {
			s.Errorf("the key is %q", made.Secret)
		}
		listed, err := s.svc.APIKeys(s.Context(), coordinator.APIKeyFilter{UserID: owner})
		if listed = must(s, listed, err); len(listed.Items) != 1 {
			s.Fatalf("listed: %+v", listed)
		}
		want(listed.Items[0])
		got, err = s.svc.RotateAPIKey(s.Context(), made.ID, time.Minute)
		if rotated := must(s, got, err); rotated.ID != made.ID || rotated.Secret == made.Secret || rotated.Secret == "" {
			s.Errorf("replaced: %+v", rotated)
		}
		ended, err := s.svc.RevokeAPIKey(s.Context(), made.ID)
		if ended = must(s, ended, err); ended.RevokedAt.IsZero() {
			s.Errorf("ended: %+v", ended)
		}
		again, err := s.svc.RevokeAPIKey(s.Context(), made.ID)
		if again = must(s, again, err); !again.RevokedAt.Equal(ended.RevokedAt) {
			s.Errorf("ended again: %+v", again)
		}
		for shown, f := range map[int]coordinator.APIKeyFilter{0: {UserID: owner}, 1: {UserID: owner, Ended: true}} {
			listed, err := s.svc.APIKeys(s.Context(), f)
			if listed = must(s, listed, err); len(listed.Items) != shown {
				s.Errorf("%+v: listed %+v", f, listed)
			}
		}
		_, err = s.svc.RotateAPIKey(s.Context(), made.ID, 0)
		s.wantFault("the ended one", err, api.NotFound)
	},
	"API keys are listed page by page": func(s *site) {
		s.has("CreateAPIKey", "APIKeys")
		owner, want := s.id("many"), ""
		for range 3 {
			made, err := s.svc.CreateAPIKey(s.Context(), coordinator.APIKeySpec{UserID: owner})
			want += must(s, made, err).ID + " "
		}
		got, cursor := "", ""
		for {
			page, err := s.svc.APIKeys(s.Context(), coordinator.APIKeyFilter{UserID: owner, Limit: 2, Cursor: cursor})
			page = must(s, page, err)
			for _, k := range page.Items {
				got += k.ID + " "
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if got != want {
			s.Errorf("got %q, want %q", got, want)
		}
	},
	"what no API key can be is refused, and what is not there is not found": func(s *site) {
		s.has("CreateAPIKey", "RevokeAPIKey", "RotateAPIKey")
		_, err := s.svc.CreateAPIKey(s.Context(), coordinator.APIKeySpec{})
		if f := s.wantFault("a key of nobody", err, api.Invalid); f != nil && !strings.Contains(f.Text+fmt.Sprint(f.Problems), "user_id") {
			s.Errorf("got %q", f.Text)
		}
		_, err = s.svc.RevokeAPIKey(s.Context(), s.id("none"))
		s.wantFault("revoke", err, api.NotFound)
		_, err = s.svc.RotateAPIKey(s.Context(), s.id("none"), 0)
		s.wantFault("rotate", err, api.NotFound)
	},
}
