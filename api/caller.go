package api

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
)

// caller is the context's key of who makes a request.
type caller struct{}

// WithCaller notes who makes a request, as the door that checked it knows: middleware of the HTTP server, or an interceptor of gRPC's.
func WithCaller(ctx context.Context, who coordinator.Caller) context.Context {
	return context.WithValue(ctx, caller{}, who)
}

// Identified reports whether the door knows who makes a request.
func Identified(ctx context.Context) bool {
	_, ok := ctx.Value(caller{}).(coordinator.Caller)
	return ok
}

// CallerOf is who makes a request, by which surface, from where and in which namespace. Who has not been asked is anonymous.
func CallerOf(ctx context.Context, surface coordinator.Surface, from string) coordinator.Caller {
	who, ok := ctx.Value(caller{}).(coordinator.Caller)
	if !ok {
		who = coordinator.Anonymous(surface, from)
	}
	who.Surface, who.From, who.Namespace = surface, from, namespaceOf(ctx, who)
	return who
}
