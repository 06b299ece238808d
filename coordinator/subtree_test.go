package coordinator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// submits is a task that submits the tree, a document of tasks, or what else its inputs say.
func submits(id, parent, inputs string, deps ...string) *dag.Task {
	return using(dag.SubtreeExecutor, id, parent, inputs, deps...)
}

// subtreeOf waits until a task has submitted its tree, which is there.
func subtreeOf(t *testing.T, c *cluster.Cluster, id string) (tree *coordinator.TreeStatus) {
	t.Helper()
	c.For(t).Eventually(id+" has submitted its tree", func() error {
		task, err := c.Service().Task(t.Context(), id)
		if err != nil {
			return err
		}
		if task.SubtreeID == "" {
			return fmt.Errorf("it is %s (%s)", task.State, task.Error)
		}
		tree, err = c.Service().Tree(t.Context(), task.SubtreeID)
		return err
	})
	return tree
}

func TestSubtrees(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 2})
	c.Submit(coordinator.SubmitOptions{Hold: true, UserID: "alice"}, ends("stored", "", `{"value":{"n":1,"m":2}}`, dag.Dependency{Ref: "load"}), ends("load", "stored", `{"value":{"day":"monday"}}`))
	c.Submit(coordinator.SubmitOptions{Hold: true, UserID: "bob"}, ends("bobs", "", `{}`))
	end := func(inputs string) string { return `{"schemas":{"method":"end_executor"},"inputs":` + inputs }
	for _, test := range []struct{ name, inputs, want, fault string }{
		{name: "a document", inputs: `{"tree":[{"id":"a","name":"a",` + end(`{"value":{"n":7}}`)[1:] + `,"dependencies":[{"id":"b"}]},{"id":"b","name":"b","parent_id":"a",` + end(`{}`)[1:] + `}]}`, want: `{"n":7}`},
		{name: "one task", inputs: `{"tree":{"name":"only",` + end(`{"value":[1,2]}`)[1:] + `}}`, want: `[1,2]`},
		{name: "templates are the tree's own", inputs: `{"tree":[{"name":"a","template":true,` + end(`{"value":"{{task.name}}"}`)[1:] + `}]}`, want: `"a"`},
		{name: "a skipped root", inputs: `{"tree":[{"name":"a",` + end(`{"skip":"nothing_to_do"}`)[1:] + `}]}`, want: `{"skipped":true,"reason":"nothing_to_do"}`},
		{name: "an allowed failure", inputs: `{"tree":[{"name":"a","allow_failure":true,` + end(`{"fail":"no luck"}`)[1:] + `}]}`, want: ``},
		{name: "a copy", inputs: `{"copy_of":"stored"}`, want: `{"n":1,"m":2}`},
		{name: "a copy with other inputs", inputs: `{"copy_of":"stored","inputs":{"stored":{"value":{"n":3}}}}`, want: `{"n":3}`},
		{name: "a failing root", inputs: `{"tree":[{"name":"a",` + end(`{"fail":"no luck"}`)[1:] + `}]}`, fault: "a: no luck"},
		{name: "a failure below", inputs: `{"tree":[{"name":"a","dependencies":["b"],` + end(`{}`)[1:] + `},{"name":"b","parent_id":"a",` + end(`{"fail":"no luck"}`)[1:] + `}]}`, fault: "a: task 'b' ("},
		{name: "a tree of another user", inputs: `{"copy_of":"bobs"}`, fault: `copy_of: there is no tree "bobs"`},
		{name: "no tree", inputs: `{"copy_of":"nowhere"}`, fault: `copy_of: there is no tree "nowhere"`},
		{name: "a task", inputs: `{"copy_of":"load"}`, fault: `is a task of the tree "stored"`},
		{name: "inputs of nobody", inputs: `{"copy_of":"stored","inputs":{"zzz":{"a":1},"load":{"connection":"db"},"stored":{"value":{"secret":"x"}}}}`,
			fault: "the tree is invalid: inputs.load.connection: names a secret or a connection, or allows something: only the tree that is copied can say that; inputs.stored.value: names a secret or a connection, or allows something: only the tree that is copied can say that; inputs.zzz: the tree has no task of that id or name"},
		{name: "a bad document", inputs: `{"tree":[{"name":"a","priority":9},{"name":"b","parent_id":"a","user_id":"bob"},{"name":"c","parent_id":"a","dependencies":["zzz"]}]}`,
			fault: "the tree is invalid: tree[0].priority: "},
		{name: "no document", inputs: `{"tree":[]}`, fault: "the tree is invalid: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			id := "sub " + test.name
			c.Submit(coordinator.SubmitOptions{UserID: "alice"}, submits(id, "", test.inputs))
			c.Settled(id)
			task, err := c.Service().Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if string(task.Result) != test.want || !strings.Contains(task.Error, test.fault) || (test.fault == "") != (task.Error == "") {
				t.Errorf("%s: got %s, %q; want %s, %q", task.State, task.Result, task.Error, test.want, test.fault)
			}
			if test.name == "a bad document" {
				for _, more := range []string{"tree[1].user_id: ", "zzz"} {
					if !strings.Contains(task.Error, more) {
						t.Errorf("%q is not told in %q", more, task.Error)
					}
				}
			}
			sound(t, c, id)
			if task.SubtreeID == "" {
				return
			}
			tree, err := c.Service().Tree(t.Context(), task.SubtreeID)
			if err != nil || tree.UserID != "alice" {
				t.Errorf("its tree: %+v, %v", tree, err)
			}
			sound(t, c, task.SubtreeID)
		})
	}
}

