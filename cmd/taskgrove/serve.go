package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// serve loads the settings of a process and runs what start starts until a signal ends it.
func serve[P config.Process](cmd *cobra.Command, kind node.Kind, cfg P, logs *config.Log, start func(context.Context, *node.Process) error) error {
	if err := config.Load(cfg, flags(cmd, config.Variables(cfg))); err != nil {
		return err
	}
	return node.Serve(cmd.Context(), kind, *logs, func(ctx context.Context, p *node.Process) error {
		for _, name := range config.Unknown() {
			p.Log().Warn("environment has a setting that no process reads", "variable", name)
		}
		return start(ctx, p)
	})
}
