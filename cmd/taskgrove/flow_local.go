package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// localServer is the key of the address, in a command's context, of the cluster that --local has started.
type localServer struct{}

// localSettings are the settings of a connection to that cluster; ok is false where there is none.
func localSettings(ctx context.Context) (cfg *config.Client, ok bool) {
	if ctx == nil { // of a command that nobody runs
		return nil, false
	}
	server, ok := ctx.Value(localServer{}).(string)
	if !ok {
		return nil, false
	}
	cfg = config.Defaults[*config.Client]()
	cfg.Server = server
	return cfg, true
}

// alsoLocal gives a command that has a connection the flag --local: it starts a cluster for itself, in this process, and throws it away at its end.
func alsoLocal(cmd *cobra.Command) {
	var local bool
	cmd.Flags().BoolVar(&local, "local", false, "start a Postgres, a NATS, a coordinator and a worker for this command alone, and throw all of it away at the end; the worker runs commands as this user, and reaches servers of this machine")
	do := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !local {
			return do(cmd, args)
		}
		for _, v := range config.Variables(&config.Client{}) {
			if v.Flag != "" && cmd.Flags().Changed(v.Flag) {
				return usage("--%s: says nothing to --local, which has a cluster of its own", v.Flag)
			}
		}
		cfg, err := localCluster()
		if err != nil {
			return codedError{err, exitUsage}
		}
		return runLocally(cmd, cfg, func() error { return do(cmd, args) })
	}
}

// localCluster is the configuration of a cluster of a command's own. Of the environment it has what executors read, and where Postgres is installed.
func localCluster() (*config.Dev, error) {
	if _, err := config.ReadEnvFiles(); err != nil {
		return nil, err
	}
	cfg := config.Defaults[*config.Dev]()
	if err := config.LoadPart(&cfg.Executors); err != nil {
		return nil, err
	}
	cfg.PGBin = os.Getenv(config.Prefix + "POSTGRES_BIN_DIR")
	cfg.CommandAllow, cfg.AddressLoopback, cfg.Ephemeral = true, true, true // what runs is this user's, and could do either by itself
	cfg.HTTPAddr, cfg.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Log.Level = config.Level(slog.LevelError) // what becomes of the run is told by the command, and advice to operators is for no one here
	return cfg, nil
}

// runLocally runs the rest of a command while a cluster is up. The cluster outlives it, and an interruption ends both.
func runLocally(cmd *cobra.Command, cfg *config.Dev, do func() error) error {
	outer := cmd.Context()
	defer cmd.SetContext(outer)
	ctx, stop := context.WithCancelCause(outer)
	defer stop(nil)
	var done chan error // nil: it never began
	err := node.Serve(ctx, node.DevKind, cfg.Log, func(ctx context.Context, p *node.Process) error {
		at, _, _, err := startDev(ctx, p, cfg, devPlan{alone: true})
		if err != nil {
			return err
		}
		cmd.SetContext(context.WithValue(ctx, localServer{}, at.GRPC))
		done = make(chan error, 1)
		go func() {
			done <- do()
			stop(errors.New("the command is done"))
		}()
		return nil
	})
	stop(err) // a part of the cluster has ended unasked
	var result error
	if done != nil {
		result = <-done
	}
	switch {
	case outer.Err() != nil:
		return codedError{errors.New("interrupted; what ran in this process has ended"), exitInterrupted}
	case err != nil:
		return err
	}
	return result
}
