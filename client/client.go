package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Client is a connection to a cluster. Safe for concurrent use. Close it when done.
type Client struct {
	conn  *grpc.ClientConn
	rpc   pb.TaskgroveClient
	audit pb.AuditServiceClient
	// between retries of what resumes automatically
	retryMin, retryMax time.Duration
}

// Option is a setting of [New].
type Option func(*settings)

type settings struct {
	creds credentials.TransportCredentials
	dial  []grpc.DialOption
	min   time.Duration
	max   time.Duration
	call  time.Duration          // 0: unbounded
	token func() (string, error) // nil: none
	fault error                  // of an option
	plain bool                   // the token may go to other machines in plain text
	place string                 // namespace; empty: what the token says, else default
}

// WithTLS encrypts the connection. Without it, it is plain text.
func WithTLS(cfg *tls.Config) Option {
	return func(s *settings) { s.creds = credentials.NewTLS(cfg) }
}

// WithDialOptions adds options of gRPC itself, after the client's own.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

// WithCallTimeout bounds each call that has one answer, including retries; a call that takes longer ends with
// [ErrUnavailable]. Streams (submissions, watches, logs, verify) are not bounded. 0, the default, is no bound.
func WithCallTimeout(d time.Duration) Option {
	return func(s *settings) { s.call = d }
}

// bounded gives unary calls their deadline.
func bounded(limit time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

// WithRetryDelay bounds how long the client waits before it retries a lost connection: min at first, doubling up to max.
// The default is 100 ms to 5 s.
func WithRetryDelay(min, max time.Duration) Option {
	return func(s *settings) { s.min, s.max = min, max }
}

// retryReads makes gRPC retry, when the server can't be reached, the calls that the contract declares to be without side
// effects.
var retryReads = func() string {
	var names []string
	protoregistry.GlobalFiles.RangeFilesByPackage(pb.File_taskgrove_v1_taskgrove_proto.Package(), func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				if method.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
					names = append(names, fmt.Sprintf(`{"service":%q,"method":%q}`, service.FullName(), method.Name()))
				}
			}
		}
		return true
	})
	return fmt.Sprintf(`{"methodConfig":[{"name":[%s],"retryPolicy":{"maxAttempts":4,"initialBackoff":"0.1s","maxBackoff":"2s",
	"backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}`, strings.Join(names, ","))
}()

// New makes a client of the coordinators at target: "host:port", or any other target of gRPC ("dns:///name:port" for
// several). It does not connect; the first call does.
func New(target string, options ...Option) (*Client, error) {
	s := settings{creds: insecure.NewCredentials(), min: 100 * time.Millisecond, max: 5 * time.Second}
	for _, option := range options {
		option(&s)
	}
	if s.fault != nil {
		return nil, fmt.Errorf("taskgrove client: %w", s.fault)
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(s.creds),
		grpc.WithUserAgent("taskgrove-go"),
		grpc.WithDefaultServiceConfig(retryReads),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256 << 20)), // a page of tasks with large inputs
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: s.min, Multiplier: 2, Jitter: 0.2, MaxDelay: s.max},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Above the least that servers allow.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
	}, s.dial...)
	if s.token != nil {
		encrypted := s.creds.Info().SecurityProtocol != "insecure"
		if !encrypted && !s.plain && !local(target) {
			return nil, fmt.Errorf("taskgrove client: a token is not sent to %s in plain text: encrypt the connection, or allow it", target)
		}
		dial = append(dial, grpc.WithPerRPCCredentials(bearer{s.token, !encrypted}))
	}
	if s.place != "" {
		if !validNamespace.MatchString(s.place) {
			return nil, fmt.Errorf("taskgrove client: %q is no name of a namespace", s.place)
		}
		dial = append(dial, grpc.WithChainUnaryInterceptor(unaryIn(s.place)), grpc.WithChainStreamInterceptor(streamIn(s.place)))
	}
	if s.call > 0 {
		dial = append(dial, grpc.WithChainUnaryInterceptor(bounded(s.call)))
	}
	dial = append(dial, grpc.WithChainUnaryInterceptor(patient)) // within what bounds the call
	conn, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, fmt.Errorf("taskgrove client: %w", err)
	}
	return &Client{conn: conn, rpc: pb.NewTaskgroveClient(conn), audit: pb.NewAuditServiceClient(conn), retryMin: s.min, retryMax: s.max}, nil
}

// Close ends the connection and every call in hand.
func (c *Client) Close() error { return c.conn.Close() }

// lost reports whether a call may be made again: the server could not be reached, is stopping, or has let it wait.
func lost(err error) bool {
	wait := limitedFor(err)
	return status.Code(err) == codes.Unavailable || wait > 0 && wait <= limitedWait
}

// pause waits before the n-th retry, from 0, or until ctx ends: at least as long as the server asks in the error of the try before.
func (c *Client) pause(ctx context.Context, n int, before error) error {
	delay := c.retryMax
	if n < 20 {
		delay = min(c.retryMin<<n, c.retryMax)
	}
	timer := time.NewTimer(max(delay, limitedFor(before)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
