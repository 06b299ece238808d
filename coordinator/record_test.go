package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// recorded is a cluster that records, and the service of its coordinators on behalf of callers.
func recorded(t *testing.T, coordinators int, more func(*config.Coordinator)) *cluster.Cluster {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(strings.Repeat("k", 40)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return cluster.Start(t, cluster.Options{Coordinators: coordinators, Coordinator: func(c *config.Coordinator) {
		c.AuditRecord, c.AuditKeyFile, c.SealKey, c.WebhookSecret = "yes", keys, testSeal, testSecret
		if more != nil {
			more(c)
		}
	}})
}

// guard is the access to a coordinator of a cluster, under a policy.
func guard(c *cluster.Cluster, n int, policy coordinator.Policy) *coordinator.Access {
	one := c.Coordinators[n].P
	return coordinator.NewAccess(one.Coordinator, policy).Record(one.Recorder())
}

func caller(name string) coordinator.Caller {
	return coordinator.Caller{Name: name, User: name, Kind: coordinator.UserCaller, Issuer: "test", Surface: coordinator.SurfaceGRPC, From: "10.0.0.1:5"}
}

// calls are the recorded calls of a caller, newest first.
func calls(t *testing.T, c *cluster.Cluster, f coordinator.RecordFilter) []*coordinator.RecordedCall {
	t.Helper()
	f.Namespace = coordinator.AllNamespaces
	page, err := c.Service().Record(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

// wanted waits until the one call of a caller that is recorded is as wanted.
func wanted(t *testing.T, c *cluster.Cluster, name, want string) (got *coordinator.RecordedCall) {
	t.Helper()
	c.For(t).Eventually("the record has a call of "+name, func() error {
		all := calls(t, c, coordinator.RecordFilter{Caller: name})
		if len(all) != 1 {
			return fmt.Errorf("%d calls are recorded", len(all))
		}
		got = all[0]
		if text := strings.TrimSuffix(fmt.Sprintf("%s %s %s", got.Kind, got.Outcome, got.Code), " "); text != want {
			return fmt.Errorf("got %q, want %q", text, want)
		}
		return nil
	})
	return got
}

// verify checks the whole record, and returns what is wrong.
func verify(t *testing.T, c *cluster.Cluster, heads ...coordinator.RecordHead) (faults []string, head coordinator.RecordHead) {
	t.Helper()
	for report, err := range c.Service().VerifyRecord(t.Context(), heads) {
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Faults {
			faults = append(faults, f.Kind)
		}
		head = report.Head
		if report.Unchecked > 0 {
			t.Errorf("%d entries were not checked", report.Unchecked)
		}
	}
	return faults, head
}

// changes are calls of all methods that may change something: one that works, and one of what is not there (failed: the code that it ends with, where that is another one). Each is made once.
var changes = map[string]struct {
	works, fails func(ctx context.Context, s coordinator.Service, tree string) error
	failed       string
}{
	"Submit": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Submit(ctx, coordinator.SubmitOptions{Hold: true}, cluster.Seq([]*dag.Task{noop("made", "")}))
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Submit(ctx, coordinator.SubmitOptions{}, cluster.Seq(nil))
		return err
	}, "invalid"},
	"Add": {func(ctx context.Context, s coordinator.Service, tree string) error {
		_, err := s.Add(ctx, tree, coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("added", "")}))
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Add(ctx, "nobody", coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("lost", "")}))
		return err
	}, ""},
	"Execute": {func(ctx context.Context, s coordinator.Service, tree string) error {
		_, err := s.Execute(ctx, tree, coordinator.ExecuteOptions{Force: true})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Execute(ctx, "nobody", coordinator.ExecuteOptions{})
		return err
	}, ""},
	"Cancel": {func(ctx context.Context, s coordinator.Service, tree string) error {
		_, err := s.Cancel(ctx, tree, coordinator.CancelOptions{})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Cancel(ctx, "nobody", coordinator.CancelOptions{})
		return err
	}, ""},
	"Skip": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Skip(ctx, "nobody")
		return err
	}, ""},
	"Signal": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Signal(ctx, "nobody", coordinator.Signal{Name: "go"})
		return err
	}, ""},
	"Approve": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Approve(ctx, "nobody", coordinator.Approval{Choice: "approve"})
		return err
	}, ""},
	"ApprovalLink": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApprovalLink(ctx, "nobody", coordinator.LinkOptions{Name: "ops"})
		return err
	}, ""},
	"ApproveByLink": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApproveByLink(ctx, "nobody", coordinator.Approval{Choice: "approve"})
		return err
	}, ""},
	"Update": {func(ctx context.Context, s coordinator.Service, tree string) error {
		name := "canary-name"
		_, err := s.Update(ctx, tree, coordinator.TaskChange{Name: &name})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Update(ctx, "nobody", coordinator.TaskChange{})
		return err
	}, ""},
	"Delete": {func(ctx context.Context, s coordinator.Service, tree string) error {
		_, err := s.Delete(ctx, tree, coordinator.DeleteOptions{Force: true})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Delete(ctx, "nobody", coordinator.DeleteOptions{})
		return err
	}, ""},
	"Copy": {func(ctx context.Context, s coordinator.Service, tree string) error {
		_, err := s.Copy(ctx, tree, coordinator.CopyOptions{})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Copy(ctx, "nobody", coordinator.CopyOptions{})
		return err
	}, ""},
	"Generate": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Generate(ctx, coordinator.GenerateOptions{})
		return err
	}, "invalid"},
	"SetModelKey": {func(ctx context.Context, s coordinator.Service, _ string) error {
		key, err := modelkey.Parse("openai:sk-canary-key")
		if err != nil {
			return err
		}
		return s.SetModelKey(ctx, "u", coordinator.ModelKeyOf{Provider: "openai", Key: key})
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.SetModelKey(ctx, "u", coordinator.ModelKeyOf{})
	}, "invalid"},
	"DeleteModelKey": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.DeleteModelKey(ctx, "u", "")
		return err
	}, nil, ""},
	"CreateAPIKey": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateAPIKey(ctx, coordinator.APIKeySpec{UserID: "u", Name: "night"})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateAPIKey(ctx, coordinator.APIKeySpec{Expires: -1})
		return err
	}, "invalid"},
	"RevokeAPIKey": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RevokeAPIKey(ctx, "nobody")
		return err
	}, ""},
	"RotateAPIKey": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RotateAPIKey(ctx, "nobody", 0)
		return err
	}, ""},
	"GrantRole": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.GrantRole(ctx, coordinator.Binding{Kind: coordinator.UserSubject, Subject: "u", Role: "viewer"})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.GrantRole(ctx, coordinator.Binding{})
		return err
	}, "invalid"},
	"RevokeRole": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.RevokeRole(ctx, coordinator.Binding{Kind: coordinator.UserSubject, Subject: "nobody", Role: "viewer"})
	}, ""},
	"RotateDataKeys": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RotateDataKeys(ctx, "")
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RotateDataKeys(ctx, "nowhere")
		return err
	}, "not_found"},
	"RewrapDataKeys": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RewrapDataKeys(ctx)
		return err
	}, nil, ""},
	"RotateTokens": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RotateTokens(ctx)
		return err
	}, nil, ""},
	"SetPoolRule": {func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.SetPoolRule(ctx, dag.PoolRule{Pool: "apart", Executors: []string{"noop_executor"}})
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.SetPoolRule(ctx, dag.PoolRule{})
	}, "invalid"},
	"DeletePoolRule": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.DeletePoolRule(ctx, "nobody")
	}, ""},
	"SetLimit": {func(ctx context.Context, s coordinator.Service, _ string) error {
		one := int32(1)
		_, err := s.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: "warehouse"}, Max: &one})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: "warehouse"}})
		return err
	}, "invalid"},
	"DeleteLimit": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.DeleteLimit(ctx, coordinator.LimitTarget{Key: "of nobody"}, 0)
	}, ""},
	"BreakLock": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.BreakLock(ctx, coordinator.LockBreak{Key: "nobodys", Token: 1})
		return err
	}, ""},
	"SetWeight": {func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.SetWeight(ctx, "u", 2)
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.SetWeight(ctx, "u", 0)
	}, "invalid"},
	"Pause": {func(ctx context.Context, s coordinator.Service, tree string) error {
		_, err := s.Pause(ctx, coordinator.PauseTarget{TreeID: tree}, "its customer asked")
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Pause(ctx, coordinator.PauseTarget{TreeID: "nobody"}, "")
		return err
	}, ""},
	"Resume": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.Resume(ctx, coordinator.PauseTarget{Pool: "nobodys"})
	}, ""},
	"CreateSchedule": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateSchedule(ctx, recordedSchedule("nightly"))
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateSchedule(ctx, scheduledoc.Spec{})
		return err
	}, "invalid"},
	"UpdateSchedule": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.UpdateSchedule(ctx, recordedSchedule("nobodys"), 0)
		return err
	}, ""},
	"PauseSchedule": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.PauseSchedule(ctx, "nobodys", "")
		return err
	}, ""},
	"ResumeSchedule": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ResumeSchedule(ctx, "nobodys")
		return err
	}, ""},
	"RenewScheduleSecret": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RenewScheduleSecret(ctx, coordinator.SecretRenewal{ID: "nobodys"})
		return err
	}, ""},
	"TriggerSchedule": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.TriggerSchedule(ctx, coordinator.ScheduleTrigger{ID: "nobodys"})
		return err
	}, ""},
	"BackfillSchedule": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.BackfillSchedule(ctx, coordinator.ScheduleBackfill{ID: "nobodys"})
		return err
	}, "invalid"},
	"DeleteSchedule": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.DeleteSchedule(ctx, "nobodys", 0)
	}, ""},
	"ApplyFlow": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApplyFlow(ctx, coordinator.FlowSpec{Text: []byte(recordedFlow)})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApplyFlow(ctx, coordinator.FlowSpec{Text: []byte("flow: {}")})
		return err
	}, "invalid"},
	"ApplyProfiles": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte("recorded: {config: {host: canary-input}}")})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte("x: 1")})
		return err
	}, "invalid"},
	"DeleteProfile": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.DeleteProfile(ctx, "nobodys")
	}, ""},
	"ApplyBundle": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApplyBundle(ctx, bundleOf("recorded", ""))
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ApplyBundle(ctx, coordinator.BundleSpec{})
		return err
	}, "invalid"},
	"PutBundleFile": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.PutBundleFile(ctx, coordinator.BundleFile{Data: []byte("{}")})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.PutBundleFile(ctx, coordinator.BundleFile{Data: make([]byte, coordinator.MaxBundleFile+1)})
		return err
	}, "invalid"},
	"DeleteBundle": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.DeleteBundle(ctx, "nobodys")
	}, ""},
	"DeleteFlow": {nil, func(ctx context.Context, s coordinator.Service, _ string) error { return s.DeleteFlow(ctx, "nobodys") }, ""},
	"RunFlow": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RunFlow(ctx, coordinator.FlowRunSpec{Text: []byte(recordedFlow), RunID: "recorded"})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RunFlow(ctx, coordinator.FlowRunSpec{})
		return err
	}, "invalid"},
	"CancelFlowRun": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CancelFlowRun(ctx, "nobodys", "")
		return err
	}, ""},
	"ResumeFlowRun": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.ResumeFlowRun(ctx, coordinator.FlowResume{Run: "nobodys"})
		return err
	}, ""},
	"RestartFlowRun": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.RestartFlowRun(ctx, coordinator.FlowRestart{Run: "nobodys"})
		return err
	}, ""},
	"Erase": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Erase(ctx, coordinator.EraseSpec{UserID: "of nobody"})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Erase(ctx, coordinator.EraseSpec{})
		return err
	}, "invalid"},
	"Hold": {func(ctx context.Context, s coordinator.Service, tree string) error {
		_, err := s.Hold(ctx, coordinator.HoldSpec{TreeID: tree, Reason: "case 7"})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Hold(ctx, coordinator.HoldSpec{TreeID: "nobody", Reason: "case 7"})
		return err
	}, ""},
	"Release": {nil, func(ctx context.Context, s coordinator.Service, tree string) error {
		return s.Release(ctx, tree)
	}, ""},
	"CreateNamespace": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateNamespace(ctx, coordinator.NamespaceSpec{Name: "recorded"})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateNamespace(ctx, coordinator.NamespaceSpec{Name: "Not A Name"})
		return err
	}, "invalid"},
	"UpdateNamespace": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.UpdateNamespace(ctx, "nobodys", coordinator.NamespaceChange{})
		return err
	}, ""},
	"DeleteNamespace": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.DeleteNamespace(ctx, "nobodys", false)
		return err
	}, ""},
	"Attach": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Attach(ctx, "nobody", coordinator.Attachment{})
		return err
	}, "invalid"},
	"CreateWebhook": {func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateWebhook(ctx, coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: "https://canary-host.example/canary-path"}, Events: []coordinator.WebhookEvent{coordinator.TreeFailed}})
		return err
	}, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.CreateWebhook(ctx, coordinator.WebhookSpec{})
		return err
	}, "invalid"},
	"UpdateWebhook": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.UpdateWebhook(ctx, "nobody", coordinator.WebhookChange{})
		return err
	}, ""},
	"DeleteWebhook": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		return s.DeleteWebhook(ctx, "nobody", 0)
	}, ""},
	"TestWebhook": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.TestWebhook(ctx, "nobody")
		return err
	}, ""},
	"Resend": {nil, func(ctx context.Context, s coordinator.Service, _ string) error {
		_, err := s.Resend(ctx, "1")
		return err
	}, ""},
}

