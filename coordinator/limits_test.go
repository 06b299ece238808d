package coordinator_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestWhoMayLimitAndPause: limits of keys and users are for who keeps the namespace, pools and everything for who keeps the cluster, and a tree is paused by
// who may cancel it. The record has who, what, why and what was set before.
func TestWhoMayLimitAndPause(t *testing.T) {
	t.Parallel()
	c := recorded(t, 1, nil)
	for _, user := range []string{"amy", "bob"} {
		c.Submit(coordinator.SubmitOptions{UserID: user, Hold: true}, noop("of-"+user, ""))
	}
	access := guard(c, 0, byRoles(owners{"of-amy": "amy", "of-bob": "bob"}))
	as := func(user string, roles ...string) coordinator.Service { return access.For(holding(user, roles...)) }
	submitter, keeper, viewer, chief := as("amy", "submitter@default"), as("kim", "operator@default"), as("vic", "viewer@default"), as("root", "admin@*")
	one, two := int32(1), int32(2)
	limit := func(svc coordinator.Service, target coordinator.LimitTarget, n *int32) error {
		spec := coordinator.LimitSpec{LimitTarget: target, Max: n, Reason: "why not"}
		if target.UserID != "" {
			spec.Max, spec.Running = nil, n
		}
		_, err := svc.SetLimit(t.Context(), spec)
		return err
	}
	pause := func(svc coordinator.Service, target coordinator.PauseTarget) error {
		_, err := svc.Pause(t.Context(), target, "maintenance")
		return err
	}
	key, user, pool := coordinator.LimitTarget{Key: "k"}, coordinator.LimitTarget{UserID: "amy"}, coordinator.LimitTarget{Pool: "apart"}
	amys, bobs, poolOf := coordinator.PauseTarget{TreeID: "of-amy"}, coordinator.PauseTarget{TreeID: "of-bob"}, coordinator.PauseTarget{Pool: "apart"}
	for what, tt := range map[string]struct {
		err error
		may bool
	}{
		"a submitter limits a key":            {limit(submitter, key, &one), false},
		"a submitter limits itself":           {limit(submitter, user, &one), false},
		"a viewer limits a key":               {limit(viewer, key, &one), false},
		"an operator limits a key":            {limit(keeper, key, &one), true},
		"an operator limits a user":           {limit(keeper, user, &one), true},
		"an operator limits a pool":           {limit(keeper, pool, &one), false},
		"an admin of the cluster limits one":  {limit(chief, pool, &one), true},
		"a submitter weighs itself":           {submitter.SetWeight(t.Context(), "amy", 100), false},
		"a submitter pauses its tree":         {pause(submitter, amys), true},
		"a submitter pauses another's":        {pause(submitter, bobs), false},
		"a submitter pauses a pool":           {pause(submitter, poolOf), false},
		"an operator pauses a tree":           {pause(keeper, bobs), true},
		"an operator pauses a pool":           {pause(keeper, poolOf), false},
		"a viewer pauses a tree":              {pause(viewer, bobs), false},
		"an operator pauses everything":       {pause(keeper, coordinator.PauseTarget{Everything: true}), false},
		"an admin of the cluster pauses one":  {pause(chief, poolOf), true},
		"a submitter resumes another's":       {submitter.Resume(t.Context(), bobs), false},
		"an operator deletes a pool's limit":  {keeper.DeleteLimit(t.Context(), pool, 0), false},
		"an operator limits it in two places": {limit(keeper, coordinator.LimitTarget{Key: "k", Pool: "apart"}, &one), false},
	} {
		if denied := errors.Is(tt.err, coordinator.ErrDenied); denied == tt.may || tt.may && tt.err != nil {
			t.Errorf("%s: got %v", what, tt.err)
		}
	}
	listed := func(svc coordinator.Service) string {
		page, err := svc.Limits(t.Context(), coordinator.LimitFilter{})
		names := []string{fmt.Sprint(errors.Is(err, coordinator.ErrDenied))}
		for _, l := range page.Items {
			names = append(names, l.Key+l.Pool+l.UserID+" by "+l.SetBy)
		}
		return strings.Join(names, ", ")
	}
	paused := func(svc coordinator.Service) string {
		page, err := svc.Pauses(t.Context(), coordinator.PauseFilter{})
		if err != nil {
			t.Error(err)
		}
		var names []string
		for _, p := range page.Items {
			names = append(names, p.TreeID+p.Pool+" by "+p.SetBy)
		}
		slices.Sort(names)
		return strings.Join(names, ", ")
	}
	for what, tt := range map[string][2]string{
		"limits for a submitter": {listed(submitter), "true"},
		"limits for a viewer":    {listed(viewer), "false, k by kim, amy by kim"},
		"limits for all":         {listed(chief), "false, k by kim, apart by root, amy by kim"},
		"pauses for a submitter": {paused(submitter), "apart by root, of-amy by amy"},
		"pauses for a viewer":    {paused(viewer), "apart by root, of-amy by amy, of-bob by kim"},
	} {
		if tt[0] != tt[1] {
			t.Errorf("%s: got %q, want %q", what, tt[0], tt[1])
		}
	}
	if err := limit(as("lee", "admin@default"), key, &two); err != nil {
		t.Fatal(err)
	}
	of := func(caller, method string) *coordinator.RecordedCall {
		t.Helper()
		var found *coordinator.RecordedCall
		c.Eventually("the record has the end of "+method, func() error {
			for _, call := range calls(t, c, coordinator.RecordFilter{Caller: caller, Method: method, Outcome: "done"}) {
				found = call
				return nil
			}
			return errors.New("not yet")
		})
		return found
	}
	if got := of("lee", "SetLimit"); got.Namespace != "default" || got.Permission != "limits.write" || got.Details["limit"] != "k" || got.Details["is"] != "max 2" || got.Details["was"] != "max 1" || got.Details["reason"] != "why not" {
		t.Errorf("a limit is recorded as %+v", got)
	}
	if got := of("root", "Pause"); got.Namespace != "" || got.Permission != "pools.write" || got.Details["pool"] != "apart" || got.Details["reason"] != "maintenance" {
		t.Errorf("a pause of a pool is recorded as %+v", got)
	}
	if got := of("amy", "Pause"); got.Namespace != "default" || got.Permission != "trees.cancel" || got.Task != "of-amy" {
		t.Errorf("a pause of a tree is recorded as %+v", got)
	}
}

// TestLimitsWaitForOlderProcesses: nothing is limited or paused while a process lives that would not hold it.
func TestLimitsWaitForOlderProcesses(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Levels: dag.AllLevels[:dag.LimitsLevel-1]})
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("a", ""))
	c.Upgrade(dag.AllLevels)
	c.AddCoordinator()
	svc, one := c.Coordinators[1].P, int32(1)
	_, limited := svc.SetLimit(t.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: "k"}, Max: &one})
	_, paused := svc.Pause(t.Context(), coordinator.PauseTarget{TreeID: "a"}, "")
	for _, err := range []error{limited, paused, svc.SetWeight(t.Context(), "amy", 2)} {
		if low, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(low.Error(), "coordinator") {
			t.Errorf("got %v", err)
		}
	}
	if page, err := svc.Pauses(t.Context(), coordinator.PauseFilter{}); err != nil || len(page.Items) != 0 {
		t.Errorf("got %+v, %v", page, err)
	}
}
