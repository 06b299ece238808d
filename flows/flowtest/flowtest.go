package flowtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/flows/gate"
)

// Flow is a flow of which it is known what its steps come to.
type Flow struct {
	Graph              bool
	Jobs               []*Job
	OnFailure, Finally bool
	Scope              string // of locks; empty: not written
	ID                 string // empty: f
	Pool               string // empty: not written
}

// Job is a job of a [Flow]. What it comes to is there when [Flow.Run] has ended.
type Job struct {
	ID    string
	Needs []Need
	When  string
	Steps []Step
	Lock  bool // around it, and a time that is not up

	Status, Reason string
	Failure        string // of a failed one
	Outputs        map[string]any
	Ends           []string
}

// Need is a job that another one needs.
type Need struct {
	Job  string
	Done bool
}

// Step is a step of a [Job].
type Step struct {
	Comes   string // success, skipped or failed
	N       int
	SkipJob bool
	Output  string   // the key that it promotes its n to; empty: none
	Locks   int      // that it holds
	Reads   []string // paths that its inputs name
	Items   []string // of a foreach: what it comes to for each; nil: it is none
	Allows  bool     // failures of items
	Calls   bool     // it runs the flow that [Callee] is, and waits for its end

	Saw map[string]any // what these were
}

// result is what the step gives.
func (s *Step) result() map[string]any {
	result := map[string]any{"n": s.N}
	if s.Items != nil {
		counts, results := map[string]int{}, []any{}
		for i, outcome := range s.Items {
			counts[outcome]++
			if results = append(results, nil); outcome == "success" {
				results[i] = map[string]any{"n": i}
			}
		}
		result = map[string]any{"count": len(s.Items), "succeeded": counts["success"], "skipped": counts["skipped"], "failed": counts["failed"], "results": results}
	}
	if s.Calls {
		result = map[string]any{"flow_id": CalleeID, "outcome": "SUCCESS", "jobs": map[string]any{"inner": map[string]any{"status": "SUCCESS", "outputs": map[string]any{"n": s.N}}}}
	}
	if s.Comes == "skipped" {
		result["skipped"], result["reason"] = true, "no_data"
	}
	return result
}

// Each makes some steps run for each item of a list: they come to what that does.
func (f *Flow) Each(r *rand.Rand) {
	for _, j := range f.Jobs {
		for i := range j.Steps {
			s := &j.Steps[i]
			if r.IntN(4) > 0 {
				continue
			}
			s.Items, s.Allows, s.Comes = []string{}, r.IntN(2) == 0, "success"
			for range r.IntN(4) {
				s.Items = append(s.Items, []string{"success", "success", "success", "skipped", "failed"}[r.IntN(5)])
			}
			switch s.N = len(s.Items); {
			case s.N == 0:
				s.Comes = "skipped"
			case slices.Contains(s.Items, "failed") && !s.Allows:
				s.Comes = "failed"
			}
		}
	}
}

// CalleeID is the id of the flow that steps run.
const CalleeID = "callee"

// Callee is the flow that steps run, with a step of a type that gets what the calling step would.
func Callee(executor, pool string) []byte {
	inputs, parameters := map[string]any{}, map[string]any{}
	for name, kind := range map[string]string{"comes": "string", "n": "integer", "sees": "object"} {
		inputs[name], parameters[name] = "{{params."+name+"}}", map[string]any{"type": kind}
	}
	text, _ := json.Marshal(map[string]any{"flow": map[string]any{"id": CalleeID, "pool": pool, "parameters": parameters}, "jobs": []any{map[string]any{"id": "inner", "steps": []any{
		map[string]any{"id": "s", "type": executor, "inputs": inputs, "outputs": map[string]any{"n": "{{result.n}}"}}}}}})
	return text
}

// Call makes some steps run another flow. They come to what that does: it is never skipped. Its id is not known before, so that later steps name other parts of the result.
func (f *Flow) Call(r *rand.Rand) {
	for _, j := range f.Jobs {
		for i := range j.Steps {
			s := &j.Steps[i]
			if s.Items == nil && r.IntN(4) == 0 {
				if s.Calls = true; s.Comes == "skipped" {
					s.Comes = "success"
				}
			}
			for n, path := range s.Reads {
				var of int
				if names := strings.Split(path, "."); names[0] == "steps" {
					if fmt.Sscanf(names[1], "s%d", &of); j.Steps[of].Calls {
						s.Reads[n] = names[0] + "." + names[1] + "." + []string{"outcome", "flow_id", "jobs", "jobs.inner.status", "jobs.inner.outputs.n", "none"}[r.IntN(6)]
					}
				}
			}
		}
	}
}

