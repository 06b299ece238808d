package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// smallFlow is a flow of one step that says a word.
func smallFlow(id, word string) []byte {
	return fmt.Appendf(nil, "flow: {id: %s}\njobs:\n- id: j\n  steps:\n  - {id: s, type: noop_executor, inputs: {value: %s}}\n", id, word)
}

// TestARunIsOnesOwn: an id that runs of several users have is that of the caller's own, for every call that names one. Nobody learns by it of another's run, nor keeps another from its own.
func TestARunIsOnesOwn(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Workers: 1})
	ctx := t.Context()
	access := coordinator.NewAccess(c.Service(), coordinator.ByRoles(c.Coordinators[0].P, coordinator.RoleSettings{}))
	as := func(user string) coordinator.Service { return access.For(holding(user, "submitter@default")) }
	flow := map[string]string{"amy": "zulu", "bob": "alpha"}
	for user, id := range flow {
		run, err := as(user).RunFlow(ctx, coordinator.FlowRunSpec{Text: smallFlow(id, user), RunID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		c.Settled(run.TreeID)
	}
	for user, id := range flow {
		for _, name := range []string{"x", id + "/x"} {
			run, err := as(user).FlowRun(ctx, name)
			if err != nil || run.FlowID != id || run.UserID != user {
				t.Errorf("%s asks for %s: %+v, %v", user, name, run, err)
			}
			resumed, err := as(user).ResumeFlowRun(ctx, coordinator.FlowResume{Run: name})
			if err != nil || resumed.FlowID != id {
				t.Errorf("%s resumes %s: %+v, %v", user, name, resumed, err)
			}
			again, err := as(user).RestartFlowRun(ctx, coordinator.FlowRestart{Run: name})
			if err != nil || again.FlowID != id || again.UserID != user {
				t.Errorf("%s restarts %s: %+v, %v", user, name, again, err)
			}
			end, err := as(user).CancelFlowRun(ctx, name, "")
			if err != nil || end.Outcome != coordinator.AlreadyEnded {
				t.Errorf("%s cancels %s: %+v, %v", user, name, end, err)
			}
		}
	}
	// Who has none of that id hears the same of it and of one that is not there.
	var texts []string
	for _, name := range []string{"x", "zulu/x", "alpha/x", "y", "zulu/y"} {
		_, err := as("carl").FlowRun(ctx, name)
		texts = append(texts, fmt.Sprint(err))
	}
	if got := slices.Compact(texts); len(got) != 1 || !strings.Contains(got[0], "own resources; missing permission: trees.read") {
		t.Errorf("%q", got)
	}
	// Who sees all of them is told to say which.
	if _, err := access.For(holding("root", "admin@default")).FlowRun(ctx, "x"); err == nil || !strings.Contains(err.Error(), "alpha/x") {
		t.Error(err)
	}
}

// TestNamesThatOthersTake: what another user comes to have between the look at whose a name is and what is stored stays as that one has it.
func TestNamesThatOthersTake(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	ctx := t.Context()
	rules := coordinator.ByRoles(c.Coordinators[0].P, coordinator.RoleSettings{})
	amy := coordinator.NewAccess(c.Service(), rules).For(holding("amy", "submitter@default"))
	content, err := amy.PutBundleFile(ctx, coordinator.BundleFile{Data: []byte("{}")})
	if err != nil || content != bundleOf("", "").Fingerprint {
		t.Fatal(content, err)
	}
	between := func(do func() error) coordinator.Service { // bob's, for whom something happens once the policy has looked
		return coordinator.NewAccess(c.Service(), func(ctx context.Context, caller coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
			to, err := rules(ctx, caller, call)
			if err != nil {
				return to, err
			}
			return to, do()
		}).For(holding("bob", "submitter@default"))
	}
	apply := func(svc coordinator.Service, id, word string) error {
		_, err := svc.ApplyFlow(ctx, coordinator.FlowSpec{Text: smallFlow(id, word)})
		return err
	}
	push := func(svc coordinator.Service, id string) error {
		_, err := svc.ApplyBundle(ctx, bundleOf(id, ""))
		return err
	}
	bob := between(func() error { return nil })
	if _, err := bob.PutBundleFile(ctx, coordinator.BundleFile{Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	refused := fmt.Sprint(func() error {
		if err := apply(amy, "hers", "amy"); err != nil {
			return err
		}
		return apply(bob, "hers", "bob")
	}())
	if !strings.Contains(refused, "own resources; missing permission: flows.write") {
		t.Fatal(refused)
	}
	for what, err := range map[string]error{
		"apply": apply(between(func() error { return apply(amy, "new", "amy") }), "new", "bob"),
		"push":  push(between(func() error { return push(amy, "pushed") }), "pushed"),
	} {
		if !errors.Is(err, coordinator.ErrDenied) || what == "apply" && err.Error() != refused {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f, err := amy.Flow(ctx, "new", 0); err != nil || f.Version != 1 || !strings.Contains(string(f.Text), "amy") {
		t.Errorf("%+v, %v", f, err)
	}
	list, err := amy.Bundles(ctx, coordinator.BundleFilter{ID: "pushed"})
	if err != nil || len(list.Items) != 1 || list.Items[0].UserID != "amy" {
		t.Errorf("%+v, %v", list.Items, err)
	}
	// What was bob's when the policy looked, and is amy's when it is deleted.
	if err := errors.Join(apply(bob, "passed", "bob"), push(bob, "passed")); err != nil {
		t.Fatal(err)
	}
	if err := between(func() error { return errors.Join(bob.DeleteFlow(ctx, "passed"), apply(amy, "passed", "amy")) }).DeleteFlow(ctx, "passed"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Error(err)
	}
	if err := between(func() error { return errors.Join(bob.DeleteBundle(ctx, "passed"), push(amy, "passed")) }).DeleteBundle(ctx, "passed"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Error(err)
	}
	if _, err := amy.Flow(ctx, "passed", 0); err != nil {
		t.Error(err)
	}
	// The same version of a bundle that was deleted belongs to who applies it again.
	if list, err := amy.Bundles(ctx, coordinator.BundleFilter{ID: "passed"}); err != nil || len(list.Items) != 1 || list.Items[0].UserID != "amy" || list.Items[0].CreatedBy != "amy" {
		t.Errorf("%+v, %v", list.Items, err)
	}
}

// TestABundleThatOthersPushAgain: a version of a flow names a bundle that was deleted. What another user pushes by its name since is no part of the flow's runs, whoever checks or runs it.
func TestABundleThatOthersPushAgain(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	ctx := t.Context()
	access := coordinator.NewAccess(c.Service(), coordinator.ByRoles(c.Coordinators[0].P, coordinator.RoleSettings{}))
	as := func(user string) coordinator.Service { return access.For(holding(user, "submitter@default")) }
	amy, bob := as("amy"), as("bob")
	push := func(svc coordinator.Service) error {
		if _, err := svc.PutBundleFile(ctx, coordinator.BundleFile{Data: []byte("{}")}); err != nil {
			return err
		}
		_, err := svc.ApplyBundle(ctx, bundleOf("shared", ""))
		return err
	}
	run := func(id string) error {
		_, err := bob.RunFlow(ctx, coordinator.FlowRunSpec{Flow: "his", Version: 1, RunID: id})
		return err
	}
	if err := push(bob); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.ApplyFlow(ctx, coordinator.FlowSpec{Text: smallFlow("his", "one"), Bundle: "shared"}); err != nil {
		t.Fatal(err)
	}
	if err := run("own"); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.ApplyFlow(ctx, coordinator.FlowSpec{Text: smallFlow("his", "two")}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(bob.DeleteBundle(ctx, "shared"), push(amy)); err != nil {
		t.Fatal(err)
	}
	if err := run("others"); !errors.Is(err, coordinator.ErrNotFound) || !strings.Contains(err.Error(), "bundle shared") {
		t.Errorf("a run: %v", err)
	}
	if _, err := bob.ValidateFlow(ctx, coordinator.FlowCheck{Flow: "his", Version: 1}); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a check: %v", err)
	}
	if err := errors.Join(amy.DeleteBundle(ctx, "shared"), push(bob), run("again")); err != nil {
		t.Errorf("his own again: %v", err)
	}
}

// TestADigestAloneHasNothing: who knows the digest of what another user put has no content by it, and learns nothing of it.
func TestADigestAloneHasNothing(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	ctx := t.Context()
	access := coordinator.NewAccess(c.Service(), coordinator.ByRoles(c.Coordinators[0].P, coordinator.RoleSettings{}))
	amy, bob := access.For(holding("amy", "submitter@default")), access.For(holding("bob", "submitter@default"))
	push := func(svc coordinator.Service, id string, missing int) {
		t.Helper()
		if got, err := svc.ApplyBundle(ctx, bundleOf(id, "")); err != nil || len(got.Missing) != missing {
			t.Errorf("%s: %v, %v, want %d missing", id, got, err, missing)
		}
	}
	put := func(svc coordinator.Service) {
		t.Helper()
		if _, err := svc.PutBundleFile(ctx, coordinator.BundleFile{Data: []byte("{}")}); err != nil {
			t.Error(err)
		}
	}
	put(amy)
	push(bob, "early", 1)
	push(amy, "hers", 0)
	push(bob, "later", 1)
	put(bob)
	push(bob, "his", 0)
	push(amy, "again", 0)
	push(access.For(holding("root", "admin@default")), "all", 0) // who sees all bundles has all contents
}
