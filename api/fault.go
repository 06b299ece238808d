package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Kind classes an error for a client.
type Kind int

// The kinds of faults.
const (
	Internal        Kind = iota // ours; the client gets an id
	Invalid                     // what the client sent can't be accepted
	NotFound                    // no such task or tree
	Conflict                    // the state does not allow it
	Unavailable                 // try again later
	Exhausted                   // above a bound of this process, as too many requests or streams, or above a quota of the namespace
	Cancelled                   // the client went away
	Timeout                     // the request took longer than it may
	Unauthenticated             // the client has not said who it is, and must
	Denied                      // it may not do that
	Limited                     // it asks for more than one caller may
)

// Fault is an error as a client may see it.
type Fault struct {
	Kind Kind
	Text string // safe to show
	// Problems are the faults of a submitted tree, at most [dag.MaxProblems], and More is how many others there were.
	Problems []*dag.InvalidTaskError
	More     int
	// Field is the parameter at fault; empty when it is a tree's or none.
	Field string
	// Parameters are the faults of several parameters, and More is how many others there were; then Field is empty.
	Parameters []ParameterFault
	// Reason is what kind of conflict it is, for programs, and Facts are what it is about: "current_status" and so on. Empty for most.
	Reason string
	Facts  map[string]string
	// Permission is the one that the caller lacks; empty where that is not told.
	Permission string
	// RetryAfter is how long the caller has to wait for the next try; 0: nobody knows.
	RetryAfter time.Duration
	// ID names the log entry of an internal error; empty for other kinds.
	ID string
}

// Error is the text, safe to show.
func (f *Fault) Error() string { return f.Text }

// RecordCode is how the audit record names the kind of fault.
func (f *Fault) RecordCode() string { return recordCodes[f.Kind] }

var recordCodes = map[Kind]string{Internal: "internal", Invalid: "invalid", NotFound: "not_found", Conflict: "conflict", Unavailable: "unavailable",
	Exhausted: "exhausted", Cancelled: "cancelled", Timeout: "timeout", Unauthenticated: "unauthenticated", Denied: "denied"}

// ParameterFault is what is wrong with one parameter; Text is the whole sentence.
type ParameterFault struct {
	Field, Text string
}

// What callers are told who are not let in (spec 5.2).
const (
	MissingToken = "Missing Authorization header or cookie"
	InvalidToken = "Invalid or expired JWT token"
)

// Errors that a server of ours ends contexts with.
var (
	// ErrShutdown: the process stops; clients go on with another coordinator.
	ErrShutdown = errors.New("server is shutting down")
	// ErrOverload: a bound of this process is reached.
	ErrOverload = errors.New("too many requests at once, try again")
	// ErrStalled: the client sent or took nothing for too long.
	ErrStalled = errors.New("client is too slow")
)

