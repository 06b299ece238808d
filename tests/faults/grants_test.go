package faults

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// limited submits a tree whose tasks ask for limits. The root waits for all of them.
func (s *site) limited(root string, tasks ...*dag.Task) {
	s.t.Helper()
	top := &dag.Task{ID: root, Name: root, Executor: "noop_executor", Pool: Pools[0], Priority: dag.Normal}
	all := []*dag.Task{top}
	for _, task := range tasks {
		task.Name, task.ParentRef, task.Priority = task.ID, root, dag.Normal
		if task.Executor == "" {
			task.Executor = "noop_executor"
		}
		top.Dependencies = append(top.Dependencies, dag.Dependency{Ref: task.ID, Optional: true})
		all = append(all, task)
	}
	if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{}, each(all)); err != nil {
		s.t.Fatal(err)
	}
}

// watchHolds looks, at each instant, whether more is held than may be, and whether tokens grow. The function that it gives tells.
func (s *site) watchHolds() (tell func()) {
	s.t.Helper()
	if err := WatchHolds(s.t.Context(), s.base.Postgres); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		s.t.Helper()
		looked, wrong, err := WatchedHolds(s.t.Context(), s.base.Postgres)
		if err != nil || looked == 0 {
			s.t.Errorf("%d holds were looked at, %v", looked, err)
		}
		for _, text := range wrong {
			s.t.Error(text)
		}
	}
}

// TestHoldsAreWatched: what is noted of holds that should not be is found, and what is given up is not.
func TestHoldsAreWatched(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	if err := WatchHolds(t.Context(), s.base.Postgres); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), s.base.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	do := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	hold := func(task int, kind dag.LimitKind, key string, cost int, most, token string) {
		t.Helper()
		do(fmt.Sprintf("insert into hold (task, ord, attempt, namespace, kind, key, cost, max, token, id) values (%d, 0, 1, 1, %d, '%s', %d, %s, %s, 1)", task, kind, key, cost, most, token))
	}
	hold(1, dag.KindLimit, "two", 1, "2", "null")
	hold(2, dag.KindLimit, "two", 1, "2", "null")
	hold(3, dag.KindLock, "one", 1, "1", "7")
	do("delete from hold where task = 3")
	hold(4, dag.KindLock, "one", 1, "1", "8")
	do("begin")
	hold(5, dag.KindLimit, "two", 1, "2", "null")
	do("rollback")
	do("insert into limit_rule (namespace, kind, key, max, pool, set_by, counted) values (0, 4, 'p', 1, 77, 'op', false)")
	hold(6, dag.KindPool, "77", 1, "null", "null")
	hold(7, dag.KindPool, "77", 1, "null", "null") // not counted yet
	if looked, wrong, err := WatchedHolds(t.Context(), s.base.Postgres); looked != 6 || len(wrong) > 0 || err != nil {
		t.Errorf("of what may be, %d are looked at, %q are wrong, %v", looked, wrong, err)
	}
	do("update limit_rule set counted = true where key = 'p'")
	hold(8, dag.KindPool, "77", 1, "null", "null")
	hold(9, dag.KindLimit, "two", 1, "2", "null")
	hold(10, dag.KindLock, "other", 1, "1", "8")
	hold(11, dag.KindLock, "one", 1, "1", "9")
	want := []string{"3 of 77 (kind 4) is held, and 1 may be", "3 of two (kind 1) is held, and 2 may be", "token 8 of other comes after 8", "2 of one (kind 2) is held, and 1 may be"}
	if looked, wrong, err := WatchedHolds(t.Context(), s.base.Postgres); looked != 10 || !slices.Equal(wrong, want) || err != nil {
		t.Errorf("of what may not be, %d are looked at, %q are wrong, %v", looked, wrong, err)
	}
	do("delete from hold; delete from limit_rule where key = 'p'")
}

// TestKilledWhileGranting kills the process at work between every two durable steps of limited tasks: when they wait, when they were granted what they ask for, when
// that was sent, when they were claimed, while they run, when they have ended and what they held is given back, when they end for want of a lock, when they were taken back from
// a lost worker or from a pool without workers. At no moment more is held than may be, all tasks end, and nothing is held then.
func TestKilledWhileGranting(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	conn, err := pgx.Connect(t.Context(), s.base.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	defer s.watchHolds()()
	spare := s.start(CoordinatorRole, "")
	worker := s.start(WorkerRole, "")
	two := &dag.Limiting{Limits: []dag.Limit{{Key: "two", Max: 2}}}
	both := &dag.Limiting{Limits: []dag.Limit{{Key: "two", Max: 2}}, Lock: &dag.Lock{Key: "one"}, Rates: []dag.Rate{{Key: "fast", Per: time.Second, Max: 100}}}
	for n, point := range []string{"coordinator.after-grant-commit", "coordinator.before-publish", "coordinator.after-publish", "coordinator.after-claim-commit",
		"coordinator.before-settle-commit", "coordinator.after-settle-commit", "coordinator.after-contend-commit", "coordinator.after-timer-commit",
		"worker.after-claim", "worker.mid-task", "worker.after-result"} {
		root := fmt.Sprintf("grants%d", n)
		id := func(what string) string { return root + "-" + what }
		var tasks []*dag.Task
		for i := range 4 {
			tasks = append(tasks, &dag.Task{ID: id(fmt.Sprint("two", i)), Pool: Pools[0], Limiting: two}, &dag.Task{ID: id(fmt.Sprint("both", i)), Pool: Pools[0], Limiting: both})
		}
		holder := &dag.Task{ID: id("holder"), Pool: Pools[0], Executor: "sleep_executor", Inputs: []byte(`{"seconds":0.5}`), Limiting: &dag.Limiting{Lock: &dag.Lock{Key: root}}}
		tasks = append(tasks, holder,
			&dag.Task{ID: id("fails"), Pool: Pools[0], Limiting: &dag.Limiting{Lock: &dag.Lock{Key: root, OnContention: dag.FailOnContention}}},
			&dag.Task{ID: id("late"), Pool: Pools[0], Limiting: &dag.Limiting{Lock: &dag.Lock{Key: root, WaitTimeout: time.Millisecond}}})
		var victim *Process
		if point[0] == 'w' {
			if err := worker.Stop(); err != nil {
				t.Error(err)
			}
			victim = s.start(WorkerRole, point+"=kill")
		} else {
			victim = s.start(CoordinatorRole, point+"=kill")
			if err := spare.Stop(); err != nil {
				t.Error(err)
			}
		}
		s.limited(root, tasks...)
		s.dies(victim)
		if point[0] == 'w' {
			worker = s.start(WorkerRole, "")
		} else {
			spare = s.start(CoordinatorRole, "")
		}
		eventually(t, root+" ends", func() error { return settled(t.Context(), s.front, root) })
		for _, task := range tasks {
			got, err := s.front.Task(t.Context(), task.ID)
			if err != nil {
				t.Fatal(err)
			}
			if want := task.Limiting.Lock == nil || task.Limiting.Lock.Key == "one" || task == holder; want && got.State != dag.Completed {
				t.Errorf("%s: %s is %s (%s)", point, task.ID, got.State, got.Error)
			}
		}
		var held, waiting int
		if err := conn.QueryRow(t.Context(), "select (select count(*) from hold), (select count(*) from waiter)").Scan(&held, &waiting); err != nil || held+waiting > 0 {
			t.Errorf("%s: %d places are held and %d waited for after the end, %v", point, held, waiting, err)
		}
	}
	s.check()
}
