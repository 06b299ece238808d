package coordinator

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// WebhookConfig is how webhooks are kept and delivered. Zero fields get their defaults.
type WebhookConfig struct {
	Allow       []string // hosts, addresses and CIDR ranges, with or without a port, that are allowed beyond public addresses
	CAFile      string   // PEM file of further authorities; empty: the machine's
	Secrets     []string // "whsec_…", sign what has no secret of its own; none: that goes unsigned
	Concurrency int      // requests of the process at once; default 64
	PerHost     int      // of them to one host; default 8
	ResultBytes int      // larger results are left out of bodies; default 256 KiB
	// Forms make the bodies of attachments that name them; nil bytes: the event is passed over.
	Forms map[string]WebhookForm
	// Pause is the first pause before a request is repeated, and doubles; default 1 s.
	Pause time.Duration
}

// WebhookForm makes the body for an event of the webhook of that name, which an execution has. After an [ErrUnavailable] it is called again, later;
// after any other error the event is given up. It may be called by several goroutines.
type WebhookForm func(ctx context.Context, name string, e *Event) ([]byte, error)

const (
	webhookEvents     = 16             // that one turn delivers at most
	webhookMaxPause   = time.Minute    // between requests of one delivery of a webhook of an execution
	executionFailing  = 24 * time.Hour // after which a webhook of an execution that only fails is told no more
	clusterFailing    = 5 * 24 * time.Hour
	nudgesKept        = 10_000
	webhookTestWaits  = 70 * time.Second // the longest request, and some
	webhookTakeAtOnce = 16
)

// clusterPauses are the pauses of a webhook of the cluster, as Standard Webhooks propose them.
var clusterPauses = []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}

// deliverer sends what webhooks are to be told. How far each has come in each tree is a row in Postgres, which one deliverer of all coordinators
// holds at a time, for a turn: it sends events in their order and gives the row back with what it has come to. A deliverer that dies leaves
// the row to another after its lease, which begins with the last event that was not written down: so each event is sent at least once, and
// its webhook-id is the same each time.
type deliverer struct {
	cfg      WebhookConfig
	version  string
	store    *pg.Store
	log      *slog.Logger
	seals    seals
	secrets  [][]byte
	allow    *webhookAllow
	client   *http.Client
	meter    *meter
	recorder *recorder // is told of webhooks that are switched off; nil: nobody is

	spaces *spaces // set before it runs
	// telling begins a span; set before it runs, nil: there are none.
	telling func(ctx context.Context, t dag.TreeKey, webhook, event string) (context.Context, trace.Span)

	wake chan struct{} // capacity 1: something may be due

	mu     sync.Mutex
	nudges map[dag.TreeKey]bool // trees with news
	busy   map[string]int       // requests under way, by host
}

func newDeliverer(cfg WebhookConfig, keys seals, version string, store *pg.Store, log *slog.Logger, m *meter) *deliverer {
	cfg.Concurrency, cfg.PerHost = cmp.Or(cfg.Concurrency, 64), cmp.Or(cfg.PerHost, 8)
	cfg.ResultBytes, cfg.Pause = cmp.Or(cfg.ResultBytes, 256<<10), cmp.Or(cfg.Pause, time.Second)
	d := &deliverer{cfg: cfg, version: version, store: store, log: log, meter: m, seals: keys, wake: make(chan struct{}, 1), nudges: map[dag.TreeKey]bool{}, busy: map[string]int{}}
	d.allow, d.secrets, _ = cfg.parts() // a process checks them before; see Check
	d.client = d.allow.client(authorities(cfg.CAFile, log), cfg.PerHost)
	return d
}

// Check says what is wrong with the settings, in a text for operators that shows no secret.
func (cfg WebhookConfig) Check() error {
	_, _, err := cfg.parts()
	return err
}

