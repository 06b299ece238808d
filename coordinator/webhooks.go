package coordinator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// CreateWebhook makes a webhook of the cluster; see [Webhooks].
func (c *Coordinator) CreateWebhook(ctx context.Context, spec WebhookSpec) (*WebhookInfo, error) {
	events, view, err := c.webhooks.checkSpec(&spec)
	if err != nil {
		return nil, err
	}
	w, err := c.webhooks.storable(ctx, spec.Webhook, view)
	if err != nil {
		return nil, err
	}
	w.Name, w.Events, w.Owner = spec.Name, events, spec.Owner
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	err = c.gone(c.store.CreateWebhook(ctx, here, w))
	if below, ok := errors.AsType[*dag.LevelError](err); ok {
		return nil, below
	}
	if err != nil {
		return nil, c.storeError("create webhook", spec.Owner, err)
	}
	return c.GetWebhook(ctx, w.ID)
}

// storeError is why a webhook could not be stored or forgotten, in the service's words.
func (c *Coordinator) storeError(what, owner string, err error) error {
	switch {
	case errors.Is(err, pg.ErrTaken):
		return fmt.Errorf("%w: the owner %s has a webhook of that name", ErrConflict, owner)
	case errors.Is(err, pg.ErrChanged):
		return errChanged
	}
	return c.internal(what, err)
}

// checkSpec finds the first fault of a webhook of the cluster, and says what is stored of it beside the address.
func (d *deliverer) checkSpec(spec *WebhookSpec) (events int32, view webhookView, err error) {
	if err := spec.check(clusterWebhookAttempts, d.allow); err != nil {
		return 0, view, err
	}
	if len(spec.Events) == 0 {
		return 0, view, webhookFault("events", "must name at least one of %s", eventNames())
	}
	for _, e := range spec.Events {
		bit := clusterWords[e]
		if bit == 0 {
			return 0, view, webhookFault("events", "%.60q is none of %s", string(e), eventNames())
		}
		events |= bit
	}
	for field, value := range map[string]string{"user_id": spec.UserID, "tree": spec.Tree} {
		if len(value) > 255 || !text(value) {
			return 0, view, webhookFault(field, "must be at most 255 bytes of UTF-8 without NUL")
		}
	}
	if fault := dag.WebhookNameFault(spec.Name); fault != "" {
		return 0, view, webhookFault("name", "%s", fault)
	}
	if spec.Owner != "" {
		if fault := dag.OwnerFault(spec.Owner); fault != "" {
			return 0, view, webhookFault("owner", "%s", fault)
		}
	}
	if faults := dag.CheckLabels(spec.Labels); len(faults) > 0 {
		return 0, view, webhookFault("labels", "%s", faults[0])
	}
	return events, webhookView{UserID: spec.UserID, Tree: spec.Tree, Labels: spec.Labels}, nil
}

func eventNames() string {
	var all []string
	for _, e := range WebhookEvents() {
		all = append(all, string(e))
	}
	return strings.Join(all, ", ")
}

// Attach makes a webhook of an execution that runs; see [Webhooks].
func (c *Coordinator) Attach(ctx context.Context, taskID string, a Attachment) (*WebhookInfo, error) {
	w, err := c.webhooks.attachment(ctx, a)
	if err != nil {
		return nil, err
	}
	k, err := c.keyOf(ctx, taskID)
	if err != nil {
		return nil, err
	}
	w.Tree = k.Tree()
	switch err := c.store.AttachWebhook(ctx, w); {
	case errors.Is(err, pg.ErrTaken):
		return nil, fmt.Errorf("%w: the tree has a webhook of that name", ErrConflict)
	case err != nil:
		return nil, c.internal("attach webhook", err)
	}
	return c.GetWebhook(ctx, w.ID)
}

// CheckAttachment says what is wrong with a webhook; see [Webhooks].
func (c *Coordinator) CheckAttachment(ctx context.Context, a Attachment) error {
	_, err := c.webhooks.attachment(ctx, a)
	return err
}