// Item is the item of a place in the list of a step.
func Item(index int) int { return 10 + index }

// each is a foreach of a step of a type, with such inputs.
func (s *Step) each(executor string, inputs map[string]any, window int) map[string]any {
	items := []int{}
	for n := range s.Items {
		items = append(items, Item(n))
	}
	inputs["item"], inputs["index"] = "{{item}}", "{{index}}"
	return map[string]any{"items": items, "window": window, "allow_failures": s.Allows, "step": map[string]any{"type": executor, "inputs": inputs}}
}

// Random makes a flow of up to seven jobs, whose names and values are few, so that gates hold and fail.
func Random(r *rand.Rand) *Flow {
	f := &Flow{Graph: r.IntN(2) == 0, OnFailure: r.IntN(4) == 0, Finally: r.IntN(4) == 0}
	for i := range 1 + r.IntN(7) {
		j := &Job{ID: string(rune('a' + i))}
		if r.IntN(6) == 0 { // an id that only depends_on can name
			j.ID += "-1.x"
		}
		for range r.IntN(4) {
			s := Step{Comes: []string{"success", "success", "success", "success", "skipped", "failed"}[r.IntN(6)], N: r.IntN(3), SkipJob: r.IntN(3) == 0}
			if r.IntN(2) == 0 {
				s.Output = []string{"x", "y"}[r.IntN(2)]
			}
			j.Steps = append(j.Steps, s)
		}
		for i := range j.Steps {
			for range r.IntN(3) {
				j.Steps[i].Reads = append(j.Steps[i].Reads, f.path(r, j, i))
			}
		}
		for _, on := range f.Jobs {
			if r.IntN(4) == 0 {
				j.Needs = append(j.Needs, Need{on.ID, r.IntN(3) == 0})
			}
		}
		if i > 0 && r.IntN(2) == 0 {
			j.When = f.condition(r, 2)
		}
		f.Jobs = append(f.Jobs, j)
	}
	return f
}

// Lock puts locks around some of it, which change nothing of what it comes to.
func (f *Flow) Lock(r *rand.Rand) {
	f.Scope = []string{"", "", "job", "flow"}[r.IntN(4)]
	for _, j := range f.Jobs {
		j.Lock = r.IntN(4) == 0
		for i := range j.Steps {
			if r.IntN(4) == 0 {
				j.Steps[i].Locks = 1 + r.IntN(3)
			}
		}
	}
}

// path is something that a step of a job may name.
func (f *Flow) path(r *rand.Rand, j *Job, step int) string {
	before := (&Job{Steps: j.Steps[:step]}).keys()
	switch n := r.IntN(8); {
	case n < 2 && step > 0:
		return fmt.Sprintf("steps.s%d%s", r.IntN(step), []string{".n", ".reason", ""}[r.IntN(3)])
	case n == 2 && len(before) > 0:
		return "job.outputs." + before[r.IntN(len(before))]
	case n < 4 || len(f.Jobs) == 0:
		return "job.outputs"
	}
	on := f.Jobs[r.IntN(len(f.Jobs))]
	if strings.Contains(on.ID, "-") {
		return "job.outputs"
	}
	if keys := on.keys(); len(keys) > 0 && r.IntN(2) == 0 {
		return fmt.Sprintf("jobs.%s.outputs.%s", on.ID, keys[r.IntN(len(keys))])
	}
	return fmt.Sprintf("jobs.%s.%s", on.ID, []string{"status", "skip_reason", "skip_trigger", "outputs"}[r.IntN(4)])
}

// See is the input that has what a step reads n-th.
func See(n int) string { return fmt.Sprint("see", n) }

// nothing is the default of paths.
const nothing = "nothing"

