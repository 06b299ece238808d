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
		},
	}
}

// Result tells how long the executor slept.
type Result struct {
	SleptSeconds float64 `json:"slept_seconds"`
	Attempt      int     `json:"attempt"`
}

// Run implements [executors.Executor]. When the context ends, the time slept until then is the partial result.
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Seconds   *float64 `json:"seconds"`
		FailTimes *int     `json:"fail_times"`
		Fail      *string  `json:"fail"`
		Permanent bool     `json:"permanent"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Seconds == nil:
		return nil, executors.Invalid(ID, "seconds is required in inputs")
	case *in.Seconds < 0 || *in.Seconds > 365*24*3600:
		return nil, executors.Invalid(ID, "seconds must be from 0 to a year")
	}
	slept, err := sleep(ctx, time.Duration(*in.Seconds*float64(time.Second)), call.Reporter)
	result := &Result{SleptSeconds: math.Round(slept.Seconds()*1000) / 1000, Attempt: call.Attempt}
	if err != nil {
		return executors.Partial(result), err
	}
	times := 0
	switch {
	case in.FailTimes != nil:
		times = *in.FailTimes
	case in.Fail != nil:
		times = math.MaxInt
	}
	if call.Attempt > times {
		return executors.Completed(result), nil
	}
	err = fmt.Errorf("attempt %d was told to fail", call.Attempt)
	if in.Fail != nil {
		err = errors.New(*in.Fail)
	}
	if in.Permanent {
		err = executors.Permanent(err)
	}
	return nil, err
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
