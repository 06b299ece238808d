package coordinator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestDataKeysAreRotated: while trees run, keys are rotated; values of before, sealed or not, are sealed with the new ones and come back as they
// were, and the old keys are deleted.
func TestDataKeysAreRotated(t *testing.T) {
	t.Parallel()
	c := sealedCluster(t)
	for _, p := range c.Coordinators {
		p.P.SetWalkAfter(300 * time.Millisecond)
	}
	conn := connected(t, c.URL)
	tree := func(name string) (tasks []*dag.Task) {
		for n := range 20 {
			id := fmt.Sprint(name, n)
			task := &dag.Task{ID: id, Name: id, Executor: "echo_executor", Inputs: json.RawMessage(`{"v":"` + canaryValue + id + `"}`)}
			if n > 0 {
				task.ParentRef = name + "0"
			}
			tasks = append(tasks, task)
		}
		return tasks
	}
	before := c.Submit(coordinator.SubmitOptions{}, tree("before")...)
	c.Settled(before.TreeID)
	// One value is as it was stored before sealing was switched on.
	if _, err := conn.Exec(t.Context(), `update attempt set sealed = null, result = '{"echo":"`+canaryValue+`plain"}'
		where task = (select key from spec where id = 'before3')`); err != nil {
		t.Fatal(err)
	}
	old, err := c.Service().SealStatus(t.Context())
	if err != nil || !old.Sealed || len(old.Keys) < 2 || old.Master == "" {
		t.Fatalf("before: %+v, %v", old, err)
	}
	during := c.Submit(coordinator.SubmitOptions{}, tree("during")...)
	made, err := c.Service().RotateDataKeys(t.Context(), "")
	if err != nil || len(made) < 2 {
		t.Fatalf("made: %+v, %v", made, err)
	}
	c.Settled(during.TreeID)
	c.Eventually("the old key is deleted", func() error {
		now, err := c.Service().SealStatus(t.Context())
		if err != nil {
			return err
		}
		for _, k := range now.Keys {
			if k.Namespace != "" && !k.Retired.IsZero() {
				return fmt.Errorf("there are %+v, round %d", now.Keys, now.Round)
			}
		}
		return nil
	})
	for name, id := range map[string]string{"before": before.TreeID, "during": during.TreeID} {
		for ref, task := range c.Tasks(id) {
			want := canaryValue + ref
			if ref == "before3" {
				want = canaryValue + "plain"
			}
			if task.State != dag.Completed || !strings.Contains(string(task.Inputs), canaryValue+ref) || !strings.Contains(string(task.Result), want) {
				t.Errorf("%s: %s is %v, inputs %s, result %s", name, ref, task.State, task.Inputs, task.Result)
			}
		}
	}
	if tables := tablesWith(t, conn, canaryValue); len(tables) > 0 {
		t.Errorf("it is in %v", tables)
	}
	if n, err := c.Service().RewrapDataKeys(t.Context()); err != nil || n != 0 {
		t.Errorf("wrapped anew: %d, %v", n, err)
	}
}
