package keda_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/keda"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/externalscaler"
)

// served is a scaler behind a real listener, and a client that speaks as KEDA does.
type served struct {
	pb.ExternalScalerClient
	*apitest.Service
	scaler *keda.Scaler
	stop   func() error // the server; returns when it has ended
}

func serve(t *testing.T, policy coordinator.Policy) *served {
	t.Helper()
	s := &served{Service: apitest.New()}
	access := coordinator.NewAccess(s.Service, policy)
	s.scaler = keda.New(access)
	server, err := grpcserver.Listen(access, grpcserver.Config{Addr: "127.0.0.1:0", Others: []func(*grpc.Server){s.scaler.Register}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	s.stop = func() error { cancel(); err := <-ended; ended <- err; return err }
	conn, err := grpc.NewClient(server.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); s.scaler.Drain(); _ = s.stop() })
	s.ExternalScalerClient = pb.NewExternalScalerClient(conn)
	return s
}

// of is a trigger with pairs of keys and values.
func of(pairs ...string) *pb.ScaledObjectRef {
	r := &pb.ScaledObjectRef{Name: "so", Namespace: "ns", ScalerMetadata: map[string]string{"scalerAddress": "x:1", "enableTLS": "true"}}
	for i := 0; i < len(pairs); i += 2 {
		r.ScalerMetadata[pairs[i]] = pairs[i+1]
	}
	return r
}

func TestKEDAIsTold(t *testing.T) {
	t.Parallel()
	s := serve(t, coordinator.AllowAll)
	s.SetDemand(coordinator.Demand{Pool: "rest", Running: 5, Ready: 10, Soon: 2})
	s.SetDemand(coordinator.Demand{Pool: "GPU"})
	for fact, tt := range map[string]struct {
		trigger *pb.ScaledObjectRef
		active  bool
		metrics string // name=value/target
	}{
		"one pool":                     {of("pool", "rest"), true, "demand-rest=17/4"},
		"with a target":                {of("pool", "rest", "target", "8"), true, "demand-rest=17/8"},
		"with a part of a slot":        {of("pool", "rest", "target", "0.5"), true, "demand-rest=17/0.5"},
		"idle":                         {of("pool", "GPU"), false, "demand-gpu=0/4"},
		"several":                      {of("pool", " rest , GPU,"), true, "demand-rest=17/4 demand-gpu=0/4"},
		"alike but for capitals":       {of("pool", "GPU,gpu"), false, "demand-gpu=0/4 demand-gpu-1=0/4"},
		"a pool that there is not":     {of("pool", "nope"), false, "demand-nope=0/4"},
		"not enough to start a worker": {of("pool", "rest", "activation", "17"), false, "demand-rest=17/4"},
		"just enough":                  {of("pool", "rest", "activation", "16.5"), true, "demand-rest=17/4"},
	} {
		is, err := s.IsActive(t.Context(), tt.trigger)
		if err != nil || is.Result != tt.active {
			t.Errorf("%s: active %v, %v", fact, is, err)
		}
		spec, err := s.GetMetricSpec(t.Context(), tt.trigger)
		if err != nil {
			t.Errorf("%s: %v", fact, err)
			continue
		}
		var got []string
		for _, m := range spec.MetricSpecs {
			values, err := s.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: tt.trigger, MetricName: m.MetricName})
			if err != nil || len(values.MetricValues) != 1 || values.MetricValues[0].MetricName != m.MetricName {
				t.Fatalf("%s: %v, %v", fact, values, err)
			}
			v := values.MetricValues[0]
			if float64(v.MetricValue) != v.MetricValueFloat || m.TargetSize < 1 {
				t.Errorf("%s: older versions of KEDA are told %v of %v", fact, v, m)
			}
			got = append(got, m.MetricName+"="+text(v.MetricValueFloat)+"/"+text(m.TargetSizeFloat))
		}
		if got := strings.Join(got, " "); got != tt.metrics {
			t.Errorf("%s: got %s, want %s", fact, got, tt.metrics)
		}
	}
}

