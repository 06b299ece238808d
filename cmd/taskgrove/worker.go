package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/worker"
)

func workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run a worker: runs the tasks of its pools",
		Long: "Runs a worker. It needs NATS only. SIGTERM lets running tasks finish, hands back those that can't, and ends.\n\n" +
			"All settings are environment variables, see docs/configuration.md; the ones below have flags, too.",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
	}
	var cfg config.Worker
	bind(cmd, config.Variables(&cfg))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config.TuneGC(config.GCWorker)
		return serve(cmd, &cfg, &cfg.Log, func(ctx context.Context, p *process) error {
			at, err := startWorkerProbes(ctx, p, cfg.HTTPAddr)
			if err != nil {
				return err
			}
			id, err := startWorker(ctx, p, &cfg)
			if err != nil {
				return err
			}
			if err := p.untilReady(ctx); err != nil {
				return err
			}
			p.log.Info("worker is ready", "worker", id, "http", at.HTTP)
			return p.announce(cfg.ReadyFile, at)
		})
	}
	return cmd
}

// startWorker starts a worker and answers its id:
//
//	NATS ◀─▶ worker ─▶ executors ─▶ guardian ─▶ commands
func startWorker(ctx context.Context, p *process, cfg *config.Worker) (string, error) {
	url, settings := worker.FromSettings(cfg)
	settings.Executors = builtin.New(builtin.FromSettings(&cfg.Executors))
	settings.Build, settings.Log = version(), p.log
	w, err := worker.Dial(ctx, url, settings)
	if err != nil {
		return "", err
	}
	p.onStop("worker", w.Close)
	p.run(ctx, "worker", w.Run)
	p.probe(func(context.Context) error { return w.Ready() })
	return w.ID(), nil
}

// startWorkerProbes serves health, readiness and metrics of a worker, unless that is off.
func startWorkerProbes(ctx context.Context, p *process, addr config.OptionalAddress) (addresses, error) {
	if addr == "" {
		return addresses{}, nil
	}
	server, err := httpserver.Listen(httpserver.Config{
		Addr: string(addr), API: http.NotFoundHandler(), Metrics: p.telemetry.metrics, Ready: p.ready, Log: p.log,
	})
	if err != nil {
		return addresses{}, fmt.Errorf("%sWORKER_HTTP_ADDR: %w", config.Prefix, err)
	}
	p.run(ctx, "HTTP", server.Run)
	return addresses{HTTP: "http://" + server.Addr().String()}, nil
}