// see is what a step of a job finds at a path.
func see(byID map[string]*Job, j *Job, path string) any {
	names := strings.Split(path, ".")
	given := func(v any, there bool) any {
		if !there {
			return nothing
		}
		return v
	}
	switch names[0] {
	case "steps":
		var i int
		fmt.Sscanf(names[1], "s%d", &i)
		result := j.Steps[i].result()
		if len(names) == 2 {
			return result
		}
		var v any = result
		for _, name := range names[2:] {
			within, _ := v.(map[string]any)
			below, there := within[name]
			if !there {
				return nothing
			}
			v = below
		}
		return v
	case "job":
		if len(names) == 2 {
			return maps.Clone(j.Outputs)
		}
		v, there := j.Outputs[names[2]]
		return given(v, there)
	}
	on := byID[names[1]]
	switch names[2] {
	case "status":
		return on.Status
	case "skip_reason":
		return given(on.Reason, on.Status == "SKIPPED")
	case "skip_trigger":
		return given("step", on.Status == "SKIPPED" && on.Reason != "condition=false")
	}
	if len(names) == 3 {
		return on.Outputs
	}
	v, there := on.Outputs[names[3]]
	return given(v, there)
}

// condition is one over the jobs that there are.
func (f *Flow) condition(r *rand.Rand, depth int) string {
	if depth > 0 {
		switch r.IntN(5) {
		case 0:
			return f.condition(r, depth-1) + " and " + f.condition(r, depth-1)
		case 1:
			return "(" + f.condition(r, depth-1) + " or " + f.condition(r, depth-1) + ")"
		case 2:
			return "not " + f.condition(r, 0)
		}
	}
	on := f.Jobs[r.IntN(len(f.Jobs))]
	if strings.Contains(on.ID, "-") {
		return "1 < 2"
	}
	sign := []string{"==", "!=", ">", "<", ">=", "<="}[r.IntN(6)]
	switch keys := on.keys(); {
	case r.IntN(6) == 0:
		return fmt.Sprintf("jobs.%s.skip_reason == 'condition=false'", on.ID)
	case r.IntN(6) == 0:
		return fmt.Sprintf("jobs.%s.skip_trigger == 'step'", on.ID)
	case len(keys) > 0 && r.IntN(4) > 0:
		return fmt.Sprintf("jobs.%s.outputs.%s %s %s", on.ID, keys[r.IntN(len(keys))], sign, []string{"0", "1", "'1'", "null", "true", "'word'"}[r.IntN(6)])
	}
	return fmt.Sprintf("jobs.%s.status %s '%s'", on.ID, []string{"==", "!="}[r.IntN(2)], []string{"SUCCESS", "SKIPPED", "BLOCKED", "FAILED"}[r.IntN(4)])
}

func (j *Job) keys() (out []string) {
	for _, s := range j.Steps {
		if s.Output != "" && !slices.Contains(out, s.Output) {
			out = append(out, s.Output)
		}
	}
	return out
}

// Text is the flow as a document, whose steps have the types and the inputs, beside those that they read, that step gives.
func (f *Flow) Text(step func(j *Job, n int) (executor string, inputs map[string]any)) []byte {
	var jobs []any
	for _, j := range f.Jobs {
		job := map[string]any{"id": j.ID, "when": j.When}
		var needs, steps []any
		for _, n := range j.Needs {
			if n.Done {
				needs = append(needs, map[string]any{"job": n.Job, "require": "done"})
			} else {
				needs = append(needs, n.Job)
			}
		}
		steps = []any{}
		for i, s := range j.Steps {
			executor, inputs := step(j, i)
			step := map[string]any{"id": fmt.Sprint("s", i), "type": executor}
			if s.SkipJob {
				step["on_no_data"] = "skip_job"
			}
			sees, gives := inputs, "{{result.n}}"
			if s.Calls {
				sees, gives = map[string]any{}, "{{result.jobs.inner.outputs.n}}"
			}
			for n, path := range s.Reads {
				sees[See(n)] = "{{" + path + ":" + nothing + "}}"
			}
			if s.Calls {
				inputs["sees"] = sees
				step["type"], inputs = "flow", map[string]any{"flow": CalleeID, "params": inputs}
			}
			if step["inputs"] = inputs; s.Output != "" {
				step["outputs"] = map[string]any{s.Output: gives}
			}
			if s.Items != nil {
				if step["type"], step["inputs"] = "foreach", s.each(executor, inputs, i%3); s.Output != "" {
					step["outputs"] = map[string]any{s.Output: "{{result.count}}"}
				}
			}
			for n := range max(s.Locks-1, 0) {
				inner := map[string]any{"type": step["type"]}
				if step["inputs"] != nil {
					inner["inputs"] = step["inputs"]
				}
				step["type"], step["inputs"] = "with_lock", map[string]any{"lock_key": fmt.Sprint(j.ID, i, n), "step": inner}
			}
			if s.Locks > 0 {
				step["lock"] = map[string]any{"key": "step"}
			}
			steps = append(steps, step)
		}
		job["depends_on"], job["steps"] = needs, steps
		if j.Lock {
			job["lock"], job["timeout_seconds"] = map[string]any{"key": "job", "on_contention": "wait"}, 3600
		}
		jobs = append(jobs, job)
	}
	flow := map[string]any{"id": cmp.Or(f.ID, "f")}
	if f.Pool != "" {
		flow["pool"] = f.Pool
	}
	if f.Graph {
		flow["execution"] = "graph"
	}
	if f.Scope != "" {
		flow["locks"] = map[string]any{"scope": f.Scope}
	}
	handler := []any{map[string]any{"id": "s", "type": "noop"}}
	if f.OnFailure {
		flow["on_failure"] = []any{map[string]any{"id": "s", "type": "noop", "inputs": map[string]any{"what": "{{failure.job}} {{failure.step}} {{failure.kind}}: {{failure.message}}"}}}
	}
	if f.Finally {
		flow["finally"] = handler
	}
	text, _ := json.Marshal(map[string]any{"flow": flow, "jobs": jobs})
	return text
}

