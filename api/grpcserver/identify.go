package grpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// public are the services that need no token: whether the server lives, and what it serves.
var public = []string{"/grpc.health.v1.", "/grpc.reflection."}

// identified notes who makes a call. What came over HTTP has said so there.
func (c *calls) identified(ctx context.Context, method string) (context.Context, error) {
	if c.cfg.Identify == nil || api.Identified(ctx) {
		return ctx, nil
	}
	for _, prefix := range public {
		if strings.HasPrefix(method, prefix) {
			return ctx, nil
		}
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	given := api.Credentials{TLS: connection(ctx)}
	if len(values) > 0 {
		given.Token = api.Bearer(values[0])
	}
	switch {
	case !given.Given():
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.MissingToken}
	case len(values) > 1:
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.InvalidToken}
	}
	who, err := c.cfg.Identify(ctx, given)
	if err != nil {
		c.cfg.Log.DebugContext(ctx, "a caller was refused", "method", method, "error", err)
		if errors.Is(err, coordinator.ErrUnavailable) {
			return ctx, &api.Fault{Kind: api.Unavailable, Text: api.Unproven}
		}
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.InvalidToken}
	}
	return api.WithCaller(ctx, who), nil
}

// connection is what TLS knows of a call's connection; nil: it is plain text.
func connection(ctx context.Context) *tls.ConnectionState {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			return &info.State
		}
	}
	return nil
}
