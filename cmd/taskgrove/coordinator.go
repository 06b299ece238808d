package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
)

func coordinatorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "coordinator",
		Short: "Run a coordinator: takes trees over its APIs and hands their tasks to workers",
		Long: "Runs a coordinator. Any number of them share one Postgres and one NATS.\n\n" +
			"All settings are environment variables, see docs/configuration.md; the ones below have flags, too.",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
	}
	var cfg config.Coordinator
	bind(cmd, config.Variables(&cfg))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return serve(cmd, &cfg, &cfg.Log, func(ctx context.Context, p *process) error {
			at, err := startCoordinator(ctx, p, &cfg)
			if err != nil {
				return err
			}
			if err := p.untilReady(ctx); err != nil {
				return err
			}
			p.log.Info("coordinator is ready", "http", at.HTTP, "grpc", at.GRPC)
			return p.announce(cfg.ReadyFile, at)
		})
	}
	return cmd
}

// startCoordinator starts a coordinator and its APIs, and says where they are:
//
//	JSON-RPC, SSE ─▶ httpserver ─▶ jsonrpc ─┐                ┌─▶ pg.Store ───▶ Postgres
//	gRPC ──────────▶ grpcserver ────────────┴─▶ coordinator ─┴─▶ queue.Conn ─▶ NATS
//
// They stop from left to right.
func startCoordinator(ctx context.Context, p *process, cfg *config.Coordinator) (addresses, error) {
	store, err := openStore(ctx, p, cfg)
	if err != nil {
		return addresses{}, err
	}
	p.onStop("connections to Postgres", func() error { store.Close(); return nil })

	name := cfg.Name
	if name == "" {
		name, _ = os.Hostname() // no name is one, too
	}
	conn, err := queue.Connect(ctx, queue.Config{
		URL: cfg.NATSURL.Reveal(), Name: name, Prefix: string(cfg.Prefix), Logger: p.log,
		Replicas: cfg.Replicas, LogsAge: cfg.LogsAge, LogsBytes: int64(cfg.LogsBytes),
	})
	if err != nil {
		return addresses{}, fmt.Errorf("connect to NATS: %w", err)
	}
	p.onStop("connection to NATS", func() error { conn.Close(); return nil })

	limits := dag.Limits{Tasks: cfg.TreeTasks, Edges: cfg.TreeEdges, Dependencies: cfg.TaskDependencies, PayloadBytes: int(cfg.PayloadBytes)}
	known := knownExecutors()
	audit := cfg.Audit
	if audit == 0 {
		audit = -1
	}
	c := coordinator.New(coordinator.Config{
		Name: name, Lease: cfg.Lease, Retention: cfg.Retention, Limits: limits, Known: known,
		Window: cfg.Window, Batch: cfg.Batch, Submissions: cfg.Submissions, Linger: cfg.Linger, Republish: cfg.Republish, Audit: audit,
		InlineBytes: int(cfg.InlineBytes), MaxInputs: int(cfg.MaxInputBytes), MaxResult: int(cfg.MaxResultBytes), Log: p.log,
	}, store, conn)
	p.run(ctx, "coordinator", c.Run)
	p.probe(c.Ready)

	access := coordinator.NewAccess(c, coordinator.AllowAll)
	gs, err := grpcserver.Listen(access, grpcserver.Config{Addr: string(cfg.GRPCAddr), Known: known, Log: p.log})
	if err != nil {
		return addresses{}, fmt.Errorf("%sGRPC_ADDR: %w", config.Prefix, err)
	}
	p.run(ctx, "gRPC", gs.Run)
	hs, err := httpserver.Listen(httpserver.Config{
		Addr: string(cfg.HTTPAddr), Metrics: p.telemetry.metrics, Ready: p.ready, Log: p.log,
		API: jsonrpc.New(access, jsonrpc.Config{
			Version: version(), Known: known, Limits: limits, MaxBodyBytes: int64(cfg.RequestBytes), Log: p.log,
		}),
	})
	if err != nil {
		return addresses{}, fmt.Errorf("%sHTTP_ADDR: %w", config.Prefix, err)
	}
	p.run(ctx, "HTTP", hs.Run)
	return addresses{HTTP: "http://" + hs.Addr().String(), GRPC: gs.Addr().String()}, nil
}

// openStore opens the database, brought up to date, and waits for a server that is not there yet.
func openStore(ctx context.Context, p *process, cfg *config.Coordinator) (store *pg.Store, err error) {
	err = patiently(ctx, p.log, "Postgres", pg.Unreachable, func() error {
		if cfg.Migrate {
			if err := pg.Migrate(ctx, cfg.PostgresURL.Reveal()); err != nil {
				return fmt.Errorf("migrate the database: %w", err)
			}
		}
		store, err = pg.Open(ctx, pg.Config{
			URL: cfg.PostgresURL.Reveal(), MaxConns: cfg.MaxConns, StatementTimeout: cfg.StatementTimeout,
		})
		return err
	})
	return store, err
}

// knownExecutors are those that every worker of this program has.
func knownExecutors() dag.Known {
	var known dag.Known
	for d := range builtin.Catalogue() {
		known.Add(d.ID, d.Type)
	}
	return known
}
