package coordinator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// limits is a cluster, and what its tasks hold.
type limits struct {
	*cluster.Cluster
	t    *testing.T
	gate *gate
	db   *pgx.Conn
}

func startLimits(t *testing.T, opts cluster.Options) *limits {
	t.Helper()
	g := &gate{closed: map[string]chan struct{}{}}
	opts.Executors = func() []executors.Executor { return []executors.Executor{g} }
	if opts.Pools == nil {
		opts.Pools = []string{"gate_executor", "noop_executor"}
	}
	c := cluster.Start(t, opts)
	db, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	return &limits{c, t, g, db}
}

// run submits a tree of tasks below a root that waits for all of them.
func (l *limits) run(root string, tasks ...*dag.Task) {
	l.t.Helper()
	top := noop(root, "")
	all := []*dag.Task{top}
	for _, task := range tasks {
		task.ParentRef = root
		top.Dependencies = append(top.Dependencies, dag.Dependency{Ref: task.ID, Optional: true})
		all = append(all, task)
	}
	l.Submit(coordinator.SubmitOptions{}, all...)
}

func limited(task *dag.Task, by *dag.Limiting) *dag.Task {
	task.Limiting = by
	return task
}

// running waits until just these run.
func (l *limits) running(root string, want ...string) {
	l.t.Helper()
	slices.Sort(want)
	l.Eventually(fmt.Sprint(want, " run"), func() error {
		var got []string
		for id, task := range l.Tasks(root) {
			if task.State == dag.Running {
				got = append(got, id)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("%v run", got)
		}
		return nil
	})
}

// empty fails the test unless nothing is held and nothing waits.
func (l *limits) empty() {
	l.t.Helper()
	var held, waiting int
	if err := l.db.QueryRow(l.t.Context(), "select (select count(*) from hold), (select count(*) from waiter)").Scan(&held, &waiting); err != nil {
		l.t.Fatal(err)
	}
	if held+waiting > 0 {
		l.t.Errorf("%d places are held and %d waited for, after all has ended", held, waiting)
	}
	for v, err := range l.Service().Verify(l.t.Context(), "") {
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Errorf("%s: %s", v.Kind, v.Text)
	}
}

// TestLimitsHoldBack: as many run as a limit lets, in their order; what it holds back takes no slot from others, and starts as soon as there is room.
func TestLimitsHoldBack(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 3})
	two := &dag.Limiting{Limits: []dag.Limit{{Key: "customer-1", Max: 2}}}
	var tasks []*dag.Task
	for i := range 5 {
		tasks = append(tasks, limited(gated(fmt.Sprint("g", i), "", "gate_executor", `{}`), two))
	}
	tasks = append(tasks, gated("free", "", "gate_executor", `{}`))
	l.run("root", tasks...)
	l.running("root", "g0", "g1", "free")
	l.gate.open("g1")
	l.running("root", "g0", "g2", "free")
	l.gate.open("g0")
	l.running("root", "g2", "g3", "free")
	for _, id := range []string{"g2", "g3", "g4", "free"} {
		l.gate.open(id)
	}
	if got := l.Settled("root"); got.Failed != 0 {
		t.Errorf("%d tasks failed", got.Failed)
	}
	l.empty()
}

// TestRatesHoldBack: no more start in a time than a rate lets, and all do.
func TestRatesHoldBack(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{})
	var tasks []*dag.Task
	for i := range 12 {
		tasks = append(tasks, limited(noop(fmt.Sprint("r", i), ""), &dag.Limiting{Rates: []dag.Rate{{Key: "api", Per: time.Second, Max: 20, Burst: 2}}}))
	}
	begin := time.Now()
	l.run("root", tasks...)
	l.Settled("root")
	if took := time.Since(begin); took < 10*50*time.Millisecond-50*time.Millisecond {
		t.Errorf("12 tasks took %s by 20 in a second, 2 at once", took)
	}
	l.empty()
}

