package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/worker"
)

// roleVariable makes this program one process of the cluster instead.
const roleVariable = "BENCH_ROLE"

// runRole runs until standard input ends.
func runRole(name string) error {
	config.TuneGC(config.GCCoordinator)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if path := os.Getenv("BENCH_PROFILE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	switch name {
	case "nats":
		return runNATS(ctx)
	case "coordinator":
		return runCoordinator(ctx)
	case "worker":
		config.TuneGC(config.GCWorker)
		return runWorker(ctx)
	}
	return fmt.Errorf("no such role")
}

func say(facts map[string]string) error { return json.NewEncoder(os.Stdout).Encode(facts) }

// maxWorkers is how many worker processes there may be.
const maxWorkers = 16

// workerID is the id of a worker, counted from 0.
func workerID(i int) string { return fmt.Sprintf("bench-worker-%d", i) }

func runNATS(ctx context.Context) error {
	s, err := natsserver.Start(natsserver.Config{StoreDir: os.Getenv("BENCH_DIR")})
	if err != nil {
		return err
	}
	defer s.Shutdown()
	urls := map[string]string{"coordinator": s.CoordinatorURL()}
	for i := range maxWorkers {
		urls[workerID(i)] = s.WorkerURL(workerID(i))
	}
	if err := say(urls); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func runCoordinator(ctx context.Context) error {
	store, err := pg.Open(ctx, pg.Config{URL: os.Getenv("BENCH_POSTGRES")})
	if err != nil {
		return err
	}
	defer store.Close()
	conn, err := queue.Connect(ctx, queue.Config{URL: os.Getenv("BENCH_NATS"), Name: "bench"})
	if err != nil {
		return err
	}
	defer conn.Close()
	var known dag.Known
	for d := range builtin.Catalogue() {
		known.Add(d.ID, d.Type)
	}
	c := coordinator.New(coordinator.Config{Known: known, Repeatable: builtin.Repeatable()}, store, conn)
	server, err := grpcserver.Listen(coordinator.NewAccess(c, coordinator.AllowAll), grpcserver.Config{Addr: "127.0.0.1:0", Known: known})
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error { return c.Run(ctx) })
	g.Go(func() error { return server.Run(ctx) })
	if err := say(map[string]string{"grpc": server.Addr().String()}); err != nil {
		return err
	}
	return g.Wait()
}

func runWorker(ctx context.Context) error {
	id := os.Getenv("BENCH_WORKER")
	conn, err := queue.Connect(ctx, queue.Config{URL: os.Getenv("BENCH_NATS"), Name: id, Worker: id})
	if err != nil {
		return err
	}
	defer conn.Close()
	concurrency, err := strconv.Atoi(os.Getenv("BENCH_CONCURRENCY"))
	if err != nil {
		return err
	}
	w, err := worker.New(worker.Config{ID: id, Executors: builtin.New(builtin.Config{}), Pools: []worker.Pool{
		{Name: "noop_executor", Concurrency: concurrency}, {Name: "noop_repeatable_executor", Concurrency: concurrency},
	}}, conn)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for w.Ready() != nil && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if err := say(map[string]string{"id": id}); err != nil {
		return err
	}
	return <-done
}
