package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// SteppingID is the id of [Stepping].
const SteppingID = "stepping_executor"

// Stepping is an executor of flows' steps that come to what their inputs say. It notes its runs in the journal, and what inputs each attempt saw in a file.
type Stepping struct {
	Journal *Journal
	Dir     string
}

// stepping are its inputs, as far as it reads them.
type stepping struct {
	Comes string `json:"comes"` // success, skipped or failed
	N     int    `json:"n"`     // its result
}

// Describe implements [executors.Executor].
func (*Stepping) Describe() executors.Description {
	return executors.Description{ID: SteppingID, Name: "Stepping Executor", Type: "test", Description: "Comes to what its inputs say", Cancelable: true}
}

// Run implements [executors.Executor].
func (s *Stepping) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	began := time.Now()
	var in stepping
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	if err := s.saw(call); err != nil {
		return nil, err
	}
	if err := s.Journal.start(began, call.TaskID, call.Attempt, os.Getpid(), call.IdempotencyKey); err != nil {
		return nil, err
	}
	how := "done"
	if !pause(ctx, rand.N(20*time.Millisecond)) {
		how = "cut"
	}
	if err := s.Journal.note(how, call.TaskID, call.Attempt, os.Getpid()); err != nil {
		return nil, err
	}
	result := map[string]int{"n": in.N}
	switch {
	case how == "cut":
		return nil, context.Cause(ctx)
	case in.Comes == "skipped":
		return executors.Skip("no_data", result), nil
	case in.Comes == "failed":
		return nil, executors.Permanent(errors.New("as it is told"))
	}
	return executors.Completed(result), nil
}

func (s *Stepping) file(task string) string { return filepath.Join(s.Dir, "saw-"+task) }

// saw notes what inputs an attempt has, a line in one call.
func (s *Stepping) saw(call *executors.Call) error {
	f, err := os.OpenFile(s.file(call.TaskID), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	err = json.Compact(&line, call.Inputs)
	if err == nil {
		_, err = f.WriteString(line.String() + "\n")
	}
	return errors.Join(err, f.Close())
}

// Saw are the inputs of the attempts of a task, in the order of their starts. A task that never ran has none.
func (s *Stepping) Saw(task string) (all []json.RawMessage, err error) {
	f, err := os.Open(s.file(task))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		all = append(all, json.RawMessage(lines.Text()))
	}
	return all, lines.Err()
}
