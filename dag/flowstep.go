package dag

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag/template"
)

// FlowStep makes a task a step of a flow: its templates may name what the flow has, by the ids of jobs and steps, beside what all templates may. It says which dependencies of
// the task have these values. What a step of a flow gives counts if it was skipped, too: its outputs are rendered, and others find its result and its outputs.
type FlowStep struct {
	Steps   map[string]string  `json:"steps,omitempty"`   // earlier steps of the job, by their ids: the tasks, whose results they are
	Job     []string           `json:"job,omitempty"`     // the tasks whose outputs the job has, in their order: of a name that several have, the last one counts
	Jobs    map[string]FlowJob `json:"jobs,omitempty"`    // other jobs, by their ids
	Failure *FlowFailure       `json:"failure,omitempty"` // nil: the step is of no handler of failures
	// Outer: the task is made for an item of a step. What its templates name beside that, the step has kept for it (see [Control.Values]).
	Outer bool `json:"outer,omitempty"`
}

// FlowFailure says which task tells of the first failure.
type FlowFailure struct {
	Task string `json:"task"`          // the fold of all jobs, or of the only one
	Job  string `json:"job,omitempty"` // that one's id
	// Steps are the ids of steps, by their tasks, as far as these are not called JOB__STEP, and by what else is there for them: folds around them, and tasks that take locks.
	Steps map[string]string `json:"steps,omitempty"`
}

// FlowJob is another job of the flow.
type FlowJob struct {
	Task    string   `json:"task,omitempty"`    // its fold, which says how it has ended
	Outputs []string `json:"outputs,omitempty"` // as [FlowStep.Job]
}

// flowRoots are what templates of flows' steps may begin with.
var flowRoots = template.Roots{
	"steps": {Names: 1}, "job": {Names: 1, Of: []string{"outputs"}}, "jobs": {Names: 2}, "failure": {Names: 1, Of: []string{"job", "step", "kind", "message"}},
}

func withFlow(roots template.Roots) template.Roots {
	all := maps.Clone(roots)
	maps.Copy(all, flowRoots)
	return all
}

// flowJobFields are what templates may read of a job.
var flowJobFields = []string{"status", "outputs", "skip_reason", "skip_trigger"}

// ReadFlowStep reads what [FlowStep] is as JSON. The error is for users.
func ReadFlowStep(text []byte) (*FlowStep, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	s := &FlowStep{}
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("must be an object with steps, job, jobs, failure and outer: %w", err)
	}
	return s, nil
}

// Text is s as JSON; nil for none.
func (s *FlowStep) Text() json.RawMessage {
	if s == nil {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // it has texts only
	}
	return text
}

// tasks yields each dependency that is named, with where.
func (s *FlowStep) tasks(yield func(at, task string)) {
	for _, id := range slices.Sorted(maps.Keys(s.Steps)) {
		yield("flow_step.steps."+id, s.Steps[id])
	}
	list := func(at string, tasks []string) {
		for i, task := range tasks {
			yield(fmt.Sprintf("%s[%d]", at, i), task)
		}
	}
	list("flow_step.job", s.Job)
	for _, id := range slices.Sorted(maps.Keys(s.Jobs)) {
		if j := s.Jobs[id]; j.Task != "" {
			yield("flow_step.jobs."+id+".task", j.Task)
		}
		list("flow_step.jobs."+id+".outputs", s.Jobs[id].Outputs)
	}
	if s.Failure != nil {
		yield("flow_step.failure.task", s.Failure.Task)
	}
}

