package builtin_test

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskgrove/taskgrove/executors/conformance"
)

// grpcFeatures are those of grpc_executor, with a server that ends with the test: gRPC's own health service, whose watch never ends, and a
// service that says a lot, which it does not describe.
func grpcFeatures(t *testing.T, secret string) conformance.Features {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open atomic.Int64 // calls of the health service
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		if strings.HasPrefix(info.FullMethod, "/grpc.health") {
			open.Add(1)
			defer open.Add(-1)
		}
		return handle(srv, stream)
	}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "/Fail") {
			return status.Error(codes.Unauthenticated, "no such key: "+secret)
		}
		for range 2000 {
			if err := stream.SendMsg(wrapperspb.String(strings.Repeat("x", 8<<10))); err != nil {
				return err
			}
		}
		return nil
	}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	inputs := func(more string, args ...any) string {
		return `{"server": "` + l.Addr().String() + `", ` + fmt.Sprintf(more, args...) + `}`
	}
	const talker = `"service": "t.Talker", "proto_file": "syntax = \"proto3\"; package t; import \"google/protobuf/wrappers.proto\"; import \"google/protobuf/empty.proto\"; ` +
		`service Talker { rpc Talk(google.protobuf.Empty) returns (stream google.protobuf.StringValue); rpc Fail(google.protobuf.Empty) returns (google.protobuf.Empty); }", "request": {}`
	watch := `"service": "grpc.health.v1.Health", "method": "Watch", "request": {}, "timeout": %v`
	return conformance.Features{
		Quick:         inputs(`"service": "grpc.health.v1.Health", "method": "Check", "request": {}`),
		Slow:          inputs(watch, 600),
		Missing:       map[string]string{`{"service": "a.B", "method": "C", "request": {}}`: "[grpc_executor] server is required in inputs"},
		Large:         inputs(talker + `, "method": "Talk"`),
		LargestResult: 5 << 20,
		TimesOut:      map[string]string{inputs(watch, 0.2): "DEADLINE_EXCEEDED: timeout after 0.2 seconds"},
		Left:          func() error { return soon(func() bool { return open.Load() == 0 }, "a call is open") },
		Failing: []string{
			inputs(talker+`, "method": "Fail", "auth": {"type": "bearer", "token": "%s"}`, secret),
			inputs(talker+`, "method": "Fail", "metadata": {"x-key": "%s"}`, secret),
			inputs(`"service": "a.B", "method": "C", "request": {}, "tls": {"cert": "x", "key": "%s"}`, secret),
		},
		Secret: secret,
		Demo:   map[string][]string{`{"server": "s", "service": "a.B", "method": "C", "request": {}}`: {"success", "server", "service", "method", "request", "response", "metadata"}},
	}
}
