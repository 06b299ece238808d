package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// WebhookEvent is what a webhook of the cluster can ask for.
type WebhookEvent string

// What webhooks of the cluster are told. The first two are told at the start of each execution.
const (
	TreeCreated   WebhookEvent = "tree_created"
	TreeStarted   WebhookEvent = "tree_started"
	TreeCompleted WebhookEvent = "tree_completed"
	TreeFailed    WebhookEvent = "tree_failed" // ended otherwise, but for cancelled ones
	TreeCancelled WebhookEvent = "tree_cancelled"
	TreeLate      WebhookEvent = "tree_late" // it has not ended when it was due

	RunFailedToStart WebhookEvent = "run_failed_to_start" // of a schedule: it has no tree, as what it was to run was refused
	TaskStart        WebhookEvent = "task_start"
	TaskCompleted    WebhookEvent = "task_completed"
	TaskFailed       WebhookEvent = "task_failed"
	TaskCancelled    WebhookEvent = "task_cancelled"
	TaskRetry        WebhookEvent = "task_retry"
)

// WebhookSpec is a webhook of the cluster: where to, and of what it is told. Empty conditions don't filter. Its MaxAttempts are 10 by default.
type WebhookSpec struct {
	Webhook
	Name   string         // for people; at most 255 bytes
	Events []WebhookEvent // at least one
	UserID string         // only of trees of this owner
	Tree   string         // only of trees whose root has this name
	Labels map[string]string
	Owner  string // who keeps it in files: 1 to 63 letters, digits, -, _, . and /; it has one webhook of a name; empty: nobody
}

// WebhookChange changes a webhook of the cluster; nil fields stay as they are.
type WebhookChange struct {
	URL, Method, Name, UserID, Tree *string
	Secret                          *string            // of an empty text: the cluster's own
	Headers                         *map[string]string // replace all
	Labels                          *map[string]string // replace all
	Events                          []WebhookEvent     // replace all
	Timeout                         *time.Duration
	MaxAttempts                     *int
	Body                            json.RawMessage // null: the event as the task-tree protocol has it
	Enabled                         *bool
	Owner                           *string // empty: nobody
	IfRevision                      int32   // change it only if it has this revision; 0: whatever it has
}

// WebhookInfo is a webhook as shown: without what is secret.
type WebhookInfo struct {
	ID          string
	TreeID      string // of whose execution it is; empty: of the cluster
	Name        string
	URL, Method string
	HeaderNames []string // sorted
	Timeout     time.Duration
	MaxAttempts int
	OwnSecret   bool // it has one of its own
	Signed      bool // deliveries are signed
	Body        json.RawMessage
	Form        string
	Events      []WebhookEvent // of one of the cluster
	UserID      string
	Tree        string
	Labels      map[string]string
	State       string // active, ended, disabled
	Reason      string // why it is disabled
	CreatedAt   time.Time
	Waiting     int       // trees with events that are not delivered
	FailingFrom time.Time // the first failure since the last success; zero: none
	Owner       string    // who keeps it in files; empty: nobody
	Revision    int32     // raised by each change
}

// Delivery is one event that was sent to one webhook, or could not be.
type Delivery struct {
	ID        string
	WebhookID string
	MessageID string // header webhook-id; of a delivery just made
	TreeID    string // empty: a test
	Sequence  int64  // of the event in its tree
	Event     string
	Outcome   string        // delivered, retrying, refused, gave_up
	Attempts  int           // so far
	Status    int           // of the last answer; 0: none came
	Latency   time.Duration // of the last attempt
	Error     string
	At        time.Time // of the last attempt
}

// CreateWebhook makes a webhook of the cluster: it is told of what begins, or ends, after the answer. [ErrInvalid]; [ErrConflict]: its owner has one of that name.
func (c *Client) CreateWebhook(ctx context.Context, spec WebhookSpec) (*WebhookInfo, error) {
	got, err := c.rpc.CreateWebhook(ctx, &pb.CreateWebhookRequest{Webhook: spec.Webhook.message(), Name: spec.Name, Events: eventNames(spec.Events),
		UserId: spec.UserID, Tree: spec.Tree, Labels: spec.Labels, Owner: spec.Owner})
	if err != nil {
		return nil, wrap(ctx, err, "create webhook")
	}
	return webhookOf(got), nil
}

func eventNames(events []WebhookEvent) (names []string) {
	for _, e := range events {
		names = append(names, string(e))
	}
	return names
}

// WebhookFilter selects webhooks.
type WebhookFilter struct {
	TaskID   string // those of its tree; empty: of the cluster
	PageSize int    // how many are asked for at a time; default 100, at most 1000
	Cursor   string
}