// Classify makes a fault of an error of the service. An internal one is logged here, with its id, and nowhere else.
// operation names what was asked, for the log.
func Classify(ctx context.Context, log *slog.Logger, operation string, err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if trees, ok := errors.AsType[*coordinator.TreesError](err); ok {
		err = trees.Problems(nil)
	}
	if tree, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		return &Fault{Kind: Invalid, Text: tree.Error(), Problems: tree.Problems, More: tree.More}
	}
	if task, ok := errors.AsType[*dag.InvalidTaskError](err); ok {
		return &Fault{Kind: Invalid, Text: task.Error(), Problems: []*dag.InvalidTaskError{task}}
	}
	if schedule, ok := errors.AsType[*coordinator.ScheduleFaultsError](err); ok {
		return &Fault{Kind: Invalid, Text: schedule.Error(), Problems: schedule.Problems(), More: schedule.More}
	}
	if flow, ok := errors.AsType[*coordinator.FlowFaultsError](err); ok {
		return &Fault{Kind: Invalid, Text: flow.Error(), Problems: flow.Problems(), More: flow.Report.More}
	}
	if arg, ok := errors.AsType[*coordinator.InvalidArgumentError](err); ok {
		return &Fault{Kind: Invalid, Text: arg.Error(), Field: arg.Field}
	}
	if update, ok := errors.AsType[*coordinator.UpdateError](err); ok {
		return updateFault(update)
	}
	if level, ok := errors.AsType[*dag.LevelError](err); ok {
		return conflict(level)
	}
	if quota, ok := errors.AsType[*coordinator.QuotaError](err); ok {
		of := "namespace"
		if quota.Quota == "waiting" {
			of = "user_id"
		}
		return &Fault{Kind: Exhausted, Text: quota.Error(), Reason: "quota", Facts: map[string]string{of: quota.Namespace, "quota": quota.Quota}}
	}
	cause := context.Cause(ctx)
	switch {
	case errors.Is(err, coordinator.ErrNotFound):
		return &Fault{Kind: NotFound, Text: err.Error()}
	case errors.Is(err, coordinator.ErrUnsigned):
		return &Fault{Kind: Unauthenticated, Text: coordinator.ErrUnsigned.Error()}
	case errors.Is(err, coordinator.ErrEventsWait):
		return &Fault{Kind: Limited, Text: coordinator.ErrEventsWait.Error(), RetryAfter: coordinator.EventRetryAfter}
	case errors.Is(err, coordinator.ErrUnauthenticated):
		return &Fault{Kind: Unauthenticated, Text: MissingToken}
	case errors.Is(err, coordinator.ErrDenied):
		return deniedFault(err)
	case errors.Is(err, coordinator.ErrConflict):
		return conflict(err)
	case errors.Is(err, ErrOverload):
		return &Fault{Kind: Exhausted, Text: ErrOverload.Error()}
	case errors.Is(err, ErrStalled), errors.Is(cause, ErrStalled):
		return &Fault{Kind: Timeout, Text: ErrStalled.Error()}
	case errors.Is(err, ErrShutdown), errors.Is(cause, ErrShutdown):
		return &Fault{Kind: Unavailable, Text: ErrShutdown.Error()}
	case errors.Is(cause, context.DeadlineExceeded):
		return &Fault{Kind: Timeout, Text: "the request took too long"}
	case cause != nil && errors.Is(err, context.Canceled):
		return &Fault{Kind: Cancelled, Text: "the request was cancelled"}
	case errors.Is(err, coordinator.ErrUnavailable):
		// The rest of the text names hosts and statements, so it stays here.
		log.WarnContext(ctx, "service is unavailable", "operation", operation, "error", err)
		return &Fault{Kind: Unavailable, Text: "the service is unavailable, try again"}
	case errors.Is(err, context.DeadlineExceeded): // of a part of the request
		log.WarnContext(ctx, "a request took too long", "operation", operation, "error", err)
		return &Fault{Kind: Timeout, Text: "the request took too long"}
	}
	return internal(ctx, log, operation, "error", err)
}

// deniedFault says which permission is missing. Whatever the error is wrapped in, the text is the protocol's.
func deniedFault(err error) *Fault {
	denied, ok := errors.AsType[*coordinator.DeniedError](err)
	if !ok {
		return &Fault{Kind: Denied, Text: err.Error()}
	}
	return &Fault{Kind: Denied, Text: denied.Error(), Permission: string(denied.Permission)}
}

// Panicked is the fault of a request whose handler panicked with value; stack goes to the log.
func Panicked(ctx context.Context, log *slog.Logger, operation string, value any, stack []byte) *Fault {
	return internal(ctx, log, operation, "panic", value, "stack", string(stack))
}

func internal(ctx context.Context, log *slog.Logger, operation string, detail ...any) *Fault {
	id := rand.Text()[:12]
	log.ErrorContext(ctx, "internal error", append([]any{"operation", operation, "error_id", id}, detail...)...)
	return &Fault{Kind: Internal, Text: "internal error " + id, ID: id}
}

// InvalidParameters is the fault of several parameters, of which more are not told.
func InvalidParameters(faults []ParameterFault, more int) *Fault {
	text := faults[0].Text
	if others := len(faults) - 1 + more; others > 0 {
		text += fmt.Sprintf("; and %d more", others)
	}
	return &Fault{Kind: Invalid, Text: text, Parameters: faults, More: more}
}

// InvalidParameter is the fault of one parameter; text is the whole sentence.
func InvalidParameter(field, text string) *Fault {
	return &Fault{Kind: Invalid, Text: text, Field: field}
}
