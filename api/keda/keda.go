// Package keda serves KEDA's external scaler: how many workers each pool needs.
//
// It owns what a trigger's metadata says and what KEDA is told. It must not know how much work there is: [coordinator.Access] tells that.
package keda

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/externalscaler"
)

// Bounds of what a trigger says.
const (
	maxPools  = 64
	maxTarget = 1_000_000
)

// Scaler answers KEDA.
type Scaler struct {
	pb.UnimplementedExternalScalerServer
	access   *coordinator.Access
	draining context.Context // ends with [Scaler.Drain]
	drain    context.CancelFunc
}

// New makes a scaler.
func New(access *coordinator.Access) *Scaler {
	s := &Scaler{access: access}
	s.draining, s.drain = context.WithCancel(context.Background())
	return s
}

// Drain ends streams: KEDA goes on with another coordinator.
func (s *Scaler) Drain() { s.drain() }

// Register serves it beside what a gRPC server serves.
func (s *Scaler) Register(to *grpc.Server) { pb.RegisterExternalScalerServer(to, s) }

// trigger is what the metadata of a trigger says.
type trigger struct {
	pools      []string
	target     float64 // slots of one worker; 0: as workers say
	activation float64 // the demand up to which no worker is needed
}

// read reads a trigger's metadata. Keys that KEDA itself reads are there, too; all that is not ours is left alone.
func read(r *pb.ScaledObjectRef) (*trigger, error) {
	t := &trigger{}
	list, given := r.GetScalerMetadata()["pool"]
	if !given {
		return nil, invalid("pool", "is missing: name the pool that the workers serve, or several with commas between")
	}
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			t.pools = append(t.pools, name)
		}
	}
	if len(t.pools) == 0 || len(t.pools) > maxPools {
		return nil, invalid("pool", fmt.Sprintf("must name 1 to %d pools", maxPools))
	}
	for key, field := range map[string]*float64{"target": &t.target, "activation": &t.activation} {
		text, given := r.GetScalerMetadata()[key]
		if !given || text == "" {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || n < 0 || n > maxTarget || key == "target" && n == 0 {
			return nil, invalid(key, fmt.Sprintf("is %q, not a number up to %d", text, maxTarget))
		}
		*field = n
	}
	return t, nil
}

func invalid(key, reason string) error {
	return &api.Fault{Kind: api.Invalid, Field: "scalerMetadata." + key, Text: "the trigger's metadata: " + key + " " + reason}
}

// metric is the name of a pool's metric: one for each pool, as the workers of several need as many as the pool that needs the most. Kubernetes takes
// small letters only.
func (t *trigger) metric(i int) string {
	name := "demand-" + strings.ToLower(t.pools[i])
	for _, other := range t.pools[:i] {
		if strings.EqualFold(other, t.pools[i]) {
			return name + "-" + strconv.Itoa(i)
		}
	}
	return name
}

// spec is the metric of each pool, and how much of it one worker takes.
func (t *trigger) spec(list []coordinator.Demand) *pb.GetMetricSpecResponse {
	out := &pb.GetMetricSpecResponse{}
	for i, d := range list {
		target := t.target
		if target == 0 {
			target = max(1, float64(d.Slots))
		}
		out.MetricSpecs = append(out.MetricSpecs, &pb.MetricSpec{MetricName: t.metric(i), TargetSize: int64(math.Ceil(target)), TargetSizeFloat: target})
	}
	return out
}

// active reports whether any worker is needed.
func (t *trigger) active(list []coordinator.Demand) bool {
	sum := 0
	for _, d := range list {
		sum += d.Total()
	}
	return float64(sum) > t.activation
}

// on is the service on behalf of who made the call.
func (s *Scaler) on(ctx context.Context) coordinator.Service {
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	return s.access.For(api.CallerOf(ctx, coordinator.SurfaceKEDA, from))
}

func (s *Scaler) demand(ctx context.Context, r *pb.ScaledObjectRef) (*trigger, []coordinator.Demand, error) {
	t, err := read(r)
	if err != nil {
		return nil, nil, err
	}
	list, err := s.on(ctx).Demand(ctx, t.pools)
	return t, list, err
}

// IsActive tells whether any worker is needed.
func (s *Scaler) IsActive(ctx context.Context, r *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	t, list, err := s.demand(ctx, r)
	if err != nil {
		return nil, err
	}
	return &pb.IsActiveResponse{Result: t.active(list)}, nil
}

// GetMetricSpec names the metric of each pool, and how much of it one worker takes.
func (s *Scaler) GetMetricSpec(ctx context.Context, r *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	t, list, err := s.demand(ctx, r)
	if err != nil {
		return nil, err
	}
	return t.spec(list), nil
}

// GetMetrics is the demand of a pool.
func (s *Scaler) GetMetrics(ctx context.Context, r *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	t, list, err := s.demand(ctx, r.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	for i, d := range list {
		if name := t.metric(i); name == r.GetMetricName() {
			return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{{MetricName: name, MetricValue: int64(d.Total()), MetricValueFloat: float64(d.Total())}}}, nil
		}
	}
	return nil, &api.Fault{Kind: api.NotFound, Field: "metricName", Text: fmt.Sprintf("there is no metric %.100q of these pools", r.GetMetricName())}
}

// StreamIsActive tells whether any worker is needed, at once and whenever that changes.
func (s *Scaler) StreamIsActive(r *pb.ScaledObjectRef, stream grpc.ServerStreamingServer[pb.IsActiveResponse]) error {
	var told *bool
	return s.follow(stream.Context(), r, func(t *trigger, list []coordinator.Demand) error {
		active := t.active(list)
		if told != nil && *told == active {
			return nil
		}
		told = &active
		return stream.Send(&pb.IsActiveResponse{Result: active})
	})
}

// StreamMetricSpec tells what GetMetricSpec does, at once and whenever that changes: it does when workers come that have other slots.
func (s *Scaler) StreamMetricSpec(r *pb.ScaledObjectRef, stream grpc.ServerStreamingServer[pb.GetMetricSpecResponse]) error {
	var told []float64
	return s.follow(stream.Context(), r, func(t *trigger, list []coordinator.Demand) error {
		spec, targets := t.spec(list), []float64{}
		for _, m := range spec.MetricSpecs {
			targets = append(targets, m.TargetSizeFloat)
		}
		if slices.Equal(told, targets) {
			return nil
		}
		told = targets
		return stream.Send(spec)
	})
}

// follow calls each with the demand of a trigger's pools, at once and whenever it has changed.
func (s *Scaler) follow(ctx context.Context, r *pb.ScaledObjectRef, each func(*trigger, []coordinator.Demand) error) error {
	t, err := read(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.draining, func() { cancel(api.ErrShutdown) })()
	for list, err := range s.on(ctx).WatchDemand(ctx, t.pools) {
		if err == nil {
			err = each(t, list)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}
