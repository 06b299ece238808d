package apitest

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// SetPoolRule keeps a rule. Nobody goes by it here.
func (s *Service) SetPoolRule(_ context.Context, rule dag.PoolRule) error {
	if err := coordinator.CheckPoolRule(&rule); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("SetPoolRule"); err != nil {
		return err
	}
	s.poolRules = slices.DeleteFunc(s.poolRules, func(r *dag.PoolRule) bool { return r.Pool == rule.Pool })
	s.poolRules = append(s.poolRules, &rule)
	slices.SortFunc(s.poolRules, func(a, b *dag.PoolRule) int { return cmp.Compare(a.Pool, b.Pool) })
	return nil
}

// PoolRules are the rules that were kept.
func (s *Service) PoolRules(context.Context) ([]*dag.PoolRule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.poolRules), nil
}

// DeletePoolRule forgets a rule.
func (s *Service) DeletePoolRule(_ context.Context, pool string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.poolRules)
	if s.poolRules = slices.DeleteFunc(s.poolRules, func(r *dag.PoolRule) bool { return r.Pool == pool }); len(s.poolRules) == n {
		return coordinator.ErrNotFound
	}
	return nil
}

// ruling are the scenarios of rules of pools.
var ruling = map[string]func(*site){
	"rules of pools are set, listed, replaced and deleted": func(s *site) {
		s.has("SetPoolRule", "PoolRules", "DeletePoolRule")
		pool := s.id("pool")
		rule := dag.PoolRule{Pool: pool, Namespaces: []string{"team-a", "ml-*"}, Executors: []string{"rest_executor"}, Connections: []string{"warehouse"}, Secrets: []string{"ml-*", "x"}}
		must(s, 0, s.svc.SetPoolRule(s.Context(), rule))
		listed := func() []*dag.PoolRule {
			s.Helper()
			all, err := s.svc.PoolRules(s.Context())
			return slices.DeleteFunc(must(s, all, err), func(r *dag.PoolRule) bool { return r.Pool != pool })
		}
		if got := listed(); len(got) != 1 || !reflect.DeepEqual(*got[0], rule) {
			s.Errorf("listed: %+v", got)
		}
		must(s, 0, s.svc.SetPoolRule(s.Context(), dag.PoolRule{Pool: pool, Executors: []string{"sql*"}}))
		if got := listed(); len(got) != 1 || len(got[0].Namespaces) != 0 || !slices.Equal(got[0].Executors, []string{"sql*"}) {
			s.Errorf("replaced: %+v", got)
		}
		must(s, 0, s.svc.DeletePoolRule(s.Context(), pool))
		if got := listed(); len(got) != 0 {
			s.Errorf("deleted: %+v", got)
		}
		s.wantFault("delete it again", s.svc.DeletePoolRule(s.Context(), pool), api.NotFound)
	},
	"a rule of a pool that can't be is refused with all its faults": func(s *site) {
		s.has("SetPoolRule")
		f := s.wantFault("a rule", s.svc.SetPoolRule(s.Context(), dag.PoolRule{Pool: s.id("pool"), Namespaces: []string{"a*b"}, Secrets: []string{"x", ""}}), api.Invalid)
		if f == nil {
			return
		}
		told := f.Text
		for _, p := range f.Problems {
			told += " " + p.Field + " " + p.Reason
		}
		for _, want := range []string{"namespaces[0]", "secrets[1]"} {
			if !strings.Contains(told, want) {
				s.Errorf("got %+v, want %s in it", f, want)
			}
		}
	},
}
