package grpcserver

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) CreateWebhook(ctx context.Context, r *pb.CreateWebhookRequest) (*pb.WebhookInfo, error) {
	hook := r.Webhook
	if hook == nil {
		hook = &pb.Webhook{} // the service says what it lacks
	}
	w, err := webhookOf("webhook", hook)
	if err != nil {
		return nil, err
	}
	got, err := h.on(ctx).CreateWebhook(ctx, coordinator.WebhookSpec{Webhook: *w, Name: r.Name, Events: webhookEvents(r.Events), UserID: r.UserId, Tree: r.Tree, Labels: r.Labels, Owner: r.Owner})
	if err != nil {
		return nil, err
	}
	return webhookInfo(got), nil
}

// webhookEvents are the events of a request; nil: none.
func webhookEvents(list []string) []coordinator.WebhookEvent {
	if len(list) == 0 {
		return nil
	}
	return convert(list, func(name string) coordinator.WebhookEvent { return coordinator.WebhookEvent(name) })
}

func (h *handler) ListWebhooks(ctx context.Context, r *pb.ListWebhooksRequest) (*pb.ListWebhooksResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).ListWebhooks(ctx, coordinator.WebhookFilter{TaskID: r.TaskId, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListWebhooksResponse{Webhooks: convert(page.Items, webhookInfo), NextCursor: page.Next}, nil
}

func (h *handler) GetWebhook(ctx context.Context, r *pb.GetWebhookRequest) (*pb.WebhookInfo, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).GetWebhook(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return webhookInfo(got), nil
}

func (h *handler) UpdateWebhook(ctx context.Context, r *pb.UpdateWebhookRequest) (*pb.WebhookInfo, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	change := coordinator.WebhookChange{URL: r.Url, Method: r.Method, Name: r.Name, UserID: r.UserId, Tree: r.Tree, Secret: r.Secret,
		Headers: r.Headers.GetEntries(), HasHeaders: r.Headers != nil, Labels: r.Labels.GetEntries(), HasLabels: r.Labels != nil,
		Events: webhookEvents(r.Events), Body: r.Body, Enabled: r.Enabled, Owner: r.Owner, IfRevision: r.Revision}
	if r.Body != nil && len(r.Body) == 0 {
		change.Body = []byte("null")
	}
	if r.Timeout != nil {
		timeout, reason := span(r.Timeout)
		if reason != "" {
			return nil, api.InvalidParameter("timeout", "timeout "+reason)
		}
		change.Timeout = &timeout
	}
	if r.MaxAttempts != nil {
		change.MaxAttempts = new(int(*r.MaxAttempts))
	}
	got, err := h.on(ctx).UpdateWebhook(ctx, r.Id, change)
	if err != nil {
		return nil, err
	}
	return webhookInfo(got), nil
}

func (h *handler) DeleteWebhook(ctx context.Context, r *pb.DeleteWebhookRequest) (*pb.DeleteWebhookResponse, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	if err := h.on(ctx).DeleteWebhook(ctx, r.Id, r.Revision); err != nil {
		return nil, err
	}
	return &pb.DeleteWebhookResponse{}, nil
}

func (h *handler) TestWebhook(ctx context.Context, r *pb.TestWebhookRequest) (*pb.Delivery, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).TestWebhook(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return deliveryOf(got), nil
}

func (h *handler) ListDeliveries(ctx context.Context, r *pb.ListDeliveriesRequest) (*pb.ListDeliveriesResponse, error) {
	if r.WebhookId == "" {
		return nil, missing("webhook_id")
	}
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Deliveries(ctx, coordinator.DeliveryFilter{WebhookID: r.WebhookId, Failed: r.Failed, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListDeliveriesResponse{Deliveries: convert(page.Items, deliveryOf), NextCursor: page.Next}, nil
}

func (h *handler) ResendDelivery(ctx context.Context, r *pb.ResendDeliveryRequest) (*pb.Delivery, error) {
	if r.DeliveryId == "" {
		return nil, missing("delivery_id")
	}
	got, err := h.on(ctx).Resend(ctx, r.DeliveryId)
	if err != nil {
		return nil, err
	}
	return deliveryOf(got), nil
}

func webhookInfo(w *coordinator.WebhookInfo) *pb.WebhookInfo {
	return &pb.WebhookInfo{Id: w.ID, TreeId: w.TreeID, Name: w.Name, Url: w.URL, Method: w.Method, HeaderNames: w.HeaderNames, Timeout: durationpb.New(w.Timeout),
		MaxAttempts: int32(w.MaxAttempts), OwnSecret: w.OwnSecret, Signed: w.Signed, Body: w.Body, Form: w.Form,
		Events: convert(w.Events, func(e coordinator.WebhookEvent) string { return string(e) }), UserId: w.UserID, Tree: w.Tree, Labels: w.Labels,
		State: string(w.State), Reason: w.Reason, CreatedAt: stamp(w.CreatedAt), Waiting: int64(w.Waiting), FailingFrom: stamp(w.FailingFrom),
		Owner: w.Owner, Revision: w.Revision}
}

func deliveryOf(d *coordinator.Delivery) *pb.Delivery {
	return &pb.Delivery{Id: d.ID, WebhookId: d.WebhookID, MessageId: d.MessageID, TreeId: d.TreeID, Sequence: d.Sequence, Event: d.Event, Outcome: string(d.Outcome),
		Attempts: int32(d.Attempts), Status: int32(d.Status), Latency: durationpb.New(d.Latency), Error: d.Error, At: stamp(d.At)}
}
