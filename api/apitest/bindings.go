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

// GrantRole stores a binding. Nobody holds the role by it here.
func (s *Service) GrantRole(_ context.Context, b coordinator.Binding) (*coordinator.StoredBinding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Namespace = cmp.Or(b.Namespace, coordinator.DefaultNamespace)
	if b.Subject == "" {
		return nil, &coordinator.InvalidArgumentError{Field: "subject", Reason: "must be 1 to 255 characters without control characters"}
	}
	i := s.binding(b)
	if i < 0 {
		i = len(s.bindings)
		s.bindings = append(s.bindings, &coordinator.StoredBinding{Binding: b, GrantedAt: time.Now().Truncate(time.Microsecond)})
	}
	one := *s.bindings[i]
	return &one, nil
}

// binding is where one stands, or -1. The caller holds mu.
func (s *Service) binding(b coordinator.Binding) int {
	return slices.IndexFunc(s.bindings, func(has *coordinator.StoredBinding) bool {
		return has.Namespace == b.Namespace && has.Kind == b.Kind && has.Subject == b.Subject && has.Issuer == b.Issuer && has.Role == b.Role
	})
}

// RevokeRole ends a binding.
func (s *Service) RevokeRole(_ context.Context, b coordinator.Binding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Namespace = cmp.Or(b.Namespace, coordinator.DefaultNamespace)
	i := s.binding(b)
	if i < 0 {
		return coordinator.ErrNotFound
	}
	s.bindings = slices.Delete(s.bindings, i, i+1)
	return nil
}

// Bindings lists bindings.
func (s *Service) Bindings(_ context.Context, f coordinator.BindingFilter) (page coordinator.Page[*coordinator.StoredBinding], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinator.StoredBinding
	for _, b := range s.bindings {
		if in := cmp.Or(f.Namespace, coordinator.DefaultNamespace); (in == coordinator.AllNamespaces || in == b.Namespace) && (f.Subject == "" || f.Subject == b.Subject) {
			one := *b
			all = append(all, &one)
		}
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// WhoAmI is nobody in particular.
func (s *Service) WhoAmI(ctx context.Context) (*coordinator.Identity, error) {
	return (&coordinator.Coordinator{}).In(coordinator.DefaultNamespace).WhoAmI(ctx)
}

// CanI allows everything.
func (s *Service) CanI(ctx context.Context, q coordinator.AccessQuestion) ([]coordinator.AccessAnswer, error) {
	return (&coordinator.Coordinator{}).In(coordinator.DefaultNamespace).CanI(ctx, q)
}

// ListRoles is the table of the policy.
func (s *Service) ListRoles(context.Context) ([]coordinator.RoleRights, error) {
	return coordinator.AllRoles(), nil
}

// binding are the scenarios of [coordinator.Bindings] and [coordinator.Introspection].
var binding = map[string]func(*site){
	"roles are given, listed and taken": func(s *site) {
		s.has("GrantRole", "RevokeRole", "Bindings")
		who := s.id("who")
		b := coordinator.Binding{Kind: coordinator.GroupSubject, Subject: who, Issuer: "https://id", Role: "viewer"}
		got, err := s.svc.GrantRole(s.Context(), b)
		made := must(s, got, err)
		b.Namespace = coordinator.DefaultNamespace
		if made.Binding != b || made.GrantedAt.IsZero() {
			s.Errorf("given: %+v", made)
		}
		got, err = s.svc.GrantRole(s.Context(), b)
		if again := must(s, got, err); !again.GrantedAt.Equal(made.GrantedAt) {
			s.Errorf("given again: %+v", again)
		}
		all := b
		all.Namespace = coordinator.AllNamespaces
		got, err = s.svc.GrantRole(s.Context(), all)
		must(s, got, err)
		for want, f := range map[int]coordinator.BindingFilter{1: {Subject: who}, 2: {Subject: who, Namespace: coordinator.AllNamespaces}, 0: {Subject: who, Namespace: "elsewhere"}} {
			page, err := s.svc.Bindings(s.Context(), f)
			if page = must(s, page, err); len(page.Items) != want || want == 1 && page.Items[0].Binding != b {
				s.Errorf("%+v: listed %+v", f, page.Items)
			}
		}
		page, err := s.svc.Bindings(s.Context(), coordinator.BindingFilter{Subject: who, Namespace: coordinator.AllNamespaces, Limit: 1})
		if page = must(s, page, err); len(page.Items) != 1 || page.Next == "" {
			s.Fatalf("the first page: %+v", page)
		}
		page, err = s.svc.Bindings(s.Context(), coordinator.BindingFilter{Subject: who, Namespace: coordinator.AllNamespaces, Limit: 1, Cursor: page.Next})
		if page = must(s, page, err); len(page.Items) != 1 || page.Items[0].Binding != all || page.Next != "" {
			s.Errorf("the last page: %+v", page)
		}
		if err := s.svc.RevokeRole(s.Context(), b); err != nil {
			s.Errorf("taken: %v", err)
		}
		s.wantFault("taken again", s.svc.RevokeRole(s.Context(), b), api.NotFound)
	},
	"what can't be given is refused": func(s *site) {
		s.has("GrantRole")
		_, err := s.svc.GrantRole(s.Context(), coordinator.Binding{Kind: coordinator.UserSubject, Role: "viewer"})
		if f := s.wantFault("to nobody", err, api.Invalid); f != nil && !strings.Contains(f.Text+fmt.Sprint(f.Problems), "subject") {
			s.Errorf("got %q", f.Text)
		}
	},
	"callers learn who they are, and what they may do": func(s *site) {
		s.has("WhoAmI", "CanI", "ListRoles")
		got, err := s.svc.WhoAmI(s.Context())
		if me := must(s, got, err); me.User != "" || me.Kind != coordinator.AnonymousCaller || me.Namespace != coordinator.DefaultNamespace || !me.Complete {
			s.Errorf("who: %+v", me)
		}
		answers, err := s.svc.CanI(s.Context(), coordinator.AccessQuestion{Permissions: []coordinator.Permission{"trees.read"}})
		if answers = must(s, answers, err); !slices.Equal(answers, []coordinator.AccessAnswer{{Permission: "trees.read", Allowed: true, Reach: "all"}}) {
			s.Errorf("answers: %+v", answers)
		}
		_, err = s.svc.CanI(s.Context(), coordinator.AccessQuestion{Permissions: []coordinator.Permission{"trees.fell"}})
		s.wantFault("no permission", err, api.Invalid)
		roles, err := s.svc.ListRoles(s.Context())
		want := coordinator.AllRoles()
		if roles = must(s, roles, err); !slices.EqualFunc(roles, want, func(a, b coordinator.RoleRights) bool {
			return a.Name == b.Name && a.Text == b.Text && slices.Equal(a.Rights, b.Rights)
		}) {
			s.Errorf("roles: %+v", roles)
		}
	},
}