// parts are what the settings say, as far as they can be read.
func (cfg WebhookConfig) parts() (allow *webhookAllow, secrets [][]byte, err error) {
	allow, fault := parseAllow(cfg.Allow)
	if fault != nil {
		err = errors.Join(err, fmt.Errorf("TASKGROVE_WEBHOOK_ALLOW: %w", fault))
	}
	for _, secret := range cfg.Secrets {
		key, fault := signingKey(strings.TrimSpace(secret))
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("TASKGROVE_WEBHOOK_SECRET: %w", fault))
			continue
		}
		secrets = append(secrets, key)
	}
	return allow, secrets, err
}

// authorities are the machine's and those of a file; nil: only the machine's.
func authorities(file string, log *slog.Logger) *x509.CertPool {
	if file == "" {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	text, err := os.ReadFile(file)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		log.Error("the authorities for webhooks can't be read", "file", file, "error", err)
	}
	return pool
}

// nudge says that trees have events.
func (d *deliverer) nudge(trees []pg.TreeSequence) {
	some := false
	for _, t := range trees {
		if !t.Hooked {
			continue
		}
		d.mu.Lock()
		if len(d.nudges) < nudgesKept { // the rest is found when it has rested
			d.nudges[t.Tree] = true
		}
		d.mu.Unlock()
		some = true
	}
	if some {
		wake(d.wake)
	}
}

// run delivers until ctx ends, and then waits for what it has in hand, which ends with ctx, too.
func (d *deliverer) run(ctx context.Context) error {
	var turns sync.WaitGroup
	defer d.client.CloseIdleConnections()
	defer turns.Wait()
	for {
		pause, err := d.step(ctx, &turns)
		if err != nil && ctx.Err() == nil {
			d.log.Warn("webhooks could not be looked after", "error", err)
			pause = time.Second
		}
		if !wait(ctx, d.wake, max(pause, time.Millisecond)) {
			return nil
		}
	}
}

// step takes what is due, as much as there is room for, and starts a turn for each. It gives how long to wait for more.
func (d *deliverer) step(ctx context.Context, turns *sync.WaitGroup) (pause time.Duration, err error) {
	if err := d.pass(ctx); err != nil {
		return 0, err
	}
	room, full := d.room()
	taken, next, err := d.store.TakeWebhooks(ctx, room, full)
	if err != nil {
		return 0, err
	}
	for _, c := range taken {
		d.begin(ctx, c, turns)
	}
	if room == 0 || len(full) > 0 && len(taken) == 0 {
		return max(next, 200*time.Millisecond), nil // a turn that ends wakes us
	}
	return next, nil
}

// pass passes on the news of trees.
func (d *deliverer) pass(ctx context.Context) error {
	d.mu.Lock()
	trees := make([]dag.TreeKey, 0, len(d.nudges))
	for t := range d.nudges {
		trees = append(trees, t)
	}
	clear(d.nudges)
	d.mu.Unlock()
	if len(trees) == 0 {
		return nil
	}
	slices.Sort(trees)
	return d.store.NudgeWebhooks(ctx, trees)
}

// room is how many cursors may be taken, and of which hosts none.
func (d *deliverer) room() (n int, full []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := 0
	for host, n := range d.busy {
		all += n
		if n >= d.cfg.PerHost {
			full = append(full, host)
		}
	}
	return min(max(0, d.cfg.Concurrency-all), webhookTakeAtOnce), full
}

// begin starts a turn, or gives the cursor back if its host has no room.
func (d *deliverer) begin(ctx context.Context, c *pg.WebhookCursor, turns *sync.WaitGroup) {
	host := ""
	if c.Webhook != nil {
		host = c.Webhook.Host
	}
	d.mu.Lock()
	full := host != "" && d.busy[host] >= d.cfg.PerHost
	if !full {
		d.busy[host]++
	}
	d.mu.Unlock()
	if full {
		d.move(ctx, c, pg.WebhookMove{Sequence: c.Sequence, Attempts: c.Attempts, Pause: 100 * time.Millisecond})
		return
	}
	turns.Go(func() {
		defer func() {
			d.mu.Lock()
			if d.busy[host]--; d.busy[host] == 0 {
				delete(d.busy, host)
			}
			d.mu.Unlock()
			wake(d.wake)
		}()
		d.turn(ctx, c)
	})
}

