package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/failpoint"
)

// NotingID is the id of [Noting].
const NotingID = "noting_executor"

// Noting is an executor that does its work in steps, notes each, and waits until the note is stored before it begins the next. It keeps a file of what it
// did.
type Noting struct{ Dir string }

// noting are its inputs, and its notes.
type noting struct {
	Steps int `json:"steps"`
	Done  int `json:"done"`
	Fail  int `json:"fail"`  // attempts that fail after half of what is left
	Pause int `json:"pause"` // after each step, in milliseconds
}

// Describe implements [executors.Executor].
func (*Noting) Describe() executors.Description {
	return executors.Description{ID: NotingID, Name: "Noting Executor", Type: "test", Description: "Notes each step", Cancelable: true}
}

// Run implements [executors.Executor].
func (n *Noting) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in noting
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	if call.Checkpoint != nil {
		if err := json.Unmarshal(call.Checkpoint, &in); err != nil {
			return nil, executors.Permanent(err)
		}
	}
	half := in.Done + (in.Steps-in.Done)/2
	for in.Done < in.Steps {
		if call.Attempt <= in.Fail && in.Done == half {
			return nil, errors.New("half of it is enough")
		}
		if err := n.write(call, "did", in.Done); err != nil {
			return nil, err
		}
		in.Done++
		note, _ := json.Marshal(in)
		if err := call.Reporter.Checkpoint(note); err != nil {
			return nil, err
		}
		failpoint.Hit("worker.noted")
		for call.Stored(ctx) != nil {
			if !pause(ctx, 5*time.Millisecond) {
				return nil, context.Cause(ctx)
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := n.write(call, "stored", in.Done); err != nil {
			return nil, err
		}
		failpoint.Hit("worker.note-stored")
		if !pause(ctx, time.Duration(in.Pause)*time.Millisecond) {
			return nil, context.Cause(ctx)
		}
	}
	return executors.Completed(in), nil
}

func (n *Noting) file(task string) string { return filepath.Join(n.Dir, "steps-"+task) }

func (n *Noting) write(call *executors.Call, what string, step int) error {
	f, err := os.OpenFile(n.file(call.TaskID), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, what, step, call.Attempt)
	return errors.Join(err, f.Close())
}

// CheckNotes holds what a task did against what it noted: each step is done, in order; an attempt begins no step that was stored as done; and so only
// the step that was under way when an attempt ended is done again. again is how many were.
func (n *Noting) CheckNotes(task string, steps int) (again int, err error) {
	f, err := os.Open(n.file(task))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	did, stored, attempt := make([]int, steps), 0, 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var what string
		var step, by int
		if _, err := fmt.Sscan(lines.Text(), &what, &step, &by); err != nil {
			return 0, err
		}
		switch {
		case by < attempt: // a process that was frozen wrote down what happened before
		case what == "stored":
			stored = max(stored, step)
		case step < stored:
			return 0, fmt.Errorf("%s: though %d are stored as done", lines.Text(), stored)
		case step > 0 && did[step-1] == 0:
			return 0, fmt.Errorf("%s: before the step before it", lines.Text())
		default:
			did[step]++
		}
		attempt = max(attempt, by)
	}
	for _, n := range did {
		if n == 0 {
			return 0, fmt.Errorf("steps were left out: %v", did)
		}
		again += n - 1
	}
	return again, lines.Err()
}
