package coordinator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestARunThatFailsToStartIsTold to webhooks of the cluster that ask for it, once each, and can be sent again; others are told nothing.
func TestARunThatFailsToStartIsTold(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{Coordinators: 2})
	r, others := newReceiver(t), newReceiver(t)
	for url, spec := range map[string]coordinator.WebhookSpec{
		r.URL:      {Events: []coordinator.WebhookEvent{coordinator.RunFailedToStart}, Labels: map[string]string{"team": "night"}},
		others.URL: {Events: []coordinator.WebhookEvent{coordinator.RunFailedToStart}, Labels: map[string]string{"team": "day"}},
	} {
		spec.URL = url
		if _, err := c.Service().CreateWebhook(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	register(t, c, dailyFlow)
	schedule(t, c, `{"id":"nightly","cron":"0 2 1 1 *","labels":{"team":"night"},"flow":{"id":"daily","params":{"day":"x"}}}`)
	if err := c.Service().DeleteFlow(t.Context(), "daily"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `insert into fire (schedule, kind, instant, cause, state, started_at) select key, 1, now(), '', 2, now() from schedule where id = 'nightly'`); err != nil {
		t.Fatal(err)
	}
	got := r.until(t, "that a run failed to start", func(d []delivered) bool { return len(d) > 0 })
	d := got[0]
	message, _ := d.field("message").(string)
	if d.field("type") != "run_failed_to_start" || d.field("status") != "failed" || d.field("final") != true || d.field("error") != "flow.id: there is no flow daily" || d.field("root_task_id") != "" || !strings.HasPrefix(message, "The run of schedule nightly of ") {
		t.Errorf("got %s", d.Body)
	}
	c.For(t).Eventually("what was told is forgotten", func() error {
		var n int
		if err := conn.QueryRow(t.Context(), "select count(*) from webhook_cursor").Scan(&n); err != nil || n > 0 {
			return fmt.Errorf("%d cursors, %v", n, err)
		}
		return nil
	})
	hooks, err := c.Service().ListWebhooks(t.Context(), coordinator.WebhookFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range hooks.Items {
		page, err := c.Service().Deliveries(t.Context(), coordinator.DeliveryFilter{WebhookID: w.ID})
		if err != nil || len(page.Items) != map[string]int{r.URL: 1, others.URL: 0}[w.URL] {
			t.Fatal(w.URL, page.Items, err)
		}
		for _, one := range page.Items {
			if again, err := c.Service().Resend(t.Context(), one.ID); err != nil || again.Outcome != coordinator.Delivered || again.Event != "run_failed_to_start" {
				t.Error(again, err)
			}
		}
	}
}
