package pg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// unseenWait bounds how long [Store.CreateWebhook] waits for transactions that may not have seen the webhook.
const unseenWait = 10 * time.Second

// webhookOwned is the index by which an owner has one webhook of a name.
const webhookOwned = "webhook_owned"

// CreateWebhook stores a webhook of a namespace's trees. When it returns, whatever begins or ends sees it: a transaction that began to write before may not,
// so all of those have ended, or have written nothing of the kind for a long time. *[dag.LevelError] while a coordinator lives that
// knows nothing of webhooks; [ErrTaken]: its owner has one of that name.
func (s *Store) CreateWebhook(ctx context.Context, namespace dag.NamespaceKey, w *Webhook) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var id int64
	err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		if namespace != dag.DefaultNamespaceKey {
			b.Queue(sql("KeepNamespaces"), []dag.NamespaceKey{namespace})
		}
		b.Queue(sql("LockEditLevel"), dag.EditLevel)
		b.Queue(sql("CheckEditLevel"), dag.EditLevel)
		b.Queue(sql("UseEditLevel"), dag.EditLevel, s.version)
		if w.Events&webhookRuns != 0 {
			queueCoordinators(b, dag.FlowSchedulesLevel, s.version)
		}
		b.Queue(sql("InsertWebhook"), w.ID, w.Name, w.Events, string(w.Config), w.Sealed, w.Host, namespace, w.Owner).QueryRow(func(row pgx.Row) error { return row.Scan(&id) })
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if isUnique(err, webhookOwned) {
		return ErrTaken
	}
	if err != nil {
		return fmt.Errorf("create webhook: %w", levelRefusal(quotaRefusal(err), s.editLevels(), w.level()))
	}
	return s.seen(ctx, id)
}

// seen waits until no transaction is open that began to write before the one with the id ended.
func (s *Store) seen(ctx context.Context, id int64) error {
	for end := time.Now().Add(unseenWait); time.Now().Before(end); {
		var open bool
		if err := s.pool.QueryRow(ctx, sql("OpenBefore"), id).Scan(&open); err != nil {
			return fmt.Errorf("wait until a webhook is seen: %w", err)
		}
		if !open {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// level is what coordinators need to tell a webhook of what it asks for: older ones would take what is told of a run without a tree for that of a tree that is gone.
func (w *Webhook) level() dag.Level {
	if w.Events&webhookRuns != 0 {
		return dag.FlowSchedulesLevel
	}
	return dag.EditLevel
}

// UpdateWebhook writes a webhook of the cluster anew that has a revision. [ErrTaken]: its owner has another of that name; [ErrChanged]: it is gone,
// or has another revision.
func (s *Store) UpdateWebhook(ctx context.Context, namespace dag.NamespaceKey, w *Webhook, revision int32) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var n int
	b := &pgx.Batch{} // one transaction
	if w.Events&webhookRuns != 0 {
		queueCoordinators(b, w.level(), s.version)
	}
	b.Queue(sql("UpdateWebhook"), w.ID, w.Name, w.Events, string(w.Config), w.Sealed, w.Host, w.Active, w.Reason, namespace, revision, w.Owner).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	err := levelRefusal(s.pool.Send(ctx, b), s.editLevels(), w.level())
	switch {
	case isUnique(err, webhookOwned):
		return ErrTaken
	case err != nil:
		return fmt.Errorf("update webhook: %w", err)
	case n == 0:
		return ErrChanged
	}
	return nil
}

// Webhook is the one with the id, of a namespace or of a tree there. [ErrNotFound].
func (s *Store) Webhook(ctx context.Context, namespace dag.NamespaceKey, id string) (*Webhook, error) {
	list, err := s.webhooks(ctx, namespace, nil, 0, 1, &id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNotFound
	}
	return list[0], nil
}

// Webhooks lists those of a namespace: of one tree, or of all (0), after a key.
func (s *Store) Webhooks(ctx context.Context, namespace dag.NamespaceKey, tree dag.TreeKey, after int64, limit int) ([]*Webhook, error) {
	return s.webhooks(ctx, namespace, orNull(tree), after, limit, nil)
}

func (s *Store) webhooks(ctx context.Context, namespace dag.NamespaceKey, tree any, after int64, limit int, id *string) ([]*Webhook, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Webhooks"), tree, after, limit, id, namespace)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Webhook, error) {
		w := &Webhook{}
		return w, row.Scan(&w.Key, &w.ID, &w.Tree, &w.Name, &w.Events, &w.Active, &w.Config, &w.Sealed, &w.Host, &w.CreatedAt, &w.FailingFrom, &w.Reason, &w.TreeID, &w.Waiting, &w.Owner, &w.Revision)
	})
}

// DeleteWebhook forgets a webhook, that has a revision or whatever it has (0), with all that belongs to it. [ErrNotFound]; [ErrChanged].
func (s *Store) DeleteWebhook(ctx context.Context, namespace dag.NamespaceKey, id string, revision int32) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var n int
	switch err := s.pool.QueryRow(ctx, sql("DeleteWebhook"), id, namespace, orNull(revision)).Scan(&n); {
	case err != nil:
		return fmt.Errorf("delete webhook: %w", err)
	case n == 0 && revision != 0:
		if _, err := s.Webhook(ctx, namespace, id); err != nil {
			return err
		}
		return ErrChanged
	case n == 0:
		return ErrNotFound
	}
	return nil
}

// AddDelivery writes down a delivery that no cursor is about, and sets its key and time.
func (s *Store) AddDelivery(ctx context.Context, d *Delivered) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	list := []Delivered{*d}
	b := &pgx.Batch{}
	queueDeliveries(b, d.Webhook, list)
	if err := s.pool.Send(ctx, b); err != nil {
		return fmt.Errorf("write down a delivery: %w", err)
	}
	*d = list[0]
	return nil
}

// Deliveries lists deliveries of a webhook, newest first, before a key (0: from the newest).
func (s *Store) Deliveries(ctx context.Context, webhook, before int64, failed bool, limit int) ([]Delivered, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DeliveriesOf"), webhook, before, failed, limit)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Delivered, err error) { return d, d.scan(row) })
}

// scan reads a row of DeliveriesOf, and what follows in it.
func (d *Delivered) scan(row pgx.Row, more ...any) error {
	var us int64
	err := row.Scan(append([]any{&d.Key, &d.Webhook, &d.Tree, &d.TreeID, &d.Sequence, &d.Event, &d.Outcome, &d.Attempts, &d.Status, &us, &d.Error, &d.At}, more...)...)
	d.Latency = time.Duration(us) * time.Microsecond
	return err
}

// Delivery is one delivery, and the id of its webhook. [ErrNotFound].
func (s *Store) Delivery(ctx context.Context, key int64) (d Delivered, webhookID string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var id *string
	switch err := d.scan(s.pool.QueryRow(ctx, sql("DeliveryByKey"), key), &id); {
	case errors.Is(err, pgx.ErrNoRows), err == nil && id == nil:
		return d, "", ErrNotFound
	case err != nil:
		return d, "", fmt.Errorf("read a delivery: %w", err)
	}
	return d, *id, nil
}
