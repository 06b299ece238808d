// Command checkpoint is a worker with a long task that goes on where it was, whatever becomes of its worker.
//
// Start a server (taskgrove dev), then
//
//	TASKGROVE_NATS_URL=nats://... go run ./examples/checkpoint
//
// and submit tree.yaml. Kill the worker and start it again: the task does not begin anew.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("worker ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	url, cfg, err := worker.FromEnv()
	if err != nil {
		return err
	}
	cfg.Executors = []executors.Executor{sum}
	w, err := worker.Dial(ctx, url, cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}
