package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/dag"
)

// Statuses travel in HTTP/2 trailers, which proxies bound to a few KiB.
const (
	maxViolations   = 20
	maxMessageBytes = 2000
	maxReasonBytes  = 300
)

// statusOf gives an error its status; one that has one, of gRPC itself, keeps it.
func (s *Server) statusOf(ctx context.Context, method string, err error) error {
	if _, ok := errors.AsType[*api.Fault](err); !ok {
		if st, ok := status.FromError(err); ok {
			return st.Err()
		}
	}
	return statusOf(api.Classify(ctx, s.cfg.Log, method, err))
}

// statusOf is the one place where a fault becomes a status of gRPC.
func statusOf(f *api.Fault) error {
	st := status.New(codeOf(f.Kind), shorten(f.Text, maxMessageBytes))
	if f.Kind != api.Invalid {
		return st.Err()
	}
	bad := &errdetails.BadRequest{}
	for _, p := range f.Problems[:min(len(f.Problems), maxViolations)] {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: fieldOf(p), Description: shorten(p.Reason, maxReasonBytes), Reason: reasonOf(p.Code),
		})
	}
	if f.Field != "" {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: f.Field, Description: shorten(f.Text, maxReasonBytes),
		})
	}
	if detailed, err := st.WithDetails(bad); err == nil {
		st = detailed
	}
	return st.Err()
}

func codeOf(kind api.Kind) codes.Code {
	switch kind {
	case api.Invalid:
		return codes.InvalidArgument
	case api.NotFound:
		return codes.NotFound
	case api.Conflict:
		return codes.FailedPrecondition
	case api.Unavailable:
		return codes.Unavailable
	case api.Exhausted:
		return codes.ResourceExhausted
	case api.Cancelled:
		return codes.Canceled
	case api.Timeout:
		return codes.DeadlineExceeded
	}
	return codes.Internal
}

// fieldOf is where a fault lies: "tasks[3].inputs.url".
func fieldOf(p *dag.InvalidTaskError) string {
	if p.Index < 0 {
		return "tasks"
	}
	field := fmt.Sprintf("tasks[%d]", p.Index)
	if p.Field != "" {
		field += "." + p.Field
	}
	return field
}

// reasonOf is a fault's code for programs.
func reasonOf(code dag.Code) string {
	switch code {
	case dag.InvalidField:
		return "INVALID_FIELD"
	case dag.InvalidTree:
		return "INVALID_TREE"
	case dag.InvalidParent:
		return "INVALID_PARENT"
	case dag.InvalidDependency:
		return "INVALID_DEPENDENCY"
	case dag.CircularDependency:
		return "CIRCULAR_DEPENDENCY"
	case dag.DuplicateID:
		return "DUPLICATE_ID"
	case dag.WrongOwner:
		return "WRONG_OWNER"
	}
	return "INVALID"
}

// shorten cuts a text at a bound, between characters. Status texts must be UTF-8.
func shorten(s string, bytes int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= bytes {
		return s
	}
	for bytes > 0 && !utf8.RuneStart(s[bytes]) {
		bytes--
	}
	return s[:bytes] + "…"
}
