package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestADocumentRunsAlikeEachTime: a task finds the results of the others under what the document calls them, however often it was
// submitted before, with ids or with names, small or large, at once or when it is executed, and when it runs again.
func TestADocumentRunsAlikeEachTime(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2,
		Executors: func() []executors.Executor {
			return []executors.Executor{executors.Func("keys", func(_ context.Context, in map[string]any) (map[string]any, error) {
				lengths := map[string]any{}
				for key, value := range in {
					text, err := json.Marshal(value)
					if err != nil {
						return nil, err
					}
					lengths[key] = len(text)
				}
				return lengths, nil
			})}
		},
		Coordinator: func(s *config.Coordinator) { s.InlineBytes = 64 << 10 },
		Worker:      func(s *config.Worker) { s.InlineResult = 64 << 10 },
	})
	large := `{"value":"` + strings.Repeat("x", 200<<10) + `"}`
	const wide = 300 // more than are sent along with a task
	document := func(ids bool, fan int) (tasks []*dag.Task) {
		for i, name := range append([]string{"report", "fetch orders", "fetch/stock"}, numbered(fan)...) {
			task := &dag.Task{Name: name, Executor: "noop_executor", Priority: dag.Normal, Inputs: json.RawMessage(`{"value":[1]}`)}
			if ids {
				task.ID = name
			}
			if tasks = append(tasks, task); i > 0 {
				task.ParentRef = "report"
				tasks[0].Dependencies = append(tasks[0].Dependencies, dag.Dependency{Ref: name})
			}
		}
		tasks[0].Executor, tasks[0].Inputs = "keys", nil
		tasks[1].Inputs = json.RawMessage(large)
		return tasks
	}
	want := func(fan int) string {
		lengths := map[string]int{"fetch orders": 200<<10 + 2, "fetch/stock": 3}
		for _, name := range numbered(fan) {
			lengths[name] = 3
		}
		text, _ := json.Marshal(lengths)
		return string(text)
	}
	for name, kind := range map[string]struct {
		ids bool
		fan int
	}{"ids": {true, 0}, "names": {false, 0}, "many ids": {true, wide}, "many names": {false, wide}} {
		t.Run(name, func(t *testing.T) {
			c := c.For(t)
			times := 4 // each coordinator, held or not; the first has the ids, the others find them taken
			if kind.fan > 0 {
				times = 3
			}
			for i := range times {
				hold := i >= 2
				out, err := c.Coordinators[i%2].P.Submit(t.Context(), coordinator.SubmitOptions{Hold: hold}, cluster.Seq(document(kind.ids, kind.fan)))
				if err != nil {
					t.Fatal(err)
				}
				for run := range 2 {
					if hold || run > 0 {
						if _, err := c.Service().Execute(t.Context(), out.TreeID, coordinator.ExecuteOptions{Force: true}); err != nil {
							t.Fatal(err)
						}
					}
					c.Settled(out.TreeID)
					got, err := c.Service().Task(t.Context(), out.TreeID)
					if err != nil || string(got.Result) != want(kind.fan) || got.Ref != "report" {
						t.Fatalf("submission %d, run %d: %s found %.300s, want %.300s (%v, %s)", i, run, got.Ref, got.Result, want(kind.fan), err, got.Error)
					}
					if !strings.Contains(string(got.Inputs), `"fetch/stock":[1]`) {
						t.Errorf("submission %d, run %d: it is shown with the inputs %.300s", i, run, got.Inputs)
					}
				}
			}
		})
	}
}

func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("n", i))
	}
	return names
}

// sentKeys are the idempotency keys that an executor got: of each attempt of each task.
type sentKeys struct {
	sync.Mutex
	of map[string][]string
}

// executor notes its key, and fails until the attempt that its input names.
func (k *sentKeys) executor() executors.Executor {
	type inputs struct {
		Attempt int `json:"attempt"`
	}
	return executors.Func("pay", func(ctx context.Context, in inputs) (string, error) {
		call := executors.FromContext(ctx)
		k.Lock()
		defer k.Unlock()
		k.of[call.TaskID] = append(k.of[call.TaskID], call.IdempotencyKey)
		if call.Attempt < in.Attempt {
			return "", errors.New("the bank is away")
		}
		return call.IdempotencyKey, nil
	})
}

func (k *sentKeys) get(id string) []string {
	k.Lock()
	defer k.Unlock()
	return slices.Clone(k.of[id])
}

// TestIdempotencyKeysAreOfOneRun: the attempts of a run share theirs, also after its coordinator was replaced; no other run of
// any task has it, also where the ids are the same, in another cluster or another submission.
func TestIdempotencyKeysAreOfOneRun(t *testing.T) {
	t.Parallel()
	header := regexp.MustCompile(`^[!-~]{1,255}$`)
	seen := map[string]string{}
	fresh := func(what, key string) {
		t.Helper()
		if !header.MatchString(key) {
			t.Errorf("%s has the key %q, which is no header value of 255 ASCII characters", what, key)
		}
		if other, twice := seen[key]; twice {
			t.Errorf("%s and %s have the key %s", what, other, key)
		}
		seen[key] = what
	}
	for _, name := range []string{"one cluster", "another cluster"} {
		sent := &sentKeys{of: map[string][]string{}}
		c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{sent.executor()} }})
		pay := func(id string, attempt int) *dag.Task {
			return &dag.Task{ID: id, Name: "pay", Executor: "pay", Priority: dag.Normal, Inputs: fmt.Appendf(nil, `{"attempt":%d}`, attempt),
				Retry: dag.RetryPolicy{MaxAttempts: 5, Backoff: dag.Fixed, InitialDelay: 500 * time.Millisecond}}
		}
		c.Submit(coordinator.SubmitOptions{}, pay("nightly-pay", 2))
		c.Eventually("the first attempt has ended", func() error {
			task, err := c.Service().Task(t.Context(), "nightly-pay")
			if err == nil && task.Attempt < 2 {
				err = errors.New(task.State.String())
			}
			return err
		})
		old := c.Coordinators[0]
		c.AddCoordinator()
		if err := old.Stop(); err != nil {
			t.Fatal(err)
		}
		c.Coordinators = c.Coordinators[1:]
		c.Settled("nightly-pay")
		keys := sent.get("nightly-pay")
		if len(keys) < 2 || len(slices.Compact(slices.Clone(keys))) != 1 {
			t.Fatalf("the attempts of one run had the keys %q", keys)
		}
		fresh(name, keys[0])
		if _, err := c.Service().Execute(t.Context(), "nightly-pay", coordinator.ExecuteOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		c.Settled("nightly-pay")
		again := sent.get("nightly-pay")
		fresh(name+", run again", again[len(again)-1])

		second := pay("支払い\u00a0", 1)
		second.ParentRef = "nightly-pay"
		out := c.Submit(coordinator.SubmitOptions{}, pay("nightly-pay", 1), second)
		c.Settled(out.TreeID)
		fresh(name+", submitted again", sent.get(out.TreeID)[0])
		fresh(name+", with an id that no header can hold", sent.get("支払い\u00a0")[0])
	}
}
