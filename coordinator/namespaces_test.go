package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// in is the service of a namespace.
func in(c *cluster.Cluster, namespace string) coordinator.Service {
	return c.Service().(coordinator.Namespaces).In(namespace)
}

// team makes a namespace.
func team(t *testing.T, c *cluster.Cluster, name string, quotas coordinator.Quotas) coordinator.Service {
	t.Helper()
	if _, err := c.Service().CreateNamespace(t.Context(), coordinator.NamespaceSpec{Name: name, Quotas: quotas}); err != nil {
		t.Fatal(err)
	}
	return in(c, name)
}

// planted is what there is in one namespace: names that only it has.
type planted struct {
	root, child, webhook, attached, delivery, agent, conversation, copied, user string
	cursors                                                                     struct{ tasks, roots, trees string }
}

// plant stores one of each kind of thing.
func plant(t *testing.T, c *cluster.Cluster, svc coordinator.Service, mark string) (p planted) {
	t.Helper()
	ctx := t.Context()
	p = planted{root: mark + "-root", child: mark + "-child", user: mark + "-user", agent: mark + "-agent", conversation: mark + "-context"}
	opts := coordinator.SubmitOptions{UserID: p.user, Labels: map[string]string{mark + "-label": "x"}, IdempotencyKey: mark + "-key",
		Attach: []coordinator.Attachment{{Webhook: coordinator.Webhook{URL: "http://127.0.0.1:1/hook"}, Name: "mine"}}}
	if _, err := svc.Submit(ctx, opts, cluster.Seq([]*dag.Task{noop(p.root, ""), noop(p.child, p.root)})); err != nil {
		t.Fatal(err)
	}
	c.Eventually("the tree has ended", func() error {
		tree, err := svc.Tree(ctx, p.root)
		if err == nil && tree.Unfinished > 0 {
			err = errors.New("it runs")
		}
		return err
	})
	copied, err := svc.Copy(ctx, p.root, coordinator.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.copied = copied.TreeID
	hook, err := svc.CreateWebhook(ctx, coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: "http://127.0.0.1:1/all"}, Events: []coordinator.WebhookEvent{coordinator.TreeFailed}})
	if err != nil {
		t.Fatal(err)
	}
	p.webhook = hook.ID
	attached, err := svc.ListWebhooks(ctx, coordinator.WebhookFilter{TaskID: p.root})
	if err != nil || len(attached.Items) != 1 {
		t.Fatalf("got %+v, %v", attached, err)
	}
	p.attached = attached.Items[0].ID
	if delivery, err := svc.TestWebhook(ctx, p.webhook); err == nil {
		p.delivery = delivery.ID
	} else {
		t.Fatal(err)
	}
	if err := svc.KeepAgentTask(ctx, coordinator.AgentTask{ID: p.agent, Context: p.conversation, TaskID: p.root, History: json.RawMessage(`[]`)}); err != nil {
		t.Fatal(err)
	}
	if err := svc.SetModelKey(ctx, p.user, coordinator.ModelKeyOf{Key: keyOf(t, "sk-"+mark)}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: p.key()}, Max: new(int32(1))}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Pause(ctx, coordinator.PauseTarget{TreeID: p.root}, "its customer asked"); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.CreateSchedule(ctx, scheduledoc.Spec{ID: p.schedule(), Cron: "@yearly", Tree: []byte(`{"name":"n","schemas":{"method":"noop_executor"}}`), UserID: p.user}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.ApplyFlow(ctx, coordinator.FlowSpec{Text: []byte("flow: {id: " + p.flow() + "}\njobs: []\n"), UserID: p.user}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte(p.profile() + ": {}"), UserID: p.user}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PutBundleFile(ctx, coordinator.BundleFile{Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.ApplyBundle(ctx, bundleOf(p.bundle(), p.user)); err != nil {
		t.Fatal(err)
	}
	tasks, err := svc.Tasks(ctx, coordinator.TaskFilter{Limit: 1})
	if err != nil || tasks.Next == "" {
		t.Fatalf("got %+v, %v", tasks, err)
	}
	p.cursors.tasks = tasks.Next
	trees, err := svc.Trees(ctx, coordinator.TreeFilter{Limit: 1})
	if err != nil || trees.Next == "" {
		t.Fatalf("got %+v, %v", trees, err)
	}
	p.cursors.trees = trees.Next
	return p
}

// key is that of a limit.
func (p planted) key() string { return p.root + "-key" }

func (p planted) schedule() string { return p.root + "-nightly" }

func (p planted) profile() string { return "profile-of-" + p.user }

func (p planted) flow() string { return "flow-of-" + p.user }

func (p planted) bundle() string { return "bundle-of-" + p.user }

// bundleOf is a bundle of one file, whose content is {}.
func bundleOf(id, user string) coordinator.BundleSpec {
	const digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	return coordinator.BundleSpec{ID: id, UserID: user, Fingerprint: digest, Files: []bundle.File{{Path: "f", SHA256: digest, Size: 2}}, BundleRules: coordinator.BundleRules{EntryFlow: "f", ProfilesFile: "f"}}
}

// looks has, for every method of the service, how it could find what is another namespace's. A look gives what it has found, as text: it must be
// nothing, or an error that says so.
var looks = map[string]func(ctx context.Context, svc coordinator.Service, p planted) (any, error){
	"Submit": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		_, err := svc.Submit(ctx, coordinator.SubmitOptions{Hold: true, RequireExisting: true}, cluster.Seq([]*dag.Task{noop(p.root, "")}))
		if err != nil && !strings.Contains(err.Error(), "not found in database") {
			return nil, err
		}
		return nil, nil
	},
	"Add": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Add(ctx, p.root, coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("", "")}))
	},
	"Task": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Task(ctx, p.child)
	},
	"Attempts": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Attempts(ctx, p.child)
	},
	"Why": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Why(ctx, p.child)
	},
	"Tree": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Tree(ctx, p.root)
	},
	"Snapshot": func(ctx context.Context, svc coordinator.Service, p planted) (found any, err error) {
		for part, err := range svc.Snapshot(ctx, p.root, coordinator.SnapshotOptions{IDs: true}) {
			return part, err
		}
		return nil, nil
	},
	"Watch": func(ctx context.Context, svc coordinator.Service, p planted) (found any, err error) {
		for e, err := range svc.Watch(ctx, p.root, 0) {
			return e, err
		}
		return nil, nil
	},
	"Artifacts": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Artifacts(ctx, coordinator.ArtifactFilter{TaskID: p.child})
	},
	"OpenArtifact": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.OpenArtifact(ctx, coordinator.ArtifactQuery{TaskID: p.child, Name: "a"})
	},
	"Signal": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Signal(ctx, p.child, coordinator.Signal{Name: "go"})
	},
	"Approve": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Approve(ctx, p.child, coordinator.Approval{Choice: "approve"})
	},
	"ApprovalLink": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.ApprovalLink(ctx, p.child, coordinator.LinkOptions{Name: "amy"})
	},
	"Logs": func(ctx context.Context, svc coordinator.Service, p planted) (found any, err error) {
		for _, tree := range []bool{false, true} {
			for l, err := range svc.Logs(ctx, coordinator.LogFilter{TaskID: p.root, Tree: tree}) {
				if l != nil || !errors.Is(err, coordinator.ErrNotFound) {
					return l, err
				}
			}
		}
		return nil, nil
	},
	"Tasks": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		var found []string
		for _, f := range []coordinator.TaskFilter{{}, {RootOnly: true}, {TreeOf: p.root}, {ParentID: p.root}, {UserID: p.user}, {OriginalID: p.root}, {OriginalID: p.root, RootOnly: true},
			{RootOnly: true, Labels: map[string]string{strings.TrimSuffix(p.root, "root") + "label": ""}}, {Name: p.child}, {Status: dag.StatusCompleted},
			{Cursor: p.cursors.tasks}, {RootOnly: true, Cursor: p.cursors.tasks}, {Since: time.Now().Add(-time.Hour)}} {
			page, err := svc.Tasks(ctx, f)
			if err != nil && !errors.Is(err, coordinator.ErrNotFound) {
				return nil, err
			}
			for _, task := range page.Items {
				found = append(found, task.ID)
			}
		}
		return found, nil
	},
	"Trees": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		var found []string
		for _, f := range []coordinator.TreeFilter{{}, {UserID: p.user}, {Name: p.root}, {Running: true}, {Labels: map[string]string{strings.TrimSuffix(p.root, "root") + "label": "x"}}, {Cursor: p.cursors.trees}} {
			page, err := svc.Trees(ctx, f)
			if err != nil {
				return nil, err
			}
			for _, tree := range page.Items {
				found = append(found, tree.ID)
			}
		}
		return found, nil
	},
	"Running": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		n, err := svc.Running(ctx, p.user)
		return zeroIsNothing(n), err
	},
	"Usage": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Usage(ctx, coordinator.UsageFilter{By: coordinator.UsageByTree})
		if err != nil {
			return nil, err
		}
		if _, err := svc.Usage(ctx, coordinator.UsageFilter{TreeOf: p.root}); !errors.Is(err, coordinator.ErrNotFound) {
			return p.root, err
		}
		return zeroIsNothing(len(page.Items)), nil
	},
	"Resolve": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		for _, ref := range []string{p.root, p.root[:3], p.root + "/" + p.child, p.copied[:8]} {
			for _, owner := range []string{"", p.user} {
				if m, err := svc.Resolve(ctx, ref, owner); !errors.Is(err, coordinator.ErrNotFound) {
					return m, err
				}
			}
		}
		return nil, nil
	},
	"Execute": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Execute(ctx, p.root, coordinator.ExecuteOptions{Force: true})
	},
	"Cancel": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Cancel(ctx, p.root, coordinator.CancelOptions{})
	},
	"Limits": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Limits(ctx, coordinator.LimitFilter{All: true})
		var keys []string
		for _, l := range page.Items {
			keys = append(keys, l.Key)
		}
		return keys, err
	},
	"DeleteLimit": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.DeleteLimit(ctx, coordinator.LimitTarget{Key: p.key()}, 0)
	},
	"Pause": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Pause(ctx, coordinator.PauseTarget{TreeID: p.child}, "")
	},
	"Resume": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.Resume(ctx, coordinator.PauseTarget{TreeID: p.root})
	},
	"Pauses": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Pauses(ctx, coordinator.PauseFilter{})
		var trees []string
		for _, paused := range page.Items {
			trees = append(trees, paused.TreeID)
		}
		return trees, err
	},
	"CreateSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		_, err := svc.CreateSchedule(ctx, scheduledoc.Spec{ID: "after", On: &scheduledoc.On{Schedule: p.schedule()}, Tree: []byte(`{"name":"n","schemas":{"method":"noop_executor"}}`)})
		if err == nil || !strings.Contains(err.Error(), "there is no schedule") {
			return p.schedule(), err
		}
		return nil, nil
	},
	"Flow": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Flow(ctx, p.flow(), 0)
	},
	"Locks": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Locks(ctx, coordinator.LockFilter{})
		var keys []string
		for _, l := range page.Items {
			keys = append(keys, l.Key)
		}
		return keys, err
	},
	"ValidateFlow": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.ValidateFlow(ctx, coordinator.FlowCheck{Flow: p.flow()})
	},
	"Flows": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Flows(ctx, coordinator.FlowFilter{})
		var ids []string
		for _, f := range page.Items {
			ids = append(ids, f.ID)
		}
		return ids, err
	},
	"Bundles": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Bundles(ctx, coordinator.BundleFilter{})
		var ids []string
		for _, b := range page.Items {
			ids = append(ids, b.ID)
		}
		return ids, err
	},
	"DeleteBundle": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.DeleteBundle(ctx, p.bundle())
	},
	"DeleteFlow": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.DeleteFlow(ctx, p.flow())
	},
	"Profile": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Profile(ctx, p.profile(), 0)
	},
	"Profiles": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Profiles(ctx, coordinator.ProfileFilter{})
		var names []string
		for _, one := range page.Items {
			names = append(names, one.Name)
		}
		return names, err
	},
	"DeleteProfile": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.DeleteProfile(ctx, p.profile())
	},
	"RunFlow": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.RunFlow(ctx, coordinator.FlowRunSpec{Flow: p.flow()})
	},
	"GetSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.GetSchedule(ctx, p.schedule())
	},
	"Schedules": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Schedules(ctx, coordinator.ScheduleFilter{})
		var ids []string
		for _, s := range page.Items {
			ids = append(ids, s.ID)
		}
		return ids, err
	},
	"UpdateSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.UpdateSchedule(ctx, scheduledoc.Spec{ID: p.schedule(), Cron: "@daily", Tree: []byte(`{"name":"n","schemas":{"method":"noop_executor"}}`)}, 0)
	},
	"PauseSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.PauseSchedule(ctx, p.schedule(), "")
	},
	"ResumeSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.ResumeSchedule(ctx, p.schedule())
	},
	"RenewScheduleSecret": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.RenewScheduleSecret(ctx, coordinator.SecretRenewal{ID: p.schedule()})
	},
	"TriggerSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.TriggerSchedule(ctx, coordinator.ScheduleTrigger{ID: p.schedule()})
	},
	"BackfillSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.BackfillSchedule(ctx, coordinator.ScheduleBackfill{ID: p.schedule(), From: time.Now().AddDate(-2, 0, 0), To: time.Now()})
	},
	"DeleteSchedule": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.DeleteSchedule(ctx, p.schedule(), 0)
	},
	"ScheduleRuns": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.ScheduleRuns(ctx, coordinator.ScheduleRunFilter{ID: p.schedule()})
		return zeroIsNothing(len(page.Items)), err
	},
	"Erasure": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Erasure(ctx, "an id of nobody")
	},
	"Erasures": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Erasures(ctx, coordinator.ErasureFilter{})
		return page.Items, err
	},
	"Hold": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Hold(ctx, coordinator.HoldSpec{TreeID: p.child, Reason: "case 7"})
	},
	"Release": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.Release(ctx, p.root)
	},
	"Holds": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Holds(ctx, coordinator.HoldFilter{})
		var trees []string
		for _, held := range page.Items {
			trees = append(trees, held.TreeID)
		}
		return trees, err
	},
	"Skip": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Skip(ctx, p.root)
	},
	"Update": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Update(ctx, p.root, coordinator.TaskChange{})
	},
	"Delete": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Delete(ctx, p.root, coordinator.DeleteOptions{Force: true})
	},
	"Copy": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Copy(ctx, p.root, coordinator.CopyOptions{})
	},
	"Attach": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Attach(ctx, p.root, coordinator.Attachment{Webhook: coordinator.Webhook{URL: "http://127.0.0.1:1/"}})
	},
	"ListWebhooks": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.ListWebhooks(ctx, coordinator.WebhookFilter{})
		if err != nil || len(page.Items) > 0 {
			return page, err
		}
		_, err = svc.ListWebhooks(ctx, coordinator.WebhookFilter{TaskID: p.root})
		return nil, err
	},
	"GetWebhook": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		if w, err := svc.GetWebhook(ctx, p.attached); !errors.Is(err, coordinator.ErrNotFound) {
			return w, err
		}
		return svc.GetWebhook(ctx, p.webhook)
	},
	"UpdateWebhook": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.UpdateWebhook(ctx, p.webhook, coordinator.WebhookChange{})
	},
	"DeleteWebhook": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		if err := svc.DeleteWebhook(ctx, p.attached, 0); !errors.Is(err, coordinator.ErrNotFound) {
			return p.attached, err
		}
		return nil, svc.DeleteWebhook(ctx, p.webhook, 0)
	},
	"TestWebhook": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.TestWebhook(ctx, p.webhook)
	},
	"Deliveries": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		page, err := svc.Deliveries(ctx, coordinator.DeliveryFilter{WebhookID: p.webhook})
		return zeroIsNothing(len(page.Items)), err
	},
	"Resend": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.Resend(ctx, p.delivery)
	},
	"KeepAgentTask": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.KeepAgentTask(ctx, coordinator.AgentTask{ID: "x", Context: "x", TaskID: p.root, History: json.RawMessage(`[]`)})
	},
	"DropAgentTask": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return nil, svc.DropAgentTask(ctx, p.agent)
	},
	"AgentTask": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.AgentTask(ctx, p.agent)
	},
	"AgentTaskOf": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		return svc.AgentTaskOf(ctx, p.root)
	},
	"AgentTasks": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		for _, f := range []coordinator.AgentTaskFilter{{}, {Context: p.conversation}, {UserID: p.user}} {
			if page, err := svc.AgentTasks(ctx, f); err != nil || len(page.Items)+page.Total > 0 {
				return page, err
			}
		}
		return nil, nil
	},
	"ModelKeys": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		names, err := svc.ModelKeys(ctx, p.user)
		return zeroIsNothing(len(names)), err
	},
	"DeleteModelKey": func(ctx context.Context, svc coordinator.Service, p planted) (any, error) {
		had, err := svc.DeleteModelKey(ctx, p.user, "")
		if had {
			return p.user, err
		}
		return nil, err
	},
}