// move gives a cursor back, also when ctx has ended.
func (d *deliverer) move(ctx context.Context, c *pg.WebhookCursor, m pg.WebhookMove) {
	ctx = context.WithoutCancel(ctx)
	failpoint.Hit("coordinator.before-webhook-move")
	if _, err := d.store.MoveWebhook(ctx, c, m); err != nil { // its lease ends, and it is taken again
		d.log.Warn("how far a webhook has come could not be written down", "tree_key", int64(c.Tree), "error", err)
		return
	}
	failpoint.Hit("coordinator.after-webhook-move")
}

// turn sends the next events of a cursor, in order, until one has to wait, or the turn is over.
func (d *deliverer) turn(ctx context.Context, c *pg.WebhookCursor) {
	w := c.Webhook
	if w == nil || !w.Active {
		d.move(ctx, c, pg.WebhookMove{Sequence: c.Sequence, Over: true})
		return
	}
	t := &turn{d: d, c: c, w: w, over: time.Now().Add(pg.WebhookTurn)}
	t.move = pg.WebhookMove{Sequence: c.Sequence, Attempts: c.Attempts}
	if err := t.run(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("events for a webhook could not be read", "webhook", w.ID, "tree_key", int64(c.Tree), "error", err)
		t.move.Pause = max(t.move.Pause, time.Second)
	}
	d.move(ctx, c, t.move)
	if t.move.Disable != "" {
		d.recorder.happened("", "Webhook.Disable", "", detail("webhook", w.ID))
	}
}

// turn is one turn of a cursor.
type turn struct {
	d      *deliverer
	c      *pg.WebhookCursor
	w      *pg.Webhook
	target *target
	over   time.Time // when the cursor must be given back
	move   pg.WebhookMove
}

func (t *turn) run(ctx context.Context) (err error) {
	if t.c.Tree < 0 {
		return t.refusedRun(ctx)
	}
	stored, events, err := t.d.store.WebhookEvents(ctx, t.c.Tree, t.c.Sequence, webhookEvents)
	if errors.Is(err, pg.ErrNotFound) {
		t.move.Over = true
		return nil
	}
	if err != nil {
		return err
	}
	if t.target, err = t.d.open(ctx, t.w); err != nil { // no key for it: it waits for one
		t.failed(err.Error())
		t.move.Pause = time.Minute
		return nil
	}
	tree := showTree(stored, t.d.spaces.name(ctx, stored.Namespace))
	if t.w.Tree == 0 && !t.target.view.wants(tree) {
		t.move.Sequence, t.move.Idle = stored.Sequence, stored.FinishedAt != nil
		return nil
	}
	for i := range events {
		e := webhookEvent(tree, &events[i])
		if done := t.deliver(ctx, tree, e); !done {
			return nil
		}
		t.move.Sequence, t.move.Attempts = e.Sequence, 0
		if t.w.Tree != 0 && e.Type == EventFinal {
			t.move.Over = true
			return nil
		}
	}
	t.move.Idle = t.w.Tree == 0 && stored.FinishedAt != nil && t.move.Sequence >= stored.Sequence
	return nil
}

// refusedRun tells that a run of a schedule failed to start.
func (t *turn) refusedRun(ctx context.Context) error {
	r, err := t.d.store.RefusedRun(ctx, t.c.Tree)
	if errors.Is(err, pg.ErrNotFound) {
		t.move.Over = true
		return nil
	}
	if err != nil {
		return err
	}
	if t.target, err = t.d.open(ctx, t.w); err != nil { // no key for it: it waits for one
		t.failed(err.Error())
		t.move.Pause = time.Minute
		return nil
	}
	m, err := refusedMessage(t.w, t.c.Tree, r)
	if err != nil {
		return err
	}
	t.move.Over = !t.target.view.wants(m.tree) || t.send(ctx, []*message{m})
	return nil
}

