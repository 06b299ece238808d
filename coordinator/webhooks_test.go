package coordinator_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestWebhooksOfTheClusterAreToldWhatTheyAskFor: by event, owner, name and labels, whoever ends the tree.
func TestWebhooksOfTheClusterAreToldWhatTheyAskFor(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{Coordinators: 2})
	r, all := newReceiver(t), newReceiver(t)
	make := func(i int, spec coordinator.WebhookSpec) *coordinator.WebhookInfo {
		t.Helper()
		info, err := c.Coordinators[i].P.CreateWebhook(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	make(0, coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: r.URL}, Events: []coordinator.WebhookEvent{coordinator.TreeFailed}, Labels: map[string]string{"team": "data"}})
	make(1, coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: all.URL}, UserID: "u", Events: coordinator.WebhookEvents()})
	bad := noop("bad", "")
	bad.Inputs = []byte(`{"fail":"it broke"}`)
	for i, labels := range []map[string]string{{"team": "web"}, {"team": "data"}} {
		bad := *bad
		bad.ID = fmt.Sprint("bad", i)
		if _, err := c.Coordinators[i].P.Submit(t.Context(), coordinator.SubmitOptions{Labels: labels}, cluster.Seq([]*dag.Task{&bad})); err != nil {
			t.Fatal(err)
		}
	}
	c.Submit(coordinator.SubmitOptions{UserID: "u"}, noop("good", ""))
	got := all.until(t, "the end of the owner's tree", final)
	if want := "tree_created good in_progress; tree_started good in_progress; task_start good in_progress; task_completed good completed; tree_completed good completed"; typesOf(got) != want {
		t.Errorf("got  %s\nwant %s", typesOf(got), want)
	}
	got = r.until(t, "the failed tree", func(d []delivered) bool { return len(d) > 0 })
	if typesOf(got) != "tree_failed bad1 failed" || got[0].field("message") != "Tree finished with status: failed" {
		t.Errorf("got %s: %s", typesOf(got), got[0].Body)
	}
}

// TestNoEndIsMissed: a webhook that was made before a tree ended is told of it, also if another coordinator ends it.
func TestNoEndIsMissed(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{Coordinators: 2})
	r := newReceiver(t)
	stop, wanted := make(chan struct{}), map[string]bool{}
	var mu sync.Mutex
	submitted := 0
	var created time.Time // when the answer came
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprint("t", i)
			mu.Lock()
			later := !created.IsZero() // before it is submitted: a tree may end long before its answer comes
			mu.Unlock()
			if _, err := c.Coordinators[i%2].P.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop(id, "")})); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			submitted++
			if later {
				wanted[id] = true
			}
			mu.Unlock()
		}
	})
	more := func(n int) { // trees are submitted, however long that takes
		t.Helper()
		mu.Lock()
		n += submitted
		mu.Unlock()
		c.Eventually("more trees are submitted", func() error {
			mu.Lock()
			defer mu.Unlock()
			if submitted < n {
				return fmt.Errorf("%d of %d", submitted, n)
			}
			return nil
		})
	}
	more(50)
	if _, err := c.Service().CreateWebhook(t.Context(), coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: r.URL}, Events: []coordinator.WebhookEvent{coordinator.TreeCompleted}}); err != nil {
		t.Fatal(err)
	}
	page, err := c.Service().Trees(t.Context(), coordinator.TreeFilter{Running: true, Limit: 1000}) // they end later
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	created = time.Now()
	for _, tr := range page.Items {
		wanted[tr.ID] = true
	}
	mu.Unlock()
	more(100)
	close(stop)
	load.Wait()
	r.until(t, "the ends of all", func(got []delivered) bool {
		told := map[string]bool{}
		for _, d := range got {
			told[d.field("task_id").(string)] = true
		}
		for id := range wanted {
			if !told[id] {
				return false
			}
		}
		return true
	})
	if len(wanted) < 3 {
		t.Errorf("only %d trees were to be told", len(wanted))
	}
}

