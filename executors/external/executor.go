package external

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// defaultIdle is how long a process without attempts is kept if its configuration does not say.
const defaultIdle = 5 * time.Minute

// Config is what external executors have in common. Zero fields get their defaults.
type Config struct {
	Programs       []workerfile.Executor
	Commands       []string      // more programs, of which only the command is given; its words are separated by spaces
	MaxResultBytes int           // of what a program writes in a message; default 16 MiB
	Grace          time.Duration // for programs that have none of their own; default [protocol.DefaultGrace]
	Log            *slog.Logger  // default: nowhere
	// Containers makes what runs container images, for one executor; nil: they are not supported.
	Containers func() Containers
}

// Containers runs containers. Its Run is used by several goroutines.
type Containers interface {
	// Run runs a container until it is gone, and ends it when ctx does. The text says how it ended.
	Run(ctx context.Context, c Container, pipes protocol.Pipes) (exit string, err error)
	Close() error
}

// Container is one process of an executor that is an image.
type Container struct {
	Image string
	Env   map[string]string
	Dir   string // within the container; empty: the image's
	Key   string // its own
}

// aroundResult is what a message may have around its result.
const aroundResult = 1 << 20

// Open starts each program and has it describe itself, all at the same time. One that can't be started, or describes itself badly, becomes
// an executor that is off ([executors.Disabler]) and says why. The caller must close those that it gets.
func Open(ctx context.Context, cfg Config) []executors.Executor {
	programs := slices.Clone(cfg.Programs)
	for _, command := range cfg.Commands {
		programs = append(programs, workerfile.Executor{Command: strings.Fields(command)})
	}
	opened := make([]executors.Executor, len(programs))
	var all sync.WaitGroup
	for i, program := range programs {
		all.Go(func() { opened[i] = open(ctx, cfg, program) })
	}
	all.Wait()
	return opened
}

// Executor is an executor that is a program of its own.
type Executor struct {
	program     workerfile.Executor
	description executors.Description
	demo        *demo
	off         string // why it runs nothing; empty: it does
	crew        *crew
	rules       protocol.Rules
	containers  Containers // nil: it is a command
}

type demo struct {
	result json.RawMessage
	takes  time.Duration
}

// open starts a program and asks what it is.
func open(ctx context.Context, cfg Config, program workerfile.Executor) *Executor {
	e := &Executor{program: program}
	launch, err := e.launcher(cfg)
	if err == nil {
		settings := protocol.Config{
			Launch: launch, StartWithin: program.StartWithin, Grace: program.Grace,
			Log: slog.New(slog.DiscardHandler),
		}
		if cfg.MaxResultBytes > 0 {
			settings.MaxLineBytes = cfg.MaxResultBytes + aroundResult
		}
		if settings.Grace == 0 {
			settings.Grace = cfg.Grace
		}
		if cfg.Log != nil {
			settings.Log = cfg.Log.With("executor", e.name())
		}
		err = e.learn(ctx, settings)
	}
	if err != nil {
		e.off = e.name() + ": " + err.Error()
		e.description = executors.Description{ID: e.fallbackID(), Name: e.name(), Type: "external", Description: "An external executor that is off"}
	}
	return e
}

// learn asks the program what it is, and keeps its process.
func (e *Executor) learn(ctx context.Context, settings protocol.Config) error {
	p, err := protocol.Start(ctx, settings)
	if err != nil {
		return err
	}
	said, err := p.Describe(ctx)
	if err == nil && e.program.ID != "" && said.ID != e.program.ID {
		err = errors.New("it calls itself " + said.ID + ", and the worker's file calls it " + e.program.ID)
	}
	if err != nil {
		p.Stop()
		return err
	}
	e.description = said.Executor()
	if e.program.Slots > 0 {
		e.description.Concurrency = e.program.Slots
	}
	if said.Demo != nil {
		e.demo = &demo{said.Demo.Result, time.Duration(said.Demo.Seconds * float64(time.Second))}
	}
	e.rules = protocol.Rules{Heartbeat: said.Heartbeat(), Cancelable: said.Cancelable}
	if e.program.Heartbeat > 0 {
		e.rules.Heartbeat = e.program.Heartbeat
	}
	each := max(1, said.Concurrency)
	if e.program.Concurrency > 0 {
		each = min(each, e.program.Concurrency)
	}
	idle := e.program.Idle
	if idle == 0 {
		idle = defaultIdle
	}
	keep := e.program.KeepAlive == nil || *e.program.KeepAlive
	if !keep {
		each = 1
	}
	e.crew = newCrew(settings, each, keep, idle)
	e.crew.adopt(p)
	return nil
}

// name is what people call the program.
func (e *Executor) name() string {
	if e.program.Image != "" {
		return e.program.Image
	}
	return strings.Join(e.program.Command, " ")
}

// fallbackID is the id of an executor that could not say its own.
func (e *Executor) fallbackID() string {
	const most = 128
	if e.program.ID != "" {
		return e.program.ID
	}
	id := executors.Text([]byte(e.name()))
	return strings.ToValidUTF8(id[:min(len(id), most)], "")
}

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description { return e.description }

// Disabled implements [executors.Disabler].
func (e *Executor) Disabled() string { return e.off }

// Owner is who has the executor's id, for an error about two that have the same.
func (e *Executor) Owner() string { return "the external executor " + e.name() }

// Demo implements [executors.Demonstrator].
func (e *Executor) Demo(*executors.Call) (result any, takes time.Duration) {
	if e.demo == nil {
		return executors.DemoResult()
	}
	return e.demo.result, e.demo.takes
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if e.off != "" {
		return nil, executors.Invalid(e.description.ID, "is off on this worker: "+e.off)
	}
	for range tries {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		member, err := e.crew.take(ctx)
		if err != nil {
			return nil, err
		}
		out, err := member.process.Run(ctx, call, call.Inputs, e.rules)
		e.crew.give(member, err)
		if !errors.Is(err, protocol.ErrNotStarted) {
			return out, err
		}
	}
	return nil, errors.New("the executor's processes end before they read an attempt")
}

// tries is how many processes an attempt is offered. A process that ended before it read anything has not begun it.
const tries = 3

// Close implements [io.Closer]: no process is left.
func (e *Executor) Close() error {
	if e.crew != nil {
		e.crew.close()
	}
	if e.containers != nil {
		return e.containers.Close()
	}
	return nil
}
