package dag_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

func TestPoolOf(t *testing.T) {
	for executor, want := range map[string]string{
		"": "", "noop_executor": "noop_executor", "A-b_9": "A-b_9", "external.process": "external_process", "a b/c:d": "a_b_c_d", "größe": "gr__e", "..": "__",
		strings.Repeat("x", 64): strings.Repeat("x", 64), strings.Repeat("x", 63) + ".": strings.Repeat("x", 63) + "_",
		strings.Repeat("x", 65): strings.Repeat("x", 65), // a pool that can't be, as before
	} {
		got := dag.PoolOf(executor)
		if got != want {
			t.Errorf("%q: got %q, want %q", executor, got, want)
		}
		if executor != "" && len(executor) <= dag.MaxPoolBytes && !dag.ValidPool(got) {
			t.Errorf("%q: the pool %q can't be", executor, got)
		}
		if task := (&dag.Task{Executor: executor}); task.QueueName() != want {
			t.Errorf("%q waits in %q", executor, task.QueueName())
		}
	}
	if task := (&dag.Task{Executor: "a.b", Pool: "p"}); task.QueueName() != "p" {
		t.Errorf("it waits in %q", task.QueueName())
	}
}