// lookless are the methods that name nothing of a namespace, and why.
var lookless = map[string]string{
	"Generate": "it makes something, by Submit", "Executors": "of the cluster", "Executor": "of the cluster", "Workers": "of the cluster", "Coordinators": "of the cluster",
	"Pools": "of the cluster", "Demand": "of the cluster", "WatchDemand": "of the cluster", "Verify": "of the cluster", "Ready": "of the process", "CheckAttachment": "looks at nothing that is stored", "CreateWebhook": "makes something",
	"SetModelKey": "makes something", "CreateAPIKey": "makes something", "APIKeys": "see the tests of API keys", "RevokeAPIKey": "see the tests of API keys",
	"RotateAPIKey": "see the tests of API keys", "CreateNamespace": "of the cluster", "GetNamespace": "of the cluster", "ListNamespaces": "of the cluster",
	"UpdateNamespace": "of the cluster", "DeleteNamespace": "of the cluster", "PoolRules": "of the cluster", "SetPoolRule": "of the cluster", "DeletePoolRule": "of the cluster",
	"Record": "says of which namespaces: see the tests of the record", "ReadRecord": "as Record", "VerifyRecord": "of the cluster",
	"ApplyFlow": "makes something", "ApplyProfiles": "makes something", "ApplyBundle": "makes something", "PutBundleFile": "makes something", "FlowRun": "see the matrix of package hostile", "FlowRuns": "see the matrix of package hostile", "CancelFlowRun": "see the matrix of package hostile", "ResumeFlowRun": "see the matrix of package hostile",
	"RestartFlowRun": "see the matrix of package hostile",
	"NextInstants":   "looks at nothing that is stored", "SetLimit": "makes something", "SetWeight": "makes something", "BreakLock": "its own test breaks one", "Erase": "see the tests of erasures",
	"GrantRole": "makes something", "RevokeRole": "see the tests of bindings", "Bindings": "see the tests of bindings", "WhoAmI": "about the caller", "CanI": "see the tests of the policy",
	"LinkedApproval": "a link proves what it is about", "ApproveByLink": "a link proves what it is about", "TakeEvent": "a signature proves what it is about",
	"ListRoles": "of the cluster", "Diagnose": "of the cluster", "SealStatus": "of the cluster", "RotateDataKeys": "of the cluster", "RewrapDataKeys": "of the cluster", "RotateTokens": "of the cluster",
}

