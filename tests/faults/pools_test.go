package faults

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/node"
)

// TestKilledWhileAPoolGoes kills the coordinator that has just closed a pool, or begun to take it away in NATS. Another one brings it
// to its end, and a tree that names the pool finds it open, with its consumers.
func TestKilledWhileAPoolGoes(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	queue := s.front.(*node.Coordinator).Queue
	has := func() bool {
		t.Helper()
		pools, err := queue.Pools(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(pools, "fleeting")
	}
	submit := func(id string) {
		t.Helper()
		task := &dag.Task{ID: id, Name: id, Executor: ScriptedID, Pool: "fleeting"}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
	}
	for _, point := range []string{"coordinator.pools-closed=kill", "coordinator.pool-removed=kill"} {
		victim := s.start(CoordinatorRole, point)
		submit(point)
		eventually(t, "the pool has consumers", func() error {
			if !has() {
				return errors.New("it has none")
			}
			return nil
		})
		if _, err := s.front.Cancel(t.Context(), point, coordinator.CancelOptions{}); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		next := s.start(CoordinatorRole, "")
		eventually(t, "its consumers are gone", func() error {
			if has() {
				return errors.New("it has consumers")
			}
			return nil
		})
		submit(point + "-again")
		eventually(t, "it has consumers again, and its task waits in NATS", func() error {
			pools, err := s.front.Pools(t.Context())
			if err == nil && (!has() || !slices.ContainsFunc(pools, func(p coordinator.Pool) bool { return p.Name == "fleeting" && p.Queued == 1 })) {
				err = fmt.Errorf("%+v", pools)
			}
			return err
		})
		if err := CheckStore(t.Context(), s.front); err != nil {
			t.Error(err)
		}
		if _, err := s.front.Cancel(t.Context(), point+"-again", coordinator.CancelOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := next.Stop(); err != nil {
			t.Error(err)
		}
	}
}
