package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
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
		return serve(cmd, node.WorkerKind, &cfg, &cfg.Log, func(ctx context.Context, p *node.Process) error {
			w, err := p.StartWorker(ctx, &cfg, node.Options{})
			if err != nil {
				return err
			}
			if err := p.UntilReady(ctx); err != nil {
				return err
			}
			p.Log().Info("worker is ready", "worker_id", w.ID(), "http", w.HTTP)
			return announce(p, cfg.ReadyFile, addresses{HTTP: w.HTTP})
		})
	}
	return cmd
}
