package grpcserver

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/taskgrove/taskgrove/api"
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
	token := ""
	if len(values) > 0 {
		token = api.Bearer(values[0])
	}
	switch {
	case token == "":
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.MissingToken}
	case len(values) > 1:
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.InvalidToken}
	}
	who, err := c.cfg.Identify(token)
	if err != nil {
		c.cfg.Log.DebugContext(ctx, "a token was refused", "method", method, "error", err)
		return ctx, &api.Fault{Kind: api.Unauthenticated, Text: api.InvalidToken}
	}
	return api.WithCaller(ctx, who), nil
}
