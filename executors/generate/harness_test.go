package generate_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/generate"
	"github.com/taskgrove/taskgrove/executors/model"
)

// answers is an asker that says one text after the other.
type answers struct {
	texts []string

	mu    sync.Mutex
	asked []*model.Request
}

func (a *answers) Ask(ctx context.Context, r *model.Request) (*model.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := *r
	own.Messages = slices.Clone(r.Messages)
	a.asked = append(a.asked, &own)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(a.texts) < len(a.asked) {
		return nil, errors.New("the script is at its end")
	}
	return &model.Response{Message: model.Text(model.Assistant, a.texts[len(a.asked)-1]), Finish: "stop", Model: "test-model",
		Usage: executors.Usage{Calls: 1, PromptTokens: 100, CompletionTokens: 10}}, nil
}

// catalogue are all executors that come with a worker.
var catalogue = sync.OnceValue(func() []executors.Description {
	return slices.Collect(iter.Seq[executors.Description](builtin.Catalogue()))
})

// run generates with these inputs, as they were submitted, and answers.
func run(t testing.TB, cfg generate.Config, inputs string, texts ...string) (*generate.Result, *answers, error) {
	t.Helper()
	a := &answers{texts: texts}
	call, _ := conformance.Call(t, inputs)
	call.Submitted = []string{"executors", "allow_commands"}
	outcome, err := newExecutor(cfg, a).Run(t.Context(), call)
	if err != nil {
		return nil, a, err
	}
	return outcome.Value().(*generate.Result), a, nil
}

func newExecutor(cfg generate.Config, a model.Asker) *generate.Executor {
	return generate.New(cfg, func(*executors.Call, model.Options) (model.Asker, error) { return a, nil }, noIdle, catalogue)
}

// wantTree checks that a result is a tree that a coordinator accepts, of these executors and of one owner.
func wantTree(t testing.TB, r *generate.Result, owner string, allowed func(executor string) bool) []*dag.Task {
	t.Helper()
	text, err := json.Marshal(r.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	var known dag.Known
	for _, d := range catalogue() {
		known.Add(d.ID, d.Type)
	}
	b := dag.NewBuilder(dag.Limits{}, func() string { t.Error("a task has no id"); return "x" })
	var all []*dag.Task
	for task, err := range treedoc.Parse(text, treedoc.Options{Executors: known}) {
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if _, err := b.Add(task); err != nil {
			t.Fatal(err)
		}
		if task.Executor != "" && !allowed(task.Executor) {
			t.Errorf("%s is in the tree: %s", task.Executor, text)
		}
		if task.UserID != owner || task.Pool != "" || !task.NotBefore.IsZero() || task.TreeTimeout != 0 || task.ScheduleToStart != 0 || task.Repeatable ||
			task.OnLost != dag.RetryLost || len(task.Custom) > 0 {
			t.Errorf("the tree sets what it can't: %s", text)
		}
		if keys := dag.References(task.Executor, nil, task.Inputs, task.Inputs); len(keys) > 0 {
			t.Errorf("inputs %v name something: %s", keys, text)
		}
		all = append(all, task)
	}
	if _, err := b.Build(); err != nil {
		t.Errorf("%v in %s", err, text)
	}
	if r.Status != "completed" || r.Count != len(all) {
		t.Errorf("status %s, count %d of %d", r.Status, r.Count, len(all))
	}
	return all
}

// noIdle is of models that keep nothing between attempts.
func noIdle() error { return nil }
