package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// ruled is a cluster whose workers have gates, in a pool with two slots and in another one.
func ruled(t *testing.T, settings func(*config.Coordinator)) (*cluster.Cluster, *gate) {
	g := &gate{closed: map[string]chan struct{}{}}
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Concurrency: 2, Coordinator: settings, Pools: []string{"p", "free"}, Executors: func() []executors.Executor {
		return []executors.Executor{g, &told{executors.Description{ID: "x", Name: "X", Type: "go"}}}
	}})
	return c, g
}

// setRule makes a rule, by the first coordinator, and waits until the second goes by it, too.
func setRule(c *cluster.Cluster, rule dag.PoolRule) {
	c.T.Helper()
	if err := c.Service().SetPoolRule(c.T.Context(), rule); err != nil {
		c.T.Fatal(err)
	}
	probe := &dag.Task{ID: "probe", Name: "probe", Priority: dag.Normal, Executor: "nobody", Pool: rule.Pool, ParentRef: "none"}
	c.Eventually("the other coordinator goes by the rule", func() error {
		_, err := c.Coordinators[1].P.Submit(c.T.Context(), coordinator.SubmitOptions{}, one(probe))
		if err == nil || !strings.Contains(err.Error(), `takes no tasks of executor "nobody"`) {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
}

// one is a submission of tasks.
func one(tasks ...*dag.Task) func(func(*dag.Task, error) bool) {
	return func(yield func(*dag.Task, error) bool) {
		for _, t := range tasks {
			again := *t
			if !yield(&again, nil) {
				return
			}
		}
	}
}

// wantRefusal: err holds exactly these faults.
func wantRefusal(t *testing.T, what string, err error, want ...string) {
	t.Helper()
	invalid, ok := errors.AsType[*dag.InvalidTreeError](err)
	if !ok {
		t.Errorf("%s: got %v, want the rule's refusal", what, err)
		return
	}
	var got []string
	for _, p := range invalid.Problems {
		got = append(got, p.Reason)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestPoolRulesAreHeldWhereTasksAreStored: what a rule forbids is refused with all its faults, and nothing is stored.
func TestPoolRulesAreHeldWhereTasksAreStored(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]func(*config.Coordinator){"open": nil, "sealed": sealing()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			poolRulesAreHeld(t, settings)
		})
	}
}

func poolRulesAreHeld(t *testing.T, settings func(*config.Coordinator)) {
	c, _ := ruled(t, settings)
	ctx, svc := t.Context(), c.Service()
	task := func(id string, inputs string) *dag.Task {
		return &dag.Task{ID: id, Name: id, Priority: dag.Normal, Executor: "x", Pool: "p", Inputs: json.RawMessage(inputs)}
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, task("held", `{"a":{"secret":"s"}}`))
	c.Submit(coordinator.SubmitOptions{}, task("done", `{"a":{"secret":"s"},"b":1}`))
	c.Settled("done")
	setRule(c, dag.PoolRule{Pool: "p", Namespaces: []string{"default", "ml-*"}, Executors: []string{"x", "gate_*"}, Secrets: []string{"ok-*"}})

	kept := task("kept", `{"connection":"any","a":{"secret":"ok-1"}}`)
	c.Submit(coordinator.SubmitOptions{Hold: true}, kept)
	child := &dag.Task{ID: "bad", Name: "bad", Priority: dag.Normal, Executor: "y", Pool: "p", ParentRef: "root", Inputs: json.RawMessage(`{"a":[{"secret":"s"}]}`)}
	_, err := svc.Submit(ctx, coordinator.SubmitOptions{}, one(&dag.Task{ID: "root", Name: "root", Priority: dag.Normal}, child))
	wantRefusal(t, "submit", err, `tasks[1].pool: pool "p" takes no tasks of executor "y"`, `tasks[1].inputs.a[0]: pool "p" does not allow secret "s"`)
	if _, err := svc.Task(ctx, "root"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("it was stored: %v", err)
	}
	child.ParentRef = ""
	_, err = svc.Add(ctx, "kept", coordinator.SubmitOptions{}, one(child))
	wantRefusal(t, "add", err, `tasks[0].pool: pool "p" takes no tasks of executor "y"`, `tasks[0].inputs.a[0]: pool "p" does not allow secret "s"`)
	_, err = svc.Execute(ctx, "held", coordinator.ExecuteOptions{})
	wantRefusal(t, "execute", err, `tasks[0].inputs.a: pool "p" does not allow secret "s"`)
	_, err = svc.Execute(ctx, "done", coordinator.ExecuteOptions{Force: true})
	wantRefusal(t, "execute again", err, `tasks[0].inputs.a: pool "p" does not allow secret "s"`)
	_, err = svc.Copy(ctx, "done", coordinator.CopyOptions{})
	wantRefusal(t, "copy", err, `tasks[0].inputs.a: pool "p" does not allow secret "s"`)
	_, err = svc.Update(ctx, "kept", dag.Change{Inputs: json.RawMessage(`{"a":{"secret":"s"}}`)})
	if err == nil || !strings.Contains(err.Error(), `inputs.a: pool "p" does not allow secret "s"`) {
		t.Errorf("update: got %v", err)
	}
	if _, err = svc.Update(ctx, "held", dag.Change{Inputs: json.RawMessage(`{"a":{"secret":"ok-2"}}`)}); err != nil {
		t.Errorf("update to what is allowed: %v", err)
	}
	if _, err = svc.Execute(ctx, "held", coordinator.ExecuteOptions{}); err != nil {
		t.Errorf("execute what is allowed now: %v", err)
	}
	if got := c.Settled("held"); got.Status != dag.StatusCompleted {
		t.Errorf("what is allowed: %s", got.Status)
	}

	store, err := pg.Open(ctx, pg.Config{URL: c.URL, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, name := range []string{"team-b", "ml-x"} {
		if _, err := store.CreateNamespace(ctx, name, "", pg.Quotas{}); err != nil {
			t.Fatal(err)
		}
	}
	other := func(name string) coordinator.Service {
		return coordinator.NewAccess(svc, coordinator.AllowAll).For(coordinator.Caller{Namespace: name})
	}
	_, err = other("team-b").Submit(ctx, coordinator.SubmitOptions{}, one(task("b", `{}`)))
	wantRefusal(t, "another namespace", err, `tasks[0].pool: pool "p" takes no tasks of namespace "team-b"`)
	if _, err := other("ml-x").Submit(ctx, coordinator.SubmitOptions{Hold: true}, one(task("ml", `{}`))); err != nil {
		t.Errorf("a namespace that is listed: %v", err)
	}
	setRule(c, dag.PoolRule{Pool: "p", Namespaces: []string{"default"}, Executors: []string{"x"}})
	_, err = other("ml-x").Execute(ctx, "ml", coordinator.ExecuteOptions{})
	wantRefusal(t, "a namespace that was listed", err, `tasks[0].pool: pool "p" takes no tasks of namespace "ml-x"`)

	if err := svc.DeletePoolRule(ctx, "p"); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Execute(ctx, "done", coordinator.ExecuteOptions{Force: true}); err != nil {
		t.Errorf("without a rule: %v", err)
	}
}

// TestWhatARuleHasComeToForbidNeverStarts: tasks that wait in Postgres, in NATS, for a dependency in the same pool whose worker offers its slot,
// or that may start before their claim, fail for good when a worker asks for them; what runs goes on.
func TestWhatARuleHasComeToForbidNeverStarts(t *testing.T) {
	t.Parallel()
	c, g := ruled(t, nil)
	task := func(id, executor, pool string, needs ...string) *dag.Task {
		one := &dag.Task{ID: id, Name: id, Priority: dag.Normal, Executor: executor, Pool: pool, ParentRef: "root", Inputs: json.RawMessage(`{}`), Retry: dag.RetryPolicy{MaxAttempts: 3}}
		for _, need := range needs {
			one.Dependencies = append(one.Dependencies, dag.Dependency{Ref: need})
		}
		return one
	}
	repeatable := task("repeatable", "gate_executor", "p", "free")
	repeatable.Repeatable = true
	tasks := []*dag.Task{{ID: "root", Name: "root", Priority: dag.Normal},
		task("first", "gate_executor", "p"), task("second", "gate_executor", "p"), task("free", "gate_executor", "free"), task("after", "gate_executor", "p", "first"),
		task("last", "x", "free", "after"), repeatable}
	for i := range 8 {
		tasks = append(tasks, task(fmt.Sprint("queued", i), "gate_executor", "p"))
	}
	c.Submit(coordinator.SubmitOptions{}, tasks...)
	c.Eventually("the first ones run", func() error {
		for _, id := range []string{"first", "second", "free"} {
			if _, ok := g.begun.Load(id); !ok {
				return errors.New(id + " has not begun")
			}
		}
		return nil
	})
	setRule(c, dag.PoolRule{Pool: "p", Executors: []string{"x"}})
	if got, err := c.Service().Why(t.Context(), "queued3"); err != nil || !strings.Contains(got.Summary, `it will fail when a worker asks for it: pool "p" does not allow this task: it takes no tasks of executor "gate_executor"`) {
		t.Errorf("why: %+v, %v", got, err)
	}
	for _, id := range []string{"free", "first", "second"} {
		g.open(id)
	}
	c.Settled("root")
	forbidden := `pool "p" does not allow this task: it takes no tasks of executor "gate_executor"`
	for id, got := range c.Tasks("root") {
		want, message := dag.StatusFailed, forbidden
		switch id {
		case "first", "second", "free":
			want, message = dag.StatusCompleted, ""
		case "last":
			want, message = dag.StatusPending, ""
		case "root":
			continue
		}
		if got.State.Status() != want || got.Error != message {
			t.Errorf("%s: %s %q, want %s %q", id, got.State.Status(), got.Error, want, message)
		}
		if _, ran := g.begun.Load(id); ran != (want == dag.StatusCompleted) {
			t.Errorf("%s: it ran: %v", id, ran)
		}
		if want == dag.StatusFailed {
			if got.StartedAt != (time.Time{}) {
				t.Errorf("%s: started at %v", id, got.StartedAt)
			}
			if attempts, err := c.Service().Attempts(t.Context(), id); err != nil || len(attempts) != 1 {
				t.Errorf("%s: attempts %+v, %v", id, attempts, err)
			}
		}
	}
	if got, err := c.Service().Why(t.Context(), "queued3"); err != nil || !strings.Contains(got.Summary, forbidden) {
		t.Errorf("why: %+v, %v", got, err)
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor: %+v, %v", v, err)
	}
}

// TestPoolRulesWaitForOlderProcesses: no rule is made while a process lives that would not hold it.
func TestPoolRulesWaitForOlderProcesses(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Levels: dag.AllLevels[:dag.AccessLevel-1]})
	c.Upgrade(dag.AllLevels)
	c.AddCoordinator()
	err := c.Coordinators[1].P.SetPoolRule(context.WithoutCancel(t.Context()), dag.PoolRule{Pool: "p"})
	if low, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(low.Error(), "coordinator") {
		t.Errorf("got %v", err)
	}
	if rules, err := c.Coordinators[1].P.PoolRules(t.Context()); err != nil || len(rules) != 0 {
		t.Errorf("got %+v, %v", rules, err)
	}
}