// refusedMessage is what a webhook is told of a run that failed to start. There is no tree: its name is the schedule's.
func refusedMessage(w *pg.Webhook, key dag.TreeKey, r *pg.RefusedRun) (*message, error) {
	tree := &TreeStatus{Key: key, Name: r.Schedule, UserID: r.UserID, Status: dag.StatusFailed, CreatedAt: r.Instant}
	if r.Labels != nil {
		if err := json.Unmarshal(r.Labels, &tree.Labels); err != nil {
			return nil, fmt.Errorf("read labels of schedule %s: %w", r.Schedule, err)
		}
	}
	e := &Event{Sequence: 1, Type: EventFailed, Name: r.Schedule, Status: dag.StatusFailed, Error: r.Reason, At: r.At}
	m := newMessage(w, tree, e, string(RunFailedToStart))
	m.body.Final = true
	m.body.Message = fmt.Sprintf("The run of schedule %s of %s failed to start", r.Schedule, moment(r.Instant))
	return m, nil
}

// deliver sends what a webhook is told of an event; false: the event is not done with.
func (t *turn) deliver(ctx context.Context, tree *TreeStatus, e *Event) (done bool) {
	return t.send(ctx, messagesOf(t.w, tree, e))
}

// send sends messages in order; false: one is not done with.
func (t *turn) send(ctx context.Context, all []*message) (done bool) {
	for _, m := range all {
		if time.Until(t.over) < time.Duration(t.target.view.TimeoutMS)*time.Millisecond {
			return false
		}
		body, err := t.d.body(ctx, t.target, t.w, m)
		if err == nil && body == nil {
			continue
		}
		if errors.Is(err, ErrUnavailable) {
			t.move.Pause = time.Second
			return false
		}
		out := sent{outcome: Refused}
		if err != nil {
			out.err = err.Error()
		} else if out = t.d.traced(ctx, t.c.Tree, t.w.ID, m, func(ctx context.Context) sent { return t.d.send(ctx, t.target, m.id, body) }); ctx.Err() != nil {
			return false
		}
		failpoint.Hit("coordinator.after-webhook-sent")
		if !t.judge(m, out) {
			return false
		}
	}
	return true
}

// traced sends a message within a span of the tree's trace.
func (d *deliverer) traced(ctx context.Context, tree dag.TreeKey, webhook string, m *message, send func(context.Context) sent) sent {
	if d.telling == nil || tree < 0 {
		return send(ctx)
	}
	ctx, span := d.telling(ctx, tree, webhook, m.event.Type.String())
	defer span.End()
	out := send(ctx)
	span.SetAttributes(attribute.Int("http.response.status_code", out.status), attribute.String("outcome", string(out.outcome)))
	if out.err != "" {
		span.SetStatus(codes.Error, out.err)
	}
	return out
}

// body makes the body of a message; nil: there is none to be sent.
func (d *deliverer) body(ctx context.Context, t *target, w *pg.Webhook, m *message) ([]byte, error) {
	if t.view.Form == "" {
		return m.encode(t, w, d.cfg.ResultBytes)
	}
	form := d.cfg.Forms[t.view.Form]
	if form == nil {
		return nil, fmt.Errorf("this coordinator does not know the form %q", t.view.Form)
	}
	return form(ctx, w.Name, m.event)
}