// TestSubtreesAreShown: a task that waits for its tree names it, and why tells how it is.
func TestSubtreesAreShown(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{}, submits("s", "", `{"tree":[{"name":"inner","schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}]}`))
	tree := subtreeOf(t, c, "s")
	inState(t, c, tree.ID, dag.Awaiting)
	task := inState(t, c, "s", dag.Awaiting)
	if w := task.Waiting; w == nil || w.Kind != "tree" || w.TreeID != tree.ID || w.Data != nil || task.Worker != "" {
		t.Errorf("it waits for %+v", w)
	}
	why, err := c.Service().Why(t.Context(), "s")
	if err != nil || len(why.Waits) != 1 || why.Waits[0].Kind != coordinator.WaitTree || why.Waits[0].TaskID != tree.ID || why.Waits[0].TaskState != dag.Awaiting || !strings.Contains(why.Waits[0].Text, "inner ("+tree.ID+"), since ") || !strings.HasSuffix(why.Waits[0].Text, "; its root is awaiting, and 0 of its 1 tasks have ended") {
		t.Errorf("why: %+v, %v", why, err)
	}
	sound(t, c, "s")
	sound(t, c, tree.ID)
	if _, err := c.Service().Signal(t.Context(), tree.ID, coordinator.Signal{Name: "go", Payload: json.RawMessage(`{"n":1}`)}); err != nil {
		t.Fatal(err)
	}
	c.Settled("s")
	if task = inState(t, c, "s", dag.Completed); string(task.Result) != `{"n":1}` || task.SubtreeID != tree.ID {
		t.Errorf("it ended with %s, of %q", task.Result, task.SubtreeID)
	}
	page, err := c.Service().Tasks(t.Context(), coordinator.TaskFilter{TreeOf: "s"})
	if err != nil || len(page.Items) != 1 || page.Items[0].SubtreeID != tree.ID {
		t.Errorf("the list shows %+v, %v", page.Items, err)
	}
}

func TestDetachedSubtrees(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{}, submits("s", "", `{"detach":true,"tree":[{"name":"inner","schemas":{"method":"end_executor"},"inputs":{"wait":true}}]}`))
	c.Settled("s")
	task := inState(t, c, "s", dag.Completed)
	if task.SubtreeID == "" || string(task.Result) != fmt.Sprintf(`{"subtree_id":%q}`, task.SubtreeID) {
		t.Fatalf("it ended with %s, of %q", task.Result, task.SubtreeID)
	}
	inState(t, c, task.SubtreeID, dag.Running)
	sound(t, c, "s")
	sound(t, c, task.SubtreeID)
	if _, err := c.Service().Cancel(t.Context(), task.SubtreeID, coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	if task = inState(t, c, "s", dag.Completed); task.Error != "" {
		t.Error(task.Error)
	}
}

