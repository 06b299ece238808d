package coordinator

import (
	"errors"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
)

// Errors of the service, one closed list; each surface maps them in one function. Faults in a submitted tree are
// *dag.InvalidTreeError and *dag.InvalidTaskError. Anything else is internal: clients get "internal" and an id, the log
// gets the whole.
var (
	// ErrNotFound: no such task or tree.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the state does not allow it. What does not allow it is an error of a type of its own.
	ErrConflict = errors.New("conflict")
	// ErrDenied: the caller may not do this. A *[DeniedError].
	ErrDenied = errors.New("permission denied")
	// ErrUnauthenticated: the caller has not said who it is, and must.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrUnavailable: Postgres or NATS can't be reached or can't work now, or too much is going on; try again.
	ErrUnavailable = errors.New("unavailable")
)

// InvalidArgumentError reports a parameter that can't be accepted. Its text is safe to show.
type InvalidArgumentError struct {
	Field  string // "limit", "cursor"
	Reason string // lower case, no full stop
}

// Error names field and reason.
func (e *InvalidArgumentError) Error() string { return e.Field + ": " + e.Reason }

// StillStoppingError reports that a tree can't be run again yet: a task of it was cancelled, and its worker has not said
// that it stopped. It is an [ErrConflict] that passes by itself. Its text is safe to show.
type StillStoppingError struct {
	TreeID string
}

// Error asks to try again.
func (e *StillStoppingError) Error() string {
	return "conflict: a cancelled task of the tree has not stopped yet, try again"
}

// Unwrap makes it an [ErrConflict].
func (e *StillStoppingError) Unwrap() error { return ErrConflict }

// internal puts a store's error into the service's words. What was not foreseen stays as it is: the API logs it and
// hides it.
func (c *Coordinator) internal(what string, err error) error {
	if errors.Is(err, pg.ErrNotFound) || errors.Is(err, ErrNotFound) {
		return ErrNotFound
	}
	if errors.Is(err, pg.ErrSealedFilter) {
		return &InvalidArgumentError{Field: "custom", Reason: err.Error()}
	}
	if errors.Is(err, pg.ErrSealedErrors) {
		return &InvalidArgumentError{Field: "error", Reason: err.Error()}
	}
	if sealed.IsAway(err) {
		c.log.Warn("values could not be sealed or opened", "what", what, "error", err)
		return fmt.Errorf("%w: %w", ErrUnavailable, sealed.ErrAway)
	}
	if why, yes := pg.Unavailable(err); yes {
		c.log.Warn("Postgres could not do what was asked", "what", what, "error", err)
		return fmt.Errorf("%w: %s", ErrUnavailable, why)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// UniqueError refuses a tree as another one, of the same user, has the key that it asks for ([dag.Unique]).
type UniqueError struct {
	Key    string    // empty: that of the tree that would be returned
	TreeID string    // that has it
	Until  time.Time // zero: until that tree has ended
}

// Error names the tree that is there.
func (e *UniqueError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("conflict: tree %s has the key: nothing was stored", e.TreeID)
	}
	until := "until it has ended"
	if !e.Until.IsZero() {
		until = "until " + e.Until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("conflict: tree %s has the key %q, %s: nothing was stored", e.TreeID, e.Key, until)
}

// Unwrap makes it an [ErrConflict].
func (e *UniqueError) Unwrap() error { return ErrConflict }

// QuotaError refuses what would go over a quota of the namespace. Its text is safe to show.
type QuotaError struct {
	Namespace string // or the user, of what waits
	Quota     string // "open_trees", "trees", "tasks", "bytes"; "waiting": a limit of what waits of a user
	Most      int64  // the quota
	Has       int64  // what there would be
}

// Error names the quota.
func (e *QuotaError) Error() string {
	if e.Quota == "waiting" {
		return fmt.Sprintf("of user %s at most %d tasks may wait, and this would make %d: try again when some have started", e.Namespace, e.Most, e.Has)
	}
	return fmt.Sprintf("namespace %s is at its quota of %s: %d at most, and this would make %d", e.Namespace, e.Quota, e.Most, e.Has)
}

// quotaError is the store's refusal in the service's words; any other error stays as it is.
func quotaError(err error) error {
	if q, ok := errors.AsType[*pg.QuotaError](err); ok {
		return (*QuotaError)(q)
	}
	return err
}
