package coordinator

import "context"

// CreateWebhook makes a webhook of the cluster; see [Webhooks].
func (c *Coordinator) CreateWebhook(context.Context, WebhookSpec) (*WebhookInfo, error) {
	return nil, errNotYet
}

// Attach makes a webhook of an execution that runs; see [Webhooks].
func (c *Coordinator) Attach(context.Context, string, Attachment) (*WebhookInfo, error) {
	return nil, errNotYet
}

// GetWebhook shows a webhook; see [Webhooks].
func (c *Coordinator) GetWebhook(context.Context, string) (*WebhookInfo, error) {
	return nil, errNotYet
}

// ListWebhooks shows webhooks; see [Webhooks].
func (c *Coordinator) ListWebhooks(context.Context, WebhookFilter) (Page[*WebhookInfo], error) {
	return Page[*WebhookInfo]{}, errNotYet
}

// UpdateWebhook changes a webhook of the cluster; see [Webhooks].
func (c *Coordinator) UpdateWebhook(context.Context, string, WebhookChange) (*WebhookInfo, error) {
	return nil, errNotYet
}

// DeleteWebhook forgets a webhook; see [Webhooks].
func (c *Coordinator) DeleteWebhook(context.Context, string) error { return errNotYet }

// TestWebhook sends an event of no tree; see [Webhooks].
func (c *Coordinator) TestWebhook(context.Context, string) (*Delivery, error) { return nil, errNotYet }

// Deliveries shows deliveries; see [Webhooks].
func (c *Coordinator) Deliveries(context.Context, DeliveryFilter) (Page[*Delivery], error) {
	return Page[*Delivery]{}, errNotYet
}

// Resend sends an event again; see [Webhooks].
func (c *Coordinator) Resend(context.Context, string) (*Delivery, error) { return nil, errNotYet }
