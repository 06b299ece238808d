package faults

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

// accepting is a dependency on the task that accepts the outcomes.
func accepting(on string, skips bool, words ...string) dag.Dependency {
	mode, ok := dag.EdgeOf(words, "", false, skips)
	if !ok {
		panic("no such outcomes")
	}
	return dag.Dependency{Ref: on, Mode: mode}
}

// TestKilledWhileJudging kills a coordinator after an end is settled whose dependents are judged, after these were told, and after the next ones were
// judged. Another one goes on from there: each task ends once, as the rules say.
func TestKilledWhileJudging(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range rounds(seedOf(t), []string{"coordinator.before-settle-commit=kill", "coordinator.after-settle-commit=kill", "coordinator.after-followup-commit=kill", "coordinator.after-followup-commit=kill@2",
		"coordinator.after-followup-commit=kill@3", "coordinator.after-followup-commit=kill@4"}) {
		root := fmt.Sprintf("judged%d", n)
		name := func(s string) string { return root + "." + s }
		bad := commandTask(name("bad"), root, "exit 3")
		bad.Schemas = []byte(`{"method":"` + command.ID + `"}`)
		bad.Inputs = []byte(`{"command":"exit 3","fail_on_error":true}`)
		task := func(id string, deps ...dag.Dependency) *dag.Task {
			t := commandTask(name(id), root, "echo "+id)
			t.Dependencies = deps
			return t
		}
		group := func(id string, fold bool, deps ...dag.Dependency) *dag.Task {
			return &dag.Task{ID: name(id), Name: id, ParentRef: root, Priority: dag.Normal, Fold: fold, Dependencies: deps}
		}
		tasks := []*dag.Task{commandTask(root, "", "echo root"), bad, task("good"),
			task("handler", accepting(name("bad"), false, "failed")),
			task("finally", accepting(name("bad"), false, "any"), dag.Dependency{Ref: name("good")}),
			task("behind", dag.Dependency{Ref: name("bad")}),
			task("unneeded", accepting(name("good"), false, "failed")),
			task("after", dag.Dependency{Ref: name("unneeded")}),
			group("stage", true, dag.Dependency{Ref: name("good")}, dag.Dependency{Ref: name("behind")}, dag.Dependency{Ref: name("bad")}),
			group("quiet", true, dag.Dependency{Ref: name("good")}, accepting(name("unneeded"), true)),
			task("last", accepting(name("stage"), false, "failed"), accepting(name("quiet"), false, "skipped")),
		}
		// One transaction judges a few steps of a chain at most, so a long one takes the hits that the points want.
		ends := map[string]string{"bad": "failed", "good": "success", "handler": "success", "finally": "success", "behind": "blocked", "unneeded": "skipped dependency_success",
			"after": "success", "stage": "failed", "quiet": "skipped dependency_success", "last": "success"}
		for last, n := "behind", 1; n <= 12; n++ {
			next := fmt.Sprintf("behind%d", n)
			tasks, ends[next] = append(tasks, task(next, dag.Dependency{Ref: name(last)})), "blocked"
			last = next
		}
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" has ended", func() error {
			tree, err := s.front.Tree(t.Context(), root)
			if err == nil && tree.Unfinished > 0 {
				err = fmt.Errorf("%d tasks have not", tree.Unfinished)
			}
			return err
		})
		for id, want := range ends {
			task, err := s.front.Task(t.Context(), name(id))
			if err != nil {
				t.Fatal(err)
			}
			got := task.State.Outcome()
			if task.State == dag.Skipped {
				got += " " + dag.SkipReason(task.Result)
			}
			once := 1
			if want == "blocked" {
				once = 0
			}
			if runs := s.runs(name(id)); got != want || runs != once {
				t.Errorf("%s, %s: got %q with %d attempts; want %q", point, id, got, runs, want)
			}
		}
	}
	s.check()
}

// TestKilledWhileSkipping kills the coordinator that was asked to skip a task, before and after it has written that. Who asks again is told what is so, and
// the task is skipped once.
func TestKilledWhileSkipping(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range []string{"coordinator.before-skip-commit=kill", "coordinator.after-skip-commit=kill"} {
		root := fmt.Sprintf("skipped%d", n)
		first := commandTask(root+".first", root, "sleep 300")
		second, third := commandTask(root+".second", root, "echo second"), commandTask(root+".third", root, "echo third")
		second.Dependencies, third.Dependencies = []dag.Dependency{{Ref: first.ID}}, []dag.Dependency{{Ref: second.ID}}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{commandTask(root, "", "echo root"), first, second, third})); err != nil {
			t.Fatal(err)
		}
		settings := s.settings(CoordinatorRole)
		settings.HTTP, settings.GRPC = fmt.Sprintf("127.0.0.1:%d", porttest.Port(t)), fmt.Sprintf("127.0.0.1:%d", porttest.Port(t))
		victim, err := StartProcess(settings, point)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(victim.Kill)
		eventually(t, settings.Name+" is ready", victim.Ready)
		c, err := client.New(settings.GRPC)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Skip(t.Context(), second.ID); err == nil {
			t.Errorf("%s: answered %+v", point, got)
		}
		c.Close() //nolint:errcheck // nobody is there
		s.dies(victim)
		_, err = s.front.Skip(t.Context(), second.ID)
		if written := n == 1; (err != nil) != written {
			t.Errorf("%s: asked again: %v", point, err)
		}
		if _, err := s.front.Cancel(t.Context(), first.ID, coordinator.CancelOptions{}); err != nil { // of which nothing is told to who is skipped
			t.Error(err)
		}
		eventually(t, root+" has ended", func() error {
			tree, err := s.front.Tree(t.Context(), root)
			if err == nil && tree.Unfinished > 0 {
				err = fmt.Errorf("%d tasks have not", tree.Unfinished)
			}
			return err
		})
		for id, want := range map[string]dag.State{second.ID: dag.Skipped, third.ID: dag.Completed} {
			task, err := s.front.Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if runs := s.runs(id); task.State != want || runs != 1 {
				t.Errorf("%s: %s is %s with %d attempts", point, id, task.State, runs)
			}
		}
	}
	s.check()
}