// Run says what each job and step comes to, by what the documentation says, and nothing of how flows are compiled. Jobs of a graph need only jobs above them, too.
func (f *Flow) Run() error {
	byID := map[string]*Job{}
	for _, j := range f.Jobs {
		j.Outputs = map[string]any{}
		done := map[string]bool{}
		for _, n := range j.Needs {
			done[n.Job] = n.Done
			if !n.Done && byID[n.Job].Status != "SUCCESS" {
				j.Status = "BLOCKED"
			}
		}
		for _, before := range byID {
			if !f.Graph && before.Status == "FAILED" && !done[before.ID] {
				j.Status = "BLOCKED"
			}
		}
		byID[j.ID] = j
		if j.Status == "BLOCKED" {
			j.all(0, "blocked")
			continue
		}
		e, err := gate.Parse(j.When)
		if err != nil {
			return err
		}
		holds, err := e.Eval(func(r gate.Ref) any {
			on := byID[r.Job]
			switch {
			case r.Field == "status":
				return on.Status
			case r.Field == "outputs":
				return on.Outputs[r.Path[0]]
			case on.Status != "SKIPPED":
				return nil
			case r.Field == "skip_reason":
				return on.Reason
			case on.Reason != "condition=false":
				return "step"
			}
			return nil
		})
		switch {
		case err != nil:
			j.Status, j.Failure = "FAILED", j.ID+" when when_error: when_error: "
			j.all(0, "blocked")
			continue
		case !holds:
			j.Status, j.Reason = "SKIPPED", "condition=false"
			j.all(0, "skipped")
			continue
		}
		j.Status = "SUCCESS"
	steps:
		for i, s := range j.Steps {
			j.Ends = append(j.Ends, s.Comes)
			j.Steps[i].Saw = map[string]any{}
			for n, path := range s.Reads {
				j.Steps[i].Saw[See(n)] = see(byID, j, path)
			}
			if s.Comes != "failed" && s.Output != "" {
				j.Outputs[s.Output] = s.N
			}
			switch {
			case s.Comes == "failed":
				j.Status, j.Failure = "FAILED", fmt.Sprintf("%s s%d executor: as it is told", j.ID, i)
				if s.Calls {
					j.Failure = fmt.Sprintf("%s s%d child: as it is told", j.ID, i)
				}
				if s.Items != nil {
					j.Failure = fmt.Sprintf("%s s%d child: task '%[1]s__s%[2]d[%d]'", j.ID, i, slices.Index(s.Items, "failed"))
				}
				j.all(i+1, "blocked")
				break steps
			case s.Comes == "skipped" && s.SkipJob:
				j.Status, j.Reason = "SKIPPED", "no_data"
				j.all(i+1, "skipped")
				break steps
			}
		}
	}
	return nil
}

// all has the steps from one on end in the same way.
func (j *Job) all(from int, outcome string) {
	for range j.Steps[from:] {
		j.Ends = append(j.Ends, outcome)
	}
}
