package executors_test

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
)

// TestALockIsToldOutward: processes are told its key and its token, services the token, before the trace.
func TestALockIsToldOutward(t *testing.T) {
	call := executors.Call{TaskID: "t", Attempt: 2, IdempotencyKey: "k", Lock: &executors.Lock{Key: "ledger é", Token: 41}, Trace: executors.Trace{Parent: "00-1"}}
	environ := []executors.Variable{{"TASKGROVE_TASK_ID", "t"}, {"TASKGROVE_ATTEMPT", "2"}, {"TASKGROVE_IDEMPOTENCY_KEY", "k"}, {"TASKGROVE_LOCK_KEY", "ledger é"},
		{"TASKGROVE_LOCK_TOKEN", "41"}, {"TRACEPARENT", "00-1"}}
	if got := call.Environ(); !slices.Equal(got, environ) {
		t.Errorf("environment %v", got)
	}
	headers := []executors.Variable{{"Idempotency-Key", "k"}, {"X-Taskgrove-Attempt", "2"}, {"Taskgrove-Lock-Token", "41"}, {"Traceparent", "00-1"}}
	if got := call.Headers(); !slices.Equal(got, headers) {
		t.Errorf("headers %v", got)
	}
}

// TestAnAttemptIsToldOutward with its trace, if there is one.
func TestAnAttemptIsToldOutward(t *testing.T) {
	call := executors.Call{TaskID: "t", Attempt: 2, IdempotencyKey: "k"}
	environ := []executors.Variable{{"TASKGROVE_TASK_ID", "t"}, {"TASKGROVE_ATTEMPT", "2"}, {"TASKGROVE_IDEMPOTENCY_KEY", "k"}}
	headers := []executors.Variable{{"Idempotency-Key", "k"}, {"X-Taskgrove-Attempt", "2"}}
	for trace, more := range map[executors.Trace][][2]string{
		{}:                             {},
		{State: "alone"}:               {},
		{Parent: "00-1"}:               {{"TRACEPARENT", "00-1"}},
		{Parent: "00-1", State: "a=b"}: {{"TRACEPARENT", "00-1"}, {"TRACESTATE", "a=b"}},
	} {
		call.Trace = trace
		wantEnviron, wantHeaders := slices.Clone(environ), slices.Clone(headers)
		names := map[string]string{"TRACEPARENT": "Traceparent", "TRACESTATE": "Tracestate"}
		for _, v := range more {
			wantEnviron = append(wantEnviron, executors.Variable{Name: v[0], Value: v[1]})
			wantHeaders = append(wantHeaders, executors.Variable{Name: names[v[0]], Value: v[1]})
		}
		if got := call.Environ(); !slices.Equal(got, wantEnviron) {
			t.Errorf("%+v: environment %v", trace, got)
		}
		if got := call.Headers(); !slices.Equal(got, wantHeaders) {
			t.Errorf("%+v: headers %v", trace, got)
		}
	}
}
