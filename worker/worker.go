package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/ledger"
	"github.com/taskgrove/taskgrove/internal/readiness"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Worker runs attempts of its pools. Make it with [Dial], then call [Worker.Run] once.
type Worker struct {
	cfg       Config
	conn      *queue.Conn
	close     func() error // closes what it owns, once
	kinds     kinds
	described *descriptions
	catalogue catalogue
	pools     []*pool
	book      *book
	results   *batcher[*attempt]
	voices    voices
	archive   archive
	runs      runs
	bundles   bundles
	parts     chan struct{} // a place for each request for a part of a payload
	metrics   *metrics
	wayOut
	log   *slog.Logger
	quiet *quietLog

	// partsInResults: the last answer to a beat said that every coordinator reads parts of results from RESULTS.
	partsInResults atomic.Bool
	// ends: the last answer to a beat said that every coordinator knows all ends of attempts.
	ends atomic.Bool

	draining  chan struct{} // closed when a drain was asked for
	over      chan struct{} // closed when Run ends: nothing is sent any more
	drainOnce sync.Once
	session   atomic.Pointer[session] // nil: not running
	working   sync.WaitGroup          // attempts whose work has not stopped
	crew      crew                    // runs them
}

// newWorker makes a worker on a connection that was made with its id, and that the caller closes.
func newWorker(cfg Config, conn *queue.Conn) (*Worker, error) {
	cfg.setDefaults()
	if err := errors.Join(cfg.validate(), cfg.openSecrets()); err != nil {
		return nil, fmt.Errorf("worker configuration: %w", err)
	}
	w := &Worker{
		cfg: cfg, conn: conn, kinds: newKinds(cfg.Executors, cfg.secrets),
		log: cfg.Log.With("worker_id", cfg.ID), draining: make(chan struct{}),
		parts: make(chan struct{}, partsInFlight), over: make(chan struct{}),
		catalogue: catalogue{asking: make(chan struct{}, 1)},
	}
	w.close = sync.OnceValue(func() error {
		return errors.Join(closeExecutors(slices.Concat(cfg.Executors, cfg.replaced)), w.runs.dirs.Close())
	})
	w.described = newDescriptions(w.kinds, cfg.off)
	w.quiet = &quietLog{log: w.log}
	for i, p := range cfg.Pools {
		w.pools = append(w.pools, newPool(i, p))
	}
	w.book = newBook(ledger.Limits{
		Kept: cfg.MaxKept, KeptBytes: cfg.MaxKeptBytes, Resend: cfg.Resend,
		Ahead: min(max(cfg.Ahead, 0), linesMost/len(cfg.Pools)), AheadBytes: lineBytes, Wait: cfg.LineWait,
	}, w.pools)
	w.results = w.newReporter()
	w.voices.init(w)
	w.archive.init(w)
	w.runs.init(w)
	var err error
	if w.metrics, err = newMetrics(cfg.Meter, w); err != nil {
		return nil, fmt.Errorf("worker metrics: %w", err)
	}
	return w, nil
}

// Run works until ctx ends or [Worker.Drain] is called, then drains: it stops taking, gives what runs
// [Config.DrainGrace], hands back what does not finish, waits for receipts, and returns nil. It returns an error if
// the connection was closed by others, and [ErrOutdated] if the cluster asks for more than this version can do.
// Executors that ignore the end of their context are logged and left running. At the end it closes what the worker owns.
func (w *Worker) Run(ctx context.Context) error {
	err := w.run(ctx)
	if closing := w.Close(); closing != nil {
		w.log.Warn("worker did not close cleanly", "error", closing)
	}
	return err
}

// Close closes the executors and the connection that [Dial] made. Run does so at its end, so only a worker that never runs
// needs it. It may be called again.
func (w *Worker) Close() error { return w.close() }

func (w *Worker) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, w.Drain)()
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	defer w.metrics.stop()
	defer w.crew.end()
	group, life := errgroup.WithContext(life)
	news := func() error {
		if err := w.conn.News(life, w.news); err != nil && life.Err() == nil {
			return fmt.Errorf("listen to news: %w", err)
		}
		return nil
	}
	for _, part := range []func() error{
		news,
		func() error { return w.results.run(life) },
		func() error { return w.resend(life) },
		func() error { return w.tire(life) },
		func() error { return w.voices.flushLogs(life) },
		func() error { return w.voices.flushProgress(life) },
		func() error { return w.voices.flushLive(life) },
		func() error { return w.archive.run(life) },
		func() error { return w.voices.flushNotes(life) },
		func() error { return w.runs.run(life) },
	} {
		group.Go(part)
	}
	group.Go(func() error {
		err := w.sessions(life)
		if err == nil {
			err = errDrained // ends the other parts
		}
		return err
	})
	err := group.Wait()
	w.session.Store(nil)
	w.abandon()
	if errors.Is(err, errDrained) {
		return nil
	}
	return err
}