// TestCancelsOfSubtrees: a cancellation goes down, from the task, its tree and its timeout, and one of the tree alone goes up.
func TestCancelsOfSubtrees(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2})
	waits := `{"tree":[{"name":"outer","schemas":{"method":"subtree_executor"},"inputs":{"tree":[{"name":"inner","schemas":{"method":"end_executor"},"inputs":{"wait":true}}]}}]}`
	no := false
	for name, cancel := range map[string]func(*testing.T, string, string) error{
		"task": func(t *testing.T, _, task string) error {
			_, err := c.Service().Cancel(t.Context(), task, coordinator.CancelOptions{Cascade: &no})
			return err
		},
		"tree": func(t *testing.T, root, _ string) error {
			_, err := c.Service().Cancel(t.Context(), root, coordinator.CancelOptions{})
			return err
		},
		"timeout": func(*testing.T, string, string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, id := name+" root", name+" s"
			task := submits(id, root, waits)
			if name == "timeout" {
				task.Timeout = 4 * time.Second
			}
			c.Submit(coordinator.SubmitOptions{}, noop(root, ""), task)
			outer := subtreeOf(t, c, id)
			inner := subtreeOf(t, c, outer.ID)
			inState(t, c, inner.ID, dag.Running)
			if err := cancel(t, root, id); err != nil {
				t.Fatal(err)
			}
			for _, tree := range []string{outer.ID, inner.ID} {
				inState(t, c, tree, dag.Cancelled)
				c.Settled(tree)
				sound(t, c, tree)
			}
			want := dag.Cancelled
			if name == "timeout" {
				want = dag.Failed
			}
			got := inState(t, c, id, want)
			if name == "timeout" && (got.ErrorKind != dag.KindTimeout || !strings.Contains(got.Error, "has not ended within the task's timeout")) {
				t.Errorf("it failed with %q, %s", got.Error, got.ErrorKind)
			}
			sound(t, c, root)
		})
	}
	t.Run("up", func(t *testing.T) {
		t.Parallel()
		c.Submit(coordinator.SubmitOptions{}, submits("up", "", waits))
		outer := subtreeOf(t, c, "up")
		inner := subtreeOf(t, c, outer.ID)
		if _, err := c.Service().Cancel(t.Context(), inner.ID, coordinator.CancelOptions{Reason: "enough"}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{outer.ID, "up"} {
			if got := inState(t, c, id, dag.Cancelled); !strings.Contains(got.Error, "enough") && id == outer.ID {
				t.Errorf("%s: %q", id, got.Error)
			}
			sound(t, c, id)
		}
	})
}

// TestSubtreesOfRetries: each attempt submits a tree of its own, and a tree that is run again when nobody waits for it changes nothing.
func TestSubtreesOfRetries(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	task := submits("s", "", `{"tree":[{"name":"inner","schemas":{"method":"end_executor"},"inputs":{"fail":"no luck"}}]}`)
	task.Retry = dag.RetryPolicy{MaxAttempts: 2, NoDelay: true, RetryOn: []dag.Kind{dag.KindChild}}
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Settled("s")
	got := inState(t, c, "s", dag.Failed)
	if got.Attempt != 2 || got.Error != "inner: no luck" || got.ErrorKind != dag.KindChild {
		t.Errorf("attempt %d: %q, %s", got.Attempt, got.Error, got.ErrorKind)
	}
	trees, err := c.Service().Trees(t.Context(), coordinator.TreeFilter{})
	if err != nil || len(trees.Items) != 3 {
		t.Fatalf("there are %d trees, %v", len(trees.Items), err)
	}
	if _, err := c.Service().Execute(t.Context(), got.SubtreeID, coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled(got.SubtreeID)
	if again := inState(t, c, "s", dag.Failed); again.Attempt != 2 {
		t.Errorf("attempt %d", again.Attempt)
	}
	sound(t, c, "")
}

// TestSubtreesThatAreDeleted: a tree that is deleted before it has begun ends the wait for it.
func TestSubtreesThatAreDeleted(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{}, submits("s", "", `{"tree":[{"name":"inner","not_before":"2099-01-01T00:00:00Z","schemas":{"method":"noop_executor"}}]}`))
	tree := subtreeOf(t, c, "s")
	if _, err := c.Service().Delete(t.Context(), tree.ID, coordinator.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := inState(t, c, "s", dag.Failed); !strings.Contains(got.Error, "the tree was deleted before it had ended") || got.SubtreeID != tree.ID {
		t.Errorf("it failed with %q, of %q", got.Error, got.SubtreeID)
	}
	sound(t, c, "s")
}

// TestSubtreesAreNestedSoDeep: a tree that submits itself for ever is stopped.
func TestSubtreesAreNestedSoDeep(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{}, submits("s", "", `{"copy_of":"s"}`))
	c.Settled("s")
	got := inState(t, c, "s", dag.Failed)
	if !strings.Contains(got.Error, "may be nested 16 deep") {
		t.Errorf("it failed with %q", got.Error)
	}
	trees, err := c.Service().Trees(t.Context(), coordinator.TreeFilter{Limit: 100})
	if err != nil || len(trees.Items) != dag.MaxSubtreeDepth+1 {
		t.Errorf("there are %d trees, %v", len(trees.Items), err)
	}
}

