package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// ids pages through a list, two at a time.
func ids(t *testing.T, svc coordinator.Service, f coordinator.TaskFilter) (out []string) {
	t.Helper()
	f.Limit = 2
	for {
		page, err := svc.Tasks(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) > 2 {
			t.Fatalf("a page of 2 has %d", len(page.Items))
		}
		for _, task := range page.Items {
			out = append(out, task.ID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return out
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	svc := c.Service()
	low := noop("l-low", "l-root")
	low.Priority = dag.Low
	high := with(noop("l-high", "l-root"), `{"fail":"x"}`)
	high.Priority = dag.High
	c.Submit(coordinator.SubmitOptions{UserID: "ann"}, noop("l-root", ""), low, noop("l-a", "l-root"), high, noop("l-b", "l-root"))
	c.Submit(coordinator.SubmitOptions{UserID: "bob"}, noop("m-root", ""), noop("m-a", "m-root"))
	c.Submit(coordinator.SubmitOptions{UserID: "ann", Hold: true}, noop("n-root", ""))
	c.Settled("l-root")
	c.Settled("m-root")
	for name, tc := range map[string]struct {
		f    coordinator.TaskFilter
		want string
	}{
		"a tree in submission order":          {coordinator.TaskFilter{TreeOf: "l-a"}, "[l-root l-low l-a l-high l-b]"},
		"children by priority":                {coordinator.TaskFilter{ParentID: "l-root"}, "[l-high l-a l-b l-low]"},
		"roots, newest first":                 {coordinator.TaskFilter{RootOnly: true}, "[n-root m-root l-root]"},
		"roots of a user":                     {coordinator.TaskFilter{RootOnly: true, UserID: "ann"}, "[n-root l-root]"},
		"all tasks of a status, newest first": {coordinator.TaskFilter{Status: dag.StatusFailed}, "[l-high]"},
		"by name":                             {coordinator.TaskFilter{Name: "m-a"}, "[m-a]"},
		"a status within a tree":              {coordinator.TaskFilter{TreeOf: "l-root", Status: dag.StatusCompleted}, "[l-root l-low l-a l-b]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(ids(t, svc, tc.f)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	for name, f := range map[string]coordinator.TaskFilter{
		"a limit above the bound":      {Limit: 1001},
		"a negative offset":            {Offset: -1},
		"a cursor that is none":        {Cursor: "x"},
		"a cursor of another kind":     {RootOnly: true, Cursor: "dDE"},
		"a cursor with trailing parts": {RootOnly: true, Cursor: "YTF4"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := svc.Tasks(t.Context(), f)
			if _, ok := errors.AsType[*coordinator.InvalidArgumentError](err); !ok {
				t.Errorf("got %v", err)
			}
		})
	}
	page, err := svc.Trees(t.Context(), coordinator.TreeFilter{Status: dag.StatusFailed})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != "l-root" {
		t.Errorf("failed trees: got %+v, %v", page, err)
	}
	if n, err := svc.Running(t.Context(), ""); err != nil || n != 0 {
		t.Errorf("running: got %d, %v", n, err)
	}
}

func TestRetentionLeavesNothingOfATree(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{IdempotencyKey: "k"}, noop("old-root", "", "old-a"), with(noop("old-a", "old-root"), `{"value":1}`))
	c.Settled("old-root")
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("kept-root", ""))
	n, err := c.Coordinators[0].P.Store.Expire(t.Context(), 0, 10)
	if err != nil || n != 1 {
		t.Fatalf("expire: got %d, %v", n, err)
	}
	if _, err := c.Service().Task(t.Context(), "old-a"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a task of an expired tree: got %v", err)
	}
	if _, err := c.Service().Task(t.Context(), "kept-root"); err != nil {
		t.Errorf("a held tree: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, table := range []string{"attempt", "edge", "payload", "event", "submission", "timer", "followup", "chunk"} {
		var rows int
		if err := conn.QueryRow(t.Context(), "select count(*) from "+table).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%s: %d rows are left, %v", table, rows, err)
		}
	}
}

// TestAnEarlyResultIsAClaimAndAResult runs what is repeatable, which may start before its claim.
func TestAnEarlyResultIsAClaimAndAResult(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 50})
	tasks := []*dag.Task{noop("q-root", "")}
	for i := range 500 {
		task := noop(fmt.Sprintf("q-%d", i), "q-root")
		task.Executor = "noop_repeatable_executor"
		tasks = append(tasks, task)
	}
	c.Submit(coordinator.SubmitOptions{}, tasks...)
	if st := c.Settled("q-root"); st.Completed != 501 || st.Running != 0 {
		t.Errorf("got %+v", *st)
	}
	for id, task := range c.Tasks("q-root") {
		if task.StartedAt.IsZero() || task.CompletedAt.Before(task.StartedAt) || task.CompletedAt.Sub(task.StartedAt) > time.Minute {
			t.Fatalf("%s: started %s, completed %s", id, task.StartedAt, task.CompletedAt)
		}
	}
}

