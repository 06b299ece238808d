package dag

import "testing"

// TestRunsFlow: a task that runs a flow, or makes tasks that do, is known as one however its inputs are written.
func TestRunsFlow(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		executor, inputs string
		want             bool
	}{
		{SubtreeExecutor, `{"flow":"f"}`, true},
		{SubtreeExecutor, `{"fl\u006fw":"f"}`, true},
		{SubtreeExecutor, `{"flow":null,"copy_of":"t"}`, false},
		{SubtreeExecutor, `{"copy_of":"flow"}`, false},
		{SubtreeExecutor, `{"tree":[{"schemas":{"method":"subtree_executor"},"inputs":{"flow":"f"}}]}`, true},
		{SubtreeExecutor, `{"tree":[{"schemas":{"method":"\u0073ubtree_executor"},"inputs":{"fl\u006fw":"f"}}]}`, true},
		{SubtreeExecutor, `{"tree":[{"schemas":{"method":"noop_executor"},"inputs":{"flow":"f"}}]}`, false},
		{MapExecutor, `{"task":{"schemas":{"method":"subtree_executor"},"inputs":{"flow":"{{item}}"}}}`, true},
		{"rest_executor", `{"flow":"f"}`, false},
	} {
		if got := (&Task{Executor: row.executor, Inputs: []byte(row.inputs)}).RunsFlow(); got != row.want {
			t.Errorf("%s %s: got %t", row.executor, row.inputs, got)
		}
	}
}
