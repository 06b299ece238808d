package coordinator_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestAnswersShowWhatIsStored stores trees of all kinds, small ones in a batch and one that flows, and reads each back: it is what the answer showed.
func TestAnswersShowWhatIsStored(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	random := rand.New(rand.NewPCG(14, 1))
	for i, size := range []int{1, 2, 30, 30, 30, 2500} {
		for _, named := range []bool{false, true} {
			tasks := randomTree(random, size, named)
			show := coordinator.ShowLimits{Tasks: size, Bytes: 1 << 20}
			sub := c.Submit(coordinator.SubmitOptions{UserID: []string{"", "ann"}[i%2], Hold: true, Show: show}, tasks...)
			want, got := stored(t, c.Service(), sub.TreeID), inUTC(sub.Shown)
			if len(got) != size || len(want) != size {
				t.Fatalf("%d tasks are shown, %d stored, want %d", len(got), len(want), size)
			}
			for k := range want {
				if !reflect.DeepEqual(got[k], want[k]) {
					t.Fatalf("task %d of %d is stored as %+v,\nand was shown as %+v", k, size, want[k], got[k])
				}
			}
			if !named && i > 0 && len(sub.IDMap) == 0 {
				t.Error("no id was taken: that is not tested")
			}
		}
	}
}

// TestNotAllAnswersShow: they don't beyond their limits, of what may run already, and of what was stored before.
func TestNotAllAnswersShow(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	tree := []*dag.Task{with(noop("r", ""), `{"n":1}`), noop("a", "r")}
	for name, tc := range map[string]struct {
		options coordinator.SubmitOptions
		want    int
	}{
		"all that fits":  {coordinator.SubmitOptions{Hold: true, Show: coordinator.ShowLimits{Tasks: 2, Bytes: 7}}, 2},
		"too many tasks": {coordinator.SubmitOptions{Hold: true, Show: coordinator.ShowLimits{Tasks: 1, Bytes: 7}}, 0},
		"too many bytes": {coordinator.SubmitOptions{Hold: true, Show: coordinator.ShowLimits{Tasks: 2, Bytes: 6}}, 0},
		"started":        {coordinator.SubmitOptions{Show: coordinator.ShowLimits{Tasks: 2, Bytes: 7}}, 0},
		"not asked for":  {coordinator.SubmitOptions{Hold: true}, 0},
	} {
		tc.options.IdempotencyKey = name
		if got := c.Submit(tc.options, tree...); len(got.Shown) != tc.want || got.Replayed {
			t.Errorf("%s: %d tasks are shown, want %d", name, len(got.Shown), tc.want)
		}
		if got := c.Submit(tc.options, tree...); got.Shown != nil || !got.Replayed {
			t.Errorf("%s, again: %d tasks are shown, want none", name, len(got.Shown))
		}
	}
}

// randomTree has ids that others of its kind have, too, or none.
func randomTree(random *rand.Rand, size int, named bool) (tasks []*dag.Task) {
	for i := range size {
		t := &dag.Task{Name: fmt.Sprint("task ", i), Priority: dag.Priority(random.IntN(4)), Repeatable: random.IntN(5) == 0,
			Executor: []string{"noop_executor", "aggregate_results_executor", "", "nobody-has-this"}[random.IntN(4)], Pool: []string{"", "", "p"}[random.IntN(3)]}
		if !named {
			t.ID = fmt.Sprint("id-", i)
		}
		for _, to := range []*json.RawMessage{&t.Inputs, &t.Params, &t.Schemas, &t.Custom} {
			if random.IntN(2) == 0 {
				*to = json.RawMessage([]string{`{}`, `{"n":1.50,"t":"a \" é \u0041"}`, `{"k":[1,{"z":null}],"method":"x"}`}[random.IntN(3)])
			}
		}
		if i > 0 {
			t.ParentRef = ref(tasks[random.IntN(i)])
		}
		for range min(i, random.IntN(4)) {
			d := dag.Dependency{Ref: ref(tasks[random.IntN(i)]), Optional: random.IntN(2) == 0, Type: []string{"", "result", "other"}[random.IntN(3)]}
			t.Dependencies = append(t.Dependencies, d)
		}
		tasks = append(tasks, t)
	}
	return tasks
}

// ref is what others call a task.
func ref(t *dag.Task) string {
	if t.ID != "" {
		return t.ID
	}
	return t.Name
}

// stored reads a tree.
func stored(t *testing.T, svc coordinator.Service, id string) (all []*coordinator.Task) {
	f := coordinator.TaskFilter{TreeOf: id, Limit: 1000}
	for {
		page, err := svc.Tasks(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return inUTC(all)
		}
	}
}

// inUTC makes equal times the same.
func inUTC(tasks []*coordinator.Task) []*coordinator.Task {
	for _, t := range tasks {
		t.CreatedAt, t.UpdatedAt = t.CreatedAt.UTC(), t.UpdatedAt.UTC()
	}
	return tasks
}
