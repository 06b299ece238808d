package flows_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/gate"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/internal/treetest"
)

// scripted is a flow of which it is known what its steps come to.
type scripted struct {
	Graph              bool
	Jobs               []*scriptedJob
	OnFailure, Finally bool
	Scope              string // of locks; empty: not written
}

type scriptedJob struct {
	ID    string
	Needs []scriptedNeed
	When  string
	Steps []scriptedStep
	Lock  bool // around it, and a time that is not up

	status, reason string
	failure        string // of a failed one
	outputs        map[string]any
	steps          []string
}

type scriptedNeed struct {
	Job  string
	Done bool
}

type scriptedStep struct {
	Comes   string // success, skipped or failed
	N       int
	SkipJob bool
	Output  string   // the key that it promotes its n to; empty: none
	Locks   int      // that it holds
	Reads   []string // paths that its inputs name

	saw map[string]any // what these were
}

// random makes a flow of up to seven jobs, whose names and values are few, so that gates hold and fail.
func random(r *rand.Rand) *scripted {
	f := &scripted{Graph: r.IntN(2) == 0, OnFailure: r.IntN(4) == 0, Finally: r.IntN(4) == 0}
	for i := range 1 + r.IntN(7) {
		j := &scriptedJob{ID: string(rune('a' + i))}
		if r.IntN(6) == 0 { // an id that only depends_on can name
			j.ID += "-1.x"
		}
		for range r.IntN(4) {
			s := scriptedStep{Comes: []string{"success", "success", "success", "success", "skipped", "failed"}[r.IntN(6)], N: r.IntN(3), SkipJob: r.IntN(3) == 0}
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
				j.Needs = append(j.Needs, scriptedNeed{on.ID, r.IntN(3) == 0})
			}
		}
		if i > 0 && r.IntN(2) == 0 {
			j.When = f.condition(r, 2)
		}
		f.Jobs = append(f.Jobs, j)
	}
	return f
}

