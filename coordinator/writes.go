package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/internal/readiness"
	"github.com/taskgrove/taskgrove/pg"
)

// How long an answer of a write check counts, whoever asks; a bad one not for long, so that the end of the trouble shows soon.
const (
	writesFor    = 5 * time.Second
	failsFor     = time.Second
	writeTimeout = 2 * time.Second // as long as GET /ready waits
)

// writeCheck finds out whether Postgres takes writes, at most every few seconds. Safe for concurrent use.
type writeCheck struct {
	try func(context.Context) error // writes, and undoes it

	turn chan struct{} // held by who reads or writes the rest
	at   time.Time     // of the last answer
	last error
}

func newWriteCheck(try func(context.Context) error) *writeCheck {
	return &writeCheck{try: try, turn: make(chan struct{}, 1)}
}

// ready is nil when Postgres takes writes. Those who ask while it is tried wait for that answer, or until ctx ends.
func (w *writeCheck) ready(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return unready("Postgres takes long for a write")
	}
	counts := writesFor
	if w.last != nil {
		counts = failsFor
	}
	if !w.at.IsZero() && time.Since(w.at) < counts {
		return w.last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout) // the answer is others', too
	defer cancel()
	w.last, w.at = unwritable(w.try(ctx)), time.Now()
	return w.last
}

// unwritable puts a failed write into words for whoever operates the cluster.
func unwritable(err error) error {
	if err == nil {
		return nil
	}
	why, yes := pg.Unavailable(err)
	if former, ok := errors.AsType[*pg.FormerError](err); ok { // it names hosts: for the log
		return &readiness.Fault{Reason: why, Err: fmt.Errorf("%w: %w", ErrUnavailable, former)}
	}
	if yes {
		return unready(why)
	}
	return &readiness.Fault{Reason: "Postgres takes no writes", Err: fmt.Errorf("%w: Postgres takes no writes: %w", ErrUnavailable, err)}
}
