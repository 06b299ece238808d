package api

import "context"

// Account is what one caller's bounds are counted on. Its errors are faults of the kind [Limited].
type Account interface {
	// Requests counts requests beside the first, such as those of a batch: all or none.
	Requests(n int) error
	// Bytes counts bytes that were sent.
	Bytes(n int64) error
	// Stream counts a stream that begins; leave must be called when it ends, and may be called once only.
	Stream() (leave func(), err error)
}

// Admit counts a request from an address against the bounds of its caller (see [WithCaller]), and notes the account in the context, where
// [CountRequests] and the like find it.
type Admit func(ctx context.Context, from string) (context.Context, error)

type account struct{}

// WithAccount notes what the bounds of a request's caller are counted on.
func WithAccount(ctx context.Context, a Account) context.Context {
	return context.WithValue(ctx, account{}, a)
}

// Admitted reports whether a request has been counted.
func Admitted(ctx context.Context) bool {
	_, ok := ctx.Value(account{}).(Account)
	return ok
}

// CountRequests counts requests beside the one that brought them.
func CountRequests(ctx context.Context, n int) error {
	if a, ok := ctx.Value(account{}).(Account); ok && n > 0 {
		return a.Requests(n)
	}
	return nil
}

// CountBytes counts bytes of a request.
func CountBytes(ctx context.Context, n int64) error {
	if a, ok := ctx.Value(account{}).(Account); ok && n > 0 {
		return a.Bytes(n)
	}
	return nil
}

// OpenStream counts a stream, or a call that waits as one; leave must be called when it ends. What a request opens that is a stream itself
// ([AsStream]) has been counted.
func OpenStream(ctx context.Context) (leave func(), err error) {
	a, ok := ctx.Value(account{}).(Account)
	if _, whole := a.(counted); !ok || whole {
		return func() {}, nil
	}
	return a.Stream()
}

// AsStream counts a request that is one stream from its beginning to its end, whatever it opens meanwhile.
func AsStream(ctx context.Context) (_ context.Context, leave func(), err error) {
	a, ok := ctx.Value(account{}).(Account)
	if !ok {
		return ctx, func() {}, nil
	}
	leave, err = a.Stream()
	return WithAccount(ctx, counted{a}), leave, err
}

// counted is the account of a request that is a stream, which it has counted.
type counted struct{ Account }