// TestPagesEndByBytes: however much tasks hold, a page fits into a message; all come in the end, each once and in order. What
// dependents show of one large result counts for each of them.
func TestPagesEndByBytes(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	large := `{"value":"` + strings.Repeat("x", 900<<10) + `"}`
	tasks := []*dag.Task{noop("p-root", ""), with(noop("p-source", "p-root"), large)}
	for i := range 20 {
		tasks = append(tasks, noop(fmt.Sprintf("p-%02d", i), "p-root", "p-source"))
	}
	for i := range 8 {
		tasks = append(tasks, with(noop(fmt.Sprintf("q-%d", i), "p-root"), large))
	}
	c.Submit(coordinator.SubmitOptions{}, tasks...)
	c.Settled("p-root")
	for name, f := range map[string]coordinator.TaskFilter{
		"a tree": {TreeOf: "p-root"}, "children": {ParentID: "p-root"}, "all": {}, "roots": {RootOnly: true},
	} {
		seen, pages := map[string]bool{}, 0
		for f.Limit = 1000; ; pages++ {
			page, err := c.Service().Tasks(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			bytes := 0
			for _, task := range page.Items {
				bytes += len(task.Inputs) + len(task.Params) + len(task.Schemas) + len(task.Custom) + len(task.Result)
				if seen[task.ID] {
					t.Errorf("%s: %s comes twice", name, task.ID)
				}
				seen[task.ID] = true
			}
			if bytes > 3<<20 && len(page.Items) > 1 {
				t.Errorf("%s: a page of %d tasks has %d bytes", name, len(page.Items), bytes)
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		want := map[string]int{"a tree": len(tasks), "children": len(tasks) - 1, "all": len(tasks), "roots": 1}[name]
		if len(seen) != want || pages < 5 && want > 1 {
			t.Errorf("%s: got %d tasks in %d pages, want %d", name, len(seen), pages+1, want)
		}
	}
}

// TestWatchesOfHeldTrees: who comes before the execution sees all of it, and its end has its own status, not that of a tree
// which waits for the rest.
func TestWatchesOfHeldTrees(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	svc := c.Service()
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("w-root", "", "w-a"), noop("w-a", "w-root"))
	told := make(chan []*coordinator.Event, 1)
	go func() {
		var all []*coordinator.Event
		for e, err := range svc.Watch(t.Context(), "w-root", 0) {
			if err != nil {
				t.Error(err)
				break
			}
			if e.Sequence > 0 {
				all = append(all, e)
			}
		}
		told <- all
	}()
	if _, err := svc.Execute(t.Context(), "w-a", coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	all := <-told
	last := all[len(all)-1]
	if len(all) != 4 || all[0].Type != coordinator.EventExecution || last.Type != coordinator.EventFinal || last.Status != dag.StatusCompleted || last.Tree.Status != dag.StatusPending {
		t.Errorf("got %d events, the last %+v, want four, the last a final one that is completed, of a pending tree", len(all), last)
	}
}
