package client

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds of how long a call waits because its caller makes too many requests; the call's context may end it before.
const (
	limitedTries = 10
	limitedWait  = 30 * time.Second // for one try; who is told to wait longer is told so
)

// limitedFor is how long a server asks to wait that has done nothing of a call, as its caller makes too many of them; 0: it says nothing of the kind.
func limitedFor(err error) time.Duration {
	st, _ := status.FromError(err)
	if st.Code() != codes.ResourceExhausted {
		return 0
	}
	info, ok := detail[*errdetails.ErrorInfo](st)
	if !ok || info.Reason != "RATE_LIMITED" {
		return 0
	}
	if retry, ok := detail[*errdetails.RetryInfo](st); ok {
		return max(retry.RetryDelay.AsDuration(), time.Millisecond)
	}
	return time.Second
}

// patient makes a call with one answer again when the server has let it wait for being one too many.
func patient(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	for try := 1; ; try++ {
		err := invoke(ctx, method, req, reply, cc, opts...)
		wait := limitedFor(err)
		if wait == 0 || wait > limitedWait || try == limitedTries {
			return err
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
