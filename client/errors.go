package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/dag"
)

// InvalidError holds what is wrong with something that was sent. It matches [ErrInvalid].
type InvalidError struct {
	Text   string
	Faults []Fault // the first ones; may be empty
}

// Fault is one thing that is wrong.
type Fault struct {
	Field  string // "tasks[3].inputs", "limit"
	Reason string
	Code   string // CIRCULAR_DEPENDENCY and so on; may be empty
}

// Error is what the server said.
func (e *InvalidError) Error() string { return e.Text }

// Is reports whether target is [ErrInvalid].
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// wrap makes the client's error of gRPC's, prefixed with what was done.
func wrap(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	operation := fmt.Sprintf(format, args...)
	if bad, ok := errors.AsType[*dag.InvalidTaskError](err); ok { // found before anything was sent
		return fmt.Errorf("%s: %w", operation, &InvalidError{
			Text: bad.Reason, Faults: []Fault{{Field: fmt.Sprintf("tasks[%d].%s", bad.Index, bad.Field), Reason: bad.Reason}},
		})
	}
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if ctx.Err() != nil && (st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", operation, context.Cause(ctx))
	}
	switch st.Code() {
	case codes.NotFound:
		return fmt.Errorf("%s: %w", operation, ErrNotFound)
	case codes.FailedPrecondition:
		return fmt.Errorf("%s: %w: %s", operation, ErrConflict, st.Message())
	case codes.Unavailable, codes.ResourceExhausted:
		return fmt.Errorf("%s: %w: %s", operation, ErrUnavailable, st.Message())
	case codes.DeadlineExceeded:
		return fmt.Errorf("%s: %w: no answer in time", operation, ErrUnavailable)
	case codes.InvalidArgument:
		invalid := &InvalidError{Text: st.Message()}
		for _, detail := range st.Details() {
			bad, ok := detail.(*errdetails.BadRequest)
			if !ok {
				continue
			}
			for _, v := range bad.FieldViolations {
				invalid.Faults = append(invalid.Faults, Fault{Field: v.Field, Reason: v.Description, Code: v.Reason})
			}
		}
		return fmt.Errorf("%s: %w", operation, invalid)
	}
	return fmt.Errorf("%s: %w", operation, err)
}
