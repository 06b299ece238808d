package node

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/internal/config"
)

// described is an executor that only says what it is.
type described executors.Description

func (d described) Describe() executors.Description { return executors.Description(d) }

func (described) Run(context.Context, *executors.Call) (*executors.Outcome, error) { return nil, nil }

// TestACoordinatorKnowsWhatExecutorsSay: nobody has to pass it on.
func TestACoordinatorKnowsWhatExecutorsSay(t *testing.T) {
	opts := Options{Executors: []executors.Executor{described{ID: "own_executor", Type: "own", Repeatable: true}, described{ID: "other_executor", Type: "own"}}}
	cfg := partsOfCoordinator(config.Defaults[*config.Coordinator](), opts, slog.New(slog.DiscardHandler)).coordinator
	for id, want := range map[string]bool{noop.ID: false, noop.RepeatableID: true, "own_executor": true, "other_executor": false} {
		if got := slices.Contains(cfg.Repeatable, id); got != want {
			t.Errorf("%s: repeatable is %t, want %t", id, got, want)
		}
		if !cfg.Known.Has(id) {
			t.Errorf("%s is not known", id)
		}
	}
}
