// Package systeminfo reports facts about the worker's host (spec 8.1).
//
// It owns the choice of facts and their form. It must not start any process: it reads everything from the system itself.
package systeminfo

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// ID is the executor's id.
const ID = "system_info_executor"

// defaultTimeout applies if the inputs name no timeout (spec 8.1).
const defaultTimeout = json.Number("30")

// The schema has no enum for resource and requires nothing: the executor has its own error for an unknown resource, and takes
// a missing one as "all" (spec 8.1).
var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "resource": {"type": ["string", "null"], "default": "all", "description": "What to report: cpu, memory, disk or all"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds"}
  }
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "description": "The facts of one resource, or of each under its name",
  "properties": {
    "system": {"type": "string", "description": "The operating system, with cpu and memory"},
    "note": {"type": "string", "description": "What can't be told on this system"},
    "brand": {"type": "string", "description": "The processor's name"},
    "cores": {"type": "integer", "description": "How many cores it has"},
    "threads": {"type": "integer", "description": "How many threads, on macOS"},
    "total": {"type": "string", "description": "Size of the memory, or of the disk"},
    "total_gb": {"type": "number", "description": "Size of the memory, on macOS"},
    "used": {"type": "string", "description": "How much of the disk is used"},
    "available": {"type": "string", "description": "How much of the disk is free"},
    "used_percent": {"type": "string", "description": "The same as a share"},
    "cpu": {"type": "object", "description": "The facts of the processor, with all"},
    "memory": {"type": "object", "description": "Those of the memory, with all"},
    "disk": {"type": "object", "description": "Those of the disk of /, with all"}
  }
}`)

// Executor is system_info_executor.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "System Info Executor", Type: "stdio",
		Description: "Reports processor, memory and disk of the worker's host",
		Tags:        []string{"stdio", "system", "info"},
		Inputs:      inputSchema, Output: outputSchema,
		Cancelable: true, Repeatable: true,
		Examples: []executors.Example{
			{Title: "Report the memory", Inputs: json.RawMessage(`{"resource": "memory"}`)},
		},
	}
}

// facts are the facts about one resource.
type facts = map[string]any

// Run implements [executors.Executor].
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Resource *string     `json:"resource"`
		Timeout  json.Number `json:"timeout"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	resource := "all"
	if in.Resource != nil {
		resource = *in.Resource
	}
	timeout := in.Timeout
	if timeout == "" {
		timeout = defaultTimeout
	}
	seconds, err := strconv.ParseFloat(string(timeout), 64)
	if err != nil || seconds <= 0 {
		return nil, executors.Invalid(ID, "timeout must be a number of seconds above 0")
	}
	read, known := map[string]func() (any, error){
		"cpu":    func() (any, error) { return cpu() },
		"memory": func() (any, error) { return memory() },
		"disk":   func() (any, error) { return disk() },
		"all":    all,
	}[resource]
	if !known {
		return nil, executors.Permanent(fmt.Errorf("Unknown resource: %s. Use 'cpu', 'memory', 'disk', or 'all'", //nolint:staticcheck // spec 8.1's words
			executors.Text([]byte(resource))))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// Reading local facts takes microseconds and can't be interrupted, but a slow answer still counts as a timeout.
	start := time.Now()
	got, err := read()
	if took := time.Since(start); err == nil && took.Seconds() > seconds {
		return nil, fmt.Errorf("read %s: timeout after %s seconds", resource, timeout)
	}
	if err != nil {
		return nil, err
	}
	return executors.Completed(got), nil
}

func all() (any, error) {
	c, err := cpu()
	if err != nil {
		return nil, err
	}
	m, err := memory()
	if err != nil {
		return nil, err
	}
	d, err := disk()
	if err != nil {
		return nil, err
	}
	return facts{"cpu": c, "memory": m, "disk": d}, nil
}

// systemName is the system's name as Python's platform.system() gives it.
func systemName() string {
	switch runtime.GOOS {
	case "linux":
		return "Linux"
	case "darwin":
		return "Darwin"
	case "windows":
		return "Windows"
	}
	return runtime.GOOS
}

// size is bytes in powers of 1024, as df -h writes them: rounded up, with one decimal below 10.
func size(bytes uint64, round func(float64) float64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return strconv.FormatUint(bytes, 10)
	}
	value, unit := float64(bytes), -1
	for value >= 1024 && unit+1 < len(units) {
		value /= 1024
		unit++
	}
	if tenths := round(value * 10); tenths < 100 {
		return strconv.FormatFloat(tenths/10, 'f', 1, 64) + units[unit:unit+1]
	}
	if value = round(value); value == 1024 && unit+1 < len(units) {
		return "1.0" + units[unit+1:unit+2]
	}
	return strconv.FormatFloat(value, 'f', 0, 64) + units[unit:unit+1]
}