// TestWebhooksAreLookedAfter: they are shown without their secrets, changed, tested, and what failed is sent again.
func TestWebhooksAreLookedAfter(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{})
	r := newReceiver(t)
	svc, ctx := c.Service(), t.Context()
	r.answer = func(n int, _ delivered) int { return []int{404, 200}[min(n, 1)] }
	info, err := svc.CreateWebhook(ctx, coordinator.WebhookSpec{Name: "n", Events: []coordinator.WebhookEvent{coordinator.TreeCompleted},
		Webhook: coordinator.Webhook{URL: r.URL + "/hook?token=canary-url", Headers: map[string]string{"Authorization": "Bearer canary"}, Secret: testSecret}})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", *info); strings.Contains(text, "canary") || info.URL != r.URL+"/hook?…" || !info.Signed || !info.OwnSecret || info.HeaderNames[0] != "Authorization" || info.State != coordinator.WebhookActive {
		t.Errorf("it is shown as %s", text)
	}
	c.Submit(coordinator.SubmitOptions{}, noop("one", ""))
	r.until(t, "the refused one", func(d []delivered) bool { return len(d) == 1 })
	var failed *coordinator.Delivery
	c.Eventually("it is on record", func() error {
		page, err := svc.Deliveries(ctx, coordinator.DeliveryFilter{WebhookID: info.ID, Failed: true})
		if err != nil || len(page.Items) != 1 {
			return fmt.Errorf("%v, %v", page.Items, err)
		}
		failed = page.Items[0]
		return nil
	})
	if failed.Outcome != coordinator.Refused || failed.Status != 404 || failed.TreeID != "one" || failed.Event != "tree_completed" {
		t.Errorf("got %+v", *failed)
	}
	again, err := svc.Resend(ctx, failed.ID)
	if err != nil || again.Outcome != coordinator.Delivered {
		t.Fatalf("sent again: %+v, %v", again, err)
	}
	if got := r.until(t, "both", func(d []delivered) bool { return len(d) == 2 }); got[0].ID != got[1].ID || string(got[0].Body) != string(got[1].Body) || got[1].Header.Get("Authorization") != "Bearer canary" {
		t.Errorf("sent again it is %v %s, was %s", got[1].Header, got[1].Body, got[0].Body)
	}
	name, off := "other", false
	if info, err = svc.UpdateWebhook(ctx, info.ID, coordinator.WebhookChange{Name: &name, Enabled: &off}); err != nil || info.Name != name || info.State != coordinator.WebhookDisabled || !info.OwnSecret {
		t.Errorf("changed: %+v, %v", info, err)
	}
	if test, err := svc.TestWebhook(ctx, info.ID); err != nil || test.Outcome != coordinator.Delivered || test.Event != "test" {
		t.Errorf("tested: %+v, %v", test, err)
	}
	if got := r.until(t, "the test", func(d []delivered) bool { return len(d) == 3 }); got[2].Header.Get("Authorization") != "Bearer canary" {
		t.Errorf("after the change headers are %v", got[2].Header)
	}
	page, err := svc.ListWebhooks(ctx, coordinator.WebhookFilter{})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != info.ID {
		t.Errorf("listed: %v, %v", page.Items, err)
	}
	if err := svc.DeleteWebhook(ctx, info.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.GetWebhook(ctx, info.ID); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("deleted: got %v", err)
	}
}

// TestAttachedWebhooksAreToldTheRest: from the moment on, until the end.
func TestAttachedWebhooksAreToldTheRest(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{})
	r := newReceiver(t)
	slow := noop("slow", "")
	slow.Executor, slow.Inputs = "sleep_executor", []byte(`{"seconds":1}`)
	c.Submit(coordinator.SubmitOptions{}, slow)
	c.Eventually("it runs", func() error {
		if task, err := c.Service().Task(t.Context(), "slow"); err != nil || task.StartedAt.IsZero() {
			return fmt.Errorf("%+v, %v", task, err)
		}
		return nil
	})
	a := coordinator.Attachment{Name: "mine", Webhook: coordinator.Webhook{URL: r.URL, Body: []byte(`{"type":"{{event.type}}","text":"{{tree.name}} is {{tree.status}}","final":"{{event.final}}","task_id":"{{event.task_id}}","status":"{{event.status}}"}`)}}
	if _, err := c.Service().Attach(t.Context(), "slow", a); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Service().Attach(t.Context(), "slow", a); !errors.Is(err, coordinator.ErrConflict) {
		t.Errorf("a second one of the name: %v", err)
	}
	got := r.until(t, "the end", final)
	if typesOf(got) != "task_completed slow completed; final slow completed" || got[1].field("text") != "slow is completed" {
		t.Errorf("got %s; %s", typesOf(got), got[1].Body)
	}
	c.Eventually("it has ended", func() error {
		page, err := c.Service().ListWebhooks(t.Context(), coordinator.WebhookFilter{TaskID: "slow"})
		if err != nil || len(page.Items) != 1 || page.Items[0].State != coordinator.WebhookEnded || page.Items[0].Name != "mine" {
			return fmt.Errorf("%+v, %v", page.Items, err)
		}
		return nil
	})
}