func TestTriggersAreChecked(t *testing.T) {
	t.Parallel()
	s := serve(t, coordinator.AllowAll)
	for fact, tt := range map[string]struct {
		trigger *pb.ScaledObjectRef
		want    string
	}{
		"no metadata":     {nil, "pool is missing"},
		"no pool":         {of("pools", "rest"), "pool is missing"},
		"an empty pool":   {of("pool", " ,"), "pool must name 1 to 64 pools"},
		"too many":        {of("pool", strings.Repeat("a,", 65)), "pool must name 1 to 64 pools"},
		"no number":       {of("pool", "a", "target", "many"), `target is "many"`},
		"nothing":         {of("pool", "a", "target", "0"), `target is "0"`},
		"below nothing":   {of("pool", "a", "activation", "-1"), `activation is "-1"`},
		"not even one":    {of("pool", "a", "target", "NaN"), `target is "NaN"`},
		"beyond anything": {of("pool", "a", "target", "1e300"), `target is "1e300"`},
	} {
		check := func(call string, err error) {
			t.Helper()
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), tt.want) {
				t.Errorf("%s: %s: got %v, want %s", fact, call, err, tt.want)
			}
		}
		_, err := s.IsActive(t.Context(), orEmpty(tt.trigger))
		check("IsActive", err)
		_, err = s.GetMetricSpec(t.Context(), orEmpty(tt.trigger))
		check("GetMetricSpec", err)
		_, err = s.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: tt.trigger, MetricName: "demand-a"})
		check("GetMetrics", err)
		stream, err := s.StreamIsActive(t.Context(), orEmpty(tt.trigger))
		if err == nil {
			_, err = stream.Recv()
		}
		check("StreamIsActive", err)
	}
	_, err := s.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: of("pool", "a"), MetricName: "demand-b"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("another metric: %v", err)
	}
}

func orEmpty(r *pb.ScaledObjectRef) *pb.ScaledObjectRef {
	if r == nil {
		return &pb.ScaledObjectRef{}
	}
	return r
}

func text(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func TestChangesArePushed(t *testing.T) {
	t.Parallel()
	s := serve(t, coordinator.AllowAll)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := s.StreamIsActive(ctx, of("pool", "a,b"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		now  coordinator.Demand
		want bool
	}{{coordinator.Demand{}, false}, {coordinator.Demand{Pool: "b", Soon: 1}, true}, {coordinator.Demand{Pool: "b"}, false}} {
		if step.now.Pool != "" {
			s.SetDemand(coordinator.Demand{Pool: "a", Running: 0}) // nothing to tell
			s.SetDemand(step.now)
		}
		if got, err := stream.Recv(); err != nil || got.Result != step.want {
			t.Fatalf("after %+v: got %v, %v", step.now, got, err)
		}
	}
	spec, err := s.StreamMetricSpec(ctx, of("pool", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := spec.Recv(); err != nil || len(got.MetricSpecs) != 1 || got.MetricSpecs[0].TargetSizeFloat != 4 {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestStreamsEndWithTheServer: KEDA goes on with another coordinator at once, and the server waits for nobody.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	s := serve(t, coordinator.AllowAll)
	stream, err := s.StreamIsActive(t.Context(), of("pool", "a"))
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	s.scaler.Drain()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable && !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended by %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestWhoMayNotSeeIsTold(t *testing.T) {
	t.Parallel()
	s := serve(t, func(_ context.Context, caller coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		if caller.Surface == coordinator.SurfaceKEDA && call.Method == "Ready" {
			t.Errorf("KEDA asks whether we are ready")
		}
		if caller.Surface != coordinator.SurfaceKEDA {
			return coordinator.Grant{}, nil
		}
		return coordinator.Grant{}, coordinator.ErrConflict
	})
	_, err := s.IsActive(t.Context(), of("pool", "a"))
	if err == nil {
		t.Error("the policy was not asked")
	}
	stream, err := s.StreamIsActive(t.Context(), of("pool", "a"))
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a stream: %v", err)
	}
}
