package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Events that webhooks of the cluster ask for, a bit each, as stored.
const (
	WebhookTreeCreated int32 = 1 << iota
	WebhookTreeStarted
	WebhookTreeCompleted
	WebhookTreeFailed
	WebhookTreeCancelled
	WebhookTaskStart
	WebhookTaskCompleted
	WebhookTaskFailed
	WebhookTaskCancelled
	WebhookTaskRetry
	WebhookTreeLate
	WebhookRunRefused
)

// What is asked for decides when a webhook of the cluster gets a cursor in a tree: with the beginning of an execution, with its end, or once the tree is late. A run of a schedule
// that could have no tree is told as if its key, negative, were that of a tree.
const (
	webhookEnds   = WebhookTreeCompleted | WebhookTreeFailed | WebhookTreeCancelled
	webhookBegins = WebhookTreeCreated | WebhookTreeStarted | WebhookTaskStart | WebhookTaskCompleted | WebhookTaskFailed | WebhookTaskCancelled | WebhookTaskRetry
	webhookLate   = WebhookTreeLate
	webhookRuns   = WebhookRunRefused
)

// End is how an execution ended, as stored.
type End int16

// The ends of an execution.
const (
	EndCompleted End = iota + 1
	EndFailed
	EndCancelled
)

// DeliveryOutcome is what became of a delivery, as stored.
type DeliveryOutcome int16

// The outcomes of a delivery.
const (
	DeliveryDone DeliveryOutcome = iota + 1
	DeliveryRetrying
	DeliveryRefused
	DeliveryGaveUp
)

// Webhook is where events are sent.
type Webhook struct {
	Key         int64
	ID          string
	Tree        dag.TreeKey // 0: of the cluster
	Name        string
	Events      int32 // that one of the cluster asks for
	Active      bool
	Config      []byte // JSON that may be seen
	Sealed      []byte // what may not; nil: nothing
	Host        string // host:port that it is sent to
	CreatedAt   time.Time
	FailingFrom *time.Time // nil: the last delivery did not fail
	Reason      string     // why it is not active
	Waiting     int        // cursors; set by lists
	Owner       string     // who keeps it in files; empty: nobody
	Revision    int32      // raised by each change that a person makes
	TreeID      string     // set by lists
}

// WebhookCursor is how far a webhook has come in a tree, held by who took it.
type WebhookCursor struct {
	Tree     dag.TreeKey
	Webhook  *Webhook // nil: it was deleted
	Sequence int64    // of the last event that is done with
	Attempts int      // at the next
	webhook  int64
	wanted   int32
	holder   int64
}

// webhookWait is how long a tree is kept beyond its time because its webhooks have more to tell.
const webhookWait = 5 * 24 * time.Hour

// ErrTaken: the name is another's.
var ErrTaken = errors.New("the name is taken")

// queueWebhooks stores webhooks of executions that begin in the transaction of b.
func queueWebhooks(b *pgx.Batch, hooks []*Webhook) {
	var trees []int64
	var ids, names, configs, hosts []string
	var sealed [][]byte
	for _, w := range hooks {
		trees, ids, names, configs, hosts, sealed = append(trees, int64(w.Tree)), append(ids, w.ID), append(names, w.Name), append(configs, string(w.Config)), append(hosts, w.Host), append(sealed, w.Sealed)
	}
	b.Queue(sql("InsertWebhooks"), trees, ids, configs, sealed, hosts, names)
}

// AttachWebhook stores a webhook of a tree, which is told from the next event on. [ErrNotFound], [ErrTaken].
func (s *Store) AttachWebhook(ctx context.Context, w *Webhook) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("AttachWebhook"), w.Tree, w.ID, w.Name, string(w.Config), w.Sealed, w.Host)
	switch {
	case isUnique(err, "webhook_tree"):
		return ErrTaken
	case err != nil:
		return fmt.Errorf("attach webhook: %w", err)
	case tag.RowsAffected() == 0:
		return ErrNotFound
	}
	return nil
}

// webhookLease is how long a cursor is held: a request must end before.
const webhookLease = 90 * time.Second

// WebhookTurn is how long whoever took a cursor may send, before it gives it back.
const WebhookTurn = webhookLease - 15*time.Second

// webhookRest is how late an event may be whose news was lost.
const webhookRest = 10 * time.Second