// unknown says why a path of a flow can lead to nothing; empty: it may lead to something.
func (s *FlowStep) unknown(path []string) string {
	switch path[0] {
	case "jobs":
		if s.Outer && slices.Contains(flowJobFields, path[2]) {
			return ""
		}
	default:
		if s.Outer { // who found it knows
			return ""
		}
	}
	switch path[0] {
	case "steps":
		if s.Steps[path[1]] == "" {
			return "flow_step has no step " + cut(path[1], 80)
		}
	case "jobs":
		j, known := s.Jobs[path[1]]
		switch field := path[2]; {
		case !known:
			return "flow_step has no job " + cut(path[1], 80)
		case !slices.Contains(flowJobFields, field):
			return "a job has " + strings.Join(flowJobFields, ", ")
		case field != "outputs" && j.Task == "":
			return "flow_step says of " + cut(path[1], 80) + " no task that tells how it has ended"
		}
	case "failure":
		if s.Failure == nil {
			return "flow_step has no failure"
		}
	}
	return ""
}

// has reports whether dependencies of the task have what a path of a flow leads to.
func (s *FlowStep) has(path []string) bool {
	switch path[0] {
	case "steps":
		return s.Steps[path[1]] != ""
	case "job":
		return !s.Outer
	case "jobs":
		_, known := s.Jobs[path[1]]
		return known
	}
	return s.Failure != nil
}

// MaxKeptValues is how many bytes of values of a flow each of the tasks that a step finds may carry, and MaxAllKept how many all of them.
const (
	MaxKeptValues = 64 << 10
	MaxAllKept    = 256 << 20
)

// KeptValues cuts the scope of an attempt, a JSON object or empty, down to what the templates in JSON texts name of a flow. nil: nothing.
func KeptValues(scope []byte, texts ...json.RawMessage) json.RawMessage {
	p := &Paths{}
	for _, text := range texts {
		for _, path := range flowRefs(text) {
			p.Add(path)
		}
	}
	if p.members == nil || !isObject(scope) {
		return nil
	}
	out, has := p.pick(nil, scope)
	if !has || len(out) <= len("{}") {
		return nil
	}
	return out
}

// flowRefs are the paths of a flow that the templates in a JSON text name.
func flowRefs(text json.RawMessage) (paths [][]string) {
	if !mayHoldToken(text) {
		return nil
	}
	var document any
	if decodeExact(text, &document) != nil {
		return nil
	}
	for _, path := range renderOutputRules.Refs(document) {
		if _, ofFlow := flowRoots[path[0]]; ofFlow {
			paths = append(paths, path)
		}
	}
	return paths
}

// flowStep checks what the task says of its flow, and keeps the dependencies that it names.
func (r *templateReader) flowStep(s *FlowStep) {
	s.tasks(func(at, task string) {
		if r.names == nil {
			r.names = map[string]bool{}
		}
		if r.names[task] = true; len(r.names) <= MaxNamed {
			r.named = append(r.named, Named{Name: task, At: cut(at, 200), Token: task})
		}
	})
}

// flowPaths are what the templates of a step name of its flow.
type flowPaths struct {
	step  *FlowStep
	named Paths // by root
}

// names are the dependencies that have what is named.
func (f *flowPaths) names() (names []string) {
	for id := range f.named.below("steps").all() {
		names = append(names, f.step.Steps[id])
	}
	if f.named.below("job") != nil {
		names = append(names, f.step.Job...)
	}
	for id, of := range f.named.below("jobs").all() {
		j := f.step.Jobs[id]
		for field := range of.all() {
			if field == "outputs" {
				names = append(names, j.Outputs...)
			} else {
				names = append(names, j.Task)
			}
		}
	}
	if f.named.below("failure") != nil {
		names = append(names, f.step.Failure.Task)
	}
	return names
}

