package worker

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/executors/sleep"
)

// TestOverrideLetsTheLastOneCount, and the worker closes the others, too.
func TestOverrideLetsTheLastOneCount(t *testing.T) {
	first, second := &closing{Executor: noop.New()}, &closing{Executor: noop.New()}
	cfg := Config{ID: "w", Executors: []executors.Executor{first, sleep.New(), second}, Override: []string{"noop_executor"}}
	given := slices.Clone(cfg.Executors)
	cfg.setDefaults()
	cfg.setDefaults() // as a worker that is dialled does
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Executors) != 2 || cfg.Executors[0] != executors.Executor(second) || len(cfg.Pools) != 2 {
		t.Errorf("the worker has %v in the pools %v", cfg.Executors, cfg.Pools)
	}
	if got := newKinds(cfg.Executors, nil)["noop_executor"].executor; got != executors.Executor(second) {
		t.Errorf("%v runs the tasks, want the last one", got)
	}
	if err := closeExecutors(slices.Concat(cfg.Executors, cfg.replaced)); err != nil || first.closed != 1 || second.closed != 1 {
		t.Errorf("closed %d and %d times, %v", first.closed, second.closed, err)
	}
	other := Config{ID: "w", Executors: given, Override: []string{"sleep_executor"}}
	other.setDefaults()
	if other.validate() == nil {
		t.Error("an override of another id is taken")
	}
}