// TestSubtreesAreOfTheSubmission: what a result says names no tree.
func TestSubtreesAreOfTheSubmission(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("stored", ""))
	root := submits("s", "", `{"copy_of":"stored"}`, "a")
	root.Schemas = json.RawMessage(`{"method":"subtree_executor","input_schema":{"properties":{"copy_of":{"type":"string"}}}}`)
	a := ends("a", "s", `{"value":{"copy_of":"elsewhere"}}`)
	a.Schemas = json.RawMessage(`{"method":"end_executor","output_schema":{"properties":{"copy_of":{"type":"string"}}}}`)
	c.Submit(coordinator.SubmitOptions{}, root, a)
	c.Settled("s")
	got, err := c.Service().Task(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case got.State == dag.Failed && strings.Contains(got.Error, "copy_of was written by the result of a dependency"):
	case got.State == dag.Completed: // the result did not get into the inputs
		t.Errorf("it ended with %s", got.Result)
	default:
		t.Errorf("%s: %q", got.State, got.Error)
	}
	if _, err := c.Service().Task(t.Context(), "elsewhere"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Error(err)
	}
}

// TestSubtreesOfSealedClusters: no value of a tree that a task submits, or of what it comes to, is stored as it is.
func TestSubtreesOfSealedClusters(t *testing.T) {
	t.Parallel()
	c := sealedCluster(t, dag.SubtreeExecutor)
	conn := connected(t, c.URL)
	tree := `{"tree":[{"name":"inner","schemas":{"method":"echo_executor"},"inputs":{"v":"` + canaryValue + `inner"}}]}`
	c.Submit(coordinator.SubmitOptions{}, submits("s", "", tree))
	c.Settled("s")
	if got := inState(t, c, "s", dag.Completed); !strings.Contains(string(got.Result), canaryValue+"inner") {
		t.Errorf("it ended with %s", got.Result)
	}
	c.Submit(coordinator.SubmitOptions{}, submits("again", "", `{"copy_of":"s"}`))
	c.Settled("again")
	if got := inState(t, c, "again", dag.Completed); !strings.Contains(string(got.Result), canaryValue+"inner") {
		t.Errorf("the copy ended with %s", got.Result)
	}
	fails := submits("fails", "", `{"copy_of":"s","inputs":{"s":{"tree":"`+canaryValue+`"}}}`)
	c.Submit(coordinator.SubmitOptions{}, fails)
	c.Settled("fails")
	inState(t, c, "fails", dag.Failed)
	if tables := tablesWith(t, conn, canaryValue); len(tables) > 0 {
		t.Errorf("values are in %v", tables)
	}
}

// TestValuesInSubtrees: inputs of a copy may hold values from results, and nothing that these allow.
func TestValuesInSubtrees(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{Hold: true}, ends("stored", "", `{"value":1,"skip":""}`))
	for id, test := range map[string]struct{ value, result, fault string }{
		"value":  {`{"n":[1,2]}`, `{"n":[1,2]}`, ""},
		"secret": {`{"n":{"secret":"x"}}`, "", "inputs.stored.value: names a secret"},
	} {
		task := submits(id, "", `{"copy_of":"stored","inputs":{"stored":{"value":"{{deps.`+id+`_a.result}}"}}}`, id+"_a")
		task.Control = &dag.Control{Template: true}
		c.Submit(coordinator.SubmitOptions{}, task, ends(id+"_a", id, `{"value":`+test.value+`}`))
		c.Settled(id)
		got, err := c.Service().Task(t.Context(), id)
		if err != nil || string(got.Result) != test.result || !strings.Contains(got.Error, test.fault) || (test.fault == "") != (got.Error == "") {
			t.Errorf("%s: %s with %s, %q, %v", id, got.State, got.Result, got.Error, err)
		}
	}
}

// TestSubtreesStayInTheirNamespace: a tree is of the namespace of its task, and copies nothing of another.
func TestSubtreesStayInTheirNamespace(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	if _, err := c.Service().CreateNamespace(t.Context(), coordinator.NamespaceSpec{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	team := c.Coordinators[0].P.In("team")
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("stored", ""))
	for id, inputs := range map[string]string{"own": `{"tree":[{"name":"inner","schemas":{"method":"noop_executor"}}]}`, "other": `{"copy_of":"stored"}`} {
		task := submits(id, "", inputs)
		if _, err := team.Submit(t.Context(), coordinator.SubmitOptions{}, func(yield func(*dag.Task, error) bool) { yield(task, nil) }); err != nil {
			t.Fatal(err)
		}
		var got *coordinator.Task
		c.Eventually(id+" ends", func() (err error) {
			if got, err = team.Task(t.Context(), id); err == nil && !got.State.Settled() {
				err = fmt.Errorf("it is %s", got.State)
			}
			return err
		})
		if id == "other" {
			if got.State != dag.Failed || !strings.Contains(got.Error, `there is no tree "stored"`) {
				t.Errorf("a copy of another namespace's: %s, %q", got.State, got.Error)
			}
			continue
		}
		tree, err := team.Tree(t.Context(), got.SubtreeID)
		if err != nil || tree.Namespace != "team" || got.State != dag.Completed {
			t.Errorf("its tree: %+v, %v; it is %s, %q", tree, err, got.State, got.Error)
		}
	}
}
