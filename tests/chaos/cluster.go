package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgserver"
	"github.com/taskgrove/taskgrove/tests/faults"
)

// What a cluster is made of. A lease is a tenth of what it is in production, and so is the wait for an acknowledgement, so
// that a history takes seconds.
const (
	coordinators = 3
	workers      = 3
	slots        = 3 // of each pool and worker
	lease        = 3 * time.Second
	startTime    = 60 * time.Second // of a part, at most
	diskSize     = "size=8g"        // of the file system that NATS has; it takes memory as it is used
)

// cluster is a running cluster. Its processes end with this one.
type cluster struct {
	dir      string
	base     faults.Settings
	postgres *pgserver.Server
	direct   string // the database's URL without a proxy
	nats     *part
	mounted  bool   // NATS has a file system of its own
	clock    string // file with what Postgres's clock is ahead; empty: its clock is the machine's
	parts    map[string][]*part
	clients  []*client.Client
	journal  *faults.Journal
	trees    int      // that all histories so far have stored
	held     int      // times that something came to be held in them
	release  []func() // of ports

	mu    sync.Mutex
	jumps []time.Time // when Postgres's clock went ahead

}

// part is a process that can be ended and started again.
type part struct {
	settings faults.Settings
	links    map[string]*faults.Proxy

	mu      sync.Mutex
	process *faults.Process // nil: never started; see running
	crashes int             // of NATS, that we did nothing to
}

// running is the process of now: faults replace it.
func (p *part) running() *faults.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// The names of links, by who opens them.
const (
	toNATS     = "nats"
	toPostgres = "postgres"
	toClients  = "clients" // opened by clients
)

// clockLibrary is where Debian's libfaketime is, with which Postgres's clock can be moved.
const clockLibrary = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"

