package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/dag"
)

// Errors that callers branch on, with errors.Is. All of them come in an [Error].
var (
	// ErrNotFound: no such task or tree.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: what was sent can't be accepted; see [InvalidError] for each fault.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: the state does not allow it.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable: the cluster can't be reached, or is too busy; try again.
	ErrUnavailable = errors.New("unavailable")
	// ErrBusy: a coordinator has answered that there is too much now, of what the caller may have or of what it can do; try again later. It matches
	// [ErrUnavailable], too.
	ErrBusy error = busyError{}
	// ErrUnauthenticated: the server asks for a token, and got none or one that does not hold.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrDenied: the caller may not do that.
	ErrDenied = errors.New("denied")
)

// busyError is [ErrBusy].
type busyError struct{}

func (busyError) Error() string { return "refused for now" }

func (busyError) Is(target error) bool { return target == ErrUnavailable }

// Error is the error of a call.
type Error struct {
	Op   string // what was done: "cancel task-1"
	Err  error  // why it failed: one of the Err... above, an [InvalidError], the context's cause, or what gRPC says
	Text string // what the server said about it; may be empty
	// RetryAfter is how long the server asks to wait before the next try, with [ErrUnavailable]; 0: it says nothing.
	RetryAfter time.Duration
}

// Error has all of it.
func (e *Error) Error() string {
	text := e.Op + ": " + e.Err.Error()
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap gives Err.
func (e *Error) Unwrap() error { return e.Err }

// InvalidError holds what is wrong with something that was sent. It matches [ErrInvalid].
type InvalidError struct {
	Text   string
	Faults []Fault // the first ones; may be empty
	More   int     // how many others there are
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

// ConflictError says what kind of conflict it is. It matches [ErrConflict]; the [Error] that it comes in has the server's text.
type ConflictError struct {
	// Reason is STILL_STOPPING, CANNOT_DELETE and so on, see docs/grpc.md; empty where the server names none. Servers may add others.
	Reason string
	Facts  map[string]string // what it is about: "tree_id", "current_status"; may be nil
}

// Error is that of ErrConflict.
func (e *ConflictError) Error() string { return ErrConflict.Error() }

// Is reports whether target is [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// InternalError reports a fault of the server. Its log has the rest, under the id.
type InternalError struct {
	ID  string // empty where the server names none
	err error
}

// Error is what the server said.
func (e *InternalError) Error() string { return e.err.Error() }

// Unwrap gives gRPC's error.
func (e *InternalError) Unwrap() error { return e.err }

// TaskError reports that a task has no result, because it has not completed.
type TaskError struct{ Task *Task }

// Error names the task, how it stands, and its error.
func (e *TaskError) Error() string {
	text := fmt.Sprintf("task %s is %s", e.Task.ID, e.Task.Status)
	if e.Task.Error != "" {
		text += ": " + e.Task.Error
	}
	return text
}

// wrap makes the client's error of gRPC's, prefixed with what was done.
func wrap(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	out := &Error{Op: fmt.Sprintf(format, args...), Err: err}
	if bad, ok := errors.AsType[*dag.InvalidTaskError](err); ok { // found before anything was sent
		out.Err = &InvalidError{Text: bad.Reason, Faults: []Fault{{Field: fieldOf(bad), Reason: bad.Reason}}}
		return out
	}
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		invalid := &InvalidError{Text: bad.Error(), More: bad.More}
		for _, p := range bad.Problems {
			invalid.Faults = append(invalid.Faults, Fault{Field: fieldOf(p), Reason: p.Reason})
		}
		out.Err = invalid
		return out
	}
	st, ok := status.FromError(err)
	if !ok {
		return out
	}
	if ctx.Err() != nil && (st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded) {
		out.Err = context.Cause(ctx)
		return out
	}
	switch st.Code() {
	case codes.NotFound:
		out.Err = ErrNotFound
	case codes.FailedPrecondition:
		out.Err, out.Text = conflictOf(st), strings.TrimPrefix(st.Message(), ErrConflict.Error()+": ")
	case codes.Unavailable, codes.ResourceExhausted:
		if out.Err, out.Text = ErrUnavailable, plain(st.Message()); st.Code() == codes.ResourceExhausted {
			out.Err = ErrBusy
		}
		if retry, ok := detail[*errdetails.RetryInfo](st); ok {
			out.RetryAfter = retry.RetryDelay.AsDuration()
		}
	case codes.DeadlineExceeded:
		out.Err, out.Text = ErrUnavailable, "no answer in time"
	case codes.InvalidArgument:
		out.Err = invalidOf(st)
	case codes.Internal:
		out.Err = &InternalError{err: answered(err, st)}
		if request, ok := detail[*errdetails.RequestInfo](st); ok {
			out.Err = &InternalError{ID: request.RequestId, err: answered(err, st)}
		}
	default:
		out.Err = answered(err, st)
	}
	return out
}

// detail is the first of a status' details that has the type.
func detail[T any](st *status.Status) (found T, ok bool) {
	for _, d := range st.Details() {
		if found, ok = d.(T); ok {
			return found, true
		}
	}
	return found, false
}

func conflictOf(st *status.Status) *ConflictError {
	info, ok := detail[*errdetails.ErrorInfo](st)
	if !ok {
		return &ConflictError{}
	}
	return &ConflictError{Reason: info.Reason, Facts: info.Metadata}
}

// fieldOf is where a fault lies: "tasks[3].inputs"; or "tasks", if it is in the document as a whole.
func fieldOf(bad *dag.InvalidTaskError) string {
	switch {
	case bad.Index < 0:
		return "tasks"
	case bad.Field == "":
		return fmt.Sprintf("tasks[%d]", bad.Index)
	}
	return fmt.Sprintf("tasks[%d].%s", bad.Index, bad.Field)
}

// invalidOf is what a server says of each fault.
func invalidOf(st *status.Status) *InvalidError {
	invalid := &InvalidError{Text: st.Message()}
	if bad, ok := detail[*errdetails.BadRequest](st); ok {
		for _, v := range bad.FieldViolations {
			invalid.Faults = append(invalid.Faults, Fault{Field: v.Field, Reason: v.Description, Code: v.Reason})
		}
	}
	if info, ok := detail[*errdetails.ErrorInfo](st); ok {
		invalid.More, _ = strconv.Atoi(info.Metadata["more"]) // servers before 0.4.0 don't tell
	}
	return invalid
}
