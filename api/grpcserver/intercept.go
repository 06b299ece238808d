package grpcserver

import (
	"context"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/api"
)

// firstMessage is the key of what is to be called when the first message of a call has come.
type firstMessage struct{}

// tap bounds how long a call may go without its first message: before that, no deadline of ours applies to it. It refuses
// browsers: they speak HTTP/2 only under TLS and can't speak gRPC, so what they send comes from a page that tries.
func (s *Server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	for name := range info.Header {
		if name == "origin" || strings.HasPrefix(name, "sec-fetch-") {
			return nil, status.Error(codes.PermissionDenied, "browsers are not served here")
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.cfg.IdleTimeout, func() { cancel(api.ErrStalled) })
	context.AfterFunc(ctx, func() { timer.Stop() })
	return context.WithValue(ctx, firstMessage{}, func() { timer.Stop() }), nil
}

// arrived notes that a call's first message has come, or that somebody else looks after that.
func arrived(ctx context.Context) {
	if stop, ok := ctx.Value(firstMessage{}).(func()); ok {
		stop()
	}
}

// calls is what happens around every call, whichever way it comes.
type calls struct{ cfg Config }

// unary gives every plain call its deadline and trace, its panics an end, and its errors their codes.
func (c *calls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	arrived(ctx)
	ctx, cancel := context.WithTimeout(traced(ctx), c.cfg.RequestTimeout)
	defer cancel()
	ctx, leave := untilWebStops(ctx)
	defer leave()
	defer c.recovered(ctx, info.FullMethod, &err)
	if err = refusalOf(ctx); err == nil {
		ctx, err = c.let(ctx, info.FullMethod)
	}
	if err == nil {
		err = countMessage(ctx, req)
	}
	if err == nil {
		answer, err = next(ctx, req)
	}
	if err != nil {
		return nil, c.statusOf(ctx, info.FullMethod, err)
	}
	return answer, nil
}

// stream does the same for streams, but for the deadline.
func (c *calls) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	ctx, leave := untilWebStops(traced(stream.Context()))
	defer leave()
	defer c.recovered(ctx, info.FullMethod, &err)
	if err = refusalOf(ctx); err == nil {
		ctx, err = c.let(ctx, info.FullMethod)
	}
	left := func() {}
	if err == nil && info.IsServerStream {
		ctx, left, err = api.AsStream(ctx)
	}
	if err == nil {
		defer left()
		err = next(srv, &tracedStream{stream, ctx})
	}
	if err != nil {
		return c.statusOf(ctx, info.FullMethod, err)
	}
	return nil
}

func (c *calls) recovered(ctx context.Context, method string, err *error) {
	if value := recover(); value != nil {
		*err = statusOf(api.Panicked(ctx, c.cfg.Log, method, value, debug.Stack()))
	}
}

type tracedStream struct {
	grpc.ServerStream
	ctx context.Context
}

// RecvMsg notes the first message.
func (t *tracedStream) RecvMsg(m any) error {
	err := t.ServerStream.RecvMsg(m)
	arrived(t.ctx)
	if err == nil {
		err = countMessage(t.ctx, m)
	}
	return err
}

// countMessage counts the bytes of a message against the bounds of its caller.
func countMessage(ctx context.Context, m any) error {
	if message, ok := m.(proto.Message); ok && api.Admitted(ctx) {
		return api.CountBytes(ctx, int64(proto.Size(message)))
	}
	return nil
}

// Context has the trace that the call belongs to.
func (t *tracedStream) Context() context.Context { return t.ctx }

func traced(ctx context.Context) context.Context {
	md, ok := metadata.FromIncomingContext(ctx)
	if !ok {
		return ctx
	}
	return api.Traced(ctx, carrier(md))
}

// carrier reads trace context out of metadata.
type carrier metadata.MD

// Get is the first value of the key.
func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set replaces the values of the key.
func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

// Keys are all keys.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}
