package apitest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// webhook is one of the cluster. Nothing is sent: each delivery succeeds.
type webhook struct {
	info       coordinator.WebhookInfo
	deliveries []*coordinator.Delivery // oldest first
}

// CreateWebhook makes a webhook of the cluster.
func (s *Service) CreateWebhook(_ context.Context, spec coordinator.WebhookSpec) (*coordinator.WebhookInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("CreateWebhook"); err != nil {
		return nil, err
	}
	w := &webhook{info: coordinator.WebhookInfo{ID: fmt.Sprint("wh_", len(s.webhooks)+1), State: coordinator.WebhookActive, CreatedAt: time.Now().Truncate(time.Microsecond)}}
	if err := s.named(w, spec); err != nil {
		return nil, err
	}
	if err := w.set(spec); err != nil {
		return nil, err
	}
	s.webhooks = append(s.webhooks, w)
	return w.shown(), nil
}

// named refuses a name that another webhook of the owner has. The caller holds mu.
func (s *Service) named(w *webhook, spec coordinator.WebhookSpec) error {
	if spec.Owner == "" {
		return nil
	}
	if fault := dag.OwnerFault(spec.Owner); fault != "" {
		return &coordinator.InvalidArgumentError{Field: "webhook.owner", Reason: fault}
	}
	if slices.ContainsFunc(s.webhooks, func(o *webhook) bool {
		return o != w && o.info.ID != "" && o.info.Owner == spec.Owner && o.info.Name == spec.Name
	}) {
		return fmt.Errorf("%w: the owner %s has a webhook of that name", coordinator.ErrConflict, spec.Owner)
	}
	return nil
}

// set makes the webhook what the specification says.
func (w *webhook) set(spec coordinator.WebhookSpec) error {
	if spec.URL == "" {
		return &coordinator.InvalidArgumentError{Field: "webhook.url", Reason: "is required"}
	}
	if len(spec.Events) == 0 {
		return &coordinator.InvalidArgumentError{Field: "webhook.events", Reason: "must name at least one"}
	}
	for _, e := range spec.Events {
		if !slices.Contains(coordinator.WebhookEvents(), e) {
			return &coordinator.InvalidArgumentError{Field: "webhook.events", Reason: fmt.Sprintf("%q is none", string(e))}
		}
	}
	i := &w.info
	i.Name, i.UserID, i.Tree, i.Labels, i.Owner = spec.Name, spec.UserID, spec.Tree, spec.Labels, spec.Owner
	i.Revision++
	i.Events = slices.DeleteFunc(coordinator.WebhookEvents(), func(e coordinator.WebhookEvent) bool { return !slices.Contains(spec.Events, e) })
	i.URL, i.Method, i.Timeout, i.MaxAttempts = spec.URL, cmp.Or(strings.ToUpper(spec.Method), "POST"), cmp.Or(spec.Timeout, 30*time.Second), cmp.Or(spec.MaxAttempts, 10)
	i.HeaderNames, i.OwnSecret, i.Signed = slices.Sorted(maps.Keys(spec.Headers)), spec.Secret != "", spec.Secret != ""
	if i.Body = spec.Body; bytes.Equal(spec.Body, []byte("null")) {
		i.Body = nil
	}
	return nil
}

func (w *webhook) shown() *coordinator.WebhookInfo {
	out := w.info
	return &out
}

