package faults

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/worker"
)

// Role says what a part is.
type Role string

// The roles.
const (
	CoordinatorRole Role = "coordinator"
	WorkerRole      Role = "worker"
	SubmitRole      Role = "submit" // a coordinator without loops that submits one tree and ends
	NATSRole        Role = "nats"   // a server with [Password] for everybody
)

// Password is what all users of a NATSRole have.
const Password = "fault"

// Settings are all that a part needs to know. A process of its own gets them as JSON in its environment.
type Settings struct {
	Role           Role
	Name           string
	Postgres, NATS string
	Dir            string // of the journal, the gates and the files of readiness
	Lease          time.Duration
	Republish      time.Duration
	Concurrency    int
	AckWait        time.Duration // of the queue; 0: its default
	Window         int           // of a coordinator; 0: its default
	GRPC           string        // host:port where a coordinator serves clients; empty: nowhere
	Store          string        // directory of NATSRole's streams
	Port           int           // of NATSRole; 0: a free one
	Seed           uint64        // of the tree that SubmitRole submits
}

// JournalFile is where all parts of a cluster note what they run.
func (s Settings) JournalFile() string { return filepath.Join(s.Dir, "journal") }

func (s Settings) log() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("TASKGROVE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("process", s.Name)
}

// Part is a coordinator or worker of this process.
type Part struct {
	Coordinator *coordinator.Coordinator // nil for a worker
	Worker      *worker.Worker           // nil for a coordinator
	Queue       *queue.Conn
	Store       *pg.Store // a coordinator's
	journal     *Journal
	api         *grpcserver.Server // a coordinator's, nil when it serves no one
}

// known are the executors that coordinators know of before any worker comes.
func known() (k dag.Known) {
	for d := range builtin.Catalogue() {
		k.Add(d.ID, d.Type)
	}
	k.Add(ScriptedID, "test")
	return k
}

// Open makes the part and its connections; nothing runs yet.
func (s Settings) Open(ctx context.Context) (*Part, error) {
	p := &Part{}
	cfg := queue.Config{URL: s.NATS, Name: s.Name, AckWait: s.AckWait, Logger: s.log()}
	if s.Role == WorkerRole {
		cfg.Worker = s.Name
	}
	var err error
	if p.Queue, err = queue.Connect(ctx, cfg); err != nil {
		return nil, err
	}
	if s.Role == WorkerRole {
		err = s.openWorker(p)
	} else {
		err = s.openCoordinator(ctx, p)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("open %s: %w", s.Name, err)
	}
	return p, nil
}

func (s Settings) openCoordinator(ctx context.Context, p *Part) (err error) {
	if p.Store, err = pg.Open(ctx, pg.Config{URL: s.Postgres, MaxConns: 8}); err != nil {
		return err
	}
	cfg := coordinator.Config{Name: s.Name, Lease: s.Lease, Republish: s.Republish, Window: s.Window, Known: known(), Repeatable: builtin.Repeatable(), Log: s.log()}
	p.Coordinator = coordinator.New(cfg, p.Store, p.Queue)
	if s.GRPC != "" {
		p.api, err = grpcserver.Listen(coordinator.NewAccess(p.Coordinator, coordinator.AllowAll), grpcserver.Config{Addr: s.GRPC, Known: cfg.Known, Log: s.log()})
	}
	return err
}

func (s Settings) openWorker(p *Part) (err error) {
	if p.journal, err = OpenJournal(s.JournalFile()); err != nil {
		return err
	}
	all := builtin.New(builtin.Config{Command: command.Config{Allow: true, KeepEnv: []string{"FAULT_MARK"}, Grace: 200 * time.Millisecond}})
	cfg := worker.Config{ID: s.Name, Log: s.log(), Executors: append(all, &Scripted{Journal: p.journal, Dir: s.Dir}),
		Beat: s.Lease / 6, KillGrace: s.Lease / 4, DrainGrace: time.Second, FlushGrace: 2 * time.Second,
		Resend: time.Second, AskWithin: 2 * time.Second}
	for _, pool := range append([]string{command.ID}, Pools...) {
		cfg.Pools = append(cfg.Pools, worker.Pool{Name: pool, Concurrency: s.Concurrency})
	}
	p.Worker, err = worker.New(cfg, p.Queue)
	return err
}

// Run works until ctx ends.
func (p *Part) Run(ctx context.Context) error {
	if p.Worker != nil {
		return p.Worker.Run(ctx)
	}
	if p.api == nil {
		return p.Coordinator.Run(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.Coordinator.Run(ctx) })
	group.Go(func() error { return p.api.Run(ctx) })
	return group.Wait()
}

// Ready is nil when the part takes work.
func (p *Part) Ready(ctx context.Context) error {
	if p.Worker != nil {
		return p.Worker.Ready()
	}
	return p.Coordinator.Ready(ctx)
}

// Close closes the part's connections. Run has returned.
func (p *Part) Close() {
	p.Queue.Close()
	if p.Store != nil {
		p.Store.Close()
	}
	if p.journal != nil {
		p.journal.Close()
	}
}
