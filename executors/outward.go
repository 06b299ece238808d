package executors

import (
	"context"
	"strconv"
	"time"
)

// By these names what an attempt sends outward tells which attempt it is, so that the other side can tell a repetition from new work
// (design §8). The claim's token goes nowhere.
const (
	HeaderKey     = "Idempotency-Key"     // header of HTTP, and in lower case metadata of gRPC: [Call.IdempotencyKey]
	HeaderAttempt = "X-Taskgrove-Attempt" // likewise: [Call.Attempt], the fencing token

	EnvTask    = "TASKGROVE_TASK_ID"         // environment of child processes, containers and remote commands
	EnvAttempt = "TASKGROVE_ATTEMPT"         // likewise: [Call.Attempt]
	EnvKey     = "TASKGROVE_IDEMPOTENCY_KEY" // likewise: [Call.IdempotencyKey]

	// Of [Call.Lock], if there is one.
	HeaderLockToken          = "Taskgrove-Lock-Token"
	EnvLockKey, EnvLockToken = "TASKGROVE_LOCK_KEY", "TASKGROVE_LOCK_TOKEN"

	// Of [Call.Trace], if there is one, by the names of W3C Trace Context and of OpenTelemetry's environment.
	HeaderTraceParent, HeaderTraceState = "Traceparent", "Tracestate"
	EnvTraceParent, EnvTraceState       = "TRACEPARENT", "TRACESTATE"
)

// Lock is what an attempt holds alone. Its token is greater than that of any attempt which held a lock before, so whoever keeps the greatest that it has seen
// can refuse a holder that was taken for dead and goes on.
type Lock struct {
	Key   string
	Token int64
}

// with adds the lock to what is told outward; without a name for it, the key stays here.
func (l *Lock) with(told []Variable, key, token string) []Variable {
	if l == nil {
		return told
	}
	if key != "" {
		told = append(told, Variable{key, l.Key})
	}
	return append(told, Variable{token, strconv.FormatInt(l.Token, 10)})
}

// Trace is the trace that an attempt belongs to, by W3C Trace Context: what it starts or calls may continue it.
type Trace struct {
	Parent string // traceparent: trace, span and flags; empty: there is none, or it stays within the cluster
	State  string // tracestate; empty: none
}

// with adds the trace to what is told outward.
func (t Trace) with(told []Variable, parent, state string) []Variable {
	if t.Parent == "" {
		return told
	}
	told = append(told, Variable{parent, t.Parent})
	if t.State != "" {
		told = append(told, Variable{state, t.State})
	}
	return told
}

// Variable is one of an environment.
type Variable struct{ Name, Value string }

// Environ is what the environment of a process says of its attempt.
func (c *Call) Environ() []Variable {
	told := []Variable{{EnvTask, c.TaskID}, {EnvAttempt, strconv.Itoa(c.Attempt)}, {EnvKey, c.IdempotencyKey}}
	return c.Trace.with(c.Lock.with(told, EnvLockKey, EnvLockToken), EnvTraceParent, EnvTraceState)
}

// Headers is what headers or metadata say of their attempt. An input that sets one of them goes before.
func (c *Call) Headers() []Variable {
	told := []Variable{{HeaderKey, c.IdempotencyKey}, {HeaderAttempt, strconv.Itoa(c.Attempt)}}
	return c.Trace.with(c.Lock.with(told, "", HeaderLockToken), HeaderTraceParent, HeaderTraceState)
}

// Ended is the error of work that failed with err: if the context has ended, that is why, whatever the work says of it; [context.Cause]
// tells who ended it. nil stays nil: what was done before the end is done.
func Ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// DemoResult is the result of a demonstrated task whose executor has none of its own (spec 3.10).
func DemoResult() (result any, takes time.Duration) {
	return map[string]any{"result": "Demo execution result"}, 0
}