// judge writes down what became of a message; false: it is to be sent again, later.
func (t *turn) judge(m *message, out sent) (done bool) {
	attempts := t.move.Attempts + 1
	if out.busy && t.w.Tree == 0 { // of an execution, spec 5.5 drops the event
		out.outcome = Retrying
	}
	if out.outcome == Retrying && attempts >= t.target.view.MaxAttempts {
		out.outcome = GaveUp
	}
	t.d.count(out.outcome, m.event.At)
	t.move.Deliveries = append(t.move.Deliveries, pg.Delivered{Tree: t.c.Tree, Sequence: m.event.Sequence, Event: m.word, Outcome: storedOutcomes[out.outcome],
		Attempts: attempts, Status: out.status, Latency: out.latency, Error: out.err})
	switch out.outcome {
	case Delivered:
		t.move.Succeeded, t.move.Failed, t.move.Attempts, t.w.FailingFrom = true, false, 0, nil
		return true
	case Refused:
		if t.failed(out.err); out.gone {
			t.move.Disable = "the receiver answered 410 Gone: it wants no more events"
		}
		t.move.Attempts = 0
		return true
	case GaveUp:
		t.failed(out.err)
		t.move.Attempts = 0
		return true
	}
	t.failed(out.err)
	t.move.Attempts, t.move.Pause = attempts, t.pause(attempts)
	if t.w.Tree == 0 {
		t.move.Pause = max(t.move.Pause, out.after)
	}
	return false
}

// failed notes a failure, and that there have been no others for too long.
func (t *turn) failed(why string) {
	t.move.Failed, t.move.Succeeded = true, false
	most := executionFailing
	if t.w.Tree == 0 {
		most = clusterFailing
	}
	if from := t.w.FailingFrom; from != nil && time.Since(*from) > most {
		t.move.Disable = fmt.Sprintf("it has failed since %s, at last: %s", from.UTC().Format(time.RFC3339), why)
	}
}

// pause is how long to wait after so many attempts.
func (t *turn) pause(attempts int) time.Duration {
	if t.w.Tree != 0 {
		return min(t.d.cfg.Pause<<min(attempts-1, 20), webhookMaxPause)
	}
	p := clusterPauses[min(attempts, len(clusterPauses))-1]
	return p + rand.N(p/10) // so that they don't all come at once
}

// wants reports whether a webhook of the cluster asks for a tree.
func (v *webhookView) wants(tree *TreeStatus) bool {
	if v.UserID != "" && v.UserID != tree.UserID || v.Tree != "" && v.Tree != tree.Name {
		return false
	}
	for name, value := range v.Labels {
		if has, ok := tree.Labels[name]; !ok || value != "" && value != has {
			return false
		}
	}
	return true
}

// storedOutcomes are the outcomes as they are stored.
var storedOutcomes = map[DeliveryOutcome]pg.DeliveryOutcome{
	Delivered: pg.DeliveryDone, Retrying: pg.DeliveryRetrying, Refused: pg.DeliveryRefused, GaveUp: pg.DeliveryGaveUp,
}

// count counts a delivery.
func (d *deliverer) count(outcome DeliveryOutcome, at time.Time) {
	d.meter.delivered(outcome, time.Since(at))
}

// attachments are the webhooks of an execution, as they are stored.
func (d *deliverer) attachments(ctx context.Context, hook *Webhook, more []Attachment) (out []*pg.Webhook, err error) {
	if len(more) > MaxAttachments {
		return nil, webhookFault("attach", "must be at most %d", MaxAttachments)
	}
	if hook != nil {
		more = append([]Attachment{{Webhook: *hook}}, more...)
	}
	for _, a := range more {
		w, err := d.attachment(ctx, a)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// attachment is one, checked.
func (d *deliverer) attachment(ctx context.Context, a Attachment) (*pg.Webhook, error) {
	if err := a.check(webhookAttempts, d.allow); err != nil {
		return nil, err
	}
	if a.Form != "" && d.cfg.Forms[a.Form] == nil {
		return nil, webhookFault("form", "is not known")
	}
	if len(a.Name) > 255 || !text(a.Name) {
		return nil, webhookFault("name", "must be at most 255 bytes of UTF-8 without NUL")
	}
	w, err := d.storable(ctx, a.Webhook, webhookView{Form: a.Form})
	if err != nil {
		return nil, err
	}
	w.Name = cmp.Or(a.Name, w.ID)
	return w, nil
}
