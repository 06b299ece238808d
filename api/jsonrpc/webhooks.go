package jsonrpc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// webhookObject is a webhook as shown.
type webhookObject struct {
	ID          string            `json:"id"`
	RootTaskID  string            `json:"root_task_id,omitempty" description:"of the tree of whose execution it is; absent: it is the cluster's"`
	Name        string            `json:"name"`
	URL         string            `json:"url" description:"without what may be secret in it"`
	Method      string            `json:"method"`
	HeaderNames []string          `json:"header_names" description:"their values are never shown"`
	Timeout     float64           `json:"timeout"`
	MaxRetries  int               `json:"max_retries"`
	OwnSecret   bool              `json:"own_secret"`
	Signed      bool              `json:"signed"`
	Body        json.RawMessage   `json:"body,omitempty"`
	Form        string            `json:"form,omitempty"`
	Events      []string          `json:"events,omitempty"`
	UserID      string            `json:"user_id,omitempty"`
	Tree        string            `json:"tree,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	State       string            `json:"state" description:"active, ended or disabled"`
	Reason      string            `json:"reason,omitempty"`
	CreatedAt   *isoTime          `json:"created_at"`
	Waiting     int               `json:"waiting" description:"trees with events that are not delivered"`
	FailingFrom *isoTime          `json:"failing_from,omitempty"`
	Owner       string            `json:"owner,omitempty" description:"who keeps it in files"`
	Revision    int32             `json:"revision" description:"raised by each change"`
}

func webhookShown(w *coordinator.WebhookInfo) webhookObject {
	out := webhookObject{ID: w.ID, RootTaskID: w.TreeID, Name: w.Name, URL: w.URL, Method: w.Method, HeaderNames: w.HeaderNames, Timeout: w.Timeout.Seconds(),
		MaxRetries: w.MaxAttempts, OwnSecret: w.OwnSecret, Signed: w.Signed, Body: w.Body, Form: w.Form, UserID: w.UserID, Tree: w.Tree, Labels: w.Labels,
		State: string(w.State), Reason: w.Reason, CreatedAt: timeOf(&w.CreatedAt), Waiting: w.Waiting, FailingFrom: timeOf(&w.FailingFrom),
		Owner: w.Owner, Revision: w.Revision}
	for _, e := range w.Events {
		out.Events = append(out.Events, string(e))
	}
	if out.HeaderNames == nil {
		out.HeaderNames = []string{}
	}
	return out
}

// deliveryObject is a delivery as shown.
type deliveryObject struct {
	ID         string   `json:"id"`
	WebhookID  string   `json:"webhook_id"`
	MessageID  string   `json:"message_id,omitempty" description:"the header webhook-id"`
	RootTaskID string   `json:"root_task_id,omitempty"`
	Sequence   int64    `json:"sequence"`
	Event      string   `json:"event"`
	Outcome    string   `json:"outcome" description:"delivered, retrying, refused or gave_up"`
	Attempts   int      `json:"attempts"`
	Status     int      `json:"status" description:"of the answer; 0: none came"`
	Latency    float64  `json:"latency" description:"seconds"`
	Error      string   `json:"error,omitempty"`
	At         *isoTime `json:"at"`
}

func deliveryShown(d *coordinator.Delivery) deliveryObject {
	return deliveryObject{ID: d.ID, WebhookID: d.WebhookID, MessageID: d.MessageID, RootTaskID: d.TreeID, Sequence: d.Sequence, Event: d.Event,
		Outcome: string(d.Outcome), Attempts: d.Attempts, Status: d.Status, Latency: d.Latency.Seconds(), Error: d.Error, At: timeOf(&d.At)}
}

type webhookPage struct {
	Webhooks   []webhookObject `json:"webhooks"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

type deliveryPage struct {
	Deliveries []deliveryObject `json:"deliveries"`
	NextCursor string           `json:"next_cursor,omitempty"`
}

type webhookCreateParams struct {
	webhookParams
	Name   string            `json:"name,omitempty" description:"for people"`
	Events []string          `json:"events" required:"true" description:"tree_created, tree_started, tree_completed, tree_failed, tree_cancelled, tree_late, run_failed_to_start, task_start, task_completed, task_failed, task_cancelled, task_retry"`
	UserID string            `json:"user_id,omitempty" description:"only of trees of this owner"`
	Tree   string            `json:"tree,omitempty" description:"only of trees whose root has this name"`
	Labels map[string]string `json:"labels,omitempty" description:"only of trees that have them; an empty value stands for any"`
	Owner  string            `json:"owner,omitempty" description:"who keeps it in files: 1 to 63 letters, digits, -, _, . and /; it has one webhook of a name; empty: nobody"`
}

type webhookUpdateParams struct {
	WebhookID string `json:"webhook_id" required:"true"`
	Enabled   *bool  `json:"enabled,omitempty"`
	Revision  int32  `json:"revision,omitempty" description:"that it has, else it is not changed; default: whatever"`
	webhookCreateParams
}

type webhookIDParams struct {
	WebhookID string `json:"webhook_id" required:"true" description:"also id"`
}

type webhookDeleteParams struct {
	webhookIDParams
	Revision int32 `json:"revision,omitempty" description:"that it has, else it stays; default: whatever"`
}

type webhookListParams struct {
	TaskID string `json:"task_id,omitempty" description:"those of the executions of its tree; default: those of the cluster"`
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

type deliveriesParams struct {
	WebhookID string `json:"webhook_id" required:"true" description:"also id"`
	Failed    bool   `json:"failed,omitempty" description:"only those that were not delivered"`
	Limit     int    `json:"limit,omitempty"`
	Cursor    string `json:"cursor,omitempty"`
}

type resendParams struct {
	DeliveryID string `json:"delivery_id" required:"true" description:"also id"`
}

type webhookDeleted struct {
	Success   bool   `json:"success"`
	WebhookID string `json:"webhook_id"`
}

// webhookMethods are those of /system that look after webhooks; all are ours.
func webhookMethods() []Method {
	return []Method{
		{Name: "webhooks.create", Path: "/system", Ours: true, Params: webhookCreateParams{}, Result: webhookObject{}, Summary: "Makes a webhook of the cluster."},
		{Name: "webhooks.list", Path: "/system", Ours: true, Params: webhookListParams{}, Result: webhookPage{}, Summary: "Lists webhooks of the cluster, or of a tree's executions."},
		{Name: "webhooks.get", Path: "/system", Ours: true, Params: webhookIDParams{}, Result: webhookObject{}, Summary: "Shows a webhook."},
		{Name: "webhooks.update", Path: "/system", Ours: true, Params: webhookUpdateParams{}, Result: webhookObject{}, Summary: "Changes a webhook of the cluster: the parameters that are given."},
		{Name: "webhooks.delete", Path: "/system", Ours: true, Params: webhookDeleteParams{}, Result: webhookDeleted{}, Summary: "Forgets a webhook, with what waits to be delivered."},
		{Name: "webhooks.test", Path: "/system", Ours: true, Params: webhookIDParams{}, Result: deliveryObject{}, Summary: "Sends an event of no tree at once."},
		{Name: "webhooks.deliveries", Path: "/system", Ours: true, Params: deliveriesParams{}, Result: deliveryPage{}, Summary: "Lists the last deliveries of a webhook, newest first."},
		{Name: "webhooks.resend", Path: "/system", Ours: true, Params: resendParams{}, Result: deliveryObject{}, Summary: "Sends the event of a delivery again at once."},
	}
}

// webhookAnswers answer them.
func (h *Handler) webhookAnswers() map[string]method {
	return map[string]method{
		"webhooks.create": h.webhookCreate, "webhooks.list": h.webhookList, "webhooks.get": h.webhookGet, "webhooks.update": h.webhookUpdate,
		"webhooks.delete": h.webhookDelete, "webhooks.test": h.webhookTest, "webhooks.deliveries": h.webhookDeliveries, "webhooks.resend": h.webhookResend,
	}
}

// webhookNames are an array of events.
func webhookNames(list []string) []coordinator.WebhookEvent {
	var events []coordinator.WebhookEvent
	for _, name := range list {
		events = append(events, coordinator.WebhookEvent(name))
	}
	return events
}

func (h *Handler) webhookCreate(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.WebhookSpec{Name: p.text("name"), Owner: p.text("owner"), UserID: p.text("user_id"), Tree: p.text("tree"), Labels: p.texts("labels"), Events: webhookNames(p.list("events")),
		Webhook: coordinator.Webhook{URL: p.text("url"), Method: p.text("method"), Headers: p.texts("headers"), Secret: p.text("secret"),
			Timeout: time.Duration(p.seconds("timeout", 0) * float64(time.Second)), MaxAttempts: p.number("max_retries", 0, 0, maxWebhookAttempts)}}
	if p.given("body") {
		spec.Body = append(json.RawMessage(nil), p.values["body"]...)
	}
	if p.err != nil {
		return nil, p.err
	}
	w, err := x.svc.CreateWebhook(ctx, spec)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, webhookShown(w)), nil
}

// webhookID reads the id of a webhook.
func webhookID(raw json.RawMessage) (id string, p *params, err error) {
	if p, err = named(raw); err != nil {
		return "", nil, err
	}
	if id = p.first("webhook_id", "id"); id == "" {
		p.fault("webhook_id", "webhook_id is required")
	}
	return id, p, p.err
}

func (h *Handler) webhookGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, _, err := webhookID(raw)
	if err != nil {
		return nil, err
	}
	w, err := x.svc.GetWebhook(ctx, id)
	if err != nil {
		return nil, named404(err, "Webhook "+id+" not found")
	}
	return appendJSON(nil, webhookShown(w)), nil
}