// append appends the members of a scope that have what is named, each after a comma.
func (f *flowPaths) append(out []byte, find func(name string) *DependencyValue) []byte {
	object := func(name string, members func(add func(name string, p *Paths, value []byte))) {
		out = append(append(appendQuoted(append(out, ','), name), ':'), '{')
		before := len(out)
		members(func(name string, p *Paths, value []byte) {
			start := len(out)
			if start > before {
				out = append(out, ',')
			}
			out = append(appendQuoted(out, name), ':')
			var has bool
			if out, has = p.pick(out, value); !has || value == nil {
				out = out[:start]
			}
		})
		out = append(out, '}')
	}
	if of := f.named.below("steps"); of != nil {
		object("steps", func(add func(string, *Paths, []byte)) {
			for _, id := range of.Names() {
				add(id, of.below(id), find(f.step.Steps[id]).gave())
			}
		})
	}
	if of := f.named.below("job"); of != nil {
		object("job", func(add func(string, *Paths, []byte)) {
			add("outputs", of.below("outputs"), outputsOf(f.step.Job, find))
		})
	}
	if of := f.named.below("jobs"); of != nil {
		object("jobs", func(add func(string, *Paths, []byte)) {
			for _, id := range of.Names() {
				add(id, of.below(id), f.job(id, of.below(id), find))
			}
		})
	}
	if of := f.named.below("failure"); of != nil {
		object("failure", func(add func(string, *Paths, []byte)) {
			failed := f.step.Failure.of(find(f.step.Failure.Task))
			for _, name := range of.Names() {
				if value, there := failed[name]; there {
					add(name, of.below(name), appendQuoted(nil, value))
				}
			}
		})
	}
	return out
}

// job is what is named of a job, and perhaps more.
func (f *flowPaths) job(id string, p *Paths, find func(name string) *DependencyValue) []byte {
	j := f.step.Jobs[id]
	shown := map[string]json.RawMessage{}
	if p.below("outputs") != nil {
		shown["outputs"] = outputsOf(j.Outputs, find)
	}
	if d := find(j.Task); d != nil {
		shown["status"] = appendQuoted(nil, strings.ToUpper(d.State.Outcome()))
		if d.State == Skipped {
			reason, trigger := flowSkip(SkipReason(d.Result))
			shown["skip_reason"] = appendQuoted(nil, reason)
			if trigger != "" {
				shown["skip_trigger"] = appendQuoted(nil, trigger)
			}
		}
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return nil
	}
	return text
}

// flowSkip is why a job was skipped, in the words of AetherFlow, and what had it skipped: a step; empty: its condition.
func flowSkip(reason string) (text, trigger string) {
	switch reason {
	case SkipWhenFalse:
		return "condition=false", ""
	case SkipNotSelected:
		return reason, ""
	}
	return reason, "step"
}

// of is what a failure shows.
func (f *FlowFailure) of(d *DependencyValue) map[string]string {
	if d == nil || d.State != Failed {
		return nil
	}
	job, rest := f.Job, d.Error // a fold's begins with what failed
	if job == "" {
		job, rest, _ = strings.Cut(rest, ": ")
	}
	task, message, ofStep := strings.Cut(rest, ": ")
	step, renamed := f.Steps[task]
	switch {
	case !ofStep:
		message = rest
	case d.Kind == KindWhen:
		step = "when"
	case !renamed:
		step = strings.TrimPrefix(task, job+"__")
	default: // perhaps a fold around the step, whose error begins with that
		if inner, rest, more := strings.Cut(message, ": "); more && (f.Steps[inner] != "" || inner == job+"__"+step) {
			message = rest
		}
	}
	return map[string]string{"job": job, "step": step, "kind": string(cmp.Or(d.Kind, KindExecutor)), "message": message}
}

// gave is the result of a step: of one that was skipped, too.
func (d *DependencyValue) gave() []byte {
	switch {
	case d == nil || d.State != Completed && d.State != Skipped:
		return nil
	case isNull(d.Result):
		return []byte("null")
	}
	return d.Result
}

// outputsOf is an object of what tasks have given, of which the last one that has a name counts.
func outputsOf(tasks []string, find func(name string) *DependencyValue) []byte {
	all := map[string]json.RawMessage{}
	for _, name := range tasks {
		d := find(name)
		if d == nil || d.State != Completed && d.State != Skipped || !isObject(d.Outputs) {
			continue
		}
		for m := range members(d.Outputs) {
			all[m.name()] = m.value
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return []byte("{}")
	}
	return text
}
