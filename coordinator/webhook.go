package coordinator

import (
	"context"
	"encoding/json"
	"time"
)

// Webhook is where the events of one execution are sent (spec 5.5).
type Webhook struct {
	URL         string
	Method      string            // POST or PUT; empty: POST
	Headers     map[string]string // sent along; never shown again
	Timeout     time.Duration     // of one request; 0: 30 s
	MaxAttempts int               // of one delivery; 0: 3, of a webhook of the cluster 10
	Secret      string            // "whsec_…", signs deliveries; empty: the cluster's own
	Body        json.RawMessage   // a template of the body; nil: that of spec 5.5
}

// Webhooks are the addresses that are told what happens in trees, and what became of telling them. Where an id names a webhook that is not
// there, the error is [ErrNotFound].
//
// One of the cluster (a [WebhookSpec]) is told of every execution that it asks for. One of an execution comes with its submission, its start
// ([SubmitOptions], [ExecuteOptions]) or [Webhooks.Attach], and goes with its tree.
type Webhooks interface {
	// CreateWebhook makes one of the cluster. It is told of whatever begins, or ends, after the answer. *[InvalidArgumentError]; [ErrConflict]: its owner has
	// one of that name.
	CreateWebhook(ctx context.Context, spec WebhookSpec) (*WebhookInfo, error)
	// Attach makes one of an execution that runs: it is told what happens after the answer, until the end. A name that
	// another webhook of the tree has is an [ErrConflict].
	Attach(ctx context.Context, taskID string, a Attachment) (*WebhookInfo, error)
	// CheckAttachment says what is wrong with a webhook of an execution, which it does not make. *[InvalidArgumentError].
	CheckAttachment(ctx context.Context, a Attachment) error
	GetWebhook(ctx context.Context, id string) (*WebhookInfo, error)
	// ListWebhooks shows those of the cluster, oldest first, or those of one tree.
	ListWebhooks(ctx context.Context, f WebhookFilter) (Page[*WebhookInfo], error)
	// UpdateWebhook changes one of the cluster. What waits to be delivered is delivered by the new words. [ErrConflict]: it has another revision, or its owner
	// another webhook of that name.
	UpdateWebhook(ctx context.Context, id string, change WebhookChange) (*WebhookInfo, error)
	// DeleteWebhook forgets one that has the revision, or whatever it has (0), with what waits to be delivered. [ErrConflict]: it has another one.
	DeleteWebhook(ctx context.Context, id string, revision int32) error
	// TestWebhook sends an event of no tree at once, and tells what became of it.
	TestWebhook(ctx context.Context, id string) (*Delivery, error)
	// Deliveries shows the last deliveries, newest first: [MaxDeliveries] of each webhook are kept.
	Deliveries(ctx context.Context, f DeliveryFilter) (Page[*Delivery], error)
	// Resend sends the event of a delivery again at once, and tells what became of it. [ErrNotFound]: its tree is gone, too.
	Resend(ctx context.Context, deliveryID string) (*Delivery, error)
}

// MaxDeliveries is how many deliveries of each webhook are kept to be looked at and sent again.
const MaxDeliveries = 100

// WebhookEvent is what a webhook of the cluster can ask for (spec 3.11).
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

	TaskStart     WebhookEvent = "task_start"
	TaskCompleted WebhookEvent = "task_completed"
	TaskFailed    WebhookEvent = "task_failed"
	TaskCancelled WebhookEvent = "task_cancelled"
	TaskRetry     WebhookEvent = "task_retry"
)

// WebhookEvents are all that a webhook of the cluster can ask for.
func WebhookEvents() []WebhookEvent {
	return []WebhookEvent{TreeCreated, TreeStarted, TreeCompleted, TreeFailed, TreeCancelled, TreeLate, RunFailedToStart, TaskStart, TaskCompleted, TaskFailed, TaskCancelled, TaskRetry}
}

// WebhookSpec is a webhook of the cluster: where to, and of what it is told. Empty conditions don't filter.
type WebhookSpec struct {
	Webhook
	Name   string            // for people; at most 255 characters
	Events []WebhookEvent    // at least one
	UserID string            // only of trees of this owner
	Tree   string            // only of trees whose root has this name
	Labels map[string]string // only of trees that have them; an empty value stands for any
	Owner  string            // who keeps it in files: see [dag.OwnerFault]; empty: nobody
}

// WebhookChange changes a webhook of the cluster; nil fields stay as they are.
type WebhookChange struct {
	URL, Method, Name, UserID, Tree, Secret *string
	Headers                                 map[string]string // with HasHeaders: replaces all
	HasHeaders                              bool
	Labels                                  map[string]string // with HasLabels: replaces all
	HasLabels                               bool
	Events                                  []WebhookEvent // nil: stay
	Timeout                                 *time.Duration
	MaxAttempts                             *int
	Body                                    json.RawMessage // null: that of spec 5.5
	Enabled                                 *bool
	Owner                                   *string // empty: nobody
	IfRevision                              int32   // that it has; 0: whatever it has
}

// Attachment is a webhook of an execution.
type Attachment struct {
	Webhook
	Name string // its own within the tree, at most 255 characters; empty: its id
	// Form says who makes the body: empty: spec 5.5, or the template; else one of [WebhookConfig.Forms].
	Form string
}

// WebhookState says whether a webhook is told.
type WebhookState string

