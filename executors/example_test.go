package executors_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// attempt is a call as a worker makes it.
func attempt(inputs string) *executors.Call {
	call := executors.FromContext(context.Background()) // of nothing
	call.Attempt, call.IdempotencyKey, call.Inputs = 1, "task-1.1", []byte(inputs)
	return call
}

// An executor is a function with typed inputs and a typed result.
func ExampleFunc() {
	type text struct {
		Text      string `json:"text" jsonschema:"what to count"`
		MinLength int    `json:"min_length,omitempty" minimum:"1"`
	}
	type count struct {
		Words int `json:"words"`
	}
	words := executors.Func("word_count", func(_ context.Context, in text) (count, error) {
		n := 0
		for word := range strings.FieldsSeq(in.Text) {
			if len(word) >= in.MinLength {
				n++
			}
		}
		return count{n}, nil
	}, executors.WithDescription("Counts the words of a text"), executors.Repeatable())

	// A worker calls it so; see worker.Dial.
	outcome, err := words.Run(context.Background(), attempt(`{"text": "one two three", "min_length": 4}`))
	fmt.Println(outcome.Value(), err)
	_, err = words.Run(context.Background(), attempt(`{"min_length": 4}`))
	fmt.Println(err)
	// Output:
	// {1} <nil>
	// [word_count] text is required in inputs
}

// The attempt that a function runs for: what it sends outward carries the idempotency key.
func ExampleFromContext() {
	type order struct{ Cents int }
	pay := executors.Func("pay", func(ctx context.Context, in order) (string, error) {
		call := executors.FromContext(ctx)
		call.Reporter.Progress(0.5, "asking the bank")
		return fmt.Sprintf("%d cents, attempt %d, Idempotency-Key: %s", in.Cents, call.Attempt, call.IdempotencyKey), nil
	})
	outcome, err := pay.Run(context.Background(), attempt(`{"Cents": 250}`))
	fmt.Println(outcome.Value(), err)
	// Output: 250 cents, attempt 1, Idempotency-Key: task-1.1 <nil>
}

// Any function of the form is an option.
func ExampleOption() {
	tagged := func(tags ...string) executors.Option {
		return func(d *executors.Description) { d.Tags = tags }
	}
	e := executors.Func("ping", func(context.Context, struct{}) (string, error) { return "pong", nil },
		executors.WithName("Ping"), executors.WithTimeout(time.Minute), tagged("test"))
	d := e.Describe()
	fmt.Println(d.Name, d.Tags, d.Timeout)
	// Output: Ping [test] 1m0s
}

func ExampleSchema() {
	type page struct {
		Size int     `json:"size" minimum:"1" maximum:"100"`
		Sort string  `json:"sort,omitempty" enum:"up,down" jsonschema:"which way"`
		From *string `json:"from"`
	}
	schema, err := executors.Schema[page]()
	fmt.Println(string(schema), err)
	// Output: {"type":"object","properties":{"from":{"type":["string","null"]},"size":{"type":"integer","minimum":1,"maximum":100},"sort":{"type":"string","description":"which way","enum":["up","down"]}},"required":["size"]} <nil>
}

// A failure that no other attempt can fix is not retried.
func ExamplePermanent() {
	open := func(name string) error {
		_, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			return executors.Permanent(fmt.Errorf("%s is missing", name))
		}
		return err
	}
	err := open("/nowhere")
	fmt.Println(err, executors.IsPermanent(err))
	// Output: /nowhere is missing true
}

func ExampleInvalid() {
	err := executors.Invalid("word_count", "text is required in inputs")
	fmt.Println(err, executors.IsPermanent(err))
	// Output: [word_count] text is required in inputs true
}

// What was done until the end of the context is the partial result of a cancelled task.
func ExamplePartial() {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(executors.ErrCancelled) // as a worker does

	copied := 0
	run := func(ctx context.Context) (*executors.Outcome, error) {
		for range 10 {
			if ctx.Err() != nil {
				return executors.Partial(map[string]int{"copied": copied}), context.Cause(ctx)
			}
			copied++
		}
		return executors.Completed(map[string]int{"copied": copied}), nil
	}
	outcome, err := run(ctx)
	fmt.Println(outcome.Value(), err)
	// Output: map[copied:0] task was cancelled
}

// A stream is reported line by line, and only its beginning is kept.
func ExampleOutput() {
	out := executors.NewOutput(8, nil, "stdout")
	fmt.Fprintln(out, "one two three")
	out.Close()
	fmt.Println(out, out.Truncated())
	// Output: one two true
}
