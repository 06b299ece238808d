// Command custom-executor is a worker with an executor of its own.
//
// A worker is a program like any other: it names its executors, dials and calls Run. Start a server (taskgrove dev), then
//
//	TASKGROVE_NATS_URL=nats://... go run ./examples/custom-executor
//
// and submit a task whose executor is word_count_executor. All settings of the stock worker are read from the environment,
// see docs/configuration.md.
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

// run works until ctx ends, and drains then. A task's pool is its executor's id unless it names another one, so that this
// worker serves the pool word_count_executor.
func run(ctx context.Context) error {
	url, cfg, err := worker.FromEnv()
	if err != nil {
		return err
	}
	cfg.Executors = []executors.Executor{wordCount{}}
	w, err := worker.Dial(ctx, url, cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}
