// Package cluster runs a whole cluster for a test: a fresh database, a NATS server, coordinators and workers, each
// with connections of its own.
//
// It owns starting, stopping and cutting off the parts. It must not know what a test wants of them.
package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/worker"
)

// Options say what to start. Zero fields get their defaults.
type Options struct {
	Coordinators int // default 1
	Workers      int // default 1
	Concurrency  int // slots of each pool and worker; default 16
	Pools        []string
	Executors    func() []executors.Executor // besides the built-in ones
	Builtin      builtin.Config
	Coordinator  coordinator.Config
	Worker       worker.Config
}

// Cluster is a running cluster. Its parts end with the test.
type Cluster struct {
	T            testing.TB
	URL          string // of the database
	NATS         *natsserver.Server
	Coordinators []*Part[*coordinator.Coordinator]
	Workers      []*Part[*worker.Worker]

	opts     Options
	log      *slog.Logger
	storeDir string
}

// Part is one coordinator or worker and the way to end it.
type Part[P any] struct {
	P     P
	Store *pg.Store   // a coordinator's
	Queue *queue.Conn // its own connection
	stop  context.CancelFunc
	done  chan error
	once  sync.Once
}

// Stop ends the part as SIGTERM does and waits for it.
func (p *Part[P]) Stop() error {
	var err error
	p.once.Do(func() {
		p.stop()
		err = <-p.done
		p.Queue.Close()
		if p.Store != nil {
			p.Store.Close()
		}
	})
	return err
}

// Cut ends the part's connection to NATS without a word, then the part: what it had in hand is lost to it.
func (p *Part[P]) Cut() {
	p.once.Do(func() {
		p.Queue.Close()
		p.stop()
		<-p.done
		if p.Store != nil {
			p.Store.Close()
		}
	})
}

// Known are the built-in executors.
func Known() dag.Known {
	var k dag.Known
	for d := range builtin.Catalogue() {
		k.Add(d.ID, d.Type)
	}
	return k
}

