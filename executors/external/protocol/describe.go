package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// Description is what a program says of the executor that it is.
type Description struct {
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	Type             string          `json:"executor_type"` // type is the message's
	Description      string          `json:"description"`
	Tags             []string        `json:"tags"`
	Inputs           json.RawMessage `json:"inputs"`
	Output           json.RawMessage `json:"output"`
	Cancelable       bool            `json:"cancelable"`
	Repeatable       bool            `json:"repeatable"`
	Concurrency      int             `json:"concurrency"` // attempts that one process takes at once; 0: 1
	Slots            int             `json:"slots"`       // of the executor's pool in a worker whose operator says nothing
	TimeoutSeconds   float64         `json:"timeout_seconds"`
	HeartbeatSeconds float64         `json:"heartbeat_seconds"` // the longest silence; 0: it may be silent
	Secrets          bool            `json:"secrets"`
	Connection       *struct {
		Types  []string `json:"types"`
		Fields []string `json:"fields"`
	} `json:"connection"`
	Examples []struct {
		Title  string          `json:"title"`
		Inputs json.RawMessage `json:"inputs"`
		Params json.RawMessage `json:"params"`
	} `json:"examples"`
	Demo *struct {
		Result  json.RawMessage `json:"result"`
		Seconds float64         `json:"seconds"`
	} `json:"demo"`
}

// Bounds of a description.
const (
	maxDescriptionBytes = 1 << 20
	maxConcurrency      = 1000
	maxSeconds          = 365 * 24 * 3600
	minHeartbeat        = 0.1
	minTimeout          = 0.001 // as of tasks
)

// idRule is that of pools, as an executor's pool has its name.
var idRule = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ParseDescription reads a description, as a program sends it, and reports every fault in it.
func ParseDescription(line []byte) (*Description, error) {
	if len(line) > maxDescriptionBytes {
		return nil, fmt.Errorf("its description has %d bytes, at most %d", len(line), maxDescriptionBytes)
	}
	d := &Description{}
	if err := json.Unmarshal(line, d); err != nil {
		if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && bad.Field != "" {
			return nil, fmt.Errorf("its description is wrong: %s must not be a %s", bad.Field, bad.Value)
		}
		return nil, errors.New("its description is not JSON")
	}
	for _, schema := range []*json.RawMessage{&d.Inputs, &d.Output} {
		if string(*schema) == "null" {
			*schema = nil
		}
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("its description is wrong: %w", err)
	}
	return d, nil
}

// ReadDescription reads a description that lies in a file: what a program sends, or what "taskgrove plugin describe -o json" shows of it, which calls the time of an
// attempt Timeout and has it in nanoseconds. It reports every fault.
func ReadDescription(text []byte) (*Description, error) {
	d, err := ParseDescription(text)
	if err != nil {
		return nil, err
	}
	var shown struct{ Timeout *int64 }
	if json.Unmarshal(text, &shown) != nil {
		return nil, errors.New("its description is wrong: Timeout must be a whole number of nanoseconds; timeout_seconds is one of seconds")
	}
	if shown.Timeout != nil && d.TimeoutSeconds == 0 {
		d.TimeoutSeconds = time.Duration(*shown.Timeout).Seconds()
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("its description is wrong: %w", err)
		}
	}
	return d, nil
}

func (d *Description) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !idRule.MatchString(d.ID) {
		fault("id %.80q: want 1 to 64 letters, digits, - and _", d.ID)
	}
	if d.Description == "" {
		fault("description is missing")
	}
	for name, schema := range map[string]json.RawMessage{"inputs": d.Inputs, "output": d.Output} {
		if err := inputs.Usable(schema); len(schema) > 0 && err != nil {
			fault("%s: the schema can't be used: %w", name, err)
		}
	}
	for name, n := range map[string]int{"concurrency": d.Concurrency, "slots": d.Slots} {
		if n < 0 || n > maxConcurrency {
			fault("%s is %d, want 1 to %d", name, n, maxConcurrency)
		}
	}
	if d.Concurrency > 1 && !d.Cancelable {
		fault("concurrency is %d, but it is not cancelable: to end one attempt, its process would have to be killed with the others", d.Concurrency)
	}
	if d.TimeoutSeconds != 0 && (d.TimeoutSeconds < minTimeout || d.TimeoutSeconds > maxSeconds) {
		fault("timeout_seconds is %v, want 0 for none, or %v to %d", d.TimeoutSeconds, minTimeout, maxSeconds)
	}
	if d.HeartbeatSeconds != 0 && (d.HeartbeatSeconds < minHeartbeat || d.HeartbeatSeconds > maxSeconds) {
		fault("heartbeat_seconds is %v, want %v to %d", d.HeartbeatSeconds, minHeartbeat, maxSeconds)
	}
	if d.Demo != nil && (d.Demo.Seconds < 0 || d.Demo.Seconds > maxSeconds) {
		fault("demo.seconds is %v, want 0 to %d", d.Demo.Seconds, maxSeconds)
	}
	return errors.Join(faults...)
}

// Heartbeat is the longest silence of an attempt; 0: it may be silent.
func (d *Description) Heartbeat() time.Duration { return seconds(d.HeartbeatSeconds) }

// Executor is the description as workers know it.
func (d *Description) Executor() executors.Description {
	out := executors.Description{
		ID: d.ID, Name: d.Name, Type: d.Type, Description: d.Description, Tags: d.Tags, Inputs: d.Inputs, Output: d.Output,
		Cancelable: true, // at the worst, the process is killed
		Repeatable: d.Repeatable, Timeout: seconds(d.TimeoutSeconds), Concurrency: d.Slots, Secrets: d.Secrets,
	}
	if out.Name == "" {
		out.Name = d.ID
	}
	if out.Type == "" {
		out.Type = "external"
	}
	if out.Concurrency == 0 {
		out.Concurrency = max(d.Concurrency, executors.PerCore())
	}
	if d.Connection != nil {
		out.Connection = &executors.Connection{Types: d.Connection.Types, Fields: d.Connection.Fields}
	}
	for _, e := range d.Examples {
		out.Examples = append(out.Examples, executors.Example{Title: e.Title, Inputs: e.Inputs, Params: e.Params})
	}
	return out
}

// seconds is a time of up to a year.
func seconds(s float64) time.Duration {
	return time.Duration(math.Min(math.Max(s, 0), maxSeconds) * float64(time.Second))
}
