package executors

import (
	"errors"
	"time"
)

// Why the context of an attempt ended; see [context.Cause].
var (
	ErrCancelled = errors.New("task was cancelled")
	ErrTimeout   = errors.New("attempt timed out")
	ErrDraining  = errors.New("worker is draining")
	ErrLeaseLost = errors.New("worker lost its lease")
)

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks a failure that another attempt can't fix: it is never retried.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent reports whether err or anything it wraps was made by [Permanent] or [Invalid].
func IsPermanent(err error) bool {
	_, ok := errors.AsType[permanentError](err)
	return ok
}

type retryAfterError struct {
	error
	after time.Duration
}

func (e retryAfterError) Unwrap() error { return e.error }

// RetryAfter marks a failure after which another attempt makes no sense before d has passed, such as a service that says so.
// If the task's policy has an attempt left, it begins at least d later, an hour at most. A d of 0 or less says nothing.
func RetryAfter(err error, d time.Duration) error {
	if err == nil || d <= 0 {
		return err
	}
	return retryAfterError{err, d}
}

// RetryAfterOf is what [RetryAfter] said of err, or of anything it wraps; 0: nothing.
func RetryAfterOf(err error) time.Duration {
	marked, _ := errors.AsType[retryAfterError](err)
	return marked.after
}

type kindError struct {
	error
	kind string
}

func (e kindError) Unwrap() error { return e.error }

// WithKind says by a word of the executor's documentation what kind of error it is, such as connect or http_5xx: a task's retry_on and no_retry_on
// may name it. 1 to 64 letters, digits, _, - and dots.
func WithKind(err error, kind string) error {
	if err == nil || kind == "" {
		return err
	}
	return kindError{err, kind}
}

// KindOf is what [WithKind] said last of err, or of anything it wraps; empty: nothing.
func KindOf(err error) string {
	marked, _ := errors.AsType[kindError](err)
	return marked.kind
}

type detailedError struct {
	error
	detail string
}

func (e detailedError) Unwrap() error { return e.error }

// WithDetail adds to an error what people need to find its cause, such as the stack of an exception. It is shown where they ask for it, and
// not in the error's text. It must hold no secrets.
func WithDetail(err error, detail string) error {
	if err == nil || detail == "" {
		return err
	}
	return detailedError{err, detail}
}

// DetailOf is what [WithDetail] added to err, or to anything it wraps.
func DetailOf(err error) string {
	detailed, _ := errors.AsType[detailedError](err)
	return detailed.detail
}

// Invalid is a permanent failure for missing or bad input or configuration. Its text begins with the executor's id in
// brackets.
func Invalid(executor, reason string) error {
	return Permanent(errors.New("[" + executor + "] " + reason))
}