// TakeWebhooks takes up to limit cursors that are due, of none of the hosts, and says when the next one is due, at most a while from now.
func (s *Store) TakeWebhooks(ctx context.Context, limit int, without []string) (taken []*WebhookCursor, next time.Duration, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	holder := rand.Int64()
	if without == nil {
		without = []string{}
	}
	b := &pgx.Batch{}
	b.Queue(sql("PassOverWebhooks"), 1000, webhookRest.Seconds())
	if limit > 0 {
		b.Queue(sql("TakeWebhooks"), limit, holder, webhookLease.Seconds(), without).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				c := &WebhookCursor{holder: holder}
				if err := c.scan(rows); err != nil {
					return err
				}
				taken = append(taken, c)
			}
			return rows.Err()
		})
	}
	next = webhookRest
	b.Queue(sql("NextWebhook")).Query(func(rows pgx.Rows) error {
		var seconds float64
		_, err := pgx.ForEachRow(rows, []any{&seconds}, func() error {
			next = min(next, time.Duration(seconds*float64(time.Second)))
			return nil
		})
		return err
	})
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, 0, fmt.Errorf("take webhooks: %w", err)
	}
	return taken, next, nil
}

func (c *WebhookCursor) scan(row pgx.Row) error {
	var id, host *string
	var cluster, active *bool
	var name string
	var events *int32
	w := &Webhook{}
	if err := row.Scan(&c.Tree, &c.webhook, &c.Sequence, &c.Attempts, &c.wanted, &id, &cluster, &name, &events, &active, &w.Config, &w.Sealed, &host, &w.FailingFrom); err != nil {
		return err
	}
	if id == nil {
		return nil
	}
	w.Key, w.ID, w.Name, w.Events, w.Active, w.Host = c.webhook, *id, name, *events, *active, *host
	if !*cluster {
		w.Tree = c.Tree
	}
	c.Webhook = w
	return nil
}

// NudgeWebhooks makes the webhooks of trees with new events due.
func (s *Store) NudgeWebhooks(ctx context.Context, trees []dag.TreeKey) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("NudgeWebhooks"), trees)
	return err
}

// WebhookEvent is an event with how the execution stood, if it ended with it.
type WebhookEvent struct {
	TreeEvent
	End      End // 0: it ended nothing, or nobody wrote down how
	Progress float64
}

// WebhookEvents reads a tree and up to limit of its events after a sequence, in order. [ErrNotFound].
func (s *Store) WebhookEvents(ctx context.Context, tree dag.TreeKey, after int64, limit int) (*Tree, []WebhookEvent, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var status *Tree
	var events []TreeEvent
	type end struct {
		as       End
		progress float32
	}
	ends := map[int64]end{}
	b := &pgx.Batch{}
	b.Queue(sql("EventsAfter"), tree, after, limit).Query(func(rows pgx.Rows) (err error) {
		events, err = scanEvents(rows, tree, after)
		return err
	})
	b.Queue(sql("TreeByKey"), tree).Query(func(rows pgx.Rows) (err error) {
		status, err = pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Tree])
		return err
	})
	b.Queue(sql("EndsOf"), tree, after, limit).Query(func(rows pgx.Rows) error {
		var seq int64
		var e end
		_, err := pgx.ForEachRow(rows, []any{&seq, &e.as, &e.progress}, func() error { ends[seq] = e; return nil })
		return err
	})
	switch err := s.pool.Send(ctx, b); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil, ErrNotFound
	case err != nil:
		return nil, nil, fmt.Errorf("read events: %w", err)
	}
	events = events[:min(limit, len(events))]
	if err := s.addEventDetails(ctx, tree, events); err != nil {
		return nil, nil, err
	}
	out := make([]WebhookEvent, len(events))
	for i, e := range events {
		out[i] = WebhookEvent{TreeEvent: e, End: ends[e.Sequence].as, Progress: float64(ends[e.Sequence].progress)}
	}
	return status, out, nil
}

// RefusedRun is a run of a schedule that could have no tree.
type RefusedRun struct {
	Schedule, UserID string
	Labels           []byte // JSON, of its schedule; nil: none
	Instant, At      time.Time
	Reason           string
}

// RefusedRun reads the run that a cursor is of which is that of no tree: its Tree is the run's key, negative. [ErrNotFound].
func (s *Store) RefusedRun(ctx context.Context, tree dag.TreeKey) (*RefusedRun, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	r := &RefusedRun{}
	if err := s.pool.QueryRow(ctx, sql("RefusedRun"), -int64(tree)).Scan(&r.Schedule, &r.UserID, &r.Labels, &r.Instant, &r.At, &r.Reason); err != nil {
		return nil, orNone(err, ErrNotFound)
	}
	return r, nil
}