// The states of a webhook.
const (
	WebhookActive   WebhookState = "active"
	WebhookEnded    WebhookState = "ended"    // its execution has ended, and all was sent or given up
	WebhookDisabled WebhookState = "disabled" // by a user, or because it failed for too long: see Reason
)

// WebhookInfo is a webhook as shown: without what is secret.
type WebhookInfo struct {
	ID          string
	TreeID      string // of an execution; empty: of the cluster
	Name        string
	URL, Method string
	HeaderNames []string // sorted
	Timeout     time.Duration
	MaxAttempts int
	OwnSecret   bool // it has one of its own
	Signed      bool // deliveries are signed
	Body        json.RawMessage
	Form        string
	Events      []WebhookEvent // of the cluster
	UserID      string
	Tree        string
	Labels      map[string]string
	State       WebhookState
	Reason      string // why it is disabled
	CreatedAt   time.Time
	Waiting     int       // trees with events that are not delivered
	FailingFrom time.Time // the first failure since the last success; zero: none
	Owner       string    // who keeps it in files; empty: nobody
	Revision    int32     // raised by each change
}

// WebhookFilter selects webhooks.
type WebhookFilter struct {
	TaskID string // of its tree; empty: of the cluster
	Limit  int    // default 100, at most 1000
	Cursor string
}

// DeliveryOutcome says what became of a delivery.
type DeliveryOutcome string

// The outcomes of a delivery.
const (
	Delivered DeliveryOutcome = "delivered" // answered with 2xx
	Retrying  DeliveryOutcome = "retrying"  // it failed, and is tried again
	Refused   DeliveryOutcome = "refused"   // by the receiver, with an answer that no repetition changes, or by the guard of addresses
	GaveUp    DeliveryOutcome = "gave_up"   // it failed as often as it may
)

// Delivery is one event that was sent to one webhook, or could not be.
type Delivery struct {
	ID        string
	WebhookID string
	MessageID string // header webhook-id: the same each time the event is sent
	TreeID    string // empty: a test
	Sequence  int64  // of the event in its tree
	Event     string
	Outcome   DeliveryOutcome
	Attempts  int           // so far
	Status    int           // of the last answer; 0: none came
	Latency   time.Duration // of the last attempt
	Error     string
	At        time.Time // of the last attempt
}

// DeliveryFilter selects deliveries.
type DeliveryFilter struct {
	WebhookID string
	Failed    bool // only those that were not delivered
	Limit     int  // default 100, at most 1000
	Cursor    string
}

func (g *guarded) CreateWebhook(ctx context.Context, spec WebhookSpec) (*WebhookInfo, error) {
	return ask(ctx, g, Call{Method: "CreateWebhook", Details: detail("name", spec.Name, "owner", spec.Owner)}, func() (*WebhookInfo, error) { return g.next.CreateWebhook(ctx, spec) })
}

func (g *guarded) Attach(ctx context.Context, taskID string, a Attachment) (*WebhookInfo, error) {
	return ask(ctx, g, Call{Method: "Attach", ID: taskID}, func() (*WebhookInfo, error) { return g.next.Attach(ctx, taskID, a) })
}

func (g *guarded) CheckAttachment(ctx context.Context, a Attachment) error {
	_, err := ask(ctx, g, Call{Method: "CheckAttachment"}, func() (struct{}, error) { return struct{}{}, g.next.CheckAttachment(ctx, a) })
	return err
}

func (g *guarded) GetWebhook(ctx context.Context, id string) (*WebhookInfo, error) {
	return ask(ctx, g, Call{Method: "GetWebhook", Webhook: id}, func() (*WebhookInfo, error) { return g.next.GetWebhook(ctx, id) })
}

func (g *guarded) ListWebhooks(ctx context.Context, f WebhookFilter) (Page[*WebhookInfo], error) {
	return ask(ctx, g, Call{Method: "ListWebhooks", ID: f.TaskID}, func() (Page[*WebhookInfo], error) { return g.next.ListWebhooks(ctx, f) })
}

func (g *guarded) UpdateWebhook(ctx context.Context, id string, change WebhookChange) (*WebhookInfo, error) {
	return ask(ctx, g, Call{Method: "UpdateWebhook", Webhook: id, Details: ownedBy(nil, change.Owner)}, func() (*WebhookInfo, error) { return g.next.UpdateWebhook(ctx, id, change) })
}

func (g *guarded) DeleteWebhook(ctx context.Context, id string, revision int32) error {
	_, err := ask(ctx, g, Call{Method: "DeleteWebhook", Webhook: id}, func() (struct{}, error) { return struct{}{}, g.next.DeleteWebhook(ctx, id, revision) })
	return err
}

func (g *guarded) TestWebhook(ctx context.Context, id string) (*Delivery, error) {
	return ask(ctx, g, Call{Method: "TestWebhook", Webhook: id}, func() (*Delivery, error) { return g.next.TestWebhook(ctx, id) })
}

func (g *guarded) Deliveries(ctx context.Context, f DeliveryFilter) (Page[*Delivery], error) {
	return ask(ctx, g, Call{Method: "Deliveries", Webhook: f.WebhookID}, func() (Page[*Delivery], error) { return g.next.Deliveries(ctx, f) })
}

func (g *guarded) Resend(ctx context.Context, deliveryID string) (*Delivery, error) {
	return ask(ctx, g, Call{Method: "Resend", Details: detail("delivery_id", deliveryID)}, func() (*Delivery, error) { return g.next.Resend(ctx, deliveryID) })
}
