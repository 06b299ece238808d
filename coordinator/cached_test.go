package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// oneRun is one run of a counting executor.
type oneRun struct {
	task, user, value string
	failed            bool
}

// runCounter is an executor whose every run gives another result: the number of the run, and its input value.
type runCounter struct {
	executors.Description
	mu    sync.Mutex
	runs  []oneRun
	fails map[string]int // how often a value fails before it succeeds
}

func (c *runCounter) Describe() executors.Description { return c.Description }

func (c *runCounter) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Value string
		Skip  bool
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := oneRun{task: call.TaskID, user: call.UserID, value: in.Value, failed: c.fails[in.Value] > 0}
	c.runs = append(c.runs, one)
	if one.failed {
		c.fails[in.Value]--
		return nil, errors.New("not yet")
	}
	if in.Skip {
		return executors.Skip("nothing_to_do", nil), nil
	}
	out := map[string]any{"run": len(c.runs), "value": in.Value}
	if in.Value == "a file" {
		out["file"] = map[string]any{"artifact": "a", "sha256": strings.Repeat("0", 64), "size": 1}
	}
	return executors.Completed(out), nil
}

// of are the runs of a task.
func (c *runCounter) of(task string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if r.task == task {
			n++
		}
	}
	return n
}

func newRunCounter(id string) *runCounter {
	return &runCounter{Description: executors.Description{ID: id, Name: id, Type: "go"}, fails: map[string]int{}}
}

// caching is a cluster whose executors count their runs.
type caching struct {
	*cluster.Cluster
	t    *testing.T
	x, y *runCounter
}

func newCaching(t *testing.T, opts cluster.Options) *caching {
	t.Helper()
	c := &caching{t: t, x: newRunCounter("count"), y: newRunCounter("other")}
	opts.Executors = func() []executors.Executor { return []executors.Executor{c.x, c.y} }
	c.Cluster = cluster.Start(t, opts)
	return c
}

// cachedTask is a task whose success others may end by.
func cachedTask(id, value string, with ...func(*dag.Task)) *dag.Task {
	inputs, _ := json.Marshal(map[string]string{"value": value})
	t := &dag.Task{ID: id, Name: id, Executor: "count", Priority: dag.Normal, Inputs: inputs, Control: &dag.Control{Cache: &dag.Cache{For: time.Hour}}}
	for _, change := range with {
		change(t)
	}
	return t
}

// run runs one task, and shows it.
func (c *caching) run(opts coordinator.SubmitOptions, tasks ...*dag.Task) *coordinator.Task {
	c.t.Helper()
	c.Submit(opts, tasks...)
	c.Settled(tasks[0].ID)
	return c.shown(tasks[0].ID)
}

