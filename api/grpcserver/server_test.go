package grpcserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// site is a server that runs, on a service in memory, and a connection to it.
type site struct {
	*testing.T
	svc  *apitest.Service
	conn *grpc.ClientConn
	rpc  pb.TaskgroveClient
	stop func()
	done <-chan error
	log  *logBuffer
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func serve(t *testing.T, cfg grpcserver.Config) *site {
	t.Helper()
	svc := apitest.New()
	s := serveService(t, svc, cfg)
	s.svc = svc
	return s
}

// serveService is serve for a service of the test's own.
func serveService(t *testing.T, svc coordinator.Service, cfg grpcserver.Config) *site {
	t.Helper()
	r := listen(t, coordinator.NewAccess(svc, coordinator.AllowAll), cfg)
	s := &site{T: t, log: r.log, stop: r.stop, done: r.done}
	var err error
	if s.conn, err = grpc.NewClient(r.addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	s.rpc = pb.NewTaskgroveClient(s.conn)
	return s
}

// running is a server that runs until the test or stop ends it.
type running struct {
	addr string
	stop func()
	done <-chan error // what Run returned
	log  *logBuffer
}

func listen(t testing.TB, access *coordinator.Access, cfg grpcserver.Config) *running {
	t.Helper()
	log := &logBuffer{}
	cfg.Addr = "127.0.0.1:0"
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	server, err := grpcserver.Listen(access, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, exited := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(exited)
		ended <- server.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-exited })
	return &running{server.Addr().String(), cancel, ended, log}
}

// submit sends messages and returns the answer.
func (s *site) submit(messages ...*pb.SubmitRequest) (*pb.SubmitResponse, error) {
	s.Helper()
	stream, err := s.rpc.Submit(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil && err != io.EOF {
			s.Fatal(err)
		}
	}
	return stream.CloseAndRecv()
}

func (s *site) tree(tasks ...*pb.NewTask) string {
	s.Helper()
	got, err := s.submit(&pb.SubmitRequest{Tasks: tasks})
	if err != nil {
		s.Fatal(err)
	}
	return got.TreeId
}

func TestStatusOfEachError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		err    error
		code   codes.Code
		text   string
		hidden string
	}{
		{"invalid argument", &coordinator.InvalidArgumentError{Field: "cursor", Reason: "is old"}, codes.InvalidArgument, "cursor: is old", ""},
		{"not found", fmt.Errorf("task x: %w", coordinator.ErrNotFound), codes.NotFound, "task x: not found", ""},
		{"conflict", fmt.Errorf("%w: still running", coordinator.ErrConflict), codes.FailedPrecondition, "conflict: still running", ""},
		{"unavailable", fmt.Errorf("dial db.internal: %w", coordinator.ErrUnavailable), codes.Unavailable, "try again", "db.internal"},
		{"internal", errors.New("pgx says no"), codes.Internal, "internal error ", "pgx says no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, grpcserver.Config{})
			s.svc.FailNext("Task", tt.err)
			_, err := s.rpc.GetTask(t.Context(), &pb.GetTaskRequest{Id: "x"})
			if status.Code(err) != tt.code || !strings.Contains(status.Convert(err).Message(), tt.text) {
				t.Errorf("got %v, want %v %q", err, tt.code, tt.text)
			}
			if tt.hidden != "" && (strings.Contains(err.Error(), tt.hidden) || !strings.Contains(s.log.String(), tt.hidden)) {
				t.Errorf("got %v and log %s, want %q in the log alone", err, s.log, tt.hidden)
			}
		})
	}
	s := serve(t, grpcserver.Config{})
	for name, err := range map[string]error{
		"GetTask":   second(s.rpc.GetTask(t.Context(), &pb.GetTaskRequest{})),
		"Execute":   second(s.rpc.Execute(t.Context(), &pb.ExecuteRequest{})),
		"ListTasks": second(s.rpc.ListTasks(t.Context(), &pb.ListTasksRequest{Limit: 1001})),
		"ListTrees": second(s.rpc.ListTrees(t.Context(), &pb.ListTreesRequest{Status: "odd"})),
		"Cancel":    second(s.rpc.Cancel(t.Context(), &pb.CancelRequest{})),
	} {
		if status.Code(err) != codes.InvalidArgument || len(violations(err)) != 1 {
			t.Errorf("%s: got %v, want one violation", name, err)
		}
	}
	if _, err := s.rpc.Cancel(t.Context(), &pb.CancelRequest{Id: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("cancel unknown: got %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// panicking is a service that panics.
type panicking struct{ *apitest.Service }

func (panicking) Pools(context.Context) ([]coordinator.Pool, error) { panic("secret cause") }

func TestPanicsBecomeInternalErrors(t *testing.T) {
	t.Parallel()
	s := serveService(t, panicking{apitest.New()}, grpcserver.Config{})
	_, err := s.rpc.ListPools(t.Context(), &pb.ListPoolsRequest{})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") || !strings.Contains(s.log.String(), "secret cause") {
		t.Errorf("got %v, log %s", err, s.log)
	}
}

// Run ends at once although a client watches; the client is told to go elsewhere.
func TestShutdownEndsWatches(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{Grace: time.Minute})
	id := s.tree(&pb.NewTask{Name: "a"})
	stream, err := s.rpc.Watch(t.Context(), &pb.WatchRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{HealthPeriod: time.Millisecond})
	stream, err := healthpb.NewHealthClient(s.conn).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "taskgrove.v1.Taskgrove"})
	if err != nil {
		t.Fatal(err)
	}
	want := func(status healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for {
			got, err := stream.Recv()
			if err != nil {
				t.Fatalf("waiting for %v: %v", status, err)
			}
			if got.Status == status {
				return
			}
		}
	}
	want(healthpb.HealthCheckResponse_SERVING)
	for range 1000 { // for long enough to be seen
		s.svc.FailNext("Ready", coordinator.ErrUnavailable)
	}
	want(healthpb.HealthCheckResponse_NOT_SERVING)
	want(healthpb.HealthCheckResponse_SERVING)
}

func TestReflectionListsTheService(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{})
	stream, err := reflectionpb.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	got, err := stream.Recv()
	if err != nil || !strings.Contains(got.String(), "taskgrove.v1.Taskgrove") {
		t.Errorf("got %v, %v", got, err)
	}
}
