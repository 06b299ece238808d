// Command custom-executor is a worker with an executor of its own, beside the built-in ones.
//
// A worker is a program like any other: it registers what it can run and calls Run. Start a server (taskgrove dev), then
//
//	TASKGROVE_NATS_URL=nats://... go run ./examples/custom-executor -id my-worker
//
// and submit a task whose schemas.method is word_count_executor. The URL needs the user and password of a worker; it is
// taken from the environment so that it does not show in the list of processes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/worker"
)

func main() {
	id := flag.String("id", "custom-1", "id of this worker: letters, digits, - and _")
	concurrency := flag.Int("concurrency", 4, "attempts at a time, for each pool")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *id, os.Getenv("TASKGROVE_NATS_URL"), *concurrency); err != nil {
		slog.Error("worker ended", "error", err)
		os.Exit(1)
	}
}

// run works until ctx ends, and drains then.
func run(ctx context.Context, id, url string, concurrency int) error {
	if url == "" {
		return errors.New("TASKGROVE_NATS_URL is not set")
	}
	registry := builtin.Registry(builtin.Config{})
	registry.Register(wordCount{})
	defer registry.Close()

	conn, err := queue.Connect(ctx, queue.Config{URL: url, Name: id, Worker: id})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()

	// A task's pool is its executor's id unless it names another one. This worker serves its own executor only.
	w, err := worker.New(worker.Config{
		ID:       id,
		Pools:    []worker.Pool{{Name: wordCountID, Concurrency: concurrency}},
		Validate: inputs.NewChecker(0).Check,
	}, conn, registry)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}
