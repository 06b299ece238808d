package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/taskgrove/taskgrove/tests/mutation"
)

// step is something durable that a task pays for, and how to leave it out.
type step struct {
	name     string
	postgres map[string]string // settings
	natsDir  string            // where NATS keeps its files
	edit     *mutation.Mutant  // of the coordinator
}

// steps are left out in turn, to show what each costs. What is left then is no system to use.
var steps = []step{
	{name: "waiting for Postgres's disk", postgres: map[string]string{"synchronous_commit": "off"}},
	{name: "NATS's files (they are in memory)", natsDir: "/dev/shm"},
	{name: "rows of attempts", edit: &mutation.Mutant{Name: "without-attempts", File: "pg/sql/transition.sql",
		Old: "result::json, sealed from w where state = :completed\n", // of plain completions, as those of a flat tree are
		New: "result::json, sealed from w where state = :completed and key = 0\n"}},
	{name: "events", edit: &mutation.Mutant{Name: "without-events", File: "pg/sql/transition.sql",
		Old: "body end from t where events > 0 or final", New: "body end from t where final"}},
}

// withoutSteps measures the flat tree as it is, and with each step left out.
func withoutSteps(ctx context.Context, o options) (figures []measured, err error) {
	for _, s := range append([]step{{name: "nothing"}}, steps...) {
		rate, err := s.flatRate(ctx, o)
		if err != nil {
			return figures, fmt.Errorf("without %s: %w", s.name, err)
		}
		figures = append(figures, measured{figure{"flat without " + s.name, "tasks/s", rate}, o.concurrency, 1})
	}
	return figures, nil
}

// flatRate is the rate of the flat tree without this step.
func (s step) flatRate(ctx context.Context, o options) (float64, error) {
	o.without = s
	if s.edit != nil {
		dir, err := os.MkdirTemp("", "bench-step-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		overlay, err := s.edit.Overlay(".", dir)
		if err != nil {
			return 0, err
		}
		o.coordinator = filepath.Join(dir, "bench")
		if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", o.coordinator, "./tests/bench").CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%w: %s", err, out)
		}
	}
	return flatRate(ctx, o)
}