func (c *caching) shown(id string) *coordinator.Task {
	c.t.Helper()
	task, err := c.Service().Task(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return task
}

// from says whose success ended a task.
func from(t *coordinator.Task) string {
	if t.CachedFrom == nil {
		return ""
	}
	return t.CachedFrom.TaskID
}

// TestCachedTasks: a task ends by an earlier success of the same executor with the same rendered inputs and version, of the same user in the same namespace, and
// by no other.
func TestCachedTasks(t *testing.T) {
	t.Parallel()
	c := newCaching(t, cluster.Options{Coordinators: 2})
	amy := coordinator.SubmitOptions{UserID: "amy"}
	first := c.run(amy, cachedTask("first", "a"))
	if first.State != dag.Completed || first.CachedFrom != nil || c.x.of("first") != 1 {
		t.Fatalf("got %+v", first)
	}
	again := c.run(amy, cachedTask("again", "a"))
	if again.State != dag.Completed || from(again) != "first" || again.CachedFrom.TreeID != "first" || string(again.Result) != string(first.Result) || c.x.of("again") != 0 {
		t.Errorf("got %s, %s from %v, want what first gave", again.State, again.Result, again.CachedFrom)
	}
	if !again.StartedAt.IsZero() || again.CompletedAt.IsZero() || again.Attempt != 1 {
		t.Errorf("got %+v, want that it ended and never started", again)
	}
	version := func(v string) func(*dag.Task) { return func(t *dag.Task) { t.Control.Cache.Version = v } }
	for id, test := range map[string]struct {
		opts coordinator.SubmitOptions
		task *dag.Task
	}{
		"another user":     {coordinator.SubmitOptions{UserID: "bob"}, cachedTask("", "a")},
		"nobody":           {coordinator.SubmitOptions{}, cachedTask("", "a")},
		"another input":    {amy, cachedTask("", "b")},
		"another version":  {amy, cachedTask("", "a", version("2"))},
		"another executor": {amy, cachedTask("", "a", func(t *dag.Task) { t.Executor = "other" })},
		"other params":     {amy, cachedTask("", "a", func(t *dag.Task) { t.Params = json.RawMessage(`{"p":1}`) })},
		"outputs":          {amy, cachedTask("", "a", func(t *dag.Task) { t.Control.Outputs = json.RawMessage(`{"n":"{{result.run}}"}`) })},
		"no cache":         {amy, cachedTask("", "a", func(t *dag.Task) { t.Control = nil })},
		"a skip":           {amy, cachedTask("", "a", func(t *dag.Task) { t.Inputs = json.RawMessage(`{"value":"s","skip":true}`) })},
	} {
		test.task.ID, test.task.Name = id, id
		if got := c.run(test.opts, test.task); got.CachedFrom != nil || c.x.of(id)+c.y.of(id) != 1 {
			t.Errorf("%s: ended by %v, and ran %d times", id, got.CachedFrom, c.x.of(id)+c.y.of(id))
		}
	}
	if got := c.run(amy, cachedTask("another skip", "", func(t *dag.Task) { t.Inputs = json.RawMessage(`{"value":"s","skip":true}`) })); got.State != dag.Skipped || c.x.of("another skip") != 1 {
		t.Errorf("a skip: got %+v, want that it ran: only successes count", got)
	}
	elsewhere := team(t, c.Cluster, "team", coordinator.Quotas{})
	if _, err := elsewhere.Submit(t.Context(), amy, cluster.Seq([]*dag.Task{cachedTask("elsewhere", "a")})); err != nil {
		t.Fatal(err)
	}
	c.Eventually("the task of another namespace ends", func() error {
		got, err := elsewhere.Task(t.Context(), "elsewhere")
		if err == nil && !got.State.Settled() {
			err = fmt.Errorf("it is %s", got.State)
		}
		if err == nil && (got.CachedFrom != nil || c.x.of("elsewhere") != 1) {
			t.Errorf("in another namespace: ended by %v, and ran %d times", got.CachedFrom, c.x.of("elsewhere"))
		}
		return err
	})
	outputs := cachedTask("outputs again", "a", func(t *dag.Task) { t.Control.Outputs = json.RawMessage(`{"n":"{{result.run}}"}`) })
	if got := c.run(amy, outputs); from(got) != "outputs" || string(got.Outputs) != string(c.shown("outputs").Outputs) {
		t.Errorf("outputs: got %s from %s", got.Outputs, from(got))
	}
	spelt := cachedTask("spelt otherwise", "a", func(t *dag.Task) { t.Inputs = json.RawMessage(`{ "value" : "\u0061"}`) })
	if got := c.run(amy, spelt); from(got) != "first" {
		t.Errorf("inputs that are spelt otherwise: got %s", from(got))
	}
	if why, err := c.Service().Why(t.Context(), "again"); err != nil || !strings.Contains(fmt.Sprint(why), "first") {
		t.Errorf("why says %+v, %v, want that first ended it", why, err)
	}
}

// TestCachesOfRenderedInputs: what counts is what a worker would be given, or the key over it.
func TestCachesOfRenderedInputs(t *testing.T) {
	t.Parallel()
	c := newCaching(t, cluster.Options{})
	tree := func(id, value string, with ...func(*dag.Task)) []*dag.Task {
		source := cachedTask(id+".source", value, func(t *dag.Task) { t.ParentRef, t.Control = id, nil })
		last := cachedTask(id, "", append([]func(*dag.Task){func(t *dag.Task) {
			t.Dependencies = []dag.Dependency{{Ref: id + ".source", Mode: orderOnly(c.t)}}
			t.Inputs, t.Control.Template = json.RawMessage(`{"value":"{{deps.source.result.value}}"}`), true
		}}, with...)...)
		source.Name = "source"
		return []*dag.Task{last, source}
	}
	c.run(coordinator.SubmitOptions{}, tree("one", "a")...)
	if got := c.run(coordinator.SubmitOptions{}, tree("two", "a")...); from(got) != "one" || c.x.of("two.source") != 1 {
		t.Errorf("the same value of another tree: ended by %q", from(got))
	}
	if got := c.run(coordinator.SubmitOptions{}, tree("three", "b")...); from(got) != "" || !strings.Contains(string(got.Result), `"b"`) {
		t.Errorf("another value: ended by %q, with %s", from(got), got.Result)
	}
	key := func(key string) func(*dag.Task) { return func(t *dag.Task) { t.Control.Cache.Key = key } }
	c.run(coordinator.SubmitOptions{}, tree("four", "c", key("{{inputs.value}}"))...)
	if got := c.run(coordinator.SubmitOptions{}, tree("five", "d", key("{{inputs.value}}"))...); from(got) != "" {
		t.Errorf("a key of rendered inputs that differ: ended by %q", from(got))
	}
	if got := c.run(coordinator.SubmitOptions{}, cachedTask("six", "anything", key("{{inputs.value:c}}"), func(t *dag.Task) { t.Inputs = json.RawMessage(`{"other":1}`) })); from(got) != "four" {
		t.Errorf("the same key: ended by %q", from(got))
	}
	if got := c.run(coordinator.SubmitOptions{}, tree("seven", "e", func(t *dag.Task) { t.Inputs = json.RawMessage(`{"value":"{{deps.source.result.nope}}"}`) })...); got.State != dag.Failed {
		t.Errorf("a template that names nothing: %s, want that its worker fails it", got.State)
	}
}

// orderOnly is the mode of an edge by which nothing is merged.
func orderOnly(t testing.TB) dag.EdgeMode {
	mode, ok := dag.EdgeOf(nil, "", true, false)
	if !ok {
		t.Fatal("no such mode")
	}
	return mode
}

// TestWhatIsNotFoundAnyMore: a success that is too old, whose tree is gone, or that somebody has changed ends nothing; neither does one that a user does not want.
func TestWhatIsNotFoundAnyMore(t *testing.T) {
	t.Parallel()
	c := newCaching(t, cluster.Options{})
	ctx, svc := t.Context(), c.Service()
	conn, err := pgx.Connect(ctx, c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	none := coordinator.SubmitOptions{}
	runs := func(id string, got *coordinator.Task) {
		t.Helper()
		if got.State != dag.Completed || got.CachedFrom != nil || c.x.of(id) == 0 {
			t.Errorf("%s: %s, ended by %v, ran %d times; want that it ran", id, got.State, got.CachedFrom, c.x.of(id))
		}
	}
	c.run(none, cachedTask("old", "old"))
	exec("update cache set at = at - interval '2 hours'")
	runs("reader says so", c.run(none, cachedTask("reader says so", "old")))
	exec("update cache set until = now() - interval '1 second'")
	runs("writer says so", c.run(none, cachedTask("writer says so", "old")))

	c.run(none, cachedTask("deleted", "deleted"))
	if _, err := svc.Delete(ctx, "deleted", coordinator.DeleteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	runs("after a deletion", c.run(none, cachedTask("after a deletion", "deleted")))

	c.run(none, cachedTask("edited", "edited"))
	if _, err := svc.Update(ctx, "edited", coordinator.TaskChange{Result: json.RawMessage(`{"by":"hand"}`)}); err != nil {
		t.Fatal(err)
	}
	runs("after an edit", c.run(none, cachedTask("after an edit", "edited")))

	c.run(none, cachedTask("fresh", "fresh"))
	runs("not wanted", c.run(coordinator.SubmitOptions{NoCache: true}, cachedTask("not wanted", "fresh")))
	if got := c.run(none, cachedTask("wanted", "fresh")); from(got) != "not wanted" {
		t.Errorf("ended by %q, want the newest success", from(got))
	}
	if _, err := svc.Execute(ctx, "wanted", coordinator.ExecuteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	c.Settled("wanted")
	runs("wanted", c.shown("wanted"))
	if got := c.run(none, cachedTask("later", "fresh")); from(got) != "wanted" {
		t.Errorf("ended by %q, want the newest success", from(got))
	}
	copied, err := svc.Copy(ctx, "later", coordinator.CopyOptions{Mode: coordinator.CopyFull, Execute: &coordinator.ExecuteOptions{}})
	if err != nil {
		t.Fatal(err)
	}
	c.Settled(copied.TreeID)
	if got := c.shown(copied.TreeID); got.State != dag.Completed {
		t.Errorf("a copy: %s", got.State)
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, cachedTask("held", "fresh"))
	if _, err := svc.Execute(ctx, "held", coordinator.ExecuteOptions{NoCache: true}); err != nil {
		t.Fatal(err)
	}
	c.Settled("held")
	runs("held", c.shown("held"))
	c.Submit(coordinator.SubmitOptions{Hold: true}, cachedTask("held too", "fresh"))
	if _, err := svc.Execute(ctx, "held too", coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled("held too")
	if got := c.shown("held too"); from(got) != "held" {
		t.Errorf("a tree that was held: ended by %q", from(got))
	}
	exec("delete from attempt where task in (select task from cache)") // nothing does that, but what refers to nothing must end nothing
	runs("dangling", c.run(none, cachedTask("dangling", "fresh")))
	demo := cachedTask("demo", "demo")
	c.run(coordinator.SubmitOptions{Demo: true}, demo)
	runs("after a demonstration", c.run(none, cachedTask("after a demonstration", "demo")))
}

// TestCachesAndRetries: what succeeds in a later attempt counts, what fails does not.
func TestCachesAndRetries(t *testing.T) {
	t.Parallel()
	c := newCaching(t, cluster.Options{})
	c.x.fails["a"], c.x.fails["b"] = 2, 1
	retry := func(t *dag.Task) {
		t.Retry = dag.RetryPolicy{MaxAttempts: 3, NoDelay: true, MaxDelay: time.Millisecond}
	}
	if got := c.run(coordinator.SubmitOptions{}, cachedTask("third time", "a", retry)); got.State != dag.Completed || got.Attempt != 3 {
		t.Fatalf("got %+v", got)
	}
	if got := c.run(coordinator.SubmitOptions{}, cachedTask("ends by it", "a", retry)); from(got) != "third time" {
		t.Errorf("ended by %q", from(got))
	}
	if got := c.run(coordinator.SubmitOptions{}, cachedTask("fails", "b")); got.State != dag.Failed {
		t.Fatalf("got %+v", got)
	}
	if got := c.run(coordinator.SubmitOptions{}, cachedTask("after a failure", "b")); got.CachedFrom != nil || c.x.of("after a failure") != 1 {
		t.Errorf("a failure ended %+v", got)
	}
}

// TestWhatMayBeCached: what can't end by an earlier success is refused with all its faults.
func TestWhatMayBeCached(t *testing.T) {
	t.Parallel()
	c := newCaching(t, cluster.Options{})
	for want, change := range map[string]func(*dag.Task){
		"cache: a group":                          func(t *dag.Task) { t.Executor = "" },
		"cache: a task of sleep_executor waits":   func(t *dag.Task) { t.Executor, t.Inputs = "sleep_executor", json.RawMessage(`{"seconds":1}`) },
		"cache: a task of wait_executor waits":    func(t *dag.Task) { t.Executor, t.Inputs = "wait_executor", json.RawMessage(`{"signal":"go"}`) },
		"cache: a task of approval_executor":      func(t *dag.Task) { t.Executor, t.Inputs = "approval_executor", json.RawMessage(`{"message":"?"}`) },
		"cache: a task of map_executor":           func(t *dag.Task) { t.Executor, t.Inputs = "map_executor", json.RawMessage(`{"items":[],"task":{}}`) },
		"cache: a task of subtree_executor":       func(t *dag.Task) { t.Executor, t.Inputs = "subtree_executor", json.RawMessage(`{"tree":[]}`) },
		"cache: not together with repeat":         func(t *dag.Task) { t.Control.Repeat = &dag.Repeat{Until: "true", Max: 2} },
		"cache: not together with artifacts":      func(t *dag.Task) { t.Control.Artifacts = []string{"*.csv"} },
		"cache: not together with not_before":     func(t *dag.Task) { t.NotBefore = time.Now() },
		"cache.for: must be":                      func(t *dag.Task) { t.Control.Cache.For = -1 },
		"cache.for: is required":                  func(t *dag.Task) { t.Control.Cache.For = 0 },
		"cache.key: task.attempt":                 func(t *dag.Task) { t.Control.Cache.Key = "{{task.attempt}}" },
		"cache: task.attempt":                     func(t *dag.Task) { t.Inputs, t.Control.Template = json.RawMessage(`{"n":"{{task.attempt}}"}`), true },
		"cache: outputs of the task may name its": func(t *dag.Task) { t.Control.Outputs = json.RawMessage(`{"n":"{{task.id}}"}`) },
		`cache.key: "{{deps.a.result}}"`:          func(t *dag.Task) { t.Control.Cache.Key = "{{deps.a.result}}" },
	} {
		task := cachedTask("t", "a", change)
		if _, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{task})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestNoCacheGoesDown: who wants nothing from the cache has what a task finds, and the trees that it submits, run too. Others are ended by earlier successes there as elsewhere.
func TestNoCacheGoesDown(t *testing.T) {
	t.Parallel()
	c := newCaching(t, cluster.Options{})
	const child = `{"name":"child","schemas":{"method":"count"},"inputs":{"value":"v"},"cache":{"for":"1h"}}`
	c.run(coordinator.SubmitOptions{}, cachedTask("source", "v", func(t *dag.Task) { t.Schemas = json.RawMessage(`{"method":"count"}`) }))
	all := func() int {
		c.x.mu.Lock()
		defer c.x.mu.Unlock()
		return len(c.x.runs)
	}
	for executor, inputs := range map[string]string{"map_executor": `{"items":[1],"task":` + child + `}`, "subtree_executor": `{"tree":[` + child + `]}`} {
		for _, fresh := range []bool{false, true} {
			id, before := fmt.Sprint(executor, fresh), all()
			got := c.run(coordinator.SubmitOptions{NoCache: fresh}, &dag.Task{ID: id, Name: id, Executor: executor, Priority: dag.Normal, Inputs: json.RawMessage(inputs)})
			if ran := all() - before; got.State != dag.Completed || (ran > 0) != fresh {
				t.Errorf("%s, all fresh %t: %s, its task ran %d times", executor, fresh, got.State, ran)
			}
		}
	}
}

// TestKeysAndFiles: with a key, what refers to files ends nothing: these are of the tree that had them.
func TestKeysAndFiles(t *testing.T) {
	t.Parallel()
	c := newCaching(t, cluster.Options{})
	keyed := func(id, value string) *dag.Task {
		return cachedTask(id, value, func(t *dag.Task) { t.Control.Cache.Key = "the same" })
	}
	if got := c.run(coordinator.SubmitOptions{}, keyed("file", "a file")); got.State != dag.Completed {
		t.Fatalf("got %+v", got)
	}
	if got := c.run(coordinator.SubmitOptions{}, keyed("after", "plain")); got.CachedFrom != nil || got.State != dag.Completed {
		t.Errorf("ended by %+v, %s", got.CachedFrom, got.State)
	}
	if got := c.run(coordinator.SubmitOptions{}, keyed("last", "other")); from(got) != "after" {
		t.Errorf("ended by %q", from(got))
	}
}