// startCluster starts everything in a new directory and waits until workers take work.
func startCluster(ctx context.Context) (c *cluster, err error) {
	c = &cluster{parts: map[string][]*part{}}
	if c.dir, err = os.MkdirTemp("", "taskgrove-chaos-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(c.dir, 0o755); err != nil { // Postgres runs as somebody else
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		c.close()
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context) (err error) {
	c.base = faults.Settings{Dir: filepath.Join(c.dir, "parts"), Lease: lease, Republish: time.Second, PoolIdle: time.Second, Concurrency: slots}
	if err := os.Mkdir(c.base.Dir, 0o755); err != nil {
		return err
	}
	if c.journal, err = faults.OpenJournal(c.base.JournalFile()); err != nil {
		return err
	}
	if err := c.startServers(ctx); err != nil {
		return err
	}
	for n := range coordinators {
		if err := c.addCoordinator(n); err != nil {
			return err
		}
	}
	for n := range workers {
		if err := c.addWorker(n); err != nil {
			return err
		}
	}
	return c.ready(ctx)
}

func (c *cluster) startServers(ctx context.Context) (err error) {
	ofPostgres, err := c.port()
	if err != nil {
		return err
	}
	ofNATS, err := c.port()
	if err != nil {
		return err
	}
	cfg := pgserver.Config{DataDir: filepath.Join(c.dir, "postgres"), Port: ofPostgres, Settings: map[string]string{"max_connections": "200"}}
	if _, err := os.Stat(clockLibrary); err == nil {
		c.clock = filepath.Join(c.dir, "clock")
		if err := c.setClock(0); err != nil {
			return err
		}
		cfg.Env = []string{"LD_PRELOAD=" + clockLibrary, "FAKETIME_TIMESTAMP_FILE=" + c.clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	}
	if c.postgres, err = pgserver.Start(ctx, cfg); err != nil {
		return err
	}
	c.direct = c.postgres.URL()
	if err := pg.Migrate(ctx, c.direct); err != nil {
		return err
	}
	if err := faults.WatchHolds(ctx, c.direct); err != nil {
		return err
	}
	store := filepath.Join(c.dir, "nats")
	if err := os.Mkdir(store, 0o755); err != nil {
		return err
	}
	c.mounted = unix.Mount("tmpfs", store, "tmpfs", 0, diskSize) == nil
	s := c.base
	s.Role, s.Name, s.Store, s.Port = faults.NATSRole, "nats", filepath.Join(store, "data"), ofNATS
	c.nats = &part{settings: s}
	c.parts["nats"] = []*part{c.nats}
	if err := c.nats.launch(); err != nil {
		return err
	}
	return until(ctx, startTime, "nats is ready", c.nats.running().Ready)
}

// setClock shows Postgres a clock that is ahead of the machine's.
func (c *cluster) setClock(ahead time.Duration) error {
	next := c.clock + ".next"
	if err := os.WriteFile(next, []byte(fmt.Sprintf("%+.3f\n", ahead.Seconds())), 0o644); err != nil {
		return err
	}
	return os.Rename(next, c.clock) // at once, for who reads it
}

func (c *cluster) natsAddress() string { return fmt.Sprintf("127.0.0.1:%d", c.nats.settings.Port) }

func (c *cluster) natsURL(user string) string {
	return fmt.Sprintf("nats://%s:%s@%s", user, faults.Password, c.natsAddress())
}

func (c *cluster) addCoordinator(n int) error {
	ofGRPC, err := c.port()
	if err != nil {
		return err
	}
	p := &part{settings: c.base, links: map[string]*faults.Proxy{}}
	c.parts["coordinator"] = append(c.parts["coordinator"], p)
	s := &p.settings
	s.Role, s.Name = faults.CoordinatorRole, fmt.Sprintf("coordinator-%d", n)
	s.GRPC = fmt.Sprintf("127.0.0.1:%d", ofGRPC)
	for name, to := range map[string]string{toNATS: c.natsAddress(), toPostgres: address(c.direct), toClients: s.GRPC} {
		proxy, err := faults.NewProxy(to, 0)
		if err != nil {
			return err
		}
		p.links[name] = proxy
	}
	s.NATS, s.Postgres = p.links[toNATS].URL(c.natsURL("coordinator")), p.links[toPostgres].URL(c.direct)
	cl, err := client.New(address(p.links[toClients].URL("grpc://clients")), client.WithCallTimeout(5*time.Second), client.WithRetryDelay(20*time.Millisecond, 500*time.Millisecond))
	if err != nil {
		return err
	}
	c.clients = append(c.clients, cl)
	return p.launch()
}

func (c *cluster) addWorker(n int) error {
	p := &part{settings: c.base, links: map[string]*faults.Proxy{}}
	c.parts["worker"] = append(c.parts["worker"], p)
	s := &p.settings
	s.Role, s.Name = faults.WorkerRole, fmt.Sprintf("worker-%d", n)
	proxy, err := faults.NewProxy(c.natsAddress(), 0)
	if err != nil {
		return err
	}
	p.links[toNATS] = proxy
	s.NATS = proxy.URL(c.natsURL(s.Name))
	return p.launch()
}

// launch starts the process, and does not wait until it is ready. One that runs is left alone: a part that is slow to stop
// may be killed meanwhile, and two faults heal it.
func (p *part) launch() (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil {
		select {
		case <-p.process.Ended():
		default:
			return nil
		}
		if p.fell(p.process) {
			p.crashes++
		}
	}
	p.process, err = faults.StartProcess(p.settings, "")
	return err
}

// fell reports whether it is the NATS server, and crashed: it is not ours to mend. Our processes must not.
func (p *part) fell(process *faults.Process) bool {
	return p.settings.Role == faults.NATSRole && process.Crashed()
}

// natsCrashes is how often the NATS server crashed.
func (c *cluster) natsCrashes() int {
	c.nats.mu.Lock()
	defer c.nats.mu.Unlock()
	return c.nats.crashes
}

// postgresCrashes is how often a process of Postgres crashed, after which Postgres ends all sessions and recovers. libfaketime
// probably brings that about: it reads its file, and for that calls malloc, also in signal handlers.
func (c *cluster) postgresCrashes() int {
	n := 0
	for _, name := range []string{"log.1", "log"} {
		text, _ := os.ReadFile(filepath.Join(c.dir, "postgres", name))
		n += crashesIn(text)
	}
	return n
}

// crashesIn counts them in what Postgres logged: SIGABRT and SIGSEGV. Nothing of ours sends these.
func crashesIn(log []byte) int {
	return bytes.Count(log, []byte(") was terminated by signal 6:")) + bytes.Count(log, []byte(") was terminated by signal 11:"))
}

// ready waits until every part takes work. One that ended before it was ready, as a server was away, is started again; one
// that ended by itself later is an error, but for NATS: the server may crash after its disk was full.
func (c *cluster) ready(ctx context.Context) error {
	for _, parts := range c.parts {
		for _, p := range parts {
			if err := until(ctx, startTime, p.settings.Name+" is ready", p.ready); err != nil {
				return err
			}
		}
	}
	return nil
}

// restart starts parts again that ended before they were ready, and NATS when it crashed, as whoever runs them would, until
// ctx ends.
func (c *cluster) restart(ctx context.Context) {
	for {
		for _, parts := range c.parts {
			for _, p := range parts {
				_ = p.ready() // what can't be started now can be the next time, or is reported in the end
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (p *part) ready() error {
	process := p.running()
	err := process.Ready()
	select {
	case <-process.Ended():
		if !process.WasReady() || p.fell(process) {
			return errors.Join(err, p.launch())
		}
	default:
	}
	return err
}

// jetstream is an operator's connection to NATS. The caller closes it.
func (c *cluster) jetstream() (jetstream.JetStream, *nats.Conn, error) {
	nc, err := nats.Connect(c.natsURL("coordinator"), nats.Timeout(time.Second), nats.NoReconnect())
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return js, nc, nil
}

// close ends everything and removes the directory.
func (c *cluster) close() {
	for _, cl := range c.clients {
		cl.Close()
	}
	for _, name := range []string{"worker", "coordinator", "nats"} {
		for _, p := range c.parts[name] {
			if process := p.running(); process != nil {
				process.Kill()
			}
			for _, link := range p.links {
				link.Close()
			}
		}
	}
	var faults []error
	if c.postgres != nil {
		faults = append(faults, c.postgres.Kill())
	}
	if c.journal != nil {
		c.journal.Close()
	}
	if c.mounted {
		faults = append(faults, unix.Unmount(filepath.Join(c.dir, "nats"), 0))
	}
	for _, release := range c.release {
		release()
	}
	if err := errors.Join(append(faults, os.RemoveAll(c.dir))...); err != nil {
		slog.Warn("close cluster", "error", err)
	}
}

// port holds a port until the cluster is closed, so that it is still free when a process that was killed comes back.
func (c *cluster) port() (int, error) {
	port, release, err := porttest.Hold()
	if err == nil {
		c.release = append(c.release, release)
	}
	return port, err
}

// until calls f until it is nil.
func until(ctx context.Context, most time.Duration, what string, f func() error) error {
	var err error
	for end := time.Now().Add(most); time.Now().Before(end); {
		if err = f(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("not within %s: %s: %w", most, what, err)
}
