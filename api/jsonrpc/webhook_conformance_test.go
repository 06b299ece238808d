package jsonrpc_test

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// shownWebhook and shownDelivery are webhooks and deliveries of the wire.
type shownWebhook struct {
	ID, Name, URL, Method, Form, Tree, State, Reason string
	TreeID                                           string   `json:"root_task_id"`
	HeaderNames                                      []string `json:"header_names"`
	Timeout                                          float64
	MaxRetries                                       int  `json:"max_retries"`
	OwnSecret                                        bool `json:"own_secret"`
	Signed                                           bool
	Body                                             json.RawMessage
	Events                                           []coordinator.WebhookEvent
	UserID                                           string `json:"user_id"`
	Labels                                           map[string]string
	CreatedAt                                        time.Time `json:"created_at"`
	Waiting                                          int
	Owner                                            string
	Revision                                         int32
}

func (w *shownWebhook) info() *coordinator.WebhookInfo {
	return &coordinator.WebhookInfo{ID: w.ID, Name: w.Name, URL: w.URL, Method: w.Method, Form: w.Form, Tree: w.Tree, State: coordinator.WebhookState(w.State), Reason: w.Reason,
		TreeID: w.TreeID, HeaderNames: w.HeaderNames, Timeout: time.Duration(w.Timeout * float64(time.Second)), MaxAttempts: w.MaxRetries, OwnSecret: w.OwnSecret, Signed: w.Signed,
		Body: w.Body, Events: w.Events, UserID: w.UserID, Labels: w.Labels, CreatedAt: w.CreatedAt, Waiting: w.Waiting,
		Owner: w.Owner, Revision: w.Revision}
}

type shownDelivery struct {
	ID, Event, Outcome, Error string
	WebhookID                 string `json:"webhook_id"`
	MessageID                 string `json:"message_id"`
	TreeID                    string `json:"root_task_id"`
	Sequence                  int64
	Attempts, Status          int
	Latency                   float64
	At                        time.Time
}

func (d *shownDelivery) delivery() *coordinator.Delivery {
	return &coordinator.Delivery{ID: d.ID, WebhookID: d.WebhookID, MessageID: d.MessageID, TreeID: d.TreeID, Sequence: d.Sequence, Event: d.Event,
		Outcome: coordinator.DeliveryOutcome(d.Outcome), Attempts: d.Attempts, Status: d.Status, Latency: time.Duration(d.Latency * float64(time.Second)), Error: d.Error, At: d.At}
}

func (r *remote) webhook(ctx context.Context, method string, params map[string]any) (*coordinator.WebhookInfo, error) {
	var got shownWebhook
	if _, err := r.postTo(ctx, "/system", "webhooks."+method, params, &got); err != nil {
		return nil, err
	}
	return got.info(), nil
}

func (r *remote) delivery(ctx context.Context, method string, params map[string]any) (*coordinator.Delivery, error) {
	var got shownDelivery
	if _, err := r.postTo(ctx, "/system", "webhooks."+method, params, &got); err != nil {
		return nil, err
	}
	return got.delivery(), nil
}

func (r *remote) CreateWebhook(ctx context.Context, w coordinator.WebhookSpec) (*coordinator.WebhookInfo, error) {
	return r.webhook(ctx, "create", map[string]any{"name": w.Name, "events": w.Events, "user_id": w.UserID, "tree": w.Tree, "labels": w.Labels, "url": w.URL, "method": w.Method,
		"headers": w.Headers, "timeout": w.Timeout.Seconds(), "max_retries": w.MaxAttempts, "secret": w.Secret, "body": w.Body, "owner": w.Owner})
}

func (r *remote) GetWebhook(ctx context.Context, id string) (*coordinator.WebhookInfo, error) {
	return r.webhook(ctx, "get", map[string]any{"webhook_id": id})
}

func (r *remote) UpdateWebhook(ctx context.Context, id string, ch coordinator.WebhookChange) (*coordinator.WebhookInfo, error) {
	params := map[string]any{"webhook_id": id, "revision": ch.IfRevision}
	for name, value := range map[string]*string{"url": ch.URL, "method": ch.Method, "name": ch.Name, "user_id": ch.UserID, "tree": ch.Tree, "secret": ch.Secret, "owner": ch.Owner} {
		if value != nil {
			params[name] = *value
		}
	}
	if ch.HasHeaders {
		params["headers"] = ch.Headers
	}
	if ch.HasLabels {
		params["labels"] = map[string]string{}
		if ch.Labels != nil {
			params["labels"] = ch.Labels
		}
	}
	if ch.Events != nil {
		params["events"] = ch.Events
	}
	if ch.Timeout != nil {
		params["timeout"] = ch.Timeout.Seconds()
	}
	if ch.MaxAttempts != nil {
		params["max_retries"] = *ch.MaxAttempts
	}
	if ch.Body != nil {
		params["body"] = ch.Body
	}
	if ch.Enabled != nil {
		params["enabled"] = *ch.Enabled
	}
	return r.webhook(ctx, "update", params)
}

func (r *remote) DeleteWebhook(ctx context.Context, id string, revision int32) error {
	_, err := r.postTo(ctx, "/system", "webhooks.delete", map[string]any{"webhook_id": id, "revision": revision}, &struct{}{})
	return err
}

func (r *remote) TestWebhook(ctx context.Context, id string) (*coordinator.Delivery, error) {
	return r.delivery(ctx, "test", map[string]any{"webhook_id": id})
}

func (r *remote) Resend(ctx context.Context, id string) (*coordinator.Delivery, error) {
	return r.delivery(ctx, "resend", map[string]any{"delivery_id": id})
}

func (r *remote) ListWebhooks(ctx context.Context, f coordinator.WebhookFilter) (page coordinator.Page[*coordinator.WebhookInfo], err error) {
	params := map[string]any{"limit": f.Limit, "cursor": f.Cursor}
	if f.TaskID != "" {
		params["task_id"] = f.TaskID
	}
	var got struct {
		Webhooks []*shownWebhook
		Next     string `json:"next_cursor"`
	}
	if _, err := r.postTo(ctx, "/system", "webhooks.list", params, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, w := range got.Webhooks {
		page.Items = append(page.Items, w.info())
	}
	return page, nil
}

func (r *remote) Deliveries(ctx context.Context, f coordinator.DeliveryFilter) (page coordinator.Page[*coordinator.Delivery], err error) {
	var got struct {
		Deliveries []*shownDelivery
		Next       string `json:"next_cursor"`
	}
	params := map[string]any{"webhook_id": f.WebhookID, "failed": f.Failed, "limit": f.Limit, "cursor": f.Cursor}
	if _, err := r.postTo(ctx, "/system", "webhooks.deliveries", params, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, d := range got.Deliveries {
		page.Items = append(page.Items, d.delivery())
	}
	return page, nil
}
