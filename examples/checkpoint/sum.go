package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// Numbers are the inputs.
type Numbers struct {
	Numbers []int   `json:"numbers" jsonschema:"what to add up"`
	Each    float64 `json:"seconds_each,omitempty" minimum:"0" jsonschema:"how long a number takes"`
}

// Total is the result, and what is noted on the way.
type Total struct {
	Done  int   `json:"done"` // how many numbers are added up
	Sum   int   `json:"sum"`
	Began []int `json:"began"` // with which number each attempt began
}

// add adds up numbers one by one, and notes after each how far it is.
func add(ctx context.Context, in Numbers) (Total, error) {
	call := executors.FromContext(ctx)
	var total Total
	if call.Checkpoint != nil {
		if err := json.Unmarshal(call.Checkpoint, &total); err != nil {
			return total, executors.Permanent(fmt.Errorf("read the checkpoint: %w", err))
		}
	}
	total.Began = append(total.Began, total.Done)
	call.Reporter.Log("log", fmt.Sprintf("attempt %d begins with number %d", call.Attempt, total.Done))
	for _, n := range in.Numbers[total.Done:] {
		select {
		case <-time.After(time.Duration(in.Each * float64(time.Second))):
		case <-ctx.Done():
			return total, ctx.Err()
		}
		total.Done, total.Sum = total.Done+1, total.Sum+n
		note, err := json.Marshal(total)
		if err == nil {
			err = call.Reporter.Checkpoint(note)
		}
		if err != nil {
			return total, err
		}
		call.Reporter.Progress(float64(total.Done)/float64(len(in.Numbers)), fmt.Sprint(total.Done, " numbers"))
	}
	return total, nil
}

var sum = executors.Func("sum", add, executors.WithDescription("Adds up numbers, slowly"))
