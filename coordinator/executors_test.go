package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// told is an executor that says what it is told to say.
type told struct{ d executors.Description }

func (e *told) Describe() executors.Description { return e.d }

func (e *told) Run(context.Context, *executors.Call) (*executors.Outcome, error) {
	return executors.Completed(nil), nil
}

// shown waits until the catalogue shows an executor as it should be.
func shown(c *cluster.Cluster, id string, as func(*coordinator.Executor) error) {
	c.T.Helper()
	c.Eventually("the catalogue shows "+id, func() error {
		e, err := c.Service().Executor(c.T.Context(), id)
		if err != nil {
			return err
		}
		return as(e)
	})
}

func workersOf(n int) func(*coordinator.Executor) error {
	return func(e *coordinator.Executor) error {
		if e.Workers != n {
			return fmt.Errorf("%d workers have it, want %d", e.Workers, n)
		}
		return nil
	}
}

// TestCatalogue has what comes with the program, and what workers describe, with who has it.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	schema := func(field string) json.RawMessage {
		return json.RawMessage(`{"type": "object", "properties": {"` + field + `": {"type": "string"}}}`)
	}
	custom := executors.Description{
		ID: "custom", Name: "Custom", Type: "go", Description: "Does as users please", Tags: []string{"a", "b"}, Inputs: schema("x"), Cancelable: true,
		Timeout: 90 * time.Second, Secrets: true, Connection: &executors.Connection{Types: []string{"t"}, Fields: []string{"x"}},
		Examples: []executors.Example{{Title: "One", Inputs: json.RawMessage(`{"x": "y"}`)}},
	}
	c := cluster.Start(t, cluster.Options{Workers: 1, Executors: func() []executors.Executor { return []executors.Executor{&told{custom}} }})
	shown(c, "custom", workersOf(1))
	got, err := c.Service().Executor(t.Context(), "custom")
	if err != nil {
		t.Fatal(err)
	}
	want := coordinator.Executor{
		ID: "custom", Name: "Custom", Type: "go", Description: "Does as users please", Tags: []string{"a", "b"}, Inputs: schema("x"), Cancelable: true,
		Timeout: 90 * time.Second, Secrets: true, Connection: &coordinator.ConnectionUse{Types: []string{"t"}, Fields: []string{"x"}},
		Examples: []coordinator.ExecutorExample{{Title: "One", Inputs: json.RawMessage(`{"x": "y"}`)}}, Workers: 1, Pools: []string{"custom"},
	}
	if got, want := fmt.Sprintf("%+v %+v", got, *got.Connection), fmt.Sprintf("%+v %+v", &want, *want.Connection); !strings.EqualFold(hideAddress(got), hideAddress(want)) {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	shown(c, "noop", func(e *coordinator.Executor) error { // _executor may be left out
		if e.ID != "noop_executor" || !e.BuiltIn || e.Workers != 1 || !slices.Equal(e.Pools, []string{"noop_executor"}) || len(e.Inputs) == 0 {
			return fmt.Errorf("got %+v", e)
		}
		return nil
	})
	// It is off on all workers, so none has it, and the catalogue knows it all the same.
	shown(c, "command_executor", func(e *coordinator.Executor) error {
		if !e.BuiltIn || e.Workers != 0 || len(e.Pools) != 0 || len(e.Inputs) == 0 {
			return fmt.Errorf("got %+v", e)
		}
		return nil
	})
	if _, err := c.Service().Executor(t.Context(), "nobody"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("got %v", err)
	}

	// Two newer workers describe it in another way.
	custom.Inputs = schema("y")
	second, third := c.AddWorkerOf(1, "custom"), c.AddWorkerOf(1, "gpu", "custom")
	shown(c, "custom", func(e *coordinator.Executor) error {
		if err := workersOf(3)(e); err != nil {
			return err
		}
		if string(e.Inputs) != string(schema("y")) || e.Differs != "1 of 3 live workers describe other inputs" || !slices.Equal(e.Pools, []string{"custom", "gpu"}) {
			return fmt.Errorf("got %+v", e)
		}
		return nil
	})
	if err := errors.Join(second.Stop(), third.Stop(), c.Workers[0].Stop()); err != nil {
		t.Fatal(err)
	}
	// Nobody has it, and it is shown as the last ones described it.
	shown(c, "custom", func(e *coordinator.Executor) error {
		if err := workersOf(0)(e); err != nil {
			return err
		}
		if len(e.Inputs) == 0 || e.Differs != "" {
			return fmt.Errorf("got %+v", e)
		}
		return nil
	})
}

// hideAddress takes pointers out of a text.
func hideAddress(text string) string {
	before, rest, _ := strings.Cut(text, "Connection:0x")
	_, after, _ := strings.Cut(rest, " ")
	return before + after
}

// TestCatalogueIsPaged: more executors than a page holds are all shown, each once, in order.
func TestCatalogueIsPaged(t *testing.T) {
	t.Parallel()
	const many = 450
	c := cluster.Start(t, cluster.Options{Pools: []string{"p"}, Executors: func() (all []executors.Executor) {
		for i := range many {
			all = append(all, &told{executors.Description{ID: fmt.Sprintf("x%04d", i), Name: "X", Type: "go", Description: strings.Repeat("d", 2000)}})
		}
		return all
	}})
	shown(c, fmt.Sprintf("x%04d", many-1), workersOf(1))
	c.Eventually("all are described", func() error {
		seen, last := 0, ""
		for cursor := ""; ; {
			page, err := c.Service().Executors(t.Context(), cursor)
			if err != nil {
				return err
			}
			for _, e := range page.Items {
				if e.ID <= last {
					t.Fatalf("%s comes after %s", e.ID, last)
				}
				last = e.ID
				if strings.HasPrefix(e.ID, "x") && e.Workers == 1 {
					seen++
				}
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if seen != many {
			return fmt.Errorf("%d are shown", seen)
		}
		return nil
	})
}