// recordedFlow is a flow with an input that no record has.
const recordedFlow = "flow: {id: recorded}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {x: canary-input}}]}]\n"

// recordedSchedule is a schedule that does not fire soon.
func recordedSchedule(id string) scheduledoc.Spec {
	return scheduledoc.Spec{ID: id, Cron: "@yearly", Tree: []byte(`{"name":"n","schemas":{"method":"noop_executor"},"inputs":{"x":"canary-input"}}`)}
}

// TestEachChangeIsRecordedOnce: whatever may change something leaves one call on record with its outcome, whether it works, fails or is refused, and
// nothing of what callers put into it.
func TestEachChangeIsRecordedOnce(t *testing.T) {
	t.Parallel()
	c := recorded(t, 1, nil)
	allowed := guard(c, 0, coordinator.AllowAll)
	refused := guard(c, 0, func(_ context.Context, caller coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		return coordinator.Grant{}, &coordinator.DeniedError{User: caller.User, Operation: call.Method}
	})
	for _, method := range coordinator.Changes() {
		how, ok := changes[method]
		if !ok {
			t.Errorf("%s changes something, and is not tried here", method)
			continue
		}
		tree := c.Submit(coordinator.SubmitOptions{Hold: true}, noop("of-"+method, "")).TreeID
		if how.works != nil {
			if err := how.works(t.Context(), allowed.For(caller("works-"+method)), tree); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			got := wanted(t, c, "works-"+method, "begun done")
			if got.Method != method || got.Permission == "" || got.Caller.From != "10.0.0.1:5" || got.Caller.Kind != "user" || got.Caller.Issuer != "test" || got.EndedAt.Before(got.At.Time) {
				t.Errorf("%s: got %+v", method, got)
			}
		}
		if how.fails != nil {
			if err := how.fails(t.Context(), allowed.For(caller("fails-"+method)), tree); err == nil {
				t.Errorf("%s does not fail", method)
			}
			code := how.failed
			if code == "" {
				code = "not_found"
			}
			wanted(t, c, "fails-"+method, "begun failed "+code)
		}
		try := how.fails
		if try == nil {
			try = how.works
		}
		if err := try(t.Context(), refused.For(caller("refused-"+method)), tree); !errors.Is(err, coordinator.ErrDenied) {
			t.Errorf("%s: got %v, want a refusal", method, err)
		}
		wanted(t, c, "refused-"+method, "refused refused denied")
	}
	if made := calls(t, c, coordinator.RecordFilter{Method: "Submit", Outcome: "done"}); len(made) != 1 || made[0].Details["tree"] != "made" || made[0].Details["tasks"] != "1" || made[0].Details["hold"] != "true" {
		t.Errorf("the submission is recorded as %+v", made)
	}
	for _, call := range calls(t, c, coordinator.RecordFilter{Limit: 1000}) {
		if text := fmt.Sprintf("%+v", *call); strings.Contains(text, "canary") {
			t.Errorf("the record has what is secret: %s", text)
		}
	}
	if faults, _ := verify(t, c); faults != nil {
		t.Errorf("the chain has faults: %v", faults)
	}
}

