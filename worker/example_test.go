package worker_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/worker"
)

var hello = executors.Func("hello", func(_ context.Context, in struct{ Name string }) (string, error) {
	return "Hello, " + in.Name, nil
})

// serveNATS stands in for a cluster's NATS server.
func serveNATS() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	server, err := natsserver.Start(natsserver.Config{StoreDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	return server.WorkerURL("greeter"), func() {
		server.Shutdown()
		_ = os.RemoveAll(dir)
	}
}

// A worker with one executor of its own, configured by the environment.
func Example() {
	address, stop := serveNATS()
	defer stop()
	os.Setenv("TASKGROVE_NATS_URL", address)
	defer os.Unsetenv("TASKGROVE_NATS_URL")

	url, cfg, err := worker.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	cfg.Executors = []executors.Executor{hello}
	cfg.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background()) // signal.NotifyContext, in a program
	w, err := worker.Dial(ctx, url, cfg)
	if err != nil {
		log.Fatal(err)
	}
	cancel() // SIGTERM
	err = w.Run(ctx)
	fmt.Println(w.ID(), "drained:", err)
	// Output: greeter drained: <nil>
}

// One pool for each executor, and one more for tasks that name it.
func ExampleDial() {
	address, stop := serveNATS()
	defer stop()

	w, err := worker.Dial(context.Background(), address, worker.Config{
		ID:          "greeter",
		Executors:   append(builtin.New(builtin.Config{}), hello),
		OwnPools:    true,
		Pools:       []worker.Pool{{Name: "gpu", Concurrency: 2}},
		Concurrency: 4,
		Log:         slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	fmt.Println(w.Ready())
	// Output: not running
}

// All faults of a configuration come at once.
func ExampleDial_faults() {
	_, err := worker.Dial(context.Background(), "nats://worker:secret@127.0.0.1:4222", worker.Config{
		Executors: []executors.Executor{hello, hello},
		Pools:     []worker.Pool{{Name: "gpu", Concurrency: -1}},
	})
	fmt.Println(err)
	// Output:
	// worker configuration: executor id "hello" is registered by function github.com/taskgrove/taskgrove/worker_test.init.func1 and by function github.com/taskgrove/taskgrove/worker_test.init.func1; TASKGROVE_EXECUTOR_OVERRIDE=hello, or worker.Config.Override, lets the last one take its place
	// pool "gpu": concurrency is -1, at least 1
}

func ExampleFromEnv() {
	for name, value := range map[string]string{
		"TASKGROVE_NATS_URL": "nats://greeter:secret@nats.example.org:4222", "TASKGROVE_POOLS": "hello=8,gpu=2", "TASKGROVE_DRAIN_GRACE": "1m",
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}
	_, cfg, err := worker.FromEnv()
	fmt.Println(cfg.Pools, cfg.DrainGrace, err)
	// Output: [{hello 8} {gpu 2}] 1m0s <nil>
}
