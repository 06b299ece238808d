package executors

import "errors"

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

// Invalid is a permanent failure for missing or bad input or configuration. Its text begins with the executor's id in
// brackets.
func Invalid(executor, reason string) error {
	return Permanent(errors.New("[" + executor + "] " + reason))
}
