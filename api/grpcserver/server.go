// Package grpcserver serves taskgrove.v1 over gRPC, with health and reflection.
//
// It owns the conversion between messages and the service's types, the status codes, and the bounds on connections,
// messages and streams. It must not know how trees are stored or run: [coordinator.Access] hides that.
package grpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Config says where to listen and what clients may do. Addr or Listener is required; all else has defaults.
type Config struct {
	Addr     string               // host:port; port 0 takes a free one, see [Server.Addr]
	Listener net.Listener         // instead of Addr; the server closes it
	TLS      *tls.Config          // nil: plain text
	Log      *slog.Logger         // default: slog.Default()
	Others   []func(*grpc.Server) // register services of other surfaces, under the same bounds
	Known    dag.Known            // the executors that a task's choice is made from (spec 1.3)
	Limits   dag.Limits           // of trees; bound the memory that reading one takes

	Identify api.Identify // tells who a call's token is of; nil: nobody is asked who it is
	Admit    api.Admit    // counts a call against the bounds of its caller; nil: there are none
	Refused  api.Refused  // told of who is not let in; nil: nobody

	MaxConnections  int           // beyond it new ones wait to be accepted; default 10 000
	MaxMessageBytes int           // of one request message; default 16 MiB
	MaxStreams      int           // calls at once on one connection; default 1000
	MaxSubmissions  int           // submissions at once, each holding a tree's ids and a transaction; default 64
	RequestTimeout  time.Duration // of a call that is no stream; default 1 min
	SubmitTimeout   time.Duration // of a whole submission; default 10 min
	IdleTimeout     time.Duration // for the next message of a submission, and for the first one of any call; default 30 s
	MaxIdle         time.Duration // how long a connection may be without any call; default 15 min
	MinPing         time.Duration // clients that ping more often are cut off; default 10 s
	HealthPeriod    time.Duration // between two looks at whether the service is ready; default 5 s
	// Grace is how long calls in hand may go on after Run's context has ended. Watches and followed logs end at once,
	// with UNAVAILABLE: clients go on elsewhere. Default 10 s.
	Grace time.Duration
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	def(&c.MaxConnections, 10_000)
	def(&c.MaxMessageBytes, 16<<20)
	def(&c.MaxStreams, 1000)
	def(&c.MaxSubmissions, 64)
	def(&c.RequestTimeout, time.Minute)
	def(&c.SubmitTimeout, 10*time.Minute)
	def(&c.IdleTimeout, 30*time.Second)
	def(&c.MaxIdle, 15*time.Minute)
	def(&c.MinPing, 10*time.Second)
	def(&c.HealthPeriod, 5*time.Second)
	def(&c.Grace, 10*time.Second)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server is a gRPC server that listens. Make it with [Listen] and end it by ending Run's context.
type Server struct {
	cfg      Config
	access   *coordinator.Access
	listener net.Listener
	grpc     *grpc.Server
	health   *health.Server
	draining context.Context // ends when Run's context does
	drain    context.CancelCauseFunc
}

// Listen takes the address, so that a port that is in use is known before anything else starts.
func Listen(access *coordinator.Access, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, access: access, listener: cfg.Listener, health: health.NewServer()}
	if s.listener == nil {
		var err error
		if s.listener, err = net.Listen("tcp", cfg.Addr); err != nil {
			return nil, fmt.Errorf("grpc server: %w", err)
		}
	}
	s.draining, s.drain = context.WithCancelCause(context.Background())
	around := &calls{cfg}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(cfg.MaxMessageBytes),
		grpc.MaxConcurrentStreams(uint32(cfg.MaxStreams)),
		grpc.MaxHeaderListSize(64 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: cfg.MinPing, PermitWithoutStream: true}),
		// A client that vanished is noticed within a minute, so that its streams end. One without streams is asked to
		// connect again when it needs to, so that nobody keeps others out for nothing.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 40 * time.Second, Timeout: 20 * time.Second, MaxConnectionIdle: cfg.MaxIdle}),
		grpc.InTapHandle(s.tap),
		grpc.UnaryInterceptor(around.unary),
		grpc.StreamInterceptor(around.stream),
	}
	if cfg.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(cfg.TLS)))
	}
	s.grpc = grpc.NewServer(options...)
	register(s.grpc, newHandler(access, cfg, coordinator.SurfaceGRPC, s.draining))
	for _, register := range cfg.Others {
		register(s.grpc)
	}
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the address back when Run is never called.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, then takes nothing new, lets calls in hand end within the grace, and returns nil. It leaves
// no goroutine behind. Call it once.
func (s *Server) Run(ctx context.Context) error {
	defer s.drain(api.ErrShutdown)
	level, period := slog.LevelDebug, min(s.cfg.HealthPeriod, starting) // a process begins before it is ready
	s.look(ctx, level)
	served := make(chan error, 1) // one value, from the goroutine below
	go func() { served <- s.grpc.Serve(netutil.LimitListener(s.listener, s.cfg.MaxConnections)) }()
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case err := <-served:
			return fmt.Errorf("grpc server: %w", err)
		case <-tick.C:
			if s.look(ctx, level) {
				level = slog.LevelWarn
				tick.Reset(s.cfg.HealthPeriod)
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	s.health.Shutdown()
	s.drain(api.ErrShutdown)
	cut := time.AfterFunc(s.cfg.Grace, s.grpc.Stop) // ends the contexts of what is still in hand
	defer cut.Stop()
	s.grpc.GracefulStop()
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("grpc server: %w", err)
	}
	return nil
}

// starting is how often a server that was never ready looks whether it is.
const starting = 250 * time.Millisecond

// look tells the health service whether the service is ready, and the log if it is not.
func (s *Server) look(ctx context.Context, level slog.Level) (ready bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status := healthpb.HealthCheckResponse_SERVING
	if err := s.access.For(coordinator.Anonymous(coordinator.SurfaceGRPC, "")).Ready(ctx); err != nil {
		s.cfg.Log.Log(ctx, level, "the service is not ready", "error", err)
		status = healthpb.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus("", status)
	for _, served := range services {
		s.health.SetServingStatus(served.desc.ServiceName, status)
	}
	return status == healthpb.HealthCheckResponse_SERVING
}
