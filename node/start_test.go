package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// settingsOfCoordinator are those of a coordinator with servers of its own and no listeners.
func settingsOfCoordinator(t *testing.T) *config.Coordinator {
	t.Helper()
	server, err := natsserver.Start(natsserver.Config{StoreDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	cfg := config.Defaults[*config.Coordinator]()
	cfg.PostgresURL.Secret, cfg.NATSURL.Secret = config.Secret(pgtest.Database(t)), config.Secret(server.CoordinatorURL())
	cfg.GRPCAddr, cfg.HTTPAddr = "", ""
	return cfg
}

// takenAddress is one that nobody else can listen at.
func takenAddress(t *testing.T) config.Address {
	t.Helper()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	return config.Address(taken.Addr().String())
}

// A coordinator that lacks a level that the store has used is refused before it listens.
func TestAnOutdatedCoordinatorServesNobody(t *testing.T) {
	cfg := settingsOfCoordinator(t)
	p := NewProcess(slog.New(slog.DiscardHandler))
	if _, err := p.StartCoordinator(t.Context(), cfg, Options{Resting: true}); err != nil { // migrates the database
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), cfg.PostgresURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "update cluster set level_used = 1000, level_version = '9.0.0'"); err != nil {
		t.Fatal(err)
	}
	cfg.GRPCAddr = takenAddress(t) // had it tried to serve, the error would be another
	_, err = p.StartCoordinator(t.Context(), cfg, Options{})
	if old, ok := errors.AsType[*dag.OutdatedError](err); !ok || old.Version != "9.0.0" {
		t.Errorf("got %v, want a refusal that names 9.0.0", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: got %v", err)
	}
}

// A coordinator that is stopped while it prepares itself has done nothing wrong, and hides no real error.
func TestStopWhileACoordinatorStarts(t *testing.T) {
	cfg := settingsOfCoordinator(t)
	cfg.HTTPAddr = takenAddress(t)
	p := NewProcess(slog.New(slog.DiscardHandler))
	if _, err := p.StartCoordinator(t.Context(), cfg, Options{}); err == nil || !strings.Contains(err.Error(), "HTTP_ADDR") {
		t.Errorf("got %v, want the address that is taken", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: got %v", err)
	}

	c, err := p.StartCoordinator(t.Context(), cfg, Options{Resting: true})
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := c.Run(ended); err != nil {
		t.Errorf("run: got %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("second stop: got %v", err)
	}
}

// The probes of a worker that waits for NATS say so.
func TestAWorkerIsNotReadyBeforeNATS(t *testing.T) {
	cfg := config.Defaults[*config.Worker]()
	cfg.NATSURL.Secret, cfg.HTTPAddr = "nats://w1:x@127.0.0.1:1", "127.0.0.1:0"
	p := NewProcess(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		defer cancel()
		var err error
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if err = p.Ready(t.Context()); err != nil && strings.Contains(err.Error(), "has not reached NATS") {
				return
			}
		}
		t.Errorf("ready: got %v", err)
	}()
	if _, err := p.StartWorker(ctx, cfg, Options{}); err == nil {
		t.Error("started without NATS")
	}
	if ctx.Err() == nil {
		t.Error("it gave up early")
	}
	cancel()
	<-asked
	if err := p.Stop(); err != nil {
		t.Errorf("stop: got %v", err)
	}
}
