package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/taskgrove/taskgrove/internal/conceal"
	"github.com/taskgrove/taskgrove/internal/config"
)

// Kind says what an operating system's process is.
type Kind string

// The kinds.
const (
	CoordinatorKind Kind = "coordinator"
	WorkerKind      Kind = "worker"
	DevKind         Kind = "dev" // a coordinator and a worker
)

// Serve is the whole life of an operating system's process: it sets the garbage collector, the default logger and telemetry,
// closes the process to others of the same user (package conceal), starts what start starts, waits until ctx ends, and stops all in reverse. It returns nil when that went well, else what
// failed to start, ended unasked, or failed to stop. What start returns once ctx has ended is taken for its consequence.
func Serve(ctx context.Context, kind Kind, logs config.Log, start func(context.Context, *Process) error) error {
	config.TuneGC(kind.gc())
	p := NewProcess(newLogger(logs, os.Stderr, kind))
	slog.SetDefault(p.log)
	if err := conceal.Process(); err != nil {
		p.log.Warn("other processes of this user may be able to read the settings of this one", "error", err)
	}
	if err := p.startTelemetry(ctx, kind); err != nil {
		return err
	}
	err := start(ctx, p)
	if err == nil {
		err = p.Wait(ctx)
	}
	if ctx.Err() != nil {
		err = nil
		p.log.Info("process is stopping", "cause", context.Cause(ctx).Error())
	}
	return errors.Join(err, p.Stop())
}

func (k Kind) gc() config.GCPercent {
	if k == WorkerKind {
		return config.GCWorker
	}
	return config.GCCoordinator
}

// telemetryGrace bounds how long the end waits for a collector of traces.
const telemetryGrace = 5 * time.Second

// startTelemetry lets the process serve its metrics, and sends the rest of its traces when it stops.
func (p *Process) startTelemetry(ctx context.Context, kind Kind) error {
	t, err := newTelemetry(ctx, "taskgrove-"+string(kind), p.log)
	if err != nil {
		return err
	}
	p.metrics = t.metrics
	p.OnStop("telemetry", func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), telemetryGrace)
		defer cancel()
		if err := t.stop(ctx); err != nil {
			p.log.Warn("could not send the rest of the telemetry", "error", err) // no reason to end with an error
		}
		return nil
	})
	return p.observeItself(kind)
}
