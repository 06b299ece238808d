// Package readiness has the words by which a process says why it can't do its work.
//
// It owns what of that may be shown to anybody who asks for readiness. It must not know what the process does.
package readiness

import "errors"

// Fault is why a process is not ready.
type Fault struct {
	Reason string // a plain line without names of hosts, which anybody may see: "waits for Postgres"
	Err    error  // all that is known, for the log; nil: Reason is all
}

// Error is all that is known.
func (f *Fault) Error() string {
	if f.Err == nil {
		return f.Reason
	}
	return f.Err.Error()
}

// Unwrap returns Err.
func (f *Fault) Unwrap() error { return f.Err }

// Reason is what of an error anybody may see; empty: nothing.
func Reason(err error) string {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Reason
	}
	return ""
}
