package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/mapper"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// loadBeyond submits random trees that say more than the protocol, and has users send them what they wait for until ended is called.
func (s *site) loadBeyond(seed uint64, trees, tasks int) (ended func()) {
	s.t.Helper()
	users := make(chan error, trees)
	for n := range trees {
		rng := rand.New(rand.NewPCG(seed+uint64(n), 8))
		tree := oracle.Random(rng, oracle.Shape{Prefix: fmt.Sprintf("b%d", len(s.trees)), Tasks: tasks, Fails: 0.15, Optional: 0.4, Group: 0.1, Beyond: 1})
		for i := range tree.Tasks { // lost attempts count for the condition, and not for this
			if r := tree.Tasks[i].Script.Repeat; r != nil {
				r.Max = 100
			}
		}
		s.submit(tree)
		go func() { users <- Users(s.t.Context(), rng, tree, near{s.front}) }()
	}
	return func() {
		s.t.Helper()
		for range trees {
			if err := <-users; err != nil {
				s.t.Error(err)
			}
		}
	}
}

// TestKilledWithAllOfIt kills the only coordinator on the line after each durable step that trees have which say more than the protocol, under a load of such
// trees, and workers while they run them; what comes of the trees is held against the oracle.
func TestKilledWithAllOfIt(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	spare, worker := s.start(CoordinatorRole, ""), s.start(WorkerRole, "")
	for n, point := range rounds(seed, []string{"coordinator.after-expand-commit=kill@2", "coordinator.after-grow-commit=kill@3", "coordinator.after-collect-commit=kill@2",
		"coordinator.after-conditions-commit=kill@2", "coordinator.after-followup-commit=kill@6", "coordinator.after-timer-commit=kill@3", "coordinator.before-settle-commit=kill@6",
		"worker.mid-task=kill@9", "worker.after-result=kill@9"}) {
		role, other := CoordinatorRole, &spare
		if point[0] == 'w' {
			role, other = WorkerRole, &worker
		}
		victim := s.start(role, point)
		if err := (*other).Stop(); err != nil {
			t.Error(err)
		}
		var ended []func()
		for dead := false; !dead && len(ended) < 8; { // not every tree comes by every point
			ended = append(ended, s.loadBeyond(seed+uint64(n)*100+uint64(len(ended))*10, 3, 60))
			select {
			case <-victim.Ended():
				dead = true
			case <-time.After(10 * time.Second):
			}
		}
		s.dies(victim)
		*other = s.start(role, "")
		s.settle()
		for _, all := range ended {
			all()
		}
	}
	s.check()
}

// TestKilledWhileAWindowMoves kills coordinators between every two durable steps of maps with a window: no more items run at a time than it says, and one that
// stops at a failure makes no further ones. Each item runs once.
func TestKilledWhileAWindowMoves(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range rounds(seedOf(t), []string{"coordinator.after-expand-commit=kill", "coordinator.after-grow-commit=kill@4", "coordinator.before-settle-commit=kill@4", "coordinator.after-settle-commit=kill@5",
		"coordinator.after-collect-commit=kill"}) {
		tree := oracle.Tree{Tasks: []oracle.Task{{ID: fmt.Sprintf("window%d", n), Parent: -1, Group: true, MaxAttempts: 1}}}
		for k, m := range []oracle.Map{{Window: 2}, {Window: 1, Stop: true}} {
			finder := len(tree.Tasks)
			tree.Tasks = append(tree.Tasks, oracle.Task{ID: fmt.Sprintf("window%d-%d", n, k), MaxAttempts: 1, Script: oracle.Script{Collect: oracle.CollectList, Map: &m}})
			for i := range 12 {
				item := oracle.Task{ID: fmt.Sprintf("window%d-%d-%d", n, k, i), Parent: finder, By: finder + 1, Local: fmt.Sprint(i), MaxAttempts: 1, Script: oracle.Script{Add: i, Millis: 20}}
				if m.Stop && i == 6 {
					item.Script.Fail = -1
				}
				tree.Tasks = append(tree.Tasks, item)
			}
		}
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		s.submit(tree)
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		s.settle()
	}
	s.check()
}