// TestReadsAreRecordedWhenRefused: and not when they are made.
func TestReadsAreRecordedWhenRefused(t *testing.T) {
	t.Parallel()
	c := recorded(t, 1, nil)
	access := guard(c, 0, func(_ context.Context, caller coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		if caller.Name == "eve" {
			return coordinator.Grant{}, &coordinator.DeniedError{User: caller.User, Operation: "access"}
		}
		return coordinator.Grant{}, nil
	})
	_, _ = access.For(caller("ann")).Task(t.Context(), "x")
	_, _ = access.For(caller("eve")).Task(t.Context(), "x")
	if got := wanted(t, c, "eve", "refused refused denied"); got.Task != "x" || got.Method != "Task" || got.Permission != "trees.read" {
		t.Errorf("got %+v", got)
	}
	if all := calls(t, c, coordinator.RecordFilter{Caller: "ann"}); len(all) != 0 {
		t.Errorf("a read is recorded: %+v", all[0])
	}
}

// TestFloodsAreFolded: a source that is refused many times gets some entries and one that counts the rest, and so do many sources.
func TestFloodsAreFolded(t *testing.T) {
	t.Parallel()
	c := recorded(t, 1, nil)
	access := guard(c, 0, func(_ context.Context, caller coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		return coordinator.Grant{}, coordinator.ErrUnauthenticated
	})
	const each, sources = 50, 300
	for n := range sources {
		for i := range each {
			who := coordinator.Caller{Name: "eve", Surface: coordinator.SurfaceGRPC, From: fmt.Sprintf("10.0.%d.%d:%d", n/250, n%250, i)}
			_, _ = access.For(who).Task(t.Context(), "x")
		}
	}
	if err := c.Coordinators[0].Stop(); err != nil { // which ends the window
		t.Fatal(err)
	}
	c.AddCoordinator()
	var entries, count int64
	for e, err := range c.Coordinators[1].P.ReadRecord(t.Context(), coordinator.RecordRange{Namespace: coordinator.AllNamespaces}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == "refused" {
			entries, count = entries+1, count+e.Count
		}
	}
	if count != each*sources || entries > 400 {
		t.Errorf("%d refusals are counted in %d entries, want %d in few", count, entries, each*sources)
	}
}