// TestALockPassesOn: no two that ask for a lock run at once; who does not wait for it, or not so long, ends.
func TestALockPassesOn(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 8})
	lock := &dag.Limiting{Lock: &dag.Lock{Key: "ledger"}}
	var tasks []*dag.Task
	for i := range 20 {
		tasks = append(tasks, limited(noop(fmt.Sprint("n", i), ""), lock))
	}
	tasks = append(tasks, limited(gated("holder", "", "gate_executor", `{}`), &dag.Limiting{Lock: &dag.Lock{Key: "other"}}),
		limited(noop("fails", ""), &dag.Limiting{Lock: &dag.Lock{Key: "other", OnContention: dag.FailOnContention}}),
		limited(noop("skips", ""), &dag.Limiting{Lock: &dag.Lock{Key: "other", OnContention: dag.SkipOnContention}}),
		limited(noop("late", ""), &dag.Limiting{Lock: &dag.Lock{Key: "other", WaitTimeout: 10 * time.Millisecond}}))
	l.run("root", tasks...)
	l.Eventually("those that do not wait have ended", func() error {
		all := l.Tasks("root")
		if all["fails"].State != dag.Failed || all["skips"].State != dag.Skipped || all["late"].State != dag.Failed {
			return fmt.Errorf("%s, %s, %s", all["fails"].State, all["skips"].State, all["late"].State)
		}
		return nil
	})
	l.gate.open("holder")
	l.Settled("root")
	var spans []*coordinator.Task
	for id, task := range l.Tasks("root") {
		if id[0] == 'n' {
			spans = append(spans, task)
		}
	}
	slices.SortFunc(spans, func(a, b *coordinator.Task) int { return a.StartedAt.Compare(b.StartedAt) })
	for i := range len(spans) - 1 {
		if spans[i+1].StartedAt.Before(spans[i].CompletedAt) {
			t.Errorf("%s began at %s, and %s ended at %s, with one lock", spans[i+1].ID, spans[i+1].StartedAt, spans[i].ID, spans[i].CompletedAt)
		}
	}
	l.empty()
}

// TestWhyNamesTheLine: a limited task is told each key that it waits for, who holds it, and its place in the line.
func TestWhyNamesTheLine(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 8})
	ask := func() *dag.Limiting {
		return &dag.Limiting{Lock: &dag.Lock{Key: "ledger"}, Limits: []dag.Limit{{Key: "customer-1", Max: 3, Cost: 2}}}
	}
	l.run("root", limited(gated("first", "", "gate_executor", `{}`), ask()), limited(gated("second", "", "gate_executor", `{}`), ask()),
		limited(gated("third", "", "gate_executor", `{}`), ask()))
	l.running("root", "first")
	e, err := l.Service().Why(t.Context(), "third")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := causes(e), "limit, lock"; got != want {
		t.Fatalf("it waits for %s (%+v), want %s", got, e.Waits, want)
	}
	for i, begins := range []string{`the limit "customer-1": 2 of 3 are held, and it asks for 2; held by first since `, `the lock "ledger"; held by first since `} {
		w := e.Waits[i]
		if !strings.HasPrefix(w.Text, begins) || !strings.Contains(w.Text, "1 task is before it in the line") || w.Ahead != 1 || w.TaskID != "first" || w.Since.IsZero() {
			t.Errorf("wait %d: %+v, want it to begin with %q, with 1 task ahead", i, w, begins)
		}
	}
	l.gate.open("first")
	l.gate.open("second")
	l.gate.open("third")
	l.Settled("root")
	l.empty()
}

// TestAPoolWithoutWorkersHoldsNothing: what was granted to a task whose pool has no worker any more goes back, and others get it.
func TestAPoolWithoutWorkersHoldsNothing(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 1, Pools: []string{"gate_executor"}})
	one := &dag.Limiting{Limits: []dag.Limit{{Key: "k", Max: 1}}}
	l.run("root", gated("holds the slot", "", "gate_executor", `{}`), limited(gated("granted", "", "gate_executor", `{}`), one))
	l.Eventually("the limit is held", func() error {
		var n int
		if err := l.db.QueryRow(t.Context(), "select count(*) from hold").Scan(&n); err != nil || n != 1 {
			return fmt.Errorf("%d holds, %v", n, err)
		}
		return nil
	})
	for _, w := range l.Workers {
		w.Cut()
	}
	l.gate.open("holds the slot")
	l.gate.open("granted")
	l.AddWorkerOf(1, "noop_executor")
	other := noop("other", "")
	other.Pool = "noop_executor"
	l.run("root 2", limited(other, one))
	l.Eventually("another task gets it", func() error {
		if got := l.Tasks("root 2")["other"].State; got != dag.Completed {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}
