package faults

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestKilledBelowALock kills the process at work between every two durable steps of trees with a lock around several tasks: when it is taken, when it is held on for
// the parent, between the end of the last step and that of the parent, and when it goes back. Two trees that ask for one key never run below it at once, both end, and nothing is
// held then.
func TestKilledBelowALock(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	conn, err := pgx.Connect(t.Context(), s.base.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	defer s.watchHolds()()
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, of := range []struct {
		point string
		hits  int
	}{{"coordinator.after-grant-commit", 2}, {"coordinator.before-settle-commit", 5}, {"coordinator.after-settle-commit", 5}, {"coordinator.after-followup-commit", 1}} {
		point := of.point
		for skip := range of.hits {
			key := fmt.Sprintf("span%d-%d", n, skip)
			victim := s.start(CoordinatorRole, fmt.Sprintf("%s=kill@%d", point, skip+1))
			if err := spare.Stop(); err != nil {
				t.Error(err)
			}
			roots := []string{key + "-a", key + "-b"}
			for _, root := range roots {
				id := func(of string) string { return root + "-" + of }
				tasks := []*dag.Task{
					{ID: root, Executor: "noop_executor", Dependencies: []dag.Dependency{{Ref: id("job")}}},
					{ID: id("job"), ParentRef: root, Fold: true, Dependencies: []dag.Dependency{{Ref: id("take")}, {Ref: id("one")}, {Ref: id("two")}}},
					{ID: id("take"), ParentRef: id("job"), Executor: "noop_executor", Limiting: &dag.Limiting{Lock: &dag.Lock{Key: key, Hold: dag.HoldParent}}},
					{ID: id("one"), ParentRef: id("job"), Executor: "noop_executor", Dependencies: []dag.Dependency{{Ref: id("take")}}},
					{ID: id("two"), ParentRef: id("job"), Executor: "noop_executor", Dependencies: []dag.Dependency{{Ref: id("take")}, {Ref: id("one")}}},
				}
				for _, task := range tasks {
					task.Name, task.Pool, task.Priority = task.ID, Pools[0], dag.Normal
					if task.Fold {
						task.Pool = ""
					}
				}
				if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
					t.Fatal(err)
				}
			}
			s.dies(victim)
			spare = s.start(CoordinatorRole, "")
			var first, second [2]*coordinator.Task // of each tree: the first and the last below the lock
			for i, root := range roots {
				eventually(t, root+" ends", func() error { return settled(t.Context(), s.front, root) })
				for of, at := range map[string]**coordinator.Task{"take": &first[i], "two": &second[i]} {
					got, err := s.front.Task(t.Context(), root+"-"+of)
					if err != nil || got.State != dag.Completed {
						t.Fatalf("%s %d: %s of %s: %+v, %v", point, skip, of, root, got, err)
					}
					*at = got
				}
			}
			if first[0].StartedAt.Before(second[1].CompletedAt) && first[1].StartedAt.Before(second[0].CompletedAt) {
				t.Errorf("%s %d: both trees were below the lock at once: %s to %s, %s to %s", point, skip, first[0].StartedAt, second[0].CompletedAt, first[1].StartedAt, second[1].CompletedAt)
			}
			var held int
			if err := conn.QueryRow(t.Context(), "select count(*) from hold").Scan(&held); err != nil || held > 0 {
				t.Errorf("%s %d: %d locks are held after the end, %v", point, skip, held, err)
			}
		}
	}
	s.check()
}
