package pg

import (
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestWhatWasEndedByHandIsExecuted: what a user completed in a held tree stays so when the tree starts, though what it waited for runs only then.
// Who asks for it has it run, too, and the auditor knows that it ended before.
func TestWhatWasEndedByHandIsExecuted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		by    dag.Status
		opts  dag.ExecutionOptions
		after string
	}{
		"completed":             {by: dag.StatusCompleted, after: "root:ready a:ready b:completed"},
		"completed, and forced": {by: dag.StatusCompleted, opts: dag.ExecutionOptions{Force: true}, after: "root:waiting1 a:ready b:waiting1#2"},
		"failed":                {by: dag.StatusFailed, after: "root:waiting1 a:ready b:waiting1#2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEditSite(t, true, "root<b", "a", "b<a")
			e.change("b", dag.Change{Status: tc.by})
			if got, err := e.s.Execute(t.Context(), e.key("root"), tc.opts); err != nil || got.Status != ExecutionStarted {
				t.Fatalf("got %+v, %v", got, err)
			}
			e.want(tc.after)
			e.start("a")
			e.end("a", dag.OutcomeCompleted)
			if e.attempt("b") > 1 {
				e.start("b")
				e.end("b", dag.OutcomeCompleted)
				e.want("root:ready a:completed b:completed#2")
			}
		})
	}
}
