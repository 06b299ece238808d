package coordinator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestUniqueTrees: while a tree has a key, a further one of its user is refused, or answered with the one that is there, by each coordinator.
func TestUniqueTrees(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1})
	ctx := t.Context()
	submit := func(on int, opts coordinator.SubmitOptions, root *dag.Task) (*coordinator.Submitted, error) {
		return c.Coordinators[on].P.Submit(ctx, opts, cluster.Seq([]*dag.Task{root}))
	}
	keyed := func(id string, u dag.Unique) *dag.Task {
		task := noop(id, "")
		task.Unique = &u
		return task
	}
	has := func(id, key string, lasts time.Duration) {
		t.Helper()
		tree, err := c.Service().Tree(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		switch u := tree.Unique; {
		case key == "" && u == nil:
		case u == nil || u.Key != key || u.Until.IsZero() != (lasts == 0) || lasts > 0 && !u.Until.Equal(tree.CreatedAt.Add(lasts)):
			t.Errorf("%s shows the key %+v, want %q for %v", id, u, key, lasts)
		}
	}
	report := dag.Unique{Key: "report"}
	if _, err := submit(0, coordinator.SubmitOptions{UserID: "amy", Hold: true}, keyed("first", report)); err != nil {
		t.Fatal(err)
	}
	has("first", "report", 0)
	if why, err := c.Service().Why(ctx, "first"); err != nil || !strings.Contains(why.Summary, `its tree has the key "report", and no other one`) {
		t.Errorf("%+v %v", why, err)
	}
	_, err := submit(1, coordinator.SubmitOptions{UserID: "amy"}, keyed("second", report))
	refused, is := errors.AsType[*coordinator.UniqueError](err)
	if !is || !errors.Is(err, coordinator.ErrConflict) || refused.TreeID != "first" || refused.Key != "report" {
		t.Fatalf("got %v, want that first has the key", err)
	}
	if want := `conflict: tree first has the key "report", until it has ended: nothing was stored`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if _, err := c.Service().Task(ctx, "second"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("the refused tree: %v, want that it is not there", err)
	}
	out, err := submit(1, coordinator.SubmitOptions{UserID: "amy", Unique: &dag.Unique{Key: "report", Return: true}}, noop("third", ""))
	if err != nil || !out.Existing || out.TreeID != "first" || out.Tasks != 1 {
		t.Errorf("got %+v, %v, want the tree that is there", out, err)
	}
	if _, err := submit(1, coordinator.SubmitOptions{UserID: "bob"}, keyed("bob's", report)); err != nil {
		t.Errorf("another user: %v", err)
	}
	if _, err := submit(0, coordinator.SubmitOptions{UserID: "amy", Unique: &dag.Unique{}}, noop("fourth", "")); err == nil || !strings.Contains(err.Error(), "unique.key") {
		t.Errorf("a key that is empty: %v", err)
	}
	if _, err := c.Service().Execute(ctx, "first", coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled("first")
	has("first", "", 0)
	if out, err = submit(1, coordinator.SubmitOptions{UserID: "amy"}, keyed("fifth", dag.Unique{Key: "report", For: time.Hour})); err != nil || out.Existing {
		t.Fatalf("once it has ended: %+v, %v", out, err)
	}
	c.Settled("fifth")
	has("fifth", "report", time.Hour)
	has("first", "", 0)
	if _, err = submit(0, coordinator.SubmitOptions{UserID: "amy"}, keyed("sixth", report)); err == nil || !strings.Contains(err.Error(), "until 20") {
		t.Errorf("within the hour: %v", err)
	}
	if got, err := c.Service().Copy(ctx, "fifth", coordinator.CopyOptions{Mode: coordinator.CopyFull}); err != nil { // a copy has no key
		t.Errorf("a copy: %+v, %v", got, err)
	}
	if _, err := c.Service().Delete(ctx, "fifth", coordinator.DeleteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, err = submit(0, coordinator.SubmitOptions{UserID: "amy"}, keyed("seventh", report)); err != nil {
		t.Errorf("once the tree is deleted: %v", err)
	}
}

// TestOnlySubmittedTreesAreUnique: tasks that are found, added or submitted by tasks have no keys, and say so.
func TestOnlySubmittedTreesAreUnique(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	ctx, svc := t.Context(), c.Service()
	c.Submit(coordinator.SubmitOptions{}, submits("sub", "", `{"tree":[{"name":"a","unique":{"key":"k"}}]}`))
	c.Settled("sub")
	if task, err := svc.Task(ctx, "sub"); err != nil || !strings.Contains(task.Error, "tree[0].unique: is of trees that users submit") {
		t.Errorf("a subtree: %+v, %v", task.Error, err)
	}
	element := expands("map", "", "map_executor", `{"items":[1],"task":{"schemas":{"method":"sleep_executor"},"unique":{"key":"k"}}}`)
	if _, err := svc.Submit(ctx, coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{element})); err == nil || !strings.Contains(err.Error(), "tasks[0].unique: is of trees") {
		t.Errorf("an element: %v", err)
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("held", ""))
	added := noop("added", "")
	added.Unique = &dag.Unique{Key: "k"}
	if _, err := svc.Add(ctx, "held", coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{added})); err == nil || !strings.Contains(err.Error(), "only the root task may have it") {
		t.Errorf("an added task: %v", err)
	}
}
