package client

import (
	"context"
	"regexp"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// WithNamespace makes all calls in a namespace. Without it they are made in the one that the token is bound to, else in "default". A name has 1 to 63
// of a-z, 0-9 and -, a letter or digit first and last.
func WithNamespace(name string) Option {
	return func(s *settings) { s.place = name }
}

var validNamespace = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// namespaceKey is the metadata that names the namespace of a call.
const namespaceKey = "taskgrove-namespace"

func unaryIn(name string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return invoke(metadata.AppendToOutgoingContext(ctx, namespaceKey, name), method, req, reply, cc, opts...)
	}
}

func streamIn(name string) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return open(metadata.AppendToOutgoingContext(ctx, namespaceKey, name), desc, cc, method, opts...)
	}
}
