package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
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
	PoolIdle       time.Duration // 0: the default
	Concurrency    int
	LineWait       time.Duration // of a worker: how long an attempt that is claimed ahead waits for a slot; 0: the default
	Window         int           // of a coordinator; 0: its default
	GRPC           string        // host:port where a coordinator serves clients; empty: nowhere
	HTTP           string        // the same over HTTP
	Replicas       int           // of streams; 0: the default
	Store          string        // directory of NATSRole's streams
	Port           int           // of NATSRole; 0: a free one
	Seed           uint64        // of the tree that SubmitRole submits
	Unique         *dag.Unique   // of that tree
	Together       bool          // it submits a second tree with it
	Edit           string        // the task that SubmitRole changes, and then deletes what is below it, instead
	Copy           string        // a task that SubmitRole copies instead
	Hook           string        // where SubmitRole sends the events of a tree of this name that it submits instead
	Hold           bool          // it starts that tree with a call of its own
	Operation      *Operation    // what SubmitRole does as an operator instead
	SealKey        string        // a coordinator seals values under it; empty: it does not
	Record         bool          // a coordinator keeps an audit record
	Archive        string        // folder into which a coordinator archives trees that ended over a minute ago; empty: it deletes none
	NextLevel      bool          // a coordinator has one feature level more, which every task needs
}

// Operation is a call of an operator: one of these.
type Operation struct {
	Pause, Resume *coordinator.PauseTarget
	Limit         *coordinator.LimitSpec
	Unlimit       *coordinator.LimitTarget
	Erase         *coordinator.EraseSpec
	Hold          *coordinator.HoldSpec
	Release       string // the tree
	Profiles      *coordinator.ProfilesSpec
}

// nextLevels are this version's feature levels and one more, which every task needs.
var nextLevels = append(slices.Clone(dag.AllLevels), dag.FeatureLevel{Level: dag.AllLevels.Highest() + 1, Name: "next", Since: "9.0.0",
	Needs: func(*dag.Task) bool { return true }})

// JournalFile is where all parts of a cluster note what they run.
func (s Settings) JournalFile() string { return filepath.Join(s.Dir, "journal") }

func (s Settings) log() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("TASKGROVE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("process", s.Name)
}

// Part is a coordinator or worker of this process. It works from [Settings.Open] on.
type Part struct {
	Coordinator *node.Coordinator // nil for a worker
	Worker      *node.Worker      // nil for a coordinator
	process     *node.Process
	journal     *Journal // a worker's
}

// Open starts the part. A part of [SubmitRole] rests: it does nothing by itself.
func (s Settings) Open(ctx context.Context) (*Part, error) {
	p := &Part{process: node.NewProcess(s.log())}
	var err error
	if s.Role == WorkerRole {
		err = s.startWorker(ctx, p)
	} else {
		// What the executor says of itself is known from the start; nothing is run here.
		opts := node.Options{Executors: []executors.Executor{&Scripted{}, &Noting{}, &Stepping{}, Keeping{}}, Resting: s.Role == SubmitRole}
		if s.NextLevel {
			opts.Levels = nextLevels
		}
		p.Coordinator, err = p.process.StartCoordinator(ctx, s.coordinator(), opts)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.Name, err), p.Close())
	}
	return p, nil
}

// coordinator are the settings of a coordinator. Databases are migrated by who makes them, and clocks are moved, so that
// nothing may go by its age.
func (s Settings) coordinator() *config.Coordinator {
	c := config.Defaults[*config.Coordinator]()
	c.Name, c.PostgresURL.Secret, c.NATSURL.Secret = s.Name, config.Secret(s.Postgres), config.Secret(s.NATS)
	c.SealKey, c.SealValues = config.Secret(s.SealKey), s.SealKey != ""
	if s.Record {
		c.AuditRecord = "yes"
	}
	c.HTTPAddr, c.GRPCAddr = config.Address(s.HTTP), config.Address(s.GRPC)
	c.Migrate, c.Retention = false, 0
	if s.Archive != "" {
		c.ArchiveDir, c.Retention = s.Archive, time.Minute
	}
	c.MaxConns = 8
	c.Replicas = cmp.Or(s.Replicas, c.Replicas)
	c.Lease, c.Republish, c.Window = s.Lease, s.Republish, cmp.Or(s.Window, c.Window)
	c.PoolIdle = cmp.Or(s.PoolIdle, c.PoolIdle)
	c.WebhookAllow, c.WebhookPause = config.List{"127.0.0.1"}, 10*time.Millisecond
	return c
}

func (s Settings) startWorker(ctx context.Context, p *Part) (err error) {
	if p.journal, err = OpenJournal(s.JournalFile()); err != nil {
		return err
	}
	w := config.Defaults[*config.Worker]()
	w.ID, w.NATSURL.Secret, w.HTTPAddr = config.WorkerID(s.Name), config.Secret(s.NATS), ""
	w.CommandAllow, w.CommandKeepEnv, w.CommandGrace = true, config.List{"FAULT_MARK"}, 200*time.Millisecond
	w.Beat, w.KillGrace, w.DrainGrace, w.FlushGrace = s.Lease/6, s.Lease/4, time.Second, 2*time.Second
	w.Resend, w.AskWithin = time.Second, 2*time.Second
	w.Concurrency = s.Concurrency
	w.WorkDir = filepath.Join(s.Dir, "work")
	w.InlineResult = 4 << 10 // some results of scripted tasks are larger
	if err := w.Pools.Decode(strings.Join(append([]string{command.ID}, Pools...), ",")); err != nil {
		return err
	}
	p.Worker, err = p.process.StartWorker(ctx, w, node.Options{
		Executors: []executors.Executor{&Scripted{Journal: p.journal, Dir: s.Dir}, &Noting{Dir: s.Dir}, &Stepping{Journal: p.journal, Dir: s.Dir}, Keeping{}}, LineWait: s.LineWait})
	return err
}

// Run waits until ctx ends or the part fails, and stops the part.
func (p *Part) Run(ctx context.Context) error {
	return errors.Join(p.process.Wait(ctx), p.process.Stop())
}

// Ready is nil when the part takes work.
func (p *Part) Ready(ctx context.Context) error { return p.process.Ready(ctx) }

// Close stops the part, if [Part.Run] has not, and closes its journal.
func (p *Part) Close() error {
	err := p.process.Stop()
	if p.journal != nil {
		p.journal.Close()
	}
	return err
}