// webhook is the one with the id. The caller holds mu.
func (s *Service) webhook(id string) (*webhook, error) {
	i := slices.IndexFunc(s.webhooks, func(w *webhook) bool { return w.info.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("webhook %s: %w", id, coordinator.ErrNotFound)
	}
	return s.webhooks[i], nil
}

// Attach makes a webhook of an execution that runs.
func (s *Service) Attach(context.Context, string, coordinator.Attachment) (*coordinator.WebhookInfo, error) {
	return nil, errNoDeliveries
}

// CheckAttachment says what is wrong with a webhook of an execution.
func (s *Service) CheckAttachment(context.Context, coordinator.Attachment) error {
	return errNoDeliveries
}

// GetWebhook shows a webhook.
func (s *Service) GetWebhook(_ context.Context, id string) (*coordinator.WebhookInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.webhook(id)
	if err != nil {
		return nil, err
	}
	return w.shown(), nil
}

// ListWebhooks shows webhooks: no tree has any.
func (s *Service) ListWebhooks(_ context.Context, f coordinator.WebhookFilter) (page coordinator.Page[*coordinator.WebhookInfo], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinator.WebhookInfo
	if f.TaskID != "" {
		if s.tasks[f.TaskID] == nil {
			return page, fmt.Errorf("task %s: %w", f.TaskID, coordinator.ErrNotFound)
		}
		return page, nil
	}
	for _, w := range s.webhooks {
		if w.info.ID != "" {
			all = append(all, w.shown())
		}
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// pageOf is the part of a list that the cursor, a number of elements, leads to.
func pageOf[T any](all []T, limit int, cursor string) (page coordinator.Page[T], err error) {
	skip := 0
	if cursor != "" {
		if skip, err = strconv.Atoi(cursor); err != nil || skip < 0 || skip > len(all) {
			return page, &coordinator.InvalidArgumentError{Field: "cursor", Reason: "is not one that this service gave"}
		}
	}
	end := min(len(all), skip+cmp.Or(limit, 100))
	page.Items = all[skip:end]
	if end < len(all) {
		page.Next = strconv.Itoa(end)
	}
	return page, nil
}

// UpdateWebhook changes a webhook of the cluster.
func (s *Service) UpdateWebhook(_ context.Context, id string, ch coordinator.WebhookChange) (*coordinator.WebhookInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.webhook(id)
	if err != nil {
		return nil, err
	}
	old := &w.info
	if ch.IfRevision != 0 && ch.IfRevision != old.Revision {
		return nil, errChanged
	}
	spec := coordinator.WebhookSpec{Name: old.Name, Owner: old.Owner, Events: old.Events, UserID: old.UserID, Tree: old.Tree, Labels: old.Labels,
		Webhook: coordinator.Webhook{URL: old.URL, Method: old.Method, Timeout: old.Timeout, MaxAttempts: old.MaxAttempts, Headers: map[string]string{}, Body: old.Body}}
	for _, name := range old.HeaderNames {
		spec.Headers[name] = ""
	}
	if old.OwnSecret {
		spec.Secret = "kept"
	}
	changeWebhook(&spec, ch)
	if err := s.named(w, spec); err != nil {
		return nil, err
	}
	if err := w.set(spec); err != nil {
		return nil, err
	}
	if ch.Enabled != nil {
		w.info.State, w.info.Reason = coordinator.WebhookActive, ""
		if !*ch.Enabled {
			w.info.State, w.info.Reason = coordinator.WebhookDisabled, "by a user"
		}
	}
	return w.shown(), nil
}

// changeWebhook puts what is given into the specification.
func changeWebhook(spec *coordinator.WebhookSpec, ch coordinator.WebhookChange) {
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
		spec.Events = ch.Events
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
}

// DeleteWebhook forgets a webhook.
func (s *Service) DeleteWebhook(_ context.Context, id string, revision int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.webhook(id)
	if err == nil && revision != 0 && revision != w.info.Revision {
		return errChanged
	}
	if err == nil {
		w.info.ID, w.deliveries = "", nil // its place stays: ids are counted
	}
	return err
}

// TestWebhook sends an event of no tree.
func (s *Service) TestWebhook(_ context.Context, id string) (*coordinator.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.webhook(id)
	if err != nil {
		return nil, err
	}
	return s.deliver(w, "test"), nil
}

// deliver notes a delivery. The caller holds mu.
func (s *Service) deliver(w *webhook, event string) *coordinator.Delivery {
	s.delivered++
	d := &coordinator.Delivery{ID: fmt.Sprint(s.delivered), WebhookID: w.info.ID, MessageID: "msg_" + event, Event: event, Outcome: coordinator.Delivered, Attempts: 1,
		Status: 204, Latency: 1500 * time.Microsecond, At: time.Now().Truncate(time.Microsecond)}
	w.deliveries = append(w.deliveries, d)
	return d
}

// Deliveries shows deliveries.
func (s *Service) Deliveries(_ context.Context, f coordinator.DeliveryFilter) (page coordinator.Page[*coordinator.Delivery], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.webhook(f.WebhookID)
	if err != nil {
		return page, err
	}
	var all []*coordinator.Delivery
	for _, d := range slices.Backward(w.deliveries) {
		if !f.Failed || d.Outcome != coordinator.Delivered {
			all = append(all, d)
		}
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// Resend sends an event again.
func (s *Service) Resend(_ context.Context, deliveryID string) (*coordinator.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.webhooks {
		for _, d := range w.deliveries {
			if d.ID == deliveryID {
				return s.deliver(w, d.Event), nil
			}
		}
	}
	return nil, fmt.Errorf("delivery %s: %w", deliveryID, coordinator.ErrNotFound)
}

// errNoDeliveries: nothing is sent from memory, so nothing can be attached to an execution.
var errNoDeliveries = errors.New("the service in memory sends nothing, so that nothing can be attached")