// sessions runs one session after the other until a drain has ended.
func (w *Worker) sessions(life context.Context) error {
	for {
		s := newSession(w)
		w.session.Store(s)
		w.log.Info("session begins", "instance", s.instance)
		err := s.run(life)
		switch {
		case errors.Is(err, errDrained) || err == nil:
			return nil
		case errors.Is(err, ErrOutdated):
			w.flush(life)
			return err
		case !errors.Is(err, errFenced):
			return err
		}
		w.metrics.fenced.Add(life, 1)
		w.log.Warn("lease ran out: work was stopped, and is handed back", "instance", s.instance)
		if w.isDraining() {
			w.flush(life)
			return nil
		}
	}
}

// flush waits until nothing is in hand and all results have their receipts, at most [Config.FlushGrace].
func (w *Worker) flush(life context.Context) {
	life, cancel := context.WithTimeout(life, w.cfg.FlushGrace)
	defer cancel()
	w.book.await(life, func(inHand, kept int) bool { return inHand == 0 && kept == 0 })
}

// abandon waits for what still works, as long as the kill grace, and names what does not stop.
func (w *Worker) abandon() {
	stopped := make(chan struct{})
	close(w.over)
	w.book.all(func(a *attempt) { a.stop(executors.ErrDraining) })
	go func() { // ends when the last executor returns, or with the process
		w.working.Wait()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(w.cfg.KillGrace):
		w.log.Error("executors did not stop", "task_ids", w.inHandIDs(20))
	}
}

// inHandIDs are ids of tasks that hold a slot, at most that many.
func (w *Worker) inHandIDs(most int) (ids []string) {
	w.book.all(func(a *attempt) {
		if a.HoldsSlot() && len(ids) < most {
			ids = append(ids, a.work.TaskId)
		}
	})
	return ids
}

// Drain asks for a drain, as the end of Run's context does. It returns at once; Run returns when the drain has ended.
func (w *Worker) Drain() { w.drainOnce.Do(func() { close(w.draining) }) }

func (w *Worker) isDraining() bool {
	select {
	case <-w.draining:
		return true
	default:
		return false
	}
}

// ID is the worker's id, as the cluster shows it.
func (w *Worker) ID() string { return w.cfg.ID }

// Ready returns nil if the worker takes work, else an error that says why it doesn't. For a readiness probe.
func (w *Worker) Ready() error {
	s := w.session.Load()
	switch {
	case s == nil:
		return &readiness.Fault{Reason: "not running"}
	case w.isDraining():
		return executors.ErrDraining
	case !w.conn.Connected():
		return &readiness.Fault{Reason: "not connected to NATS"}
	case !s.lease.holds():
		if why := s.trouble.Load(); why != nil {
			return &readiness.Fault{Reason: noLease, Err: fmt.Errorf("%s: %s", noLease, *why)}
		}
		return &readiness.Fault{Reason: noLease}
	case !w.book.hasRoom():
		return &readiness.Fault{Reason: "too many results wait for their receipts"}
	}
	for _, f := range w.hindrances() {
		switch {
		case f.Executor != "": // as it was configured
		case f.Pool != "":
			return &readiness.Fault{Reason: "no tasks of pool " + f.Pool + " are taken", Err: fmt.Errorf("no tasks of pool %s are taken: %s", f.Pool, f.Text)}
		default:
			return errors.New(f.Text)
		}
	}
	return nil
}

// noLease is why a worker waits for a coordinator.
const noLease = "no lease was granted"

// leased reports whether the session has a lease.
func (w *Worker) leased() bool {
	s := w.session.Load()
	return s != nil && s.lease.holds()
}

// Stats is what a worker has in hand.
type Stats struct {
	Instance  string    // of the session; empty before Run
	Lease     time.Time // when it ends; zero: none yet
	InHand    int       // attempts that hold a slot
	Kept      int       // results without receipt
	KeptBytes int
}

// Stats tells what the worker has in hand.
func (w *Worker) Stats() Stats {
	var st Stats
	if s := w.session.Load(); s != nil {
		st.Instance, st.Lease = s.instance, s.lease.Until()
	}
	st.InHand, st.Kept, st.KeptBytes = w.book.counts()
	return st
}

// news applies what a coordinator tells.
func (w *Worker) news(data []byte) {
	news := &workerv1.News{}
	if err := proto.Unmarshal(data, news); err != nil {
		w.quiet.warn("news", "news can't be read", "bytes", len(data), "error", err)
		return
	}
	for _, h := range news.Handovers { // first: receipts free the slots that were offered
		w.accept(h)
	}
	out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { learn(l, news.Receipts, news.Cancel, out) })
	w.do(&out)
	w.sendAgain(news.Incomplete)
}

// quietLog lets the same complaint through once in a few seconds.
type quietLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]time.Time
}

func (q *quietLog) warn(topic, message string, args ...any) {
	const every = 5 * time.Second
	q.mu.Lock()
	now := time.Now()
	speak := now.Sub(q.last[topic]) >= every
	if speak {
		if q.last == nil {
			q.last = map[string]time.Time{}
		}
		q.last[topic] = now
	}
	q.mu.Unlock()
	if speak {
		q.log.Warn(message, args...)
	}
}
