package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
)

// process is what the parts of a serving process share.
type process struct {
	*supervisor
	log       *slog.Logger
	telemetry *telemetry

	mu     sync.Mutex
	probes []func(context.Context) error // guarded by mu
}

// serve loads the configuration, starts what start starts, waits for a signal, and stops it all in reverse.
func serve[P config.Process](cmd *cobra.Command, cfg P, logs *config.Log, start func(context.Context, *process) error) error {
	ctx := cmd.Context()
	if err := config.Load(cfg, flags(cmd, config.Variables(cfg))); err != nil {
		return err
	}
	log := newLogger(*logs, os.Stderr)
	slog.SetDefault(log)
	for _, name := range config.Unknown() {
		log.Warn("no such setting", "variable", name)
	}
	t, err := startTelemetry(ctx, "taskgrove-"+cmd.Name(), log)
	if err != nil {
		return err
	}
	p := &process{supervisor: newSupervisor(log), log: log, telemetry: t}
	p.onStop("telemetry", func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), telemetryGrace)
		defer cancel()
		if err := t.stop(ctx); err != nil {
			log.Warn("telemetry: the rest is lost", "error", err) // no reason to end with an error
		}
		return nil
	})
	if err = start(ctx, p); err == nil {
		err = p.wait(ctx)
	}
	if asked(ctx) {
		err = nil // what broke off did so because of the signal
		log.Info("stopping", "signal", context.Cause(ctx).Error())
	}
	return errors.Join(err, p.stop())
}

// telemetryGrace bounds how long the end waits for a collector of traces.
const telemetryGrace = 5 * time.Second

// probe adds a condition to readiness.
func (p *process) probe(ready func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes = append(p.probes, ready)
}

// ready is nil when all parts that were started can do their work.
func (p *process) ready(ctx context.Context) error {
	p.mu.Lock()
	probes := p.probes
	p.mu.Unlock()
	for _, ready := range probes {
		if err := ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// untilReady returns when the process is ready, when a part ends or when ctx ends.
func (p *process) untilReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for p.ready(ctx) != nil {
		select {
		case <-tick.C:
		case err := <-p.ended:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// patiently calls f until it succeeds, for as long as its error is one that time may heal.
func patiently(ctx context.Context, log *slog.Logger, what string, heals func(error) bool, f func() error) error {
	for {
		err := f()
		if err == nil || !heals(err) || ctx.Err() != nil {
			return err
		}
		log.Warn("waiting for "+what, "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
}
