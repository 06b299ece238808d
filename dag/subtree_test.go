package dag

import (
	"encoding/json"
	"testing"
	"time"
)

func TestInputsAreReplaced(t *testing.T) {
	for _, tt := range []struct{ executor, inputs, others, want, fault string }{
		{inputs: `{"a":1,"b":{"c":2}}`, others: `{"b":3,"z":[4]}`, want: `{"a":1,"b":3,"z":[4]}`},
		{inputs: `{"b":1}`, others: `{"b":{"sec\u0072ets":1}}`, want: `{"b":{"sec\u0072ets":1}}`},
		{others: `{"y":2,"x":1}`, want: `{"x":1,"y":2}`},
		{inputs: `{"a":1}`, others: `{}`, want: `{"a":1}`},
		{inputs: `{"a":1}`, others: `{"a":{"deep":[{"secret":"x"}]}}`, want: `{"a":1}`, fault: "a"},
		{inputs: `{"a":1}`, others: `{"a":{"sec\u0072et":"x"}}`, want: `{"a":1}`, fault: "a"},
		{inputs: `{"a":1}`, others: `{"a":{"allow_commands":[]}}`, want: `{"a":1}`, fault: "a"},
		{inputs: `{"a":1}`, others: `{"connection":"db"}`, want: `{"a":1}`, fault: "connection"},
		{executor: "map_executor", inputs: `{"task":{}}`, others: `{"task":{"name":"x"}}`, want: `{"task":{}}`, fault: "task"},
	} {
		task := &Task{Executor: tt.executor, Inputs: json.RawMessage(tt.inputs)}
		var others map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.others), &others); err != nil {
			t.Fatal(err)
		}
		faults := task.Replace(others)
		if string(task.Inputs) != tt.want || (len(faults) > 0) != (tt.fault != "") || len(faults) > 0 && faults[0].Name != tt.fault {
			t.Errorf("%s into %s: got %s, %v", tt.others, tt.inputs, task.Inputs, faults)
		}
	}
}

// TestWaitsForTreesEndWithTheTimeout: the timeout of the task goes on from the start of its attempt while it waits for a tree, and for nothing else.
func TestWaitsForTreesEndWithTheTimeout(t *testing.T) {
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		kind AwaitKind
		want time.Time
	}{{AwaitTree, start.Add(time.Minute)}, {AwaitSignal, time.Time{}}} {
		d := NewDecision(start.Add(10*time.Second), func() float64 { return 0 })
		d.Add(Row{Key: 1, State: Running, Attempt: 1, Worker: 7, StartedAt: start, Flags: FlagTimeout, Policy: &Policy{Timeout: time.Minute}}, false)
		if !d.Settle(Result{Task: 1, Attempt: 1, Worker: 7, Outcome: OutcomeAwaiting, After: After{Await: Await{Kind: tt.kind}}}) {
			t.Fatal("it does not wait")
		}
		if got := d.Awaits[0].Until; !got.Equal(tt.want) {
			t.Errorf("kind %d: it waits until %s, want %s", tt.kind, got, tt.want)
		}
		if n := len(d.Timers); (n == 1) != (tt.kind == AwaitTree) {
			t.Errorf("kind %d: %d timers", tt.kind, n)
		}
	}
	a, _ := Await{Kind: AwaitTree}.TimedOut(start)
	if a.Outcome != OutcomeFailed || a.Kind != KindTimeout {
		t.Errorf("it ends as %+v", a)
	}
}
