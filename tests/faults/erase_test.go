package faults

import (
	"errors"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
)

// erasing are the steps of an erasure between which a coordinator may die, and one whose caller dies before it has its answer.
var erasing = []string{"coordinator.after-erasure-commit", "coordinator.after-erasure-cancel", "coordinator.before-tree-erased", "coordinator.after-tree-erased",
	"coordinator.after-trees-erased", "coordinator.after-messages-erased", "coordinator.after-contents-erased"}

// TestKilledWhileErasing kills the coordinator that erases what there is of a user between any two steps. Another one goes on: all of the user's trees are gone, each is counted
// once, what is held and what others have stays.
func TestKilledWhileErasing(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	ctx := t.Context()
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	submit := func(user string, tasks []*dag.Task) {
		t.Helper()
		if _, err := s.front.Submit(ctx, coordinator.SubmitOptions{UserID: user}, each(tasks)); err != nil {
			t.Fatal(err)
		}
	}
	submit("others", chain("others"))
	s.ends("others")
	for n, point := range erasing {
		user := fmt.Sprint("user", n)
		for _, name := range []string{"a", "b", "held"} {
			submit(user, chain(user+name))
			s.ends(user + name)
		}
		submit(user, []*dag.Task{{ID: user + "runs", Name: "runs", Executor: command.ID, Inputs: []byte(`{"command":"sleep 600"}`)}})
		eventually(t, "it runs", func() error {
			if s.count("select count(*) from task t join spec s on s.key = t.key where s.id = $1 and t.worker is not null", user+"runs") == 0 {
				return errors.New("it does not run")
			}
			return nil
		})
		if _, err := s.front.Hold(ctx, coordinator.HoldSpec{TreeID: user + "held", Reason: "case 7"}); err != nil {
			t.Fatal(err)
		}
		spec := coordinator.EraseSpec{UserID: user, Cancel: true}
		if point == "coordinator.after-erasure-commit" {
			s.operate(Operation{Erase: &spec}, point, spare)
		} else {
			if err := spare.Stop(); err != nil {
				t.Error(err)
			}
			victim := s.start(CoordinatorRole, point+"=kill")
			if _, err := s.front.Erase(ctx, spec); err != nil {
				t.Fatal(err)
			}
			s.dies(victim)
			spare = s.start(CoordinatorRole, "")
		}
		if _, err := s.front.Erase(ctx, spec); err != nil { // its caller does not know whether it was begun: it is that one, or, once that is done, another, which finds nothing
			t.Fatal(err)
		}
		eventually(t, "it is done", func() error {
			for _, e := range s.erasuresOf(user) {
				if e.FinishedAt.IsZero() {
					return fmt.Errorf("it is at %s", e.Step)
				}
			}
			return nil
		})
		var trees, tasks int64
		for _, e := range s.erasuresOf(user) {
			trees, tasks = trees+e.Counts["trees"], tasks+e.Counts["tasks"]
		}
		if trees != 3 || tasks != 2*chainTasks+1 {
			t.Errorf("%s: %d trees and %d tasks are counted", point, trees, tasks)
		}
		if left := s.count("select count(*) from tree where user_id = $1", user); left != 1 {
			t.Errorf("%s: %d trees are left, want the one that is held", point, left)
		}
		if _, err := s.front.Task(ctx, user+"held"); err != nil {
			t.Errorf("%s: what is held: %v", point, err)
		}
	}
	if _, err := s.front.Task(ctx, "others"); err != nil {
		t.Errorf("what others have: %v", err)
	}
	eventually(t, "nothing is left over", func() error { return CheckSettled(ctx, s.base.Postgres) })
	if err := CheckStore(ctx, s.front); err != nil {
		t.Error(err)
	}
}

// erasuresOf are the erasures of a user.
func (s *site) erasuresOf(user string) (list []*coordinator.ErasureInfo) {
	s.t.Helper()
	page, err := s.front.Erasures(s.t.Context(), coordinator.ErasureFilter{Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range page.Items {
		if e.UserID == user {
			list = append(list, e)
		}
	}
	return list
}

// TestKilledWhileHolding kills the process that holds or releases a tree once that is stored: it is so, and to ask again changes nothing.
func TestKilledWhileHolding(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	ctx := t.Context()
	spare := s.start(CoordinatorRole, "")
	if _, err := s.front.Submit(ctx, coordinator.SubmitOptions{Hold: true}, each(chain("kept"))); err != nil {
		t.Fatal(err)
	}
	spec := coordinator.HoldSpec{TreeID: "kept", Reason: "case 7"}
	s.operate(Operation{Hold: &spec}, "coordinator.after-hold-commit", spare)
	spec.Reason = "case 8"
	if h, err := s.front.Hold(ctx, spec); err != nil || h.Reason != "case 7" {
		t.Errorf("asked again: got %+v, %v", h, err)
	}
	if _, err := s.front.Delete(ctx, "kept", coordinator.DeleteOptions{Force: true}); !errors.Is(err, coordinator.ErrConflict) {
		t.Errorf("deleted: got %v", err)
	}
	s.operate(Operation{Release: "kept"}, "coordinator.after-release-commit", spare)
	if err := s.front.Release(ctx, "kept"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("released again: got %v", err)
	}
	if _, err := s.front.Delete(ctx, "kept", coordinator.DeleteOptions{Force: true}); err != nil {
		t.Errorf("deleted: %v", err)
	}
}