// TestKilledWhileCancellingBelow kills the coordinator that cancels what a cancelled task found, after some of it is cancelled, and after all is. Another one goes
// on from there: in the end none is left, and none starts that had not.
func TestKilledWhileCancellingBelow(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	const items = 3000 // more than are cancelled at once
	list := make([]int, items)
	for n, point := range []string{"coordinator.after-cancel-below-commit=kill", "coordinator.after-cancel-below-commit=kill@2"} {
		root := fmt.Sprintf("below%d", n)
		inputs, _ := json.Marshal(map[string]any{"items": list, "task": map[string]any{"pool": "nobody", "schemas": map[string]any{"method": "noop_executor"}}})
		task := &dag.Task{ID: root, Name: root, Executor: mapper.ID, Pool: Pools[0], Priority: dag.Normal, Inputs: inputs}
		beside := commandTask(root+".beside", root, "echo beside")
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task, beside})); err != nil {
			t.Fatal(err)
		}
		eventually(t, root+" has found its tasks", func() error {
			tree, err := s.front.Tree(t.Context(), root)
			if err == nil && tree.Tasks < items+2 {
				err = fmt.Errorf("%d tasks are there", tree.Tasks)
			}
			return err
		})
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		no := false
		if _, err := s.front.Cancel(t.Context(), root, coordinator.CancelOptions{Cascade: &no}); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" has ended", func() error { return settled(t.Context(), s.front, root) })
		tree, err := s.front.Tree(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Cancelled != items+1 || tree.Completed != 1 {
			t.Errorf("%s: %d tasks were cancelled and %d completed, want %d and 1", point, tree.Cancelled, tree.Completed, items+1)
		}
	}
	s.check()
}

// TestKilledWhileImporting kills the coordinator that was sent a tree of which some tasks have ended, after it has stored that. Who submits it again gets the
// same tree; what had ended never runs, and what depends on it goes on from its result.
func TestKilledWhileImporting(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "") // which is ready when a coordinator is there
	for n, point := range []string{"coordinator.after-submit-commit=kill", "coordinator.before-publish=kill"} {
		id := func(name string) string { return fmt.Sprintf("import%d-%s", n, name) }
		tree := oracle.Tree{Tasks: []oracle.Task{
			{ID: id("root"), Parent: -1, Group: true, MaxAttempts: 1, Deps: []oracle.Dep{{On: 4, Optional: true}, {On: 5, Optional: true}, {On: 6, Optional: true}}},
			{ID: id("done"), MaxAttempts: 1, Imported: &oracle.End{State: dag.Completed, Attempts: 1, Result: map[string]any{"sum": float64(40), "keys": []any{}}}},
			{ID: id("bad"), MaxAttempts: 1, Imported: &oracle.End{State: dag.Failed, Attempts: 1}},
			{ID: id("none"), MaxAttempts: 1, Imported: &oracle.End{State: dag.Cancelled}},
			{ID: id("after"), MaxAttempts: 1, Script: oracle.Script{Add: 2, Millis: 200}, Deps: []oracle.Dep{{On: 1}}},
			{ID: id("handler"), MaxAttempts: 1, Script: oracle.Script{Add: 3, Millis: 200}, Deps: []oracle.Dep{{On: 2, Accept: []string{oracle.HasFailed}}}},
			{ID: id("blocked"), MaxAttempts: 1, Script: oracle.Script{Add: 4}, Deps: []oracle.Dep{{On: 3}}},
		}}
		tasks := TasksOf(tree, time.Now())
		victim, c := s.served(point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		var sent []client.NewTask
		for _, task := range tasks {
			sent = append(sent, asClient(task))
		}
		if got, err := c.Submit(t.Context(), sent, client.WithIdempotencyKey(id("root"))); err == nil && n == 0 {
			t.Errorf("%s: answered %+v", point, got)
		}
		s.dies(victim)
		again, other := s.served("")
		got, err := other.Submit(t.Context(), sent, client.WithIdempotencyKey(id("root")))
		if err != nil || !got.Replayed {
			t.Errorf("%s: submitted again: %+v, %v", point, got, err)
		}
		s.trees = append(s.trees, tree)
		s.settle()
		spare = again
	}
	s.check()
}

// asClient is a scripted task of an import as clients send it.
func asClient(t *dag.Task) client.NewTask {
	n := client.NewTask{ID: t.ID, Name: t.Name, Parent: t.ParentRef, Pool: t.Pool}
	if t.Executor != "" {
		n.Inputs, n.Schemas = t.Inputs, map[string]any{"method": t.Executor}
	}
	for _, d := range t.Dependencies {
		n.Dependencies = append(n.Dependencies, client.Dependency{Ref: d.Ref, Optional: d.Optional, Accept: d.Mode.Accept()})
	}
	if i := t.Imported; i != nil {
		n.Imported = &client.Imported{Outcome: i.State.Outcome(), Attempts: int(i.Attempts)}
		if i.Result != nil {
			n.Imported.Result = i.Result
		}
	}
	return n
}
