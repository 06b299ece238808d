package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// Recorder records what an executor reports. Its zero value is ready to use.
type Recorder struct {
	mu       sync.Mutex
	lines    []string
	progress []float64
	messages []string
	notes    []json.RawMessage
	faults   []error // of notes
	waiting  []waiter
}

type waiter struct {
	line string
	seen chan struct{}
}

// Log implements [executors.Reporter].
func (r *Recorder) Log(stream, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := stream + ": " + line
	r.lines = append(r.lines, said)
	r.waiting = slices.DeleteFunc(r.waiting, func(w waiter) bool {
		if w.line == said {
			close(w.seen)
		}
		return w.line == said
	})
}

// Progress implements [executors.Reporter].
func (r *Recorder) Progress(fraction float64, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, message)
	r.progress = append(r.progress, fraction)
}

// Checkpoint implements [executors.Reporter].
func (r *Recorder) Checkpoint(data json.RawMessage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	switch {
	case !json.Valid(data):
		err = fmt.Errorf("the checkpoint is no JSON: %.100s", data)
	case len(data) > executors.MaxCheckpointBytes:
		err = fmt.Errorf("the checkpoint has %d bytes, the most is %d", len(data), executors.MaxCheckpointBytes)
	default:
		r.notes = append(r.notes, slices.Clone(data))
	}
	if err != nil {
		r.faults = append(r.faults, err)
	}
	return err
}

// Checkpoints are those that were noted so far and could be stored.
func (r *Recorder) Checkpoints() []json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notes)
}

// Faults are what was wrong with the others.
func (r *Recorder) Faults() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// Lines are the lines logged so far, each as "stream: line".
func (r *Recorder) Lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Fractions are the progress reports so far.
func (r *Recorder) Fractions() []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.progress)
}

// Messages are what the progress reports said so far.
func (r *Recorder) Messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Logged is closed once the line ("stream: line") has been logged.
func (r *Recorder) Logged(line string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(chan struct{})
	if slices.Contains(r.lines, line) {
		close(seen)
	} else {
		r.waiting = append(r.waiting, waiter{line, seen})
	}
	return seen
}

// Unlimited is a lease that never ends.
type Unlimited struct{}

// Until implements [executors.Lease]: no end.
func (Unlimited) Until() time.Time { return time.Time{} }

// Changed implements [executors.Lease]: never.
func (Unlimited) Changed() <-chan struct{} { return nil }

// Call makes a first attempt with the given inputs (a JSON object, or anything that encodes as one) and its recorder.
func Call(t interface {
	Helper()
	Fatal(args ...any)
}, inputs any) (*executors.Call, *Recorder) {
	t.Helper()
	var raw json.RawMessage
	switch in := inputs.(type) {
	case string:
		raw = json.RawMessage(in)
	case json.RawMessage:
		raw = in
	default:
		var err error
		if raw, err = json.Marshal(in); err != nil {
			t.Fatal(err)
		}
	}
	var keys map[string]json.RawMessage
	_ = json.Unmarshal(raw, &keys) // inputs may be wrong on purpose
	r := &Recorder{}
	return &executors.Call{
		TaskID: "task-1", TreeID: "tree-1", Name: "a task", Attempt: 1, IdempotencyKey: "key-1",
		Inputs: raw, Submitted: slices.Sorted(maps.Keys(keys)), Reporter: r, Lease: Unlimited{},
	}, r
}
