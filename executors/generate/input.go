package generate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

const (
	maxRequirement     = 20_000 // characters
	defaultTemperature = 0.7
	defaultMaxTokens   = 4000
	defaultMaxTasks    = 50
	defaultTimeout     = "300" // seconds, for both rounds
)

// input is what a task asks for.
type input struct {
	Requirement   string      `json:"requirement"`
	UserID        string      `json:"user_id"`
	Provider      string      `json:"llm_provider"`
	Model         string      `json:"model"`
	Temperature   *float64    `json:"temperature"`
	MaxTokens     int         `json:"max_tokens"`
	MaxTasks      int         `json:"max_tasks"`
	Executors     []string    `json:"executors"`
	AllowCommands *bool       `json:"allow_commands"`
	Timeout       json.Number `json:"timeout"`

	APIKey    string          `json:"api_key"`
	APIBase   string          `json:"api_base"`
	API       string          `json:"api"`
	Budget    json.RawMessage `json:"budget"`
	Exhausted string          `json:"on_exhausted"`

	limits *budget.Limits
}

// read reads the inputs. Its error names all faults.
func (c *Config) read(call *executors.Call) (*input, error) {
	in := &input{}
	if err := inputs.Decode(ID, call, in); err != nil {
		return nil, err
	}
	if in.Requirement = strings.TrimSpace(in.Requirement); in.Requirement == "" {
		return nil, executors.Invalid(ID, "requirement is required in inputs")
	}
	var faults []string
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	fault(utf8.RuneCountInString(in.Requirement) > maxRequirement, "requirement must have at most %d characters", maxRequirement)
	if in.Temperature == nil {
		in.Temperature = new(defaultTemperature)
	}
	fault(*in.Temperature < 0 || *in.Temperature > 2, "temperature must be from 0 to 2")
	fault(in.MaxTokens < 0, "max_tokens must be above 0")
	fault(in.MaxTasks < 0, "max_tasks must be above 0")
	fault(in.MaxTasks > c.MaxTasks, "max_tasks must be at most %d, which the worker's operator has set (TASKGROVE_GENERATE_MAX_TASKS)", c.MaxTasks)
	if in.MaxTokens == 0 {
		in.MaxTokens = defaultMaxTokens
	}
	if in.MaxTasks == 0 {
		in.MaxTasks = min(defaultMaxTasks, c.MaxTasks)
	}
	var unlimited []string
	in.limits, unlimited = budget.Parse(in.Budget, in.Exhausted)
	faults = append(faults, unlimited...)
	for _, own := range []struct {
		name string
		set  bool
	}{{"executors", len(in.Executors) > 0}, {"allow_commands", in.AllowCommands != nil && *in.AllowCommands}} {
		fault(own.set && !slices.Contains(call.Submitted, own.name),
			"%s: only the task itself may say it, not a result of a dependency (and its coordinator must be of version 0.6.0 or newer)", own.name)
	}
	if len(faults) > 0 {
		return nil, executors.Invalid(ID, strings.Join(faults, "; "))
	}
	return in, nil
}

// owner is who owns the tasks: whoever owns the task that makes them.
func (in *input) owner(call *executors.Call) string {
	if call.UserID != "" {
		return call.UserID
	}
	return in.UserID
}
