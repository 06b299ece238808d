package grpcserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/dag"
)

// Statuses travel in HTTP/2 trailers, of which proxies and the clients of other languages take 8 KiB in all. The message is there twice,
// and the details in base64, so that what these bounds let pass takes up to 7.7 KB.
const (
	maxMessageBytes = 1000
	maxReasonBytes  = 1000 // of one fault
	maxFaultsBytes  = 4000 // of all faults that are told
)

// statusOf gives an error its status; one that has one, of gRPC itself, keeps it.
func (c *calls) statusOf(ctx context.Context, method string, err error) error {
	if _, ok := errors.AsType[*api.Fault](err); !ok {
		if st, ok := status.FromError(err); ok {
			return st.Err()
		}
	}
	f := api.Classify(ctx, c.cfg.Log, method, err)
	if f.RetryAfter > 0 {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("retry-after", api.Seconds(f.RetryAfter))) // the status says it, too
	}
	return statusOf(f)
}

// domain is who says what the reasons of google.rpc.ErrorInfo mean.
const domain = "taskgrove"

// retryDelay is what clients are told to wait before they try again.
const retryDelay = time.Second

// statusOf is the one place where a fault becomes a status of gRPC.
func statusOf(f *api.Fault) error {
	st := status.New(codeOf(f.Kind), messageOf(f))
	details := detailsOf(f)
	if len(details) == 0 {
		return st.Err()
	}
	if detailed, err := st.WithDetails(details...); err == nil {
		st = detailed
	}
	return st.Err()
}

// detailsOf are what programs read of a fault, of google.rpc.
func detailsOf(f *api.Fault) (details []protoadapt.MessageV1) {
	switch f.Kind {
	case api.Invalid:
		told, more := violationsOf(f)
		details = append(details, &errdetails.BadRequest{FieldViolations: told})
		if more > 0 {
			details = append(details, &errdetails.ErrorInfo{Reason: reasonOf(dag.InvalidTree), Domain: domain, Metadata: map[string]string{"more": strconv.Itoa(more)}})
		}
	case api.Conflict:
		if f.Reason != "" {
			facts := make(map[string]string, len(f.Facts))
			for name, value := range f.Facts {
				facts[name] = shorten(value, maxReasonBytes)
			}
			details = append(details, &errdetails.ErrorInfo{Reason: f.Reason, Domain: domain, Metadata: facts})
		}
	case api.Denied:
		if f.Permission != "" {
			details = append(details, &errdetails.ErrorInfo{Reason: "PERMISSION_DENIED", Domain: domain, Metadata: map[string]string{"permission": f.Permission}})
		}
	case api.Limited:
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(cmp.Or(f.RetryAfter, retryDelay))},
			&errdetails.ErrorInfo{Reason: f.Reason, Domain: domain})
	case api.Unavailable, api.Exhausted:
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	case api.Internal:
		if f.ID != "" {
			details = append(details, &errdetails.RequestInfo{RequestId: f.ID})
		}
	}
	return details
}

// messageOf is the fault's text. Of several faults of a tree it has those that fit, and says how many more there are.
func messageOf(f *api.Fault) string {
	if len(f.Problems) == 0 || len(f.Text) <= maxMessageBytes {
		return shorten(f.Text, maxMessageBytes)
	}
	const last = len("; and 1000000000 more")
	text := shorten(f.Problems[0].Reason, maxMessageBytes-last)
	told := 1
	for _, p := range f.Problems[1:] {
		if len(text)+len("; ")+len(p.Reason) > maxMessageBytes-last {
			break
		}
		text += "; " + strings.ToValidUTF8(p.Reason, "\ufffd")
		told++
	}
	if more := f.More + len(f.Problems) - told; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// violationsOf are the first of the faults, at least one if there are any, and how many more there are.
func violationsOf(f *api.Fault) (told []*errdetails.BadRequest_FieldViolation, left int) {
	bytes := 0
	add := func(v *errdetails.BadRequest_FieldViolation) {
		if bytes += proto.Size(v); bytes > maxFaultsBytes && len(told) > 0 {
			left++
			return
		}
		told = append(told, v)
	}
	for _, p := range f.Problems {
		add(&errdetails.BadRequest_FieldViolation{Field: fieldOf(p), Description: shorten(p.Reason, maxReasonBytes), Reason: reasonOf(p.Code)})
	}
	for _, p := range f.Parameters {
		add(&errdetails.BadRequest_FieldViolation{Field: shorten(p.Field, maxReasonBytes), Description: shorten(p.Text, maxReasonBytes)})
	}
	if f.Field != "" {
		add(&errdetails.BadRequest_FieldViolation{Field: f.Field, Description: shorten(f.Text, maxReasonBytes)})
	}
	return told, left + f.More
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
	case api.Exhausted, api.Limited:
		return codes.ResourceExhausted
	case api.Cancelled:
		return codes.Canceled
	case api.Timeout:
		return codes.DeadlineExceeded
	case api.Unauthenticated:
		return codes.Unauthenticated
	case api.Denied:
		return codes.PermissionDenied
	}
	return codes.Internal
}

// fieldOf is where a fault lies: "tasks[3].inputs.url".
func fieldOf(p *dag.InvalidTaskError) string {
	switch {
	case p.Index < 0 && p.Field != "" && (p.Code == dag.InvalidField || strings.HasPrefix(p.Field, "trees[")): // a place in a tree file, or in one of several trees
		return p.Field
	case p.Index < 0:
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