// Start starts a cluster and waits until its workers have their leases.
func Start(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Coordinators == 0 {
		opts.Coordinators = 1
	}
	if opts.Workers == 0 {
		opts.Workers = 1
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = 16
	}
	if opts.Pools == nil {
		for d := range builtin.Catalogue() {
			opts.Pools = append(opts.Pools, d.ID)
		}
	}
	level := slog.LevelError
	if os.Getenv("TASKGROVE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	c := &Cluster{T: t, opts: opts, storeDir: t.TempDir(), URL: pgtest.Database(t),
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
	if err := pg.Migrate(t.Context(), c.URL); err != nil {
		t.Fatal(err)
	}
	server, err := natsserver.Start(natsserver.Config{StoreDir: c.storeDir, Logger: c.log})
	if err != nil {
		t.Fatal(err)
	}
	c.NATS = server
	t.Cleanup(func() { c.NATS.Shutdown() })
	for range opts.Coordinators {
		c.AddCoordinator()
	}
	for range opts.Workers {
		c.AddWorker()
	}
	for _, w := range c.Workers {
		c.Eventually("worker has a lease", func() error { return w.P.Ready() })
	}
	return c
}

// For is the same cluster on behalf of a subtest: what fails, fails that.
func (c *Cluster) For(t testing.TB) *Cluster {
	sub := *c
	sub.T = t
	return &sub
}

// AddCoordinator starts one more.
func (c *Cluster) AddCoordinator() *Part[*coordinator.Coordinator] {
	c.T.Helper()
	store, err := pg.Open(c.T.Context(), pg.Config{URL: c.URL, MaxConns: 12})
	if err != nil {
		c.T.Fatal(err)
	}
	name := fmt.Sprintf("coordinator-%d", len(c.Coordinators)+1)
	conn, err := queue.Connect(c.T.Context(), queue.Config{URL: c.NATS.CoordinatorURL(), Name: name})
	if err != nil {
		c.T.Fatal(err)
	}
	cfg := c.opts.Coordinator
	cfg.Name, cfg.Known, cfg.Repeatable, cfg.Log = name, Known(), builtin.Repeatable(), c.log.With("process", name)
	p := start(c, coordinator.New(cfg, store, conn), conn, (*coordinator.Coordinator).Run)
	p.Store = store
	c.Coordinators = append(c.Coordinators, p)
	return p
}

// AddWorker starts one more.
func (c *Cluster) AddWorker() *Part[*worker.Worker] {
	c.T.Helper()
	return c.AddWorkerOf(c.opts.Concurrency, c.opts.Pools...)
}

// AddWorkerOf starts one more, which serves the pools with so many slots each.
func (c *Cluster) AddWorkerOf(concurrency int, pools ...string) *Part[*worker.Worker] {
	c.T.Helper()
	id := fmt.Sprintf("worker-%d", len(c.Workers)+1)
	conn, err := queue.Connect(c.T.Context(), queue.Config{URL: c.NATS.WorkerURL(id), Name: id, Worker: id})
	if err != nil {
		c.T.Fatal(err)
	}
	cfg := c.opts.Worker
	cfg.ID, cfg.Log, cfg.Executors = id, c.log.With("process", id), builtin.New(c.opts.Builtin)
	if c.opts.Executors != nil {
		cfg.Executors = append(cfg.Executors, c.opts.Executors()...)
	}
	for _, pool := range pools {
		cfg.Pools = append(cfg.Pools, worker.Pool{Name: pool, Concurrency: concurrency})
	}
	w, err := worker.New(cfg, conn)
	if err != nil {
		c.T.Fatal(err)
	}
	p := start(c, w, conn, (*worker.Worker).Run)
	c.Workers = append(c.Workers, p)
	return p
}

func start[P any](c *Cluster, what P, conn *queue.Conn, run func(P, context.Context) error) *Part[P] {
	ctx, stop := context.WithCancel(context.WithoutCancel(c.T.Context()))
	p := &Part[P]{P: what, Queue: conn, stop: stop, done: make(chan error, 1)}
	go func() { p.done <- run(what, ctx) }()
	c.T.Cleanup(func() { _ = p.Stop() })
	return p
}

// Service is the first coordinator, as APIs see it.
func (c *Cluster) Service() coordinator.Service { return c.Coordinators[0].P }

// Submit submits tasks to the first coordinator.
func (c *Cluster) Submit(opts coordinator.SubmitOptions, tasks ...*dag.Task) *coordinator.Submitted {
	c.T.Helper()
	out, err := c.Service().Submit(c.T.Context(), opts, Seq(tasks))
	if err != nil {
		c.T.Fatalf("submit: %v", err)
	}
	return out
}

// Seq yields tasks that are at hand.
func Seq(tasks []*dag.Task) func(yield func(*dag.Task, error) bool) {
	return func(yield func(*dag.Task, error) bool) {
		for _, t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// Settled waits until nothing of the tree is unfinished, and returns its aggregate.
func (c *Cluster) Settled(id string) *coordinator.TreeStatus {
	c.T.Helper()
	var st *coordinator.TreeStatus
	c.Eventually("tree "+id+" is settled", func() (err error) {
		if st, err = c.Service().Tree(context.Background(), id); err != nil {
			return err
		}
		if st.Unfinished > 0 {
			return fmt.Errorf("%+v", *st)
		}
		return nil
	})
	return st
}

// Tasks reads all tasks of a tree, by id.
func (c *Cluster) Tasks(id string) map[string]*coordinator.Task {
	c.T.Helper()
	out := map[string]*coordinator.Task{}
	f := coordinator.TaskFilter{TreeOf: id, Limit: 1000}
	for {
		page, err := c.Service().Tasks(context.Background(), f)
		if err != nil {
			c.T.Fatal(err)
		}
		for _, t := range page.Items {
			out[t.ID] = t
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return out
		}
	}
}

// patience is how long Eventually waits before it gives a test up; nothing takes that long unless it is stuck.
const patience = 2 * time.Minute

// Eventually waits until f is nil.
func (c *Cluster) Eventually(what string, f func() error) {
	c.T.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	c.T.Fatalf("not within %s: %s: %v", patience, what, err)
}