// Delivered is one attempt to deliver an event.
type Delivered struct {
	Key      int64
	Webhook  int64
	Tree     dag.TreeKey // 0: a test
	TreeID   string      // set by lists
	Sequence int64
	Event    string
	Outcome  DeliveryOutcome
	Attempts int
	Status   int
	Latency  time.Duration
	Error    string
	At       time.Time
}

// WebhookMove is how a holder gives a cursor back.
type WebhookMove struct {
	Sequence   int64
	Attempts   int           // at the next event
	Pause      time.Duration // before that; 0: none
	Over       bool          // an execution's webhook has told its end
	Idle       bool          // all was told that the tree has
	Deliveries []Delivered
	Succeeded  bool   // the last of them
	Failed     bool   // the last of them
	Disable    string // why the webhook is to be told no more
}

// MoveWebhook gives a cursor back. held is false if it was taken from the holder meanwhile; what was delivered is written down all the same.
func (s *Store) MoveWebhook(ctx context.Context, c *WebhookCursor, m WebhookMove) (held bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	mark := func(rows pgx.Rows) error {
		for rows.Next() {
			held = true
		}
		return rows.Err()
	}
	if m.Over || m.Idle {
		b.Queue(sql("EndWebhook"), c.Tree, c.webhook, c.holder, m.Over, m.Sequence, c.wanted).Query(mark)
	}
	b.Queue(sql("MoveWebhook"), c.Tree, c.webhook, c.holder, m.Sequence, m.Attempts, m.Pause.Seconds(), webhookRest.Seconds()).Query(mark)
	if len(m.Deliveries) > 0 {
		queueDeliveries(b, c.webhook, m.Deliveries)
	}
	switch {
	case m.Succeeded:
		b.Queue(sql("WebhookSucceeded"), c.webhook)
	case m.Failed:
		b.Queue(sql("WebhookFailed"), c.webhook)
	}
	if m.Disable != "" {
		b.Queue(sql("DisableWebhook"), c.webhook, m.Disable)
	}
	if err := s.pool.Send(ctx, b); err != nil {
		return false, fmt.Errorf("move webhook %d in tree %d: %w", c.webhook, c.Tree, err)
	}
	return held, nil
}

// keptDeliveries is how many deliveries of a webhook are kept.
const keptDeliveries = 100

// queueDeliveries writes down deliveries of a webhook, the last of them only; the keys and times that they get are set in the slice.
func queueDeliveries(b *pgx.Batch, webhook int64, list []Delivered) {
	list = list[max(0, len(list)-keptDeliveries):]
	n := len(list)
	trees, sequences, latencies := make([]int64, n), make([]int64, n), make([]int64, n)
	events, errs := make([]string, n), make([]string, n)
	outcomes, attempts, statuses := make([]int16, n), make([]int32, n), make([]int32, n)
	for i, d := range list {
		trees[i], sequences[i], events[i], outcomes[i] = int64(d.Tree), d.Sequence, d.Event, int16(d.Outcome)
		attempts[i], statuses[i], latencies[i], errs[i] = int32(d.Attempts), int32(d.Status), d.Latency.Microseconds(), d.Error
	}
	b.Queue(sql("InsertDeliveries"), webhook, trees, sequences, events, outcomes, attempts, statuses, latencies, errs).Query(func(rows pgx.Rows) error {
		i := 0
		var key, tree, sequence int64
		var at time.Time
		_, err := pgx.ForEachRow(rows, []any{&key, &at, &tree, &sequence}, func() error {
			for i < n-1 && (int64(list[i].Tree) != tree || list[i].Sequence != sequence) { // those of erased trees are left out
				i++
			}
			list[i].Key, list[i].At = key, at
			i++
			return nil
		})
		return err
	})
	b.Queue(sql("TrimDeliveries"), webhook, keptDeliveries)
}

// DropCursor forgets a cursor whose webhook was deleted.
func (s *Store) DropCursor(ctx context.Context, c *WebhookCursor) error {
	_, err := s.MoveWebhook(ctx, c, WebhookMove{Sequence: c.Sequence, Over: true})
	return err
}
