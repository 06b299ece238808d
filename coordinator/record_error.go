package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/record"
)

// The codes of errors in the record.
const (
	codeNotFound        = "not_found"
	codeDenied          = "denied"
	codeUnauthenticated = "unauthenticated"
	codeInvalid         = "invalid"
	codeConflict        = "conflict"
	codeUnavailable     = "unavailable"
	codeCancelled       = "cancelled"
	codeTimeout         = "timeout"
	codeInternal        = "internal"
)

// maxErrorRunes is how much of an error's text the record keeps.
const maxErrorRunes = 300

// recordedError is how the record tells that a call ended with an error, or without one. Its text never quotes what the caller sent: faults of input
// are told by field, and what may show hosts or statements by code alone.
func recordedError(err error) (outcome record.Outcome, code, text string) {
	if err == nil {
		return record.Done, "", ""
	}
	outcome = record.Failed
	switch {
	case errors.Is(err, ErrUnauthenticated):
		outcome, code, text = record.Denied, codeUnauthenticated, reasonOf(err)
	case errors.Is(err, ErrDenied):
		outcome, code = record.Denied, codeDenied
		if denied, ok := errors.AsType[*DeniedError](err); ok {
			text = denied.Error()
		}
	case errors.Is(err, ErrNotFound):
		code = codeNotFound
	case errors.Is(err, ErrConflict):
		code, text = codeConflict, err.Error()
		if _, ok := errors.AsType[*GenerateError](err); ok { // may have a model's words
			text = ""
		}
	case errors.Is(err, ErrUnavailable):
		code = codeUnavailable
	default:
		code, text = faultOf(err)
	}
	return outcome, code, recordable(text, maxErrorRunes)
}

// coded is an error of a surface, which knows the record's code for it.
type coded interface{ RecordCode() string }

// faultOf tells faults of input by field.
func faultOf(err error) (code, text string) {
	if c, ok := errors.AsType[interface {
		error
		coded
	}](err); ok {
		return c.RecordCode(), ""
	}
	if tree, ok := errors.AsType[*dag.InvalidTreeError](err); ok && len(tree.Problems) > 0 {
		return codeInvalid, fmt.Sprintf("%d faults, the first in %s", len(tree.Problems)+tree.More, fieldOf(tree.Problems[0]))
	}
	if task, ok := errors.AsType[*dag.InvalidTaskError](err); ok {
		return codeInvalid, fieldOf(task)
	}
	if schedule, ok := errors.AsType[*ScheduleFaultsError](err); ok && len(schedule.Faults) > 0 {
		return codeInvalid, fmt.Sprintf("%d faults, the first in %s", len(schedule.Faults)+schedule.More, schedule.Faults[0].Field)
	}
	if flow, ok := errors.AsType[*FlowFaultsError](err); ok {
		return codeInvalid, fmt.Sprintf("%d faults", len(flow.Report.Errors)+flow.Report.More)
	}
	if arg, ok := errors.AsType[*InvalidArgumentError](err); ok {
		return codeInvalid, arg.Field
	}
	if update, ok := errors.AsType[*UpdateError](err); ok {
		return codeInvalid, fmt.Sprintf("%d faults", len(update.Faults))
	}
	if _, ok := errors.AsType[*dag.LevelError](err); ok {
		return codeConflict, "an older process is alive"
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codeTimeout, ""
	case errors.Is(err, context.Canceled):
		return codeCancelled, ""
	}
	return codeInternal, ""
}

func fieldOf(p *dag.InvalidTaskError) string {
	field := "tasks"
	if p.Index >= 0 {
		field = fmt.Sprintf("tasks[%d]", p.Index)
	}
	if p.Field != "" {
		field += "." + p.Field
	}
	return field
}

// LoginError says for the record why somebody was not let in. Its text shows nothing of a token or key.
type LoginError struct{ Reason string }

// Error is the reason.
func (e *LoginError) Error() string { return e.Reason }

// Unwrap makes it an [ErrUnauthenticated].
func (e *LoginError) Unwrap() error { return ErrUnauthenticated }

// reasonOf is why somebody was not let in.
func reasonOf(err error) string {
	if login, ok := errors.AsType[*LoginError](err); ok {
		return login.Reason
	}
	return ""
}
