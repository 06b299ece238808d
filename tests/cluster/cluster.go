// Package cluster runs a whole cluster for a test: a fresh database, a NATS server, coordinators and workers, each
// with connections of its own.
//
// It owns how the parts are started, stopped and cut off. It must not know what a test wants of them.
package cluster

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// Options say what to start. Zero fields get their defaults.
type Options struct {
	Coordinators int                         // default 1
	Workers      int                         // default 1
	Concurrency  int                         // slots of each pool and worker; default 16
	Pools        []string                    // default: one for each executor
	Executors    func() []executors.Executor // of a worker, besides the built-in ones
	Coordinator  func(*config.Coordinator)   // changes the settings of each; nil: none
	Worker       func(*config.Worker)        // changes the settings of each; nil: none
	Levels       dag.Levels                  // of the coordinators; nil: those of this version
	Postgres     string                      // URL of a database; empty: a fresh one
	Log          *slog.Logger                // of all processes; nil: errors go to stderr
}

// Cluster is a running cluster. Its parts end with the test.
type Cluster struct {
	T            testing.TB
	URL          string // of the database
	NATS         *natsserver.Server
	StoreDir     string // of its streams
	Coordinators []*Part[*node.Coordinator]
	Workers      []*Part[*node.Worker]

	opts Options
	log  *slog.Logger
}

// Part is one coordinator or worker and the way to end it.
type Part[P any] struct {
	P       P
	process *node.Process
	cut     func() // closes its connection to NATS
}

// Stop ends the part as SIGTERM does and waits for it. A second call does nothing.
func (p *Part[P]) Stop() error { return p.process.Stop() }

// Ended waits until the part ends by itself, and says how.
func (p *Part[P]) Ended(ctx context.Context) error { return p.process.Wait(ctx) }

// Cut ends the part's connection to NATS without a word, then the part: what it had in hand is lost to it.
func (p *Part[P]) Cut() {
	p.cut()
	_ = p.process.Stop() // it has lost its connection
}

// Start starts a cluster and waits until its workers have their leases.
func Start(t testing.TB, opts Options) *Cluster {
	t.Helper()
	level := slog.LevelError
	if os.Getenv("TASKGROVE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	if opts.Postgres == "" {
		opts.Postgres = pgtest.Prepared(t, pg.Migrate)
	}
	c := &Cluster{T: t, opts: opts, URL: opts.Postgres,
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
	if opts.Log != nil {
		c.log = opts.Log
	}
	c.StoreDir = t.TempDir()
	server, err := natsserver.Start(natsserver.Config{StoreDir: c.StoreDir, Logger: c.log})
	if err != nil {
		t.Fatal(err)
	}
	c.NATS = server
	t.Cleanup(server.Shutdown)
	for range cmp.Or(opts.Coordinators, 1) {
		c.AddCoordinator()
	}
	for range cmp.Or(opts.Workers, 1) {
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

// AddCoordinator starts one more and waits until it is ready. It has no listeners: tests call it.
func (c *Cluster) AddCoordinator() *Part[*node.Coordinator] {
	c.T.Helper()
	p, err := c.TryCoordinator(node.Options{Levels: c.opts.Levels})
	if err == nil {
		err = p.process.UntilReady(c.T.Context())
	}
	if err != nil {
		c.T.Fatal(err)
	}
	return p
}

// Upgrade gives the feature levels to the coordinators that are started from now on.
func (c *Cluster) Upgrade(levels dag.Levels) { c.opts.Levels = levels }

// AddResting adds a coordinator that answers the test and does nothing by itself.
func (c *Cluster) AddResting() *Part[*node.Coordinator] {
	c.T.Helper()
	p, err := c.TryCoordinator(node.Options{Resting: true})
	if err != nil {
		c.T.Fatal(err)
	}
	return p
}

// SealVariable has the coordinators of every cluster seal values, if it is set: so the tests of a package are run with sealing.
const SealVariable = "TASKGROVE_TEST_SEAL"

// TryCoordinator starts one more that may be refused.
func (c *Cluster) TryCoordinator(opts node.Options) (*Part[*node.Coordinator], error) {
	settings := config.Defaults[*config.Coordinator]()
	settings.Name = fmt.Sprintf("coordinator-%d", len(c.Coordinators)+1)
	settings.PostgresURL.Secret, settings.NATSURL.Secret = config.Secret(c.URL), config.Secret(c.NATS.CoordinatorURL())
	settings.MaxConns = 12
	settings.HTTPAddr, settings.GRPCAddr = "", ""
	if os.Getenv(SealVariable) != "" {
		settings.SealKey, settings.SealValues = "c2VhbGVkIGluIGFsbCB0ZXN0cyBvZiBhIGNsdXN0ZXI=", true
	}
	if c.opts.Coordinator != nil {
		c.opts.Coordinator(settings)
	}
	p := &Part[*node.Coordinator]{process: c.process(settings.Name)}
	var err error
	if p.P, err = p.process.StartCoordinator(c.T.Context(), settings, opts); err != nil {
		return nil, err
	}
	p.cut = p.P.Queue.Close
	c.Coordinators = append(c.Coordinators, p)
	return p, nil
}

// AddWorker starts one more.
func (c *Cluster) AddWorker() *Part[*node.Worker] {
	c.T.Helper()
	return c.AddWorkerOf(cmp.Or(c.opts.Concurrency, 16), c.opts.Pools...)
}

// AddWorkerOf starts one more, which serves the pools with so many slots each; without names, one for each executor.
func (c *Cluster) AddWorkerOf(concurrency int, pools ...string) *Part[*node.Worker] {
	c.T.Helper()
	settings := config.Defaults[*config.Worker]()
	settings.ID = config.WorkerID(fmt.Sprintf("worker-%d", len(c.Workers)+1))
	settings.NATSURL.Secret = config.Secret(c.NATS.WorkerURL(string(settings.ID)))
	settings.HTTPAddr = ""
	settings.AddressLoopback = true // where tests start services for tasks
	settings.Concurrency = concurrency
	if len(pools) > 0 {
		if err := settings.Pools.Decode(strings.Join(pools, ",")); err != nil {
			c.T.Fatal(err)
		}
	}
	if c.opts.Worker != nil {
		c.opts.Worker(settings)
	}
	var opts node.Options
	if c.opts.Executors != nil {
		opts.Executors = c.opts.Executors()
	}
	p := &Part[*node.Worker]{process: c.process(string(settings.ID))}
	var err error
	if p.P, err = p.process.StartWorker(c.T.Context(), settings, opts); err != nil {
		c.T.Fatal(err)
	}
	p.cut = func() { _ = p.P.Close() }
	c.Workers = append(c.Workers, p)
	return p
}

// process is one that stops with the test.
func (c *Cluster) process(name string) *node.Process {
	p := node.NewProcess(c.log.With("process", name))
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
	pause := 5 * time.Millisecond // and longer the longer it takes, as looking takes from what is waited for
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		if err = f(); err == nil {
			return
		}
		pause = min(pause*5/4, 25*time.Millisecond)
	}
	c.T.Fatalf("not within %s: %s: %v", patience, what, err)
}