// WebhooksPage asks for one page of webhooks, oldest first. [ErrNotFound].
func (c *Client) WebhooksPage(ctx context.Context, f WebhookFilter) (*Page[*WebhookInfo], error) {
	got, err := c.rpc.ListWebhooks(ctx, &pb.ListWebhooksRequest{TaskId: f.TaskID, Limit: int32(f.PageSize), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list webhooks")
	}
	page := &Page[*WebhookInfo]{Next: got.NextCursor}
	for _, w := range got.Webhooks {
		page.Items = append(page.Items, webhookOf(w))
	}
	return page, nil
}

// Webhooks yields webhooks, oldest first, asking for them page by page. It ends after an error.
func (c *Client) Webhooks(ctx context.Context, f WebhookFilter) iter.Seq2[*WebhookInfo, error] {
	return all(func(cursor string) (*Page[*WebhookInfo], error) {
		f.Cursor = cursor
		return c.WebhooksPage(ctx, f)
	}, f.Cursor)
}

// Webhook shows a webhook. [ErrNotFound].
func (c *Client) Webhook(ctx context.Context, id string) (*WebhookInfo, error) {
	got, err := c.rpc.GetWebhook(ctx, &pb.GetWebhookRequest{Id: id})
	if err != nil {
		return nil, wrap(ctx, err, "get webhook %s", id)
	}
	return webhookOf(got), nil
}

// UpdateWebhook changes a webhook of the cluster. What waits is delivered as it is changed to. [ErrNotFound], [ErrInvalid]; [ErrConflict]: it has another revision.
func (c *Client) UpdateWebhook(ctx context.Context, id string, ch WebhookChange) (*WebhookInfo, error) {
	request := &pb.UpdateWebhookRequest{Id: id, Url: ch.URL, Method: ch.Method, Name: ch.Name, UserId: ch.UserID, Tree: ch.Tree, Secret: ch.Secret,
		Events: eventNames(ch.Events), Body: ch.Body, Enabled: ch.Enabled, Owner: ch.Owner, Revision: ch.IfRevision}
	if ch.Headers != nil {
		request.Headers = &pb.StringMap{Entries: *ch.Headers}
	}
	if ch.Labels != nil {
		request.Labels = &pb.StringMap{Entries: *ch.Labels}
	}
	if ch.Timeout != nil {
		request.Timeout = durationpb.New(*ch.Timeout)
	}
	if ch.MaxAttempts != nil {
		request.MaxAttempts = proto.Int32(int32(*ch.MaxAttempts))
	}
	got, err := c.rpc.UpdateWebhook(ctx, request)
	if err != nil {
		return nil, wrap(ctx, err, "update webhook %s", id)
	}
	return webhookOf(got), nil
}

// DeleteWebhook forgets a webhook, with what waits to be delivered. [ErrNotFound].
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.DeleteWebhookAt(ctx, id, 0)
}

// DeleteWebhookAt is [Client.DeleteWebhook] if the webhook has the revision; 0: whatever it has. [ErrConflict]: it has another one.
func (c *Client) DeleteWebhookAt(ctx context.Context, id string, revision int32) error {
	_, err := c.rpc.DeleteWebhook(ctx, &pb.DeleteWebhookRequest{Id: id, Revision: revision})
	return wrap(ctx, err, "delete webhook %s", id)
}

// TestWebhook sends an event of no tree at once, and tells what became of it. [ErrNotFound].
func (c *Client) TestWebhook(ctx context.Context, id string) (*Delivery, error) {
	got, err := c.rpc.TestWebhook(ctx, &pb.TestWebhookRequest{Id: id})
	if err != nil {
		return nil, wrap(ctx, err, "test webhook %s", id)
	}
	return deliveryOf(got), nil
}

// DeliveryFilter selects deliveries.
type DeliveryFilter struct {
	WebhookID string
	Failed    bool // only those that were not delivered
	PageSize  int  // how many are asked for at a time; default 100, at most 1000
	Cursor    string
}

// DeliveriesPage asks for one page of the last deliveries of a webhook, newest first. [ErrNotFound].
func (c *Client) DeliveriesPage(ctx context.Context, f DeliveryFilter) (*Page[*Delivery], error) {
	got, err := c.rpc.ListDeliveries(ctx, &pb.ListDeliveriesRequest{WebhookId: f.WebhookID, Failed: f.Failed, Limit: int32(f.PageSize), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list deliveries of %s", f.WebhookID)
	}
	page := &Page[*Delivery]{Next: got.NextCursor}
	for _, d := range got.Deliveries {
		page.Items = append(page.Items, deliveryOf(d))
	}
	return page, nil
}

// Deliveries yields the last deliveries of a webhook, newest first, asking for them page by page. It ends after an error.
func (c *Client) Deliveries(ctx context.Context, f DeliveryFilter) iter.Seq2[*Delivery, error] {
	return all(func(cursor string) (*Page[*Delivery], error) {
		f.Cursor = cursor
		return c.DeliveriesPage(ctx, f)
	}, f.Cursor)
}

// Resend sends the event of a delivery again at once, and tells what became of it. [ErrNotFound]: its tree is gone, too.
func (c *Client) Resend(ctx context.Context, deliveryID string) (*Delivery, error) {
	got, err := c.rpc.ResendDelivery(ctx, &pb.ResendDeliveryRequest{DeliveryId: deliveryID})
	if err != nil {
		return nil, wrap(ctx, err, "resend delivery %s", deliveryID)
	}
	return deliveryOf(got), nil
}

func webhookOf(w *pb.WebhookInfo) *WebhookInfo {
	out := &WebhookInfo{ID: w.Id, TreeID: w.TreeId, Name: w.Name, URL: w.Url, Method: w.Method, HeaderNames: w.HeaderNames, Timeout: w.Timeout.AsDuration(),
		MaxAttempts: int(w.MaxAttempts), OwnSecret: w.OwnSecret, Signed: w.Signed, Body: w.Body, Form: w.Form, UserID: w.UserId, Tree: w.Tree, Labels: w.Labels,
		State: w.State, Reason: w.Reason, CreatedAt: at(w.CreatedAt), Waiting: int(w.Waiting), FailingFrom: at(w.FailingFrom),
		Owner: w.Owner, Revision: w.Revision}
	for _, e := range w.Events {
		out.Events = append(out.Events, WebhookEvent(e))
	}
	return out
}

func deliveryOf(d *pb.Delivery) *Delivery {
	return &Delivery{ID: d.Id, WebhookID: d.WebhookId, MessageID: d.MessageId, TreeID: d.TreeId, Sequence: d.Sequence, Event: d.Event, Outcome: d.Outcome,
		Attempts: int(d.Attempts), Status: int(d.Status), Latency: d.Latency.AsDuration(), Error: d.Error, At: at(d.At)}
}
