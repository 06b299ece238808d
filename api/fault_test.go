package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	live := t.Context()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		err    error
		kind   api.Kind
		logged bool
	}{
		{"bad tree", live, &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Reason: "x"}}}, api.Invalid, false},
		{"bad task", live, fmt.Errorf("read: %w", &dag.InvalidTaskError{Reason: "x"}), api.Invalid, false},
		{"bad parameter", live, &coordinator.InvalidArgumentError{Field: "limit", Reason: "x"}, api.Invalid, false},
		{"unknown", live, fmt.Errorf("task: %w", coordinator.ErrNotFound), api.NotFound, false},
		{"a process is below the level", live, fmt.Errorf("submit: %w", &dag.LevelError{Needed: "level 2"}), api.Conflict, false},
		{"conflict", live, coordinator.ErrConflict, api.Conflict, false},
		{"store is away", live, fmt.Errorf("dial: %w", coordinator.ErrUnavailable), api.Unavailable, true},
		{"too much", live, api.ErrOverload, api.Exhausted, false},
		{"client is slow", live, api.ErrStalled, api.Timeout, false},
		{"client went away", ended(context.Canceled), fmt.Errorf("query: %w", context.Canceled), api.Cancelled, false},
		{"client went away from a watch", ended(context.Canceled), errors.Join(coordinator.ErrUnavailable, context.Canceled), api.Cancelled, false},
		{"server stops", ended(api.ErrShutdown), fmt.Errorf("query: %w", context.Canceled), api.Unavailable, false},
		{"request took too long", ended(context.DeadlineExceeded), fmt.Errorf("query: %w", context.DeadlineExceeded), api.Timeout, false},
		{"a part took too long", live, fmt.Errorf("query: %w", context.DeadlineExceeded), api.Timeout, true},
		{"cancelled by nobody", live, context.Canceled, api.Internal, true},
		{"anything else", live, errors.New("pgx says no"), api.Internal, true},
		{"classed before", live, &api.Fault{Kind: api.Conflict, Text: "x"}, api.Conflict, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			got := api.Classify(tt.ctx, slog.New(slog.NewTextHandler(&log, nil)), "test", tt.err)
			if got.Kind != tt.kind || (log.Len() > 0) != tt.logged {
				t.Errorf("got %+v with log %q, want kind %d and logged %t", got, &log, tt.kind, tt.logged)
			}
			if got.Kind == api.Internal && (got.ID == "" || strings.Contains(got.Text, tt.err.Error()) || !strings.Contains(log.String(), got.ID)) {
				t.Errorf("got %+v with log %q, want an id in both and no text of the error", got, &log)
			}
		})
	}
}
