package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// serve loads the settings of a process and runs what start starts until a signal ends it.
func serve[P config.Process](cmd *cobra.Command, kind node.Kind, cfg P, logs *config.Log, start func(context.Context, *node.Process) error) error {
	files, err := config.ReadEnvFiles()
	if err != nil {
		return err
	}
	warnings, faults := config.Foreign()
	if err := config.Load(cfg, flags(cmd, config.Variables(cfg))); err != nil {
		if more, ok := errors.AsType[config.Faults](err); ok {
			err = append(more, faults...)
		}
		return err
	}
	if len(faults) > 0 {
		return faults
	}
	return node.Serve(cmd.Context(), kind, *logs, func(ctx context.Context, p *node.Process) error {
		for _, path := range files {
			p.Log().Info("variables that the environment lacks are read from a file", "file", path)
		}
		for _, text := range warnings {
			p.Log().Warn("environment has a setting of aipartnerupflow that does nothing here", "setting", text)
		}
		for _, name := range config.Unknown() {
			p.Log().Warn("environment has a setting that no process reads", "variable", name)
		}
		return start(ctx, p)
	})
}