// lock puts locks around some of it, which change nothing of what it comes to.
func (f *scripted) lock(r *rand.Rand) {
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
func (f *scripted) path(r *rand.Rand, j *scriptedJob, step int) string {
	before := (&scriptedJob{Steps: j.Steps[:step]}).keys()
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

// nothing is the default of paths.
const nothing = "nothing"

// see is what a step of a job finds at a path.
func see(byID map[string]*scriptedJob, j *scriptedJob, path string) any {
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
		s := j.Steps[i]
		result := map[string]any{"n": s.N}
		if s.Comes == "skipped" {
			result["skipped"], result["reason"] = true, "no_data"
		}
		if len(names) == 2 {
			return result
		}
		v, there := result[names[2]]
		return given(v, there)
	case "job":
		if len(names) == 2 {
			return maps.Clone(j.outputs)
		}
		v, there := j.outputs[names[2]]
		return given(v, there)
	}
	on := byID[names[1]]
	switch names[2] {
	case "status":
		return on.status
	case "skip_reason":
		return given(on.reason, on.status == "SKIPPED")
	case "skip_trigger":
		return given("step", on.status == "SKIPPED" && on.reason != "condition=false")
	}
	if len(names) == 3 {
		return on.outputs
	}
	v, there := on.outputs[names[3]]
	return given(v, there)
}

// condition is one over the jobs that there are.
func (f *scripted) condition(r *rand.Rand, depth int) string {
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

func (j *scriptedJob) keys() (out []string) {
	for _, s := range j.Steps {
		if s.Output != "" && !slices.Contains(out, s.Output) {
			out = append(out, s.Output)
		}
	}
	return out
}

// text is the flow as a document.
func (f *scripted) text() []byte {
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
			step := map[string]any{"id": fmt.Sprint("s", i), "type": "noop"}
			if s.SkipJob {
				step["on_no_data"] = "skip_job"
			}
			inputs := map[string]any{}
			for n, path := range s.Reads {
				inputs[fmt.Sprint("see", n)] = "{{" + path + ":" + nothing + "}}"
			}
			if step["inputs"] = inputs; s.Output != "" {
				step["outputs"] = map[string]any{s.Output: "{{result.n}}"}
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
	flow := map[string]any{"id": "f"}
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

// run says what each job and step comes to, by what the documentation says, and nothing of how flows are compiled. Jobs of a graph need only jobs above them, too.
func (f *scripted) run(t *testing.T) {
	byID := map[string]*scriptedJob{}
	for _, j := range f.Jobs {
		j.outputs = map[string]any{}
		done := map[string]bool{}
		for _, n := range j.Needs {
			done[n.Job] = n.Done
			if !n.Done && byID[n.Job].status != "SUCCESS" {
				j.status = "BLOCKED"
			}
		}
		for _, before := range byID {
			if !f.Graph && before.status == "FAILED" && !done[before.ID] {
				j.status = "BLOCKED"
			}
		}
		byID[j.ID] = j
		if j.status == "BLOCKED" {
			j.all(0, "blocked")
			continue
		}
		e, err := gate.Parse(j.When)
		if err != nil {
			t.Fatal(err)
		}
		holds, err := e.Eval(func(r gate.Ref) any {
			on := byID[r.Job]
			switch {
			case r.Field == "status":
				return on.status
			case r.Field == "outputs":
				return on.outputs[r.Path[0]]
			case on.status != "SKIPPED":
				return nil
			case r.Field == "skip_reason":
				return on.reason
			case on.reason != "condition=false":
				return "step"
			}
			return nil
		})
		switch {
		case err != nil:
			j.status, j.failure = "FAILED", j.ID+" when when_error: when_error: "
			j.all(0, "blocked")
			continue
		case !holds:
			j.status, j.reason = "SKIPPED", "condition=false"
			j.all(0, "skipped")
			continue
		}
		j.status = "SUCCESS"
	steps:
		for i, s := range j.Steps {
			j.steps = append(j.steps, s.Comes)
			j.Steps[i].saw = map[string]any{}
			for n, path := range s.Reads {
				j.Steps[i].saw[fmt.Sprint("see", n)] = see(byID, j, path)
			}
			if s.Comes != "failed" && s.Output != "" {
				j.outputs[s.Output] = s.N
			}
			switch {
			case s.Comes == "failed":
				j.status, j.failure = "FAILED", fmt.Sprintf("%s s%d executor: as it is told", j.ID, i)
				j.all(i+1, "blocked")
				break steps
			case s.Comes == "skipped" && s.SkipJob:
				j.status, j.reason = "SKIPPED", "no_data"
				j.all(i+1, "skipped")
				break steps
			}
		}
	}
}

// all has the steps from one on end in the same way.
func (j *scriptedJob) all(from int, outcome string) {
	for range j.Steps[from:] {
		j.steps = append(j.steps, outcome)
	}
}

// mocks are what its steps come to.
func (f *scripted) mocks() []byte {
	mocks := map[string]any{}
	for _, j := range f.Jobs {
		for i, s := range j.Steps {
			mock := map[string]any{"result": map[string]any{"n": s.N}}
			switch s.Comes {
			case "skipped":
				mock["skip"] = "no_data"
			case "failed":
				mock = map[string]any{"error": "as it is told"}
			}
			mocks[fmt.Sprintf("%s__s%d", j.ID, i)] = mock
		}
	}
	text, _ := json.Marshal(map[string]any{"taskgrove": 1, "mocks": mocks, "default": map[string]any{"result": map[string]any{}}})
	return text
}

// TestFlowsPlayAsTheyRead: every random flow compiles to a tree that is taken as one, and played by the rules that decide in a cluster its jobs and steps come to what the
// documentation says: the order of jobs, gates, skips, blocks, failures, and handlers.
func TestFlowsPlayAsTheyRead(t *testing.T) {
	flowsPlayed, seen := 300, map[string]int{}
	if testing.Short() {
		flowsPlayed = 100
	}
	for seed := range uint64(flowsPlayed) {
		f := random(rand.New(rand.NewPCG(seed, 7)))
		if seed%2 == 1 {
			f.lock(rand.New(rand.NewPCG(seed, 9)))
		}
		text := f.text()
		tree, report := flows.Compile("f.json", text, "r", options())
		if tree == nil {
			t.Fatalf("seed %d: %v\n%s", seed, report.Errors, text)
		}
		known := options().Executors
		suite, err := treetest.Load("mocks.json", f.mocks(), treetest.Options{Executors: known, Described: func(func(executors.Description) bool) {}, Tree: func(args *treefile.Arguments) (*treefile.File, error) {
			return treefile.Read("-", treefile.Options{Stdin: strings.NewReader(string(tree.Document)), Arguments: args, Executors: known})
		}})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, tree.Document)
		}
		c := suite.Run().Cases[0]
		f.run(t)
		got, inputs := map[string]string{}, map[string]json.RawMessage{}
		for _, task := range c.Tasks {
			got[task.Name], inputs[task.Name] = task.Outcome, task.Inputs
		}
		failed, failure := false, ""
		expect := func(name, want string) {
			seen[want]++
			if got[name] != want {
				t.Errorf("seed %d: %s is %s, want %s\n%s", seed, name, got[name], want, text)
			}
		}
		for _, j := range f.Jobs {
			expect(j.ID, strings.ToLower(j.status))
			failed, failure = failed || j.status == "FAILED", cmp.Or(failure, j.failure)
			for i, outcome := range j.steps {
				name := fmt.Sprintf("%s__s%d", j.ID, i)
				if expect(name, outcome); j.Steps[i].saw == nil {
					continue
				}
				for _, path := range j.Steps[i].Reads {
					seen[strings.Join(strings.Split(path, ".")[:1], "")]++
				}
				var in any
				if err := json.Unmarshal(inputs[name], &in); err != nil && len(j.Steps[i].saw) > 0 {
					t.Errorf("seed %d: %s has the inputs %s: %v", seed, name, inputs[name], err)
				}
				got, _ := json.Marshal(in)
				if want, _ := json.Marshal(j.Steps[i].saw); string(got) != string(want) && len(j.Steps[i].saw) > 0 {
					t.Errorf("seed %d: %s sees %s, want %s, of %v\n%s", seed, name, got, want, j.Steps[i].Reads, text)
				}
			}
		}
		if f.OnFailure {
			expect("on_failure__s", map[bool]string{true: "success", false: "skipped"}[failed])
			var in struct{ What string }
			if err := json.Unmarshal(inputs["on_failure__s"], &in); failed && (err != nil || !strings.HasPrefix(in.What, failure)) {
				t.Errorf("seed %d: on_failure is told %q, want %q: %v\n%s", seed, in.What, failure, err, text)
			}
		}
		if f.Finally {
			expect("finally__s", "success")
		}
		if want := map[bool]string{true: "failed", false: "completed"}[failed]; c.Outcome != want {
			t.Errorf("seed %d: the run is %s, want %s\n%s", seed, c.Outcome, want, text)
		}
		if t.Failed() {
			for _, s := range c.Failures {
				t.Log(s.Text)
			}
			t.Logf("%s", tree.Document)
			return
		}
	}
	t.Log(seen)
	for _, word := range []string{"success", "skipped", "failed", "blocked", "steps", "job", "jobs"} {
		if seen[word] == 0 {
			t.Errorf("nothing is %s: %v", word, seen)
		}
	}
}
