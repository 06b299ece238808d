package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/rest"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/queue"
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
//	NATS ◀─▶ queue.Conn ◀─▶ worker ─▶ executors ─▶ guardian ─▶ commands
func startWorker(ctx context.Context, p *process, cfg *config.Worker) (string, error) {
	id := workerID(cfg)
	conn, err := connect(ctx, p.log, queue.Config{
		URL: cfg.NATSURL.WithUser(coordinatorUser, id).Reveal(), Name: id, Prefix: string(cfg.Prefix), Worker: id, Logger: p.log,
	})
	if err != nil {
		return "", fmt.Errorf("connect to NATS as worker %s: %w", id, err)
	}
	p.onStop("worker's connection to NATS", func() error { conn.Close(); return nil })

	registry := builtin.Registry(builtin.Config{
		Command: command.Config{
			Allow: bool(cfg.CommandAllow), Whitelist: cfg.CommandWhitelist, KeepEnv: cfg.CommandKeepEnv,
			MaxOutputBytes: int(cfg.OutputBytes), Grace: cfg.CommandGrace,
		},
		REST: rest.Config{
			Guard:        rest.Guard{Allow: cfg.RESTAllow, Deny: cfg.RESTDeny, DenyPrivate: bool(cfg.RESTDenyPrivate)},
			MaxBodyBytes: int(cfg.OutputBytes),
		},
	})
	p.onStop("executors", registry.Close)

	w, err := worker.New(worker.Config{
		ID: id, Pools: pools(&cfg.Slots), Build: version(), Log: p.log,
		Beat: cfg.Beat, KillGrace: cfg.KillGrace, DrainGrace: cfg.DrainGrace, FlushGrace: cfg.FlushGrace,
		MaxKept: cfg.MaxKept, MaxKeptBytes: int(cfg.MaxKeptBytes), MaxResultBytes: int(cfg.MaxResultBytes),
		MaxInputBytes: int(cfg.MaxInputBytes), InlineBytes: int(cfg.InlineResult), MaxLogBytes: int(cfg.MaxLogBytes),
		Resend: cfg.Resend, AskWithin: cfg.AskWithin, Validate: inputs.NewChecker(inputs.DefaultCapacity).Check,
	}, conn, registry)
	if err != nil {
		return "", fmt.Errorf("worker %s: %w", id, err)
	}
	p.run(ctx, "worker", w.Run)
	p.probe(func(context.Context) error { return w.Ready() })
	return id, nil
}

// coordinatorUser is what natsserver calls coordinators. A worker that is given that user takes its id instead.
const coordinatorUser = "coordinator"

// workerID is the configured id, else the NATS user, else one made of the host's name, its own on this host.
func workerID(cfg *config.Worker) string {
	user := cfg.NATSURL.User()
	if user == coordinatorUser || !queue.ValidName(user) {
		user = ""
	}
	return cmp.Or(string(cfg.ID), user, hostID())
}

func hostID() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if queue.ValidName(string(r)) {
			return r
		}
		return '-'
	}, cmp.Or(host, "worker"))
	return fmt.Sprintf("%.50s-%d", host, os.Getpid())
}

// pools are those to serve, with their numbers.
func pools(cfg *config.Slots) []worker.Pool {
	var ids []string
	for d := range builtin.Catalogue() {
		ids = append(ids, d.ID)
	}
	var out []worker.Pool
	for _, pool := range cfg.Resolve(ids) {
		out = append(out, worker.Pool{Name: pool.Name, Concurrency: pool.Concurrency})
	}
	return out
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
