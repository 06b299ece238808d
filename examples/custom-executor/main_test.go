package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// TestWorkerBeatsAndDrains runs the program's worker against a real NATS server that nobody coordinates.
func TestWorkerBeatsAndDrains(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	server, err := natsserver.Start(natsserver.Config{
		StoreDir: t.TempDir(), CoordinatorPassword: "secret", WorkerPassword: "secret-too", Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	conn, err := queue.Connect(t.Context(), queue.Config{URL: server.CoordinatorURL(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	listening, deaf := context.WithCancel(t.Context())
	beats := make(chan string, 100) // more than come before the drain
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		conn.Serve(listening, queue.Beat, func(worker string, _ []byte, _ func([]byte)) { beats <- worker })
	}()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	t.Setenv("TASKGROVE_NATS_URL", server.WorkerURL("custom-1"))
	go func() { ended <- run(ctx) }()
	if worker := <-beats; worker != "custom-1" {
		t.Errorf("a beat of %q", worker)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("did not drain")
	}
	deaf()
	<-heard
}
