package coordinator_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// generator is the only task of a service, with what it was submitted with.
func generator(t *testing.T, svc *apitest.Service) *coordinator.Task {
	t.Helper()
	page, err := svc.Tasks(context.WithoutCancel(t.Context()), coordinator.TaskFilter{AsSubmitted: true})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("there are %d tasks, %v", len(page.Items), err)
	}
	return page.Items[0]
}

// TestNoGenerationGoesOnForNobody: a task that nobody waits for any more costs nothing more.
func TestNoGenerationGoesOnForNobody(t *testing.T) {
	for name, row := range map[string]struct {
		fault error         // of each watch
		after time.Duration // the client goes; 0: it stays
		want  error
	}{
		"the client has gone":                  {after: time.Second, want: context.Canceled},
		"the client goes while nobody answers": {fault: coordinator.ErrUnavailable, after: 2500 * time.Millisecond, want: context.Canceled},
		"the events can't be had":              {fault: coordinator.ErrUnavailable, want: coordinator.ErrUnavailable},
		"it takes too long":                    {want: coordinator.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := apitest.New()
				for range 10 {
					if row.fault != nil {
						svc.FailNext("Watch", row.fault)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if row.after > 0 {
					time.AfterFunc(row.after, cancel)
				}
				if _, err := coordinator.Generate(ctx, svc, coordinator.GenerateOptions{Requirement: "x"}); !errors.Is(err, row.want) {
					t.Errorf("got %v, want %v", err, row.want)
				}
				if task := generator(t, svc); task.State != dag.Cancelled {
					t.Errorf("it goes on: %v", task.State)
				}
			})
		})
	}
}

// TestAGenerationHasADeadline also while it waits for a worker, and if the coordinator that waits for it is killed.
func TestAGenerationHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := apitest.New()
		_, _ = coordinator.Generate(t.Context(), svc, coordinator.GenerateOptions{Requirement: "x", Timeout: time.Minute})
		if task := generator(t, svc); task.Options.TreeTimeout < time.Minute || task.Options.TreeTimeout > 2*time.Minute {
			t.Errorf("the tree ends after %v", task.Options.TreeTimeout)
		}
	})
}

func TestBadTemperaturesAreRefusedAtOnce(t *testing.T) {
	for _, temperature := range []float64{-0.1, 2.1, math.NaN(), math.Inf(1)} {
		_, err := coordinator.Generate(t.Context(), apitest.New(), coordinator.GenerateOptions{Requirement: "x", Temperature: &temperature, Timeout: time.Millisecond})
		if bad, ok := errors.AsType[*coordinator.InvalidArgumentError](err); !ok || bad.Field != "temperature" {
			t.Errorf("%v: got %v", temperature, err)
		}
	}
}