// TestCoordinatorsMakeOneChain: four append at once, and readers see a chain at each moment.
func TestCoordinatorsMakeOneChain(t *testing.T) {
	t.Parallel()
	c := recorded(t, 4, nil)
	var wg sync.WaitGroup
	const each, callers = 15, 4
	for n := range 4 {
		access := guard(c, n, coordinator.AllowAll)
		for k := range callers {
			wg.Go(func() {
				for range each {
					_, _ = access.For(caller(fmt.Sprintf("c%d-%d", n, k))).Cancel(t.Context(), "nobody", coordinator.CancelOptions{})
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var head coordinator.RecordHead
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
		}
		var faults []string
		heads := []coordinator.RecordHead{head}
		if head.Seq == 0 {
			heads = nil
		}
		if faults, head = verify(t, c, heads...); faults != nil {
			t.Fatalf("the chain has faults: %v", faults)
		}
	}
	c.Eventually("all is on record", func() error {
		if got := calls(t, c, coordinator.RecordFilter{Method: "Cancel", Outcome: "failed", Limit: 1000}); len(got) != 4*callers*each {
			return fmt.Errorf("%d calls are recorded", len(got))
		}
		return nil
	})
	if faults, _ := verify(t, c, head); faults != nil {
		t.Errorf("the chain has faults: %v", faults)
	}
}

// TestFollowersHearOfEntries: a follower at one coordinator gets what another one records, in order.
func TestFollowersHearOfEntries(t *testing.T) {
	t.Parallel()
	c := recorded(t, 2, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // less than a follower looks without being told
	defer cancel()
	access := guard(c, 1, coordinator.AllowAll)
	var got []string
	for e, err := range c.Coordinators[0].P.ReadRecord(ctx, coordinator.RecordRange{Namespace: coordinator.AllNamespaces, Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Method+" "+string(e.Kind))
		if len(got) == 5 {
			break
		}
		if e.Kind != "begun" {
			_, _ = access.For(caller("ann")).Cancel(t.Context(), "nobody", coordinator.CancelOptions{})
		}
	}
	if want := []string{"Record.Key event", "Cancel begun", "Cancel ended", "Cancel begun", "Cancel ended"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestTheMirrorHasTheEntries: as lines that make the same chain.
func TestTheMirrorHasTheEntries(t *testing.T) {
	t.Parallel()
	mirror := filepath.Join(t.TempDir(), "mirror.jsonl")
	c := recorded(t, 1, func(s *config.Coordinator) { s.AuditLog = mirror })
	access := guard(c, 0, coordinator.AllowAll)
	for range 3 {
		_, _ = access.For(caller("ann")).Cancel(t.Context(), "nobody", coordinator.CancelOptions{})
	}
	c.AddCoordinator() // mirrors to the same file
	if err := c.Coordinators[0].Stop(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(mirror)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []coordinator.RecordEntry
	for dec := json.NewDecoder(file); ; {
		var e coordinator.RecordEntry
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, e)
	}
	n := 0
	for e, err := range c.Coordinators[1].P.ReadRecord(t.Context(), coordinator.RecordRange{Namespace: coordinator.AllNamespaces}) {
		if err != nil {
			t.Fatal(err)
		}
		if n >= len(lines) || lines[n].Hash != e.Hash || lines[n].Method != e.Method {
			t.Fatalf("line %d is not entry %d", n+1, e.Seq)
		}
		n++
	}
	if n < 7 || n != len(lines) { // the key, three calls and their ends
		t.Errorf("%d lines and %d entries", len(lines), n)
	}
}

// TestNamespacesSeeTheirEntries: a list and an export of one namespace have no entry of another, nor of the cluster.
func TestNamespacesSeeTheirEntries(t *testing.T) {
	t.Parallel()
	c := recorded(t, 1, nil)
	access := guard(c, 0, func(context.Context, coordinator.Caller, coordinator.Call) (coordinator.Grant, error) {
		return coordinator.Grant{}, &coordinator.DeniedError{}
	})
	for _, namespace := range []string{"team-a", "team-b", "team-a"} {
		who := caller("ann")
		who.Namespace = namespace
		_, _ = access.For(who).Task(t.Context(), "x")
		_, _ = access.For(who).Workers(t.Context()) // is the cluster's
	}
	c.Eventually("all is on record", func() error {
		if got := calls(t, c, coordinator.RecordFilter{Caller: "ann"}); len(got) != 6 {
			return fmt.Errorf("%d calls are recorded", len(got))
		}
		return nil
	})
	page, err := c.Service().Record(t.Context(), coordinator.RecordFilter{Namespace: "team-a"})
	if err != nil || len(page.Items) != 2 || page.Items[0].Namespace != "team-a" || page.Items[0].Method != "Task" {
		t.Errorf("got %+v, %v", page.Items, err)
	}
	n := 0
	for e, err := range c.Service().ReadRecord(t.Context(), coordinator.RecordRange{Namespace: "team-b"}) {
		if n++; err != nil || e.Namespace != "team-b" {
			t.Errorf("got %+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("team-b has %d entries, want 1", n)
	}
}

// BenchmarkRecordedSubmissions submits trees of one held task, 16 at a time, with the record on and off.
func BenchmarkRecordedSubmissions(b *testing.B) {
	for name, mode := range map[string]config.AuditMode{"off": "no", "on": "yes"} {
		b.Run(name, func(b *testing.B) {
			c := cluster.Start(b, cluster.Options{Coordinator: func(s *config.Coordinator) { s.AuditRecord = mode }})
			one := c.Coordinators[0].P
			access := coordinator.NewAccess(one.Coordinator, coordinator.AllowAll)
			if r := one.Recorder(); r != nil {
				access.Record(r)
			}
			svc := access.For(caller("ann"))
			b.SetParallelism(8)
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := svc.Submit(b.Context(), coordinator.SubmitOptions{Hold: true}, cluster.Seq([]*dag.Task{{Name: "a", Executor: "noop_executor", Priority: dag.Normal}})); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