// GetWebhook shows a webhook; see [Webhooks].
func (c *Coordinator) GetWebhook(ctx context.Context, id string) (*WebhookInfo, error) {
	w, err := c.webhook(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.webhooks.show(w)
}

func (c *Coordinator) webhook(ctx context.Context, id string) (*pg.Webhook, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	w, err := c.store.Webhook(ctx, here, id)
	if err != nil {
		return nil, c.internal("read webhook", err)
	}
	return w, nil
}

// show is a webhook as shown: nothing secret is in it.
func (d *deliverer) show(w *pg.Webhook) (*WebhookInfo, error) {
	var v webhookView
	if err := json.Unmarshal(w.Config, &v); err != nil {
		return nil, fmt.Errorf("webhook %s can't be read: %w", w.ID, err)
	}
	out := &WebhookInfo{ID: w.ID, TreeID: w.TreeID, Name: w.Name, URL: shownURL(v.URL), Method: v.Method, HeaderNames: v.HeaderNames,
		Timeout: time.Duration(v.TimeoutMS) * time.Millisecond, MaxAttempts: v.MaxAttempts, OwnSecret: v.OwnSecret, Signed: v.OwnSecret || len(d.secrets) > 0,
		Body: v.Body, Form: v.Form, UserID: v.UserID, Tree: v.Tree, Labels: v.Labels, State: WebhookActive, Reason: w.Reason, CreatedAt: w.CreatedAt, Waiting: w.Waiting,
		Owner: w.Owner, Revision: w.Revision}
	for _, e := range WebhookEvents() {
		if w.Events&clusterWords[e] != 0 {
			out.Events = append(out.Events, e)
		}
	}
	switch {
	case !w.Active:
		out.State = WebhookDisabled
	case w.Tree != 0 && w.Waiting == 0:
		out.State = WebhookEnded
	}
	if w.FailingFrom != nil {
		out.FailingFrom = *w.FailingFrom
	}
	return out, nil
}

// limits of a page of webhooks or deliveries.
func pageLimit(limit int) (int, error) {
	if limit < 0 || limit > 1000 {
		return 0, &InvalidArgumentError{Field: "limit", Reason: "must be from 0 to 1000"}
	}
	return cmp.Or(limit, 100), nil
}

// pageCursor reads a cursor that is a key.
func pageCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n <= 0 {
		return 0, &InvalidArgumentError{Field: "cursor", Reason: "is none of ours"}
	}
	return n, nil
}

// ListWebhooks shows webhooks; see [Webhooks].
func (c *Coordinator) ListWebhooks(ctx context.Context, f WebhookFilter) (page Page[*WebhookInfo], err error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return page, err
	}
	after, err := pageCursor(f.Cursor)
	if err != nil {
		return page, err
	}
	var tree dag.TreeKey
	if f.TaskID != "" {
		k, err := c.keyOf(ctx, f.TaskID)
		if err != nil {
			return page, err
		}
		tree = k.Tree()
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	list, err := c.store.Webhooks(ctx, here, tree, after, limit+1)
	if err != nil {
		return page, c.internal("list webhooks", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = strconv.FormatInt(list[limit-1].Key, 10)
	}
	for _, w := range list {
		shown, err := c.webhooks.show(w)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, shown)
	}
	return page, nil
}

// updateTries is how often a change of a webhook is laid over what another has made of it meanwhile.
const updateTries = 5

// UpdateWebhook changes a webhook of the cluster; see [Webhooks].
func (c *Coordinator) UpdateWebhook(ctx context.Context, id string, change WebhookChange) (info *WebhookInfo, err error) {
	for range updateTries {
		if info, err = c.updateWebhook(ctx, id, change); !errors.Is(err, errChanged) || change.IfRevision != 0 {
			break
		}
	}
	return info, err
}

