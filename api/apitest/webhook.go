package apitest

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
)

// CreateWebhook makes a webhook of the cluster.
func (s *Service) CreateWebhook(context.Context, coordinator.WebhookSpec) (*coordinator.WebhookInfo, error) {
	return nil, errNotYet
}

// Attach makes a webhook of an execution that runs.
func (s *Service) Attach(context.Context, string, coordinator.Attachment) (*coordinator.WebhookInfo, error) {
	return nil, errNotYet
}

// CheckAttachment says what is wrong with a webhook of an execution.
func (s *Service) CheckAttachment(context.Context, coordinator.Attachment) error { return errNotYet }

// GetWebhook shows a webhook.
func (s *Service) GetWebhook(context.Context, string) (*coordinator.WebhookInfo, error) {
	return nil, errNotYet
}

// ListWebhooks shows webhooks.
func (s *Service) ListWebhooks(context.Context, coordinator.WebhookFilter) (coordinator.Page[*coordinator.WebhookInfo], error) {
	return coordinator.Page[*coordinator.WebhookInfo]{}, errNotYet
}

// UpdateWebhook changes a webhook of the cluster.
func (s *Service) UpdateWebhook(context.Context, string, coordinator.WebhookChange) (*coordinator.WebhookInfo, error) {
	return nil, errNotYet
}

// DeleteWebhook forgets a webhook.
func (s *Service) DeleteWebhook(context.Context, string) error { return errNotYet }

// TestWebhook sends an event of no tree.
func (s *Service) TestWebhook(context.Context, string) (*coordinator.Delivery, error) {
	return nil, errNotYet
}

// Deliveries shows deliveries.
func (s *Service) Deliveries(context.Context, coordinator.DeliveryFilter) (coordinator.Page[*coordinator.Delivery], error) {
	return coordinator.Page[*coordinator.Delivery]{}, errNotYet
}

// Resend sends an event again.
func (s *Service) Resend(context.Context, string) (*coordinator.Delivery, error) {
	return nil, errNotYet
}
