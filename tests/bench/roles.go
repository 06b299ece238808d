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

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/executors/sleep"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// roleVariable makes this program one process of the cluster instead.
const roleVariable = "BENCH_ROLE"

// runRole runs until standard input ends.
func runRole(name string) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
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
		return node.Serve(ctx, node.CoordinatorKind, logs, startCoordinator)
	case "worker":
		return node.Serve(ctx, node.WorkerKind, logs, startWorker)
	}
	return fmt.Errorf("no such role")
}

// logs are of what goes wrong only.
var logs = config.Log{Level: config.Level(slog.LevelWarn), Format: "text"}

func say(facts map[string]string) error { return json.NewEncoder(os.Stdout).Encode(facts) }

// maxWorkers is how many worker processes there may be.
const maxWorkers = 16

// workerID is the id of a worker, counted from 0.
func workerID(i int) string { return fmt.Sprintf("bench-worker-%d", i) }

func runNATS(ctx context.Context) error {
	config.TuneGC(config.GCCoordinator)
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

// startCoordinator starts a coordinator as users have it.
func startCoordinator(ctx context.Context, p *node.Process) error {
	settings := config.Defaults[*config.Coordinator]()
	settings.Name = "bench"
	settings.PostgresURL.Secret, settings.NATSURL.Secret = config.Secret(os.Getenv("BENCH_POSTGRES")), config.Secret(os.Getenv("BENCH_NATS"))
	settings.SealKey = config.Secret(os.Getenv("BENCH_SEAL"))
	settings.SealValues = settings.SealKey != ""
	settings.Auth.Secret = config.Secret(os.Getenv("BENCH_JWT"))
	settings.GRPCAddr, settings.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0"
	c, err := p.StartCoordinator(ctx, settings, node.Options{})
	if err != nil {
		return err
	}
	if err := p.UntilReady(ctx); err != nil {
		return err
	}
	return say(map[string]string{"grpc": c.GRPC, "http": c.HTTP})
}

// startWorker starts a worker as users have it, of the pools that are measured.
func startWorker(ctx context.Context, p *node.Process) (err error) {
	settings := config.Defaults[*config.Worker]()
	settings.ID, settings.NATSURL.Secret = config.WorkerID(os.Getenv("BENCH_WORKER")), config.Secret(os.Getenv("BENCH_NATS"))
	settings.HTTPAddr = "127.0.0.1:0"
	settings.Pools.Named, settings.Pools.All = []config.Pool{{Name: noop.ID}, {Name: noop.RepeatableID}, {Name: sleep.ID}}, false
	if os.Getenv("BENCH_COMMANDS") == "true" {
		settings.CommandAllow = true
		settings.Pools.Named = append(settings.Pools.Named, config.Pool{Name: command.ID})
	}
	if settings.Concurrency, err = strconv.Atoi(os.Getenv("BENCH_CONCURRENCY")); err != nil {
		return err
	}
	w, err := p.StartWorker(ctx, settings, node.Options{Executors: []executors.Executor{executors.Func(listID, list)}})
	if err != nil {
		return err
	}
	if err := p.UntilReady(ctx); err != nil {
		return err
	}
	return say(map[string]string{"id": w.ID()})
}
