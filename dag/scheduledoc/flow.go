package scheduledoc

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
)

// Flow is a registered flow that each run of a schedule is a run of, and what it is given.
type Flow struct {
	ID       string            `json:"id"`
	Version  int               `json:"version,omitempty"` // 0: the newest, as each run begins
	Job      string            `json:"job,omitempty"`     // that runs, with those that it needs; empty: all
	Params   json.RawMessage   `json:"params,omitempty"`  // an object, whose strings may name the run
	Env      map[string]string `json:"env,omitempty"`     // literal values; none of secrets
	Priority *int              `json:"priority,omitempty"`
	Timeout  float64           `json:"timeout_seconds,omitempty"` // of a run; 0: as the flow says

	NoDeps     bool     `json:"no_deps,omitempty"`     // the job runs alone: those that it needs count as if they had run with success
	JobOutputs []string `json:"job_outputs,omitempty"` // JOB.KEY=VALUE, what these have given then: JSON, else text
}

// Bounds of a flow that a schedule names.
const (
	maxFlowChars = 64      // of ids of flows and jobs
	maxVersion   = 1 << 30 // of a flow
	maxPriority  = 3
	maxOutputs   = 1000 // of jobs that don't run
)

const flowForm = "must be an object: {id, version, job, no_deps, job_outputs, params, env, priority, timeout_seconds}"

// flow checks what is said of a flow, but for whether there is one.
func (c *checker) flow() {
	f := c.Flow
	switch {
	case f.ID == "":
		c.wrong("flow.id", "is required")
	case utf8.RuneCountInString(f.ID) > maxFlowChars || !plain(f.ID):
		c.wrong("flow.id", "must be the id of a flow, which has at most %d letters, digits, '.', '_' and '-'", maxFlowChars)
	}
	if f.Version < 0 || f.Version > maxVersion {
		c.wrong("flow.version", "must be the number of a version, or 0 for the newest")
	}
	if utf8.RuneCountInString(f.Job) > maxFlowChars || !plain(f.Job) {
		c.wrong("flow.job", "must be the id of a job, which has at most %d letters, digits, '.', '_' and '-'", maxFlowChars)
	}
	c.alone(f)
	if f.Priority != nil && (*f.Priority < 0 || *f.Priority > maxPriority) {
		c.wrong("flow.priority", "must be 0 to %d", maxPriority)
	}
	if f.Timeout < 0 || math.IsNaN(f.Timeout) || f.Timeout > dag.MaxDuration.Seconds() {
		c.wrong("flow.timeout_seconds", "must be 0 to %.0f", dag.MaxDuration.Seconds())
	}
	var object map[string]json.RawMessage
	switch {
	case len(f.Params) > MaxParametersBytes:
		c.wrong("flow.params", "have %d bytes, the most is %d", len(f.Params), MaxParametersBytes)
	case len(f.Params) > 0 && value(f.Params, &object, "must be an object") != "":
		c.wrong("flow.params", "must be an object")
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		size += len(name) + len(f.Env[name])
		if name == "" || !utf8.ValidString(name+f.Env[name]) || strings.ContainsRune(name+f.Env[name], 0) {
			c.wrong("flow.env", "must be names with texts of UTF-8 without NUL")
			break
		}
	}
	if size > MaxParametersBytes {
		c.wrong("flow.env", "has %d bytes, the most is %d", size, MaxParametersBytes)
	}
	if len(c.Parameters) > 0 {
		c.wrong("parameters", "go with tree: a flow has params")
	}
}

// alone checks what is said of a job that runs without those that it needs.
func (c *checker) alone(f *Flow) {
	if f.NoDeps && f.Job == "" {
		c.wrong("flow.no_deps", "needs job: which one is to run without those that it needs")
	}
	size := 0
	for _, one := range f.JobOutputs {
		size += len(one)
	}
	switch {
	case len(f.JobOutputs) > 0 && !f.NoDeps:
		c.wrong("flow.job_outputs", "go with no_deps: else the jobs run, and give their outputs")
	case len(f.JobOutputs) > maxOutputs:
		c.wrong("flow.job_outputs", "are %d, the most is %d", len(f.JobOutputs), maxOutputs)
	case size > MaxParametersBytes:
		c.wrong("flow.job_outputs", "have %d bytes, the most is %d", size, MaxParametersBytes)
	case slices.ContainsFunc(f.JobOutputs, func(one string) bool { return !utf8.ValidString(one) || strings.ContainsRune(one, 0) }):
		c.wrong("flow.job_outputs", "must be texts of UTF-8 without NUL")
	}
}
