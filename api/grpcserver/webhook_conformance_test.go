package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

func (r *remote) CreateWebhook(ctx context.Context, spec coordinator.WebhookSpec) (*coordinator.WebhookInfo, error) {
	return webhookOf(r.c.CreateWebhook(ctx, client.WebhookSpec{Webhook: client.Webhook(spec.Webhook), Name: spec.Name, Events: eventsOf[client.WebhookEvent](spec.Events),
		UserID: spec.UserID, Tree: spec.Tree, Labels: spec.Labels, Owner: spec.Owner}))
}

func (r *remote) GetWebhook(ctx context.Context, id string) (*coordinator.WebhookInfo, error) {
	return webhookOf(r.c.Webhook(ctx, id))
}

func (r *remote) ListWebhooks(ctx context.Context, f coordinator.WebhookFilter) (page coordinator.Page[*coordinator.WebhookInfo], err error) {
	got, err := r.c.WebhooksPage(ctx, client.WebhookFilter{TaskID: f.TaskID, PageSize: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, w := range got.Items {
		one, _ := webhookOf(w, nil)
		page.Items = append(page.Items, one)
	}
	return page, nil
}

func (r *remote) UpdateWebhook(ctx context.Context, id string, ch coordinator.WebhookChange) (*coordinator.WebhookInfo, error) {
	change := client.WebhookChange{URL: ch.URL, Method: ch.Method, Name: ch.Name, UserID: ch.UserID, Tree: ch.Tree, Secret: ch.Secret,
		Events: eventsOf[client.WebhookEvent](ch.Events), Timeout: ch.Timeout, MaxAttempts: ch.MaxAttempts, Body: ch.Body, Enabled: ch.Enabled, Owner: ch.Owner, IfRevision: ch.IfRevision}
	if ch.HasHeaders {
		change.Headers = &ch.Headers
	}
	if ch.HasLabels {
		change.Labels = &ch.Labels
	}
	return webhookOf(r.c.UpdateWebhook(ctx, id, change))
}

func (r *remote) DeleteWebhook(ctx context.Context, id string, revision int32) error {
	return r.c.DeleteWebhookAt(ctx, id, revision)
}

func (r *remote) TestWebhook(ctx context.Context, id string) (*coordinator.Delivery, error) {
	return deliveryOf(r.c.TestWebhook(ctx, id))
}

func (r *remote) Resend(ctx context.Context, id string) (*coordinator.Delivery, error) {
	return deliveryOf(r.c.Resend(ctx, id))
}

func (r *remote) Deliveries(ctx context.Context, f coordinator.DeliveryFilter) (page coordinator.Page[*coordinator.Delivery], err error) {
	got, err := r.c.DeliveriesPage(ctx, client.DeliveryFilter{WebhookID: f.WebhookID, Failed: f.Failed, PageSize: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, d := range got.Items {
		one, _ := deliveryOf(d, nil)
		page.Items = append(page.Items, one)
	}
	return page, nil
}

func eventsOf[To, From ~string](list []From) (out []To) {
	for _, e := range list {
		out = append(out, To(e))
	}
	return out
}

func webhookOf(w *client.WebhookInfo, err error) (*coordinator.WebhookInfo, error) {
	if err != nil {
		return nil, err
	}
	return &coordinator.WebhookInfo{ID: w.ID, TreeID: w.TreeID, Name: w.Name, URL: w.URL, Method: w.Method, HeaderNames: w.HeaderNames, Timeout: w.Timeout,
		MaxAttempts: w.MaxAttempts, OwnSecret: w.OwnSecret, Signed: w.Signed, Body: w.Body, Form: w.Form, Events: eventsOf[coordinator.WebhookEvent](w.Events), UserID: w.UserID,
		Tree: w.Tree, Labels: w.Labels, State: coordinator.WebhookState(w.State), Reason: w.Reason, CreatedAt: w.CreatedAt, Waiting: w.Waiting, FailingFrom: w.FailingFrom,
		Owner: w.Owner, Revision: w.Revision}, nil
}

func deliveryOf(d *client.Delivery, err error) (*coordinator.Delivery, error) {
	if err != nil {
		return nil, err
	}
	return &coordinator.Delivery{ID: d.ID, WebhookID: d.WebhookID, MessageID: d.MessageID, TreeID: d.TreeID, Sequence: d.Sequence, Event: d.Event,
		Outcome: coordinator.DeliveryOutcome(d.Outcome), Attempts: d.Attempts, Status: d.Status, Latency: d.Latency, Error: d.Error, At: d.At}, nil
}
