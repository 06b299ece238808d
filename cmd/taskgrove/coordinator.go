package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
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
		return serve(cmd, node.CoordinatorKind, &cfg, &cfg.Log, func(ctx context.Context, p *node.Process) error {
			c, err := p.StartCoordinator(ctx, &cfg, node.Options{})
			if err != nil {
				return err
			}
			if err := p.UntilReady(ctx); err != nil {
				return err
			}
			p.Log().Info("coordinator is ready", "http", c.HTTP, "grpc", c.GRPC)
			return announce(p, cfg.ReadyFile, addresses{HTTP: c.HTTP, GRPC: c.GRPC})
		})
	}
	return cmd
}
