// Package sleep has an executor that sleeps and can fail a given number of times. It serves to try out timeouts, progress,
// cancellation and retries.
//
// It owns sleep_executor, which is our own; the task-tree protocol has no such executor.
package sleep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// ID is the executor's id.
const ID = "sleep_executor"

// steps is how often a run reports progress, but never more often than once per minStep.
const (
	steps   = 20
	minStep = 50 * time.Millisecond
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "seconds": {"type": "number", "minimum": 0, "maximum": 31536000, "description": "How long to sleep"},
    "fail_times": {"type": ["integer", "null"], "minimum": 0, "default": 0, "description": "Fail after the time in attempts 1 to this"},
    "fail": {"type": ["string", "null"], "description": "Text of these failures; without fail_times, of every attempt"},
    "durable": {"type": ["boolean", "null"], "default": false, "description": "Wait without holding a slot; whatever is killed meanwhile. Not with fail or fail_times"},
    "permanent": {"type": ["boolean", "null"], "default": false, "description": "Failures must not be retried"}
  },
  "required": ["seconds"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "slept_seconds": {"type": "number", "description": "How long it slept"},
    "attempt": {"type": "integer", "description": "Which attempt did"}
  },
  "required": ["slept_seconds", "attempt"]
}`)

// Executor is sleep_executor.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Sleep Executor", Type: "core",
		Description: "Waits for the time given, reporting progress",
		Tags:        []string{"core", "test"},
		Inputs:      inputSchema, Output: outputSchema,
		Cancelable: true, Concurrency: executors.Waiting,
		Examples: []executors.Example{
			{Title: "Sleep for two seconds", Inputs: json.RawMessage(`{"seconds": 2}`)},
			{Title: "Wait for three days without holding a slot", Inputs: json.RawMessage(`{"seconds": 259200, "durable": true}`)},
		},
	}
}

// Result tells how long the executor slept.
type Result struct {
	SleptSeconds float64 `json:"slept_seconds"`
	Attempt      int     `json:"attempt"`
}

// Plan is what a run does, but for the time that it takes.
type Plan struct {
	Time      time.Duration
	Durable   bool // it waits without a slot: [Plan.End] is how its run ends, at once
	seconds   float64
	failTimes *int
	fail      *string
	permanent bool
}

// Read reads the inputs of a call.
func Read(call *executors.Call) (*Plan, error) {
	var in struct {
		Seconds   *float64 `json:"seconds"`
		FailTimes *int     `json:"fail_times"`
		Fail      *string  `json:"fail"`
		Permanent bool     `json:"permanent"`
		Durable   bool     `json:"durable"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Seconds == nil:
		return nil, executors.Invalid(ID, "seconds is required in inputs")
	case *in.Seconds < 0 || *in.Seconds > 365*24*3600:
		return nil, executors.Invalid(ID, "seconds must be from 0 to a year")
	case in.Durable && (in.FailTimes != nil || in.Fail != nil):
		return nil, executors.Invalid(ID, "durable goes with neither fail nor fail_times")
	}
	return &Plan{time.Duration(*in.Seconds * float64(time.Second)), in.Durable, *in.Seconds, in.FailTimes, in.Fail, in.Permanent}, nil
}

// Run implements [executors.Executor]. When the context ends, the time slept until then is the partial result.
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	p, err := Read(call)
	if err != nil {
		return nil, err
	}
	if p.Durable {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return p.End(call, p.Time)
	}
	slept, err := sleep(ctx, p.Time, call.Reporter)
	if err != nil {
		return executors.Partial(resultOf(slept, call)), err
	}
	return p.End(call, slept)
}

func resultOf(slept time.Duration, call *executors.Call) *Result {
	return &Result{SleptSeconds: math.Round(slept.Seconds()*1000) / 1000, Attempt: call.Attempt}
}

// End is how a run ends that slept so long.
func (p *Plan) End(call *executors.Call, slept time.Duration) (*executors.Outcome, error) {
	if p.Durable {
		return durable(p.seconds, call.Attempt), nil
	}
	times := 0
	switch {
	case p.failTimes != nil:
		times = *p.failTimes
	case p.fail != nil:
		times = math.MaxInt
	}
	if call.Attempt > times {
		return executors.Completed(resultOf(slept, call)), nil
	}
	err := fmt.Errorf("attempt %d was told to fail", call.Attempt)
	if p.fail != nil {
		err = errors.New(*p.fail)
	}
	if p.permanent {
		err = executors.Permanent(err)
	}
	return nil, err
}

// durable waits without a slot.
func durable(seconds float64, attempt int) *executors.Outcome {
	result := &Result{SleptSeconds: math.Round(seconds*1000) / 1000, Attempt: attempt}
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Millisecond {
		return executors.Completed(result)
	}
	return executors.Awaiting(executors.Await{Kind: executors.AwaitTime, Timeout: d, Data: map[string]any{"result": result}})
}

// sleep returns ctx's cause if ctx ends first.
func sleep(ctx context.Context, d time.Duration, reporter executors.Reporter) (time.Duration, error) {
	start := time.Now()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(max(d/steps, minStep))
	defer tick.Stop()
	for {
		if ctx.Err() != nil { // also when both are ready
			return time.Since(start), context.Cause(ctx)
		}
		select {
		case <-ctx.Done():
		case <-end.C:
			return time.Since(start), nil
		case <-tick.C:
			reporter.Progress(min(1, float64(time.Since(start))/float64(d)), "sleeping")
		}
	}
}