func (c *Coordinator) updateWebhook(ctx context.Context, id string, change WebhookChange) (*WebhookInfo, error) {
	w, err := c.webhook(ctx, id)
	if err != nil {
		return nil, err
	}
	if w.Tree != 0 {
		return nil, &InvalidArgumentError{Field: "webhook_id", Reason: "is a webhook of an execution, which can't be changed"}
	}
	if change.IfRevision != 0 && change.IfRevision != w.Revision {
		return nil, errChanged
	}
	t, err := c.webhooks.open(ctx, w)
	if err != nil {
		return nil, &InvalidArgumentError{Field: "webhook_id", Reason: err.Error()}
	}
	spec := change.apply(w, t)
	events, view, err := c.webhooks.checkSpec(&spec)
	if err != nil {
		return nil, err
	}
	fresh, err := c.webhooks.storable(ctx, spec.Webhook, view)
	if err != nil {
		return nil, err
	}
	fresh.ID, fresh.Name, fresh.Events, fresh.Active, fresh.Reason, fresh.Owner = w.ID, spec.Name, events, w.Active, w.Reason, spec.Owner
	if change.Enabled != nil {
		fresh.Active, fresh.Reason = *change.Enabled, "by a user"
	}
	if err := c.webhooks.seal(ctx, fresh, spec.Webhook, view); err != nil { // for its id
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.store.UpdateWebhook(ctx, here, fresh, w.Revision); err != nil {
		return nil, c.storeError("update webhook", fresh.Owner, err)
	}
	return c.GetWebhook(ctx, id)
}

// apply is what a webhook becomes.
func (ch *WebhookChange) apply(w *pg.Webhook, t *target) WebhookSpec {
	v := &t.view
	spec := WebhookSpec{Name: w.Name, Owner: w.Owner, UserID: v.UserID, Tree: v.Tree, Labels: v.Labels, Webhook: Webhook{URL: t.url, Method: v.Method, Headers: t.headers,
		Timeout: time.Duration(v.TimeoutMS) * time.Millisecond, MaxAttempts: v.MaxAttempts, Secret: t.own, Body: v.Body}}
	for _, e := range WebhookEvents() {
		if w.Events&clusterWords[e] != 0 {
			spec.Events = append(spec.Events, e)
		}
	}
	for to, from := range map[*string]*string{&spec.URL: ch.URL, &spec.Method: ch.Method, &spec.Name: ch.Name, &spec.UserID: ch.UserID, &spec.Tree: ch.Tree, &spec.Secret: ch.Secret, &spec.Owner: ch.Owner} {
		if from != nil {
			*to = *from
		}
	}
	if ch.HasHeaders {
		spec.Headers = ch.Headers
	}
	if ch.HasLabels {
		spec.Labels = ch.Labels
	}
	if ch.Events != nil {
		spec.Events = slices.Clone(ch.Events)
	}
	if ch.Timeout != nil {
		spec.Timeout = *ch.Timeout
	}
	if ch.MaxAttempts != nil {
		spec.MaxAttempts = *ch.MaxAttempts
	}
	if ch.Body != nil {
		spec.Body = ch.Body
	}
	return spec
}

// DeleteWebhook forgets a webhook; see [Webhooks].
func (c *Coordinator) DeleteWebhook(ctx context.Context, id string, revision int32) error {
	if !text(id) {
		return ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	if err := c.store.DeleteWebhook(ctx, here, id, revision); err != nil {
		return c.storeError("delete webhook", "", err)
	}
	return nil
}

// testEvent is what [Coordinator.TestWebhook] sends.
const testEvent = "test"

// TestWebhook sends an event of no tree; see [Webhooks].
func (c *Coordinator) TestWebhook(ctx context.Context, id string) (*Delivery, error) {
	w, err := c.webhook(ctx, id)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	tree := &TreeStatus{ID: testEvent, Name: testEvent, Status: dag.StatusCompleted, Progress: 1, CreatedAt: now, StartedAt: now, FinishedAt: now}
	e := &Event{Type: EventFinal, TreeID: testEvent, TaskID: testEvent, Name: testEvent, Status: dag.StatusCompleted, Progress: 1, TreeProgress: 1, At: now, Tree: tree}
	return c.webhooks.sendNow(ctx, w, []*message{newMessage(w, tree, e, testEvent)}, pg.Delivered{Event: testEvent})
}

// Deliveries shows deliveries; see [Webhooks].
func (c *Coordinator) Deliveries(ctx context.Context, f DeliveryFilter) (page Page[*Delivery], err error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return page, err
	}
	before, err := pageCursor(f.Cursor)
	if err != nil {
		return page, err
	}
	w, err := c.webhook(ctx, f.WebhookID)
	if err != nil {
		return page, err
	}
	list, err := c.store.Deliveries(ctx, w.Key, before, f.Failed, limit+1)
	if err != nil {
		return page, c.internal("list deliveries", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = strconv.FormatInt(list[limit-1].Key, 10)
	}
	for i := range list {
		page.Items = append(page.Items, showDelivery(w, &list[i]))
	}
	return page, nil
}

// showDelivery is a delivery as shown.
func showDelivery(w *pg.Webhook, d *pg.Delivered) *Delivery {
	out := &Delivery{ID: strconv.FormatInt(d.Key, 10), WebhookID: w.ID, TreeID: d.TreeID, Sequence: d.Sequence, Event: d.Event, Attempts: d.Attempts, Status: d.Status,
		Latency: d.Latency, Error: d.Error, At: d.At}
	for outcome, stored := range storedOutcomes {
		if stored == d.Outcome {
			out.Outcome = outcome
		}
	}
	return out
}

// Resend sends an event again; see [Webhooks].
func (c *Coordinator) Resend(ctx context.Context, deliveryID string) (*Delivery, error) {
	key, err := pageCursor(deliveryID)
	if err != nil {
		return nil, ErrNotFound
	}
	d, id, err := c.store.Delivery(ctx, key)
	if err != nil {
		return nil, c.internal("read a delivery", err)
	}
	w, err := c.webhook(ctx, id)
	if err != nil {
		return nil, err
	}
	if d.Tree == 0 {
		return c.TestWebhook(ctx, id)
	}
	if d.Tree < 0 {
		run, err := c.store.RefusedRun(ctx, d.Tree)
		if err != nil {
			return nil, c.internal("read the run of a delivery", err)
		}
		m, err := refusedMessage(w, d.Tree, run)
		if err != nil {
			return nil, err
		}
		return c.webhooks.sendNow(ctx, w, []*message{m}, pg.Delivered{Tree: d.Tree, Sequence: d.Sequence, Event: d.Event})
	}
	stored, events, err := c.store.WebhookEvents(ctx, d.Tree, d.Sequence-1, 1)
	if err != nil {
		return nil, c.internal("read the event of a delivery", err)
	}
	if len(events) == 0 || events[0].Sequence != d.Sequence {
		return nil, ErrNotFound
	}
	tree := c.showTree(stored)
	all := messagesOf(w, tree, webhookEvent(tree, &events[0]))
	all = slices.DeleteFunc(all, func(m *message) bool { return m.word != d.Event })
	return c.webhooks.sendNow(ctx, w, all, pg.Delivered{Tree: d.Tree, TreeID: d.TreeID, Sequence: d.Sequence, Event: d.Event})
}

// sendNow sends a message once, and writes down what became of it.
func (d *deliverer) sendNow(ctx context.Context, w *pg.Webhook, all []*message, as pg.Delivered) (*Delivery, error) {
	if len(all) == 0 {
		return nil, ErrNotFound
	}
	t, err := d.open(ctx, w)
	if err != nil {
		return nil, &InvalidArgumentError{Field: "webhook_id", Reason: err.Error()}
	}
	m := all[0]
	body, err := d.body(ctx, t, w, m)
	out := sent{outcome: Refused}
	switch {
	case err != nil:
		out.err = err.Error()
	case body == nil:
		return nil, &InvalidArgumentError{Field: "webhook_id", Reason: "has nothing to say of the event"}
	default:
		out = d.send(ctx, t, m.id, body)
	}
	if out.outcome == Retrying { // nobody does
		out.outcome = GaveUp
	}
	d.count(out.outcome, m.event.At)
	as.Webhook, as.Outcome, as.Attempts, as.Status, as.Latency, as.Error = w.Key, storedOutcomes[out.outcome], 1, out.status, out.latency, out.err
	if err := d.store.AddDelivery(ctx, &as); err != nil {
		return nil, err
	}
	shown := showDelivery(w, &as)
	shown.MessageID = m.id
	return shown, nil
}
