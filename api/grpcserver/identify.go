package grpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// public are the services that need no token: whether the server lives, and what it serves.
var public = []string{"/grpc.health.v1.", "/grpc.reflection."}

// let lets a call in, or refuses it: who makes it, how much its caller asks for, and in which namespace. What came over HTTP has been let in there. What
// is public is nobody's, and in no namespace.
func (c *calls) let(ctx context.Context, method string) (context.Context, error) {
	if slices.ContainsFunc(public, func(prefix string) bool { return strings.HasPrefix(method, prefix) }) {
		return ctx, nil
	}
	ctx, err := c.identified(ctx, method)
	admitted, over := c.admit(ctx)
	switch {
	case over != nil: // who guesses has a bound, too
		return ctx, over
	case err != nil:
		return ctx, err
	}
	return api.InNamespace(admitted, metadata.ValueFromIncomingContext(ctx, namespaceKey), nil)
}

// namespaceKey is the metadata that names the namespace of a call.
var namespaceKey = strings.ToLower(api.NamespaceHeader)

// admit counts a call against the bounds of its caller.
func (c *calls) admit(ctx context.Context) (context.Context, error) {
	if c.cfg.Admit == nil || api.Admitted(ctx) {
		return ctx, nil
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	return c.cfg.Admit(ctx, from)
}

// identified notes who makes a call. What came over HTTP has said so there.
func (c *calls) identified(ctx context.Context, method string) (context.Context, error) {
	if c.cfg.Identify == nil || api.Identified(ctx) {
		return ctx, nil
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	given := api.Credentials{TLS: connection(ctx)}
	if len(values) > 0 {
		given.Token = api.Bearer(values[0])
	}
	switch {
	case !given.Given():
		c.cfg.Refused.NotLetIn(ctx, coordinator.SurfaceGRPC, peerOf(ctx), api.MissingToken)
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.MissingToken}
	case len(values) > 1:
		c.cfg.Refused.NotLetIn(ctx, coordinator.SurfaceGRPC, peerOf(ctx), api.InvalidToken)
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.InvalidToken}
	}
	who, err := c.cfg.Identify(ctx, given)
	if err != nil {
		c.cfg.Log.DebugContext(ctx, "a caller was refused", "method", method, "error", err)
		if errors.Is(err, coordinator.ErrUnavailable) {
			return ctx, &api.Fault{Kind: api.Unavailable, Text: api.Unproven}
		}
		c.cfg.Refused.NotLetIn(ctx, coordinator.SurfaceGRPC, peerOf(ctx), err.Error())
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