func zeroIsNothing(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

// TestEveryLookStaysInItsNamespace: whatever is asked for by a method of the service, what is another namespace's is not found, whichever of the two
// is default; and nothing there has changed. Methods are found by reflection, so that a new one needs a row.
func TestEveryLookStaysInItsNamespace(t *testing.T) {
	t.Parallel()
	svc := reflect.TypeFor[coordinator.Service]()
	for i := range svc.NumMethod() {
		name := svc.Method(i).Name
		if _, has := looks[name]; has == (lookless[name] != "") {
			t.Errorf("%s: a method has either a row in looks or a reason in lookless", name)
		}
	}
	c := cluster.Start(t, cluster.Options{Coordinator: func(c *config.Coordinator) {
		c.SealKey, c.WebhookSecret, c.WebhookAllow = testSeal, testSecret, config.List{"127.0.0.1"}
	}})
	team(t, c, "team-a", coordinator.Quotas{})
	team(t, c, "team-b", coordinator.Quotas{})
	for _, where := range []struct{ home, other string }{{"team-a", "team-b"}, {"team-a", "default"}, {"default", "team-b"}} {
		t.Run(where.home+" from "+where.other, func(t *testing.T) {
			home, other := in(c, where.home), in(c, where.other)
			p := plant(t, c, home, "m"+where.home[len(where.home)-1:]+where.other[len(where.other)-1:])
			before := stateOf(t, home, p)
			for _, name := range []string{"Task", "Attempts", "Why", "Tree", "Watch", "Tasks", "Trees", "Resolve", "GetWebhook", "Deliveries", "AgentTask", "AgentTaskOf", "AgentTasks", "ModelKeys", "Limits", "Pauses", "GetSchedule", "Schedules"} {
				if found, _ := looks[name](t.Context(), home, p); !reported(found) {
					t.Errorf("%s finds nothing in its own namespace", name)
				}
			}
			for name, look := range looks {
				found, err := look(t.Context(), other, p)
				if text := fmt.Sprint(found); err == nil && reported(found) && mentions(text, p) || err != nil && !errors.Is(err, coordinator.ErrNotFound) {
					t.Errorf("%s: found %s, %v", name, text, err)
				}
			}
			if after := stateOf(t, home, p); after != before {
				t.Errorf("it was changed:\n%s\n%s", before, after)
			}
		})
	}
}

// reported says whether a look has given something.
func reported(found any) bool {
	v := reflect.ValueOf(found)
	return v.IsValid() && !(v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice) || v.IsValid() && !v.IsNil()
}

// mentions says whether a text has a name of what was planted; a list may hold what else there is in its namespace.
func mentions(text string, p planted) bool {
	return slices.ContainsFunc([]string{p.root, p.child, p.webhook, p.attached, p.agent, p.copied, p.user}, func(name string) bool { return strings.Contains(text, name) })
}

// stateOf is what the other namespace must not change.
func stateOf(t *testing.T, svc coordinator.Service, p planted) string {
	t.Helper()
	tree, err := svc.Tree(t.Context(), p.root)
	if err != nil {
		t.Fatal(err)
	}
	task, err := svc.Task(t.Context(), p.child)
	if err != nil {
		t.Fatal(err)
	}
	names, err := svc.ModelKeys(t.Context(), p.user)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := svc.AgentTask(t.Context(), p.agent)
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := svc.ListWebhooks(t.Context(), coordinator.WebhookFilter{TaskID: p.root})
	if err != nil {
		t.Fatal(err)
	}
	hook, err := svc.GetWebhook(t.Context(), p.webhook)
	if err != nil {
		t.Fatal(err)
	}
	limits, _ := looks["Limits"](t.Context(), svc, p)
	pauses, _ := looks["Pauses"](t.Context(), svc, p)
	return fmt.Sprint(tree.Sequence, tree.Tasks, tree.Namespace, task.State, task.Namespace, names, agent.ID, len(hooks.Items), hook.ID, limits, pauses)
}

// TestNamespacesHoldTheSameNames: ids, idempotency keys and names of webhooks are taken in one namespace only.
func TestNamespacesHoldTheSameNames(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	team(t, c, "team-a", coordinator.Quotas{})
	for i, name := range []string{"default", "team-a"} {
		svc := in(c, name)
		for _, replayed := range []bool{false, true} {
			out, err := svc.Submit(t.Context(), coordinator.SubmitOptions{IdempotencyKey: "k"}, cluster.Seq([]*dag.Task{noop("same", ""), noop("below", "same"), with(noop("more", "same"), fmt.Sprintf(`{"n":%d}`, i))}))
			if err != nil || out.TreeID != "same" || out.IDMap != nil || out.Replayed != replayed {
				t.Fatalf("%s: got %+v, %v", name, out, err)
			}
		}
		c.Eventually("it ends", func() error {
			tree, err := svc.Tree(t.Context(), "below")
			if err == nil && tree.Completed != 3 {
				err = fmt.Errorf("it is %+v", *tree)
			}
			return err
		})
		if task, err := svc.Task(t.Context(), "more"); err != nil || task.Namespace != name || !strings.Contains(string(task.Inputs), fmt.Sprint(i)) {
			t.Errorf("%s: got %+v, %v", name, task, err)
		}
		var last *coordinator.Event
		for e, err := range svc.Watch(t.Context(), "same", 0) {
			if err != nil {
				t.Fatal(err)
			}
			last = e
		}
		if last == nil || last.Tree == nil || last.Tree.Namespace != name {
			t.Errorf("%s: the last event is %+v", name, last)
		}
	}
	if _, err := in(c, "nowhere").Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("x", "")})); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a namespace that is not there: got %v", err)
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}