func (h *Handler) webhookList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.WebhookFilter{TaskID: p.text("task_id"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.ListWebhooks(ctx, f)
	if err != nil {
		return nil, named404(err, "Task "+f.TaskID+" not found")
	}
	out := webhookPage{Webhooks: []webhookObject{}, NextCursor: page.Next}
	for _, w := range page.Items {
		out.Webhooks = append(out.Webhooks, webhookShown(w))
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) webhookUpdate(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, p, err := webhookID(raw)
	if err != nil {
		return nil, err
	}
	var ch coordinator.WebhookChange
	for name, to := range map[string]**string{"url": &ch.URL, "method": &ch.Method, "name": &ch.Name, "user_id": &ch.UserID, "tree": &ch.Tree, "secret": &ch.Secret, "owner": &ch.Owner} {
		if p.given(name) {
			text := p.text(name)
			*to = &text
		}
	}
	ch.Headers, ch.HasHeaders = p.texts("headers"), p.given("headers")
	ch.Labels, ch.HasLabels = p.texts("labels"), p.given("labels")
	if p.given("events") {
		ch.Events = append([]coordinator.WebhookEvent{}, webhookNames(p.list("events"))...)
	}
	if p.given("timeout") {
		d := time.Duration(p.seconds("timeout", 0) * float64(time.Second))
		ch.Timeout = &d
	}
	if p.given("max_retries") {
		n := p.number("max_retries", 0, 0, maxWebhookAttempts)
		ch.MaxAttempts = &n
	}
	if body, has := p.values["body"]; has {
		ch.Body = append(json.RawMessage(nil), body...)
	}
	ch.IfRevision = p.revision()
	if p.given("enabled") {
		on := p.flag("enabled", true)
		ch.Enabled = &on
	}
	if p.err != nil {
		return nil, p.err
	}
	w, err := x.svc.UpdateWebhook(ctx, id, ch)
	if err != nil {
		return nil, named404(err, "Webhook "+id+" not found")
	}
	return appendJSON(nil, webhookShown(w)), nil
}

func (h *Handler) webhookDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, p, err := webhookID(raw)
	if err != nil {
		return nil, err
	}
	revision := p.revision()
	if p.err != nil {
		return nil, p.err
	}
	if err := x.svc.DeleteWebhook(ctx, id, revision); err != nil {
		return nil, named404(err, "Webhook "+id+" not found")
	}
	return appendJSON(nil, webhookDeleted{true, id}), nil
}

func (h *Handler) webhookTest(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, _, err := webhookID(raw)
	if err != nil {
		return nil, err
	}
	d, err := x.svc.TestWebhook(ctx, id)
	if err != nil {
		return nil, named404(err, "Webhook "+id+" not found")
	}
	return appendJSON(nil, deliveryShown(d)), nil
}

func (h *Handler) webhookDeliveries(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, p, err := webhookID(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.DeliveryFilter{WebhookID: id, Failed: p.flag("failed", false), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Deliveries(ctx, f)
	if err != nil {
		return nil, named404(err, "Webhook "+id+" not found")
	}
	out := deliveryPage{Deliveries: []deliveryObject{}, NextCursor: page.Next}
	for _, d := range page.Items {
		out.Deliveries = append(out.Deliveries, deliveryShown(d))
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) webhookResend(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.first("delivery_id", "id")
	if id == "" {
		p.fault("delivery_id", "delivery_id is required")
	}
	if p.err != nil {
		return nil, p.err
	}
	d, err := x.svc.Resend(ctx, id)
	if err != nil {
		return nil, named404(err, "Delivery "+id+" not found")
	}
	return appendJSON(nil, deliveryShown(d)), nil
}
