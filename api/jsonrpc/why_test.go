package jsonrpc_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

func TestWhy(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.create", chain)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		name  string
		waits []coordinator.Wait
		want  []any
	}{
		{"what does not belong to a kind is left out", []coordinator.Wait{{Kind: coordinator.WaitDependency, Text: "t", TaskID: "b", TaskName: "B", TaskState: dag.Ready}},
			[]any{map[string]any{"kind": "dependency", "text": "t", "task_id": "b", "task_name": "B", "task_state": "ready"}}},
		{"nothing ahead is told", []coordinator.Wait{{Kind: coordinator.WaitCapacity, Text: "t", Pool: "p", Capacity: 2}},
			[]any{map[string]any{"kind": "capacity", "text": "t", "pool": "p", "ahead": 0.0, "capacity": 2.0}}},
		{"times have a zone", []coordinator.Wait{{Kind: coordinator.WaitRetry, Text: "t", Until: at, Attempt: 2, Error: "e"}, {Kind: coordinator.WaitPool, Text: "t", Pool: "p", Since: at}},
			[]any{map[string]any{"kind": "retry", "text": "t", "until": "2026-01-02T03:04:05.000000+00:00", "attempt": 2.0, "error": "e"},
				map[string]any{"kind": "pool", "text": "t", "pool": "p", "since": "2026-01-02T03:04:05.000000+00:00"}}},
		{"a slot is of a worker, for a moment", []coordinator.Wait{{Kind: coordinator.WaitSlot, Text: "t", Pool: "p", Worker: "w", Attempt: 1, Until: at}},
			[]any{map[string]any{"kind": "slot", "text": "t", "pool": "p", "worker": "w", "attempt": 1.0, "until": "2026-01-02T03:04:05.000000+00:00"}}},
		{"no wait is an empty list", []coordinator.Wait{}, []any{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.svc.Explain("a", tc.waits...)
			got := s.object("tasks.why", `{"task_id":"a"}`)
			want := map[string]any{"task_id": "a", "tree_id": "r", "name": "a", "status": "pending", "state": "held", "summary": "held", "waits": tc.want}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
	for params, want := range map[string]string{
		`{}`:                 "Task ID is required. Please provide 'task_id' or 'id' parameter.",
		`{"task_id":"nope"}`: "Task nope not found",
		`{"task_id":7}`:      "task_id must be a string",
	} {
		if got := s.refused("tasks.why", params, -32602, 400); got != want {
			t.Errorf("%s: got %q, want %q", params, got, want)
		}
	}
}