// TestQuotas: what would go above one is refused with its name, and there is room again when something was deleted.
func TestQuotas(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	two, five, hundred := int64(2), int64(5), int64(100)
	held := coordinator.SubmitOptions{Hold: true}
	for name, tc := range map[string]struct {
		quotas coordinator.Quotas
		quota  string
		opts   coordinator.SubmitOptions
		tree   func(i int) []*dag.Task
		fits   int
	}{
		"trees": {coordinator.Quotas{Trees: &two}, "trees", held, func(i int) []*dag.Task { return []*dag.Task{noop(fmt.Sprint(i), "")} }, 2},
		"tasks": {coordinator.Quotas{Tasks: &five}, "tasks", held, func(i int) []*dag.Task {
			return []*dag.Task{noop(fmt.Sprint(i), ""), noop(fmt.Sprint(i, "-below"), fmt.Sprint(i))}
		}, 2},
		"bytes": {coordinator.Quotas{Bytes: &hundred}, "bytes", held, func(i int) []*dag.Task {
			return []*dag.Task{with(noop(fmt.Sprint(i), ""), `{"x":"`+strings.Repeat("x", 40)+`"}`)}
		}, 2},
		"open-trees": {coordinator.Quotas{OpenTrees: &two}, "open_trees", coordinator.SubmitOptions{}, func(i int) []*dag.Task {
			return []*dag.Task{{ID: fmt.Sprint(i), Name: "n", Executor: "nobody_executor", Pool: "nobody"}}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			svc := team(t, c, name, tc.quotas)
			for i := range tc.fits {
				if _, err := svc.Submit(t.Context(), tc.opts, cluster.Seq(tc.tree(i))); err != nil {
					t.Fatalf("tree %d: %v", i, err)
				}
			}
			_, err := svc.Submit(t.Context(), tc.opts, cluster.Seq(tc.tree(tc.fits)))
			full, ok := errors.AsType[*coordinator.QuotaError](err)
			if !ok || full.Quota != tc.quota || full.Namespace != name {
				t.Fatalf("one more: got %v", err)
			}
			if tc.quota == "trees" || tc.quota == "tasks" {
				if _, err := svc.Copy(t.Context(), "0", coordinator.CopyOptions{}); err == nil {
					t.Errorf("a copy was stored")
				}
			}
			if tc.quota == "open_trees" {
				if _, err := svc.Submit(t.Context(), held, cluster.Seq(tc.tree(7))); err != nil {
					t.Errorf("a held tree is not open: %v", err)
				}
				if _, err := svc.Execute(t.Context(), "7", coordinator.ExecuteOptions{}); err == nil {
					t.Errorf("one more was executed")
				}
				if _, err := svc.Cancel(t.Context(), "0", coordinator.CancelOptions{}); err != nil {
					t.Fatal(err)
				}
			} else if _, err := svc.Delete(t.Context(), "0", coordinator.DeleteOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
			c.Eventually("there is room again", func() error {
				_, err := svc.Submit(t.Context(), tc.opts, cluster.Seq(tc.tree(tc.fits)))
				return err
			})
		})
	}
}

// TestDeletingANamespace: one with trees goes only by force, with all that is in it, also while trees run; a name is free again, and finds nothing of
// the one before.
func TestDeletingANamespace(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	svc := team(t, c, "gone", coordinator.Quotas{})
	for i, opts := range []coordinator.SubmitOptions{{Hold: true}, {}, {}} {
		task := noop(fmt.Sprint("t", i), "")
		if i == 2 {
			task = sleeper("t2", "", `{"seconds":3600}`)
		}
		if _, err := svc.Submit(t.Context(), opts, cluster.Seq([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Service().DeleteNamespace(t.Context(), "gone", false); !errors.Is(err, coordinator.ErrConflict) {
		t.Errorf("one with trees: got %v", err)
	}
	left, err := c.Service().DeleteNamespace(t.Context(), "gone", true)
	if err != nil || left != nil && !left.Deleting {
		t.Fatalf("got %+v, %v", left, err)
	}
	if _, err := svc.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("late", "")})); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a tree that comes too late: got %v", err)
	}
	c.Eventually("it is gone", func() error {
		_, err := c.Service().DeleteNamespace(t.Context(), "gone", true)
		if errors.Is(err, coordinator.ErrNotFound) {
			return nil
		}
		return errors.Join(err, errors.New("it is there"))
	})
	again := team(t, c, "gone", coordinator.Quotas{})
	if page, err := again.Tasks(t.Context(), coordinator.TaskFilter{}); err != nil || len(page.Items) > 0 {
		t.Errorf("the new one has %+v, %v", page.Items, err)
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}
