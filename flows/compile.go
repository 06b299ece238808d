package flows

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/flows/gate"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Tree is what a run of a flow becomes.
type Tree struct {
	FlowID, RunID string
	Document      json.RawMessage // a list of tasks, as tasks.create takes it; the root comes first
	Tasks         []Coordinates   // of the same tasks

	needs map[string][]string // by job: those that must end with success
	gates map[string]string   // by job: the name of its gate
	locks map[string][]string // by job, by step's task, and of the run by "": the names of the tasks that take their locks

	handlers map[string]bool   // on_failure and finally, by the ids of their jobs
	does     map[string]string // by task: what stands for what it does, of a tree that was stored
}

// Coordinates say what of a flow a task is.
type Coordinates struct {
	Name string
	Kind TaskKind
	Job  string // empty: none
	Step string // empty: none
}

// TaskKind says what a task of a flow's tree is for.
type TaskKind string

// The kinds of tasks.
const (
	KindRoot  TaskKind = "run"
	KindJob   TaskKind = "job"   // a fold: it ends as its job does
	KindGate  TaskKind = "gate"  // a group with what a job waits for, and its condition
	KindStep  TaskKind = "step"  // what runs
	KindSoFar TaskKind = "sofar" // a fold of all jobs up to one
	KindLock  TaskKind = "lock"  // takes a lock that is held until the fold around it has ended: of the run, of a job, or of a step
	KindHeld  TaskKind = "held"  // a fold around a step that holds several locks, or around the whole run
)

// Compile makes the tree of a run of a flow, which [Options.Env] and [Options.Set] are the values of. It is pure: the same text, options and id of a run give the same bytes.
// The tree is nil unless the report is OK.
func Compile(name string, text []byte, runID string, opts Options) (*Tree, *Report) {
	if opts.Set == nil {
		opts.Set = &treefile.Arguments{}
	}
	opts.StrictEnv = true // what has no value can't be part of a tree
	r, d := read(name, text, opts)
	if !ValidID(runID) {
		r.tell(CodeRun, "", "run_id", treedoc.Position{}, "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(runID), maxIDChars)
	}
	if p := opts.Priority; p != nil && (*p < 0 || *p > 3) {
		r.tell(CodeSchema, "", "priority", treedoc.Position{}, "must be an integer from 0 to 3, and is %d", *p)
	}
	if report := r.done(); !report.OK {
		return nil, report
	}
	if opts.Priority != nil {
		d.Priority = opts.Priority
	}
	if opts.Timeout != 0 {
		d.Timeout = opts.Timeout
	}
	c := &compiler{reader: r, doc: d, run: runID, names: map[string]bool{}, byID: map[string]*Job{}, jobs: map[*Job]string{}, steps: map[*Step]string{}, locks: map[string][]string{}, held: map[*Step]string{}}
	tree := c.compile()
	report := r.done()
	if !report.OK {
		return nil, report
	}
	return tree, report
}

// The parts of a task as a document has them.
type (
	taskDoc struct {
		ID           string            `json:"id,omitempty"` // in a foreach only
		Name         string            `json:"name,omitempty"`
		Parent       string            `json:"parent_id,omitempty"`
		Dependencies []edgeDoc         `json:"dependencies,omitempty"`
		When         string            `json:"when,omitempty"`
		Fold         bool              `json:"fold,omitempty"`
		AllowFailure bool              `json:"allow_failure,omitempty"`
		Schemas      map[string]string `json:"schemas,omitempty"`
		Params       *paramsDoc        `json:"params,omitempty"`
		Inputs       map[string]any    `json:"inputs,omitempty"`
		Template     bool              `json:"template,omitempty"`
		Outputs      map[string]any    `json:"outputs,omitempty"`
		Outcome      string            `json:"outcome,omitempty"` // it has ended so already
		Result       map[string]any    `json:"result,omitempty"`
		FlowStep     *dag.FlowStep     `json:"flow_step,omitempty"`
		Pool         string            `json:"pool,omitempty"`
		Priority     *int              `json:"priority,omitempty"`
		Timeout      float64           `json:"timeout,omitempty"`
		Retry        *retryDoc         `json:"retry,omitempty"`
		Lock         *lockDoc          `json:"lock,omitempty"`
		TreeTimeout  float64           `json:"tree_timeout,omitempty"`
		Labels       map[string]string `json:"labels,omitempty"`
	}
	// paramsDoc is what executors that share a job's directory are told of a flow.
	paramsDoc struct {
		Flow      string         `json:"flow_id"`
		Run       string         `json:"run_id"`
		Job       string         `json:"job_id"`
		Step      string         `json:"step_id"`
		Env       map[string]any `json:"env,omitempty"` // of the run, without secrets
		Workspace *workspaceDoc  `json:"workspace,omitempty"`
		Items     string         `json:"items,omitempty"` // of a foreach: what the directories of its items are called, but for their index
		Bundle    *bundle.Pinned `json:"bundle,omitempty"`
		Plugin    *pluginRef     `json:"plugin,omitempty"` // that runs the step
	}
	workspaceDoc struct {
		Layout  map[string]string `json:"layout"`
		Cleanup string            `json:"cleanup_policy"`
	}
	edgeDoc struct {
		ID        string   `json:"id"`
		Required  *bool    `json:"required,omitempty"`
		Accept    []string `json:"accept,omitempty"`
		Otherwise string   `json:"otherwise,omitempty"`
		Merge     *bool    `json:"merge,omitempty"`
		Skips     bool     `json:"skips,omitempty"`
	}
	retryDoc struct {
		MaxAttempts  int      `json:"max_attempts"`
		Backoff      string   `json:"backoff"`
		InitialDelay float64  `json:"initial_delay"`
		MaxDelay     float64  `json:"max_delay"`
		Multiplier   float64  `json:"multiplier"`
		Jitter       string   `json:"jitter"`
		RetryOn      []string `json:"retry_on,omitempty"`
		NoRetryOn    []string `json:"no_retry_on,omitempty"`
	}
	lockDoc struct {
		Key          string  `json:"key"`
		OnContention string  `json:"on_contention"`
		WaitTimeout  float64 `json:"wait_timeout,omitempty"`
		Hold         string  `json:"hold,omitempty"`
	}
)

var no = false

// anyway waits for the end of a task, whatever it is.
func anyway(id string) edgeDoc { return edgeDoc{ID: id, Required: &no, Merge: &no} }

// accepting goes on after some outcomes; after others the task is blocked, or what the edge's default is.
func accepting(id, otherwise string, outcomes ...string) edgeDoc {
	return edgeDoc{ID: id, Accept: outcomes, Otherwise: otherwise, Merge: &no}
}

func folded(id string, skips bool) edgeDoc { return edgeDoc{ID: id, Merge: &no, Skips: skips} }

type compiler struct {
	*reader
	doc    *Document
	run    string
	flow   string // its id, rendered
	names  map[string]bool
	byID   map[string]*Job
	jobs   map[*Job]string     // names of folds
	steps  map[*Step]string    // names of tasks
	used   map[string][]string // jobs that templates name, by the path of the job that they stand in
	chosen map[*Job]bool       // that the run is for; nil: all
	given  map[string]any      // with [Options.NoDeps]: what templates and gates find of jobs that don't run, by their ids
	env    map[string]any      // of the run, without secrets
	dirs   workspaceDoc
	all    string              // the name of the fold of all jobs, which handlers wait for; empty: there is none
	locks  map[string][]string // see [Tree]
	held   map[*Step]string    // folds around steps that hold several locks
	taken  map[string]bool     // names of directories of items

	tasks []taskDoc
	where []Coordinates
	locs  []place
}

func (c *compiler) compile() *Tree {
	c.flow, _ = c.literal(c.doc.ID, c.root.Get("flow").Get("id"), "flow.id", nil).(string)
	if !ValidID(c.flow) {
		c.at(CodeBadID, c.root.Get("flow").Get("id"), "flow.id", "%s, which it becomes, must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(c.flow), maxIDChars)
		return nil
	}
	c.env, _ = c.scope(nil)["env"].(map[string]any)
	for _, name := range systemEnv { // workers set them
		delete(c.env, name)
	}
	c.dirs = c.workspace()
	c.used = map[string][]string{}
	for _, u := range c.uses {
		if job, _, _ := strings.Cut(u.loc, "."); u.path[0] == "jobs" {
			c.used[job] = append(c.used[job], u.path[1])
		}
	}
	every := c.doc.everyJob()
	root := c.unique(c.flow + " " + c.run)
	for _, j := range every { // the names that people see most come first
		c.byID[j.ID] = j
		c.jobs[j] = c.unique(j.ID)
	}
	for _, j := range every {
		for _, s := range j.Steps {
			c.steps[s] = c.unique(j.ID + "__" + s.ID)
		}
	}
	c.choose()
	labels := map[string]string{"flow": c.flow, "run": c.run}
	if b := c.opts.Bundle; b != nil {
		labels["bundle"] = b.ID
		if b.Stale {
			labels["bundle_stale"] = "true"
		}
	}
	c.add(taskDoc{Name: root, TreeTimeout: c.doc.Timeout, Labels: labels}, KindRoot, place{index: -1})
	c.holdRun(root, every)
	before := "" // the fold of all jobs so far
	for i, j := range c.doc.Jobs {
		if c.selected(j) {
			c.job(root, j, c.entries(j, before))
		} else {
			c.add(taskDoc{Name: c.jobs[j], Parent: root, Outcome: dag.Skipped.Outcome(), Result: map[string]any{"skipped": true, "reason": dag.SkipNotSelected}}, KindJob, place{j, -1})
		}
		if !c.doc.Graph && i+1 < len(c.doc.Jobs) {
			before = c.soFar(root, before, j)
		}
	}
	c.handlers(root)
	return c.finish()
}

// selected reports whether the run is for a job.
func (c *compiler) selected(j *Job) bool {
	return c.chosen == nil || c.chosen[j] || j == c.doc.OnFailure || j == c.doc.Finally
}

// choose finds the jobs that the run is for: one, and those that it needs or names, and so on.
func (c *compiler) choose() {
	if c.opts.Job == "" {
		if c.opts.NoDeps || len(c.opts.JobOutputs) > 0 {
			c.tell(CodeUnknownJob, "", "no_deps", treedoc.Position{}, "needs job: which one is to run without those that it needs")
		}
		return
	}
	first := c.byID[c.opts.Job]
	if !slices.Contains(c.doc.Jobs, first) {
		msg := "there is no job " + shorten(c.opts.Job) + " in the list of the flow"
		var all []string
		for _, j := range c.doc.Jobs {
			all = append(all, j.ID)
		}
		if near := dag.Closest(c.opts.Job, all); near != "" {
			msg += fmt.Sprintf("; did you mean %s?", near)
		}
		c.tell(CodeUnknownJob, "", "job", treedoc.Position{}, "%s", msg)
		return
	}
	c.chosen = map[*Job]bool{}
	if c.opts.NoDeps {
		c.chosen[first] = true
		c.alone(first)
		return
	}
	if len(c.opts.JobOutputs) > 0 {
		c.tell(CodeNoOutput, "", "job_outputs", treedoc.Position{}, "go with no_deps: else the jobs run, and give their outputs")
	}
	for next := []*Job{first}; len(next) > 0; next = next[1:] {
		j := next[0]
		if c.chosen[j] {
			continue
		}
		c.chosen[j] = true
		for _, n := range j.Needs {
			next = append(next, c.byID[n.Job])
		}
		for _, id := range c.named(j) {
			next = append(next, c.byID[id])
		}
	}
}

// unique is a name that no other task has, and that is no executor's: a group of that name would be a task of that executor.
func (c *compiler) unique(name string) string {
	for i, base := 2, name; c.names[name] || c.opts.Executors.Has(name); i++ {
		name = base + "_" + strconv.Itoa(i)
	}
	c.names[name] = true
	return name
}

func (c *compiler) add(t taskDoc, kind TaskKind, at place) {
	w := Coordinates{Name: t.Name, Kind: kind}
	if at.job != nil {
		w.Job = at.job.ID
		if at.index >= 0 {
			w.Step = at.job.Steps[at.index].ID
		}
	}
	c.tasks, c.where, c.locs = append(c.tasks, t), append(c.where, w), append(c.locs, at)
}

// workspace is what the run's directories of jobs are like.
func (c *compiler) workspace() workspaceDoc {
	out := workspaceDoc{Layout: map[string]string{}, Cleanup: c.doc.Workspace.Cleanup}
	at := c.root.Get("flow").Get("workspace").Get("layout")
	for _, name := range slices.Sorted(maps.Keys(c.doc.Workspace.Layout)) {
		v, loc := at.Get(name), join("flow.workspace.layout", name)
		text, _ := c.literal(c.doc.Workspace.Layout[name], v, loc, nil).(string)
		dir := path.Clean(text)
		if dir == "." || !fs.ValidPath(dir) || strings.ContainsAny(dir, "\\\x00") {
			c.at(CodeSchema, v, loc, "%s must be the name of a directory within that of a job", shorten(text))
		}
		for other, has := range out.Layout {
			if has == dir || strings.HasPrefix(has, dir+"/") || strings.HasPrefix(dir, has+"/") {
				if !v.Given() { // the other one was written, then
					v, loc = at.Get(other), join("flow.workspace.layout", other)
				}
				c.at(CodeSchema, v, loc, "the directories of %s and %s are one, or lie in each other", shorten(other), shorten(name))
				break
			}
		}
		out.Layout[name] = dir
	}
	return out
}

// soFar adds the fold of all jobs up to one.
func (c *compiler) soFar(root, before string, j *Job) string {
	if before == "" {
		return c.jobs[j]
	}
	name := c.unique(j.ID + "__sofar")
	c.add(taskDoc{Name: name, Parent: root, Fold: true, Dependencies: []edgeDoc{folded(before, false), folded(c.jobs[j], false)}}, KindSoFar, place{job: j, index: -1})
	return name
}

// unlessFailed goes on whatever jobs have come to, as long as none has failed.
func unlessFailed(id string) edgeDoc {
	return accepting(id, "block", "success", "skipped", "blocked")
}

// entries are what the gate of a job waits for.
func (c *compiler) entries(j *Job, before string) (edges []edgeDoc) {
	needed := map[string]bool{}
	var done []*Job
	for _, n := range j.Needs {
		needed[n.Job] = true
		if !c.selected(c.byID[n.Job]) { // it counts as met
			continue
		}
		if on := c.byID[n.Job]; n.Done {
			edges, done = append(edges, anyway(c.jobs[on])), append(done, on)
		} else {
			edges = append(edges, accepting(c.jobs[on], "block", "success"))
		}
	}
	switch {
	case c.doc.Graph:
	case len(done) == 0:
		if before != "" {
			edges = with(edges, unlessFailed(before))
		}
	default: // one of those that must only have ended may have failed
		for _, other := range c.doc.Jobs[:j.index] {
			if !needed[other.ID] {
				edges = append(edges, unlessFailed(c.jobs[other]))
			}
		}
	}
	for _, id := range c.named(j) {
		if c.selected(c.byID[id]) {
			edges = with(edges, anyway(c.jobs[c.byID[id]]))
		}
	}
	if j.When != nil { // what it looks at must be there to look at
		for _, ref := range j.When.Refs() {
			if ref.Field == "outputs" && c.selected(c.byID[ref.Job]) {
				for _, s := range c.promoters(c.byID[ref.Job], ref.Path[0]) {
					edges = with(edges, anyway(c.steps[s]))
				}
			}
		}
	}
	return edges
}

// with adds an edge to a task that no other one leads to.
func with(edges []edgeDoc, e edgeDoc) []edgeDoc {
	if slices.ContainsFunc(edges, func(has edgeDoc) bool { return has.ID == e.ID }) {
		return edges
	}
	return append(edges, e)
}

// named are the jobs that a job's condition and templates name, in their order.
func (c *compiler) named(j *Job) (ids []string) {
	add := func(id string) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if j.When != nil {
		for _, ref := range j.When.Refs() {
			add(ref.Job)
		}
	}
	for _, id := range c.used[j.loc] {
		add(id)
	}
	return ids
}

// promoters are the steps of a job that promote an output, the latest first.
func (c *compiler) promoters(j *Job, key string) (out []*Step) {
	for _, s := range slices.Backward(j.Steps) {
		if _, does := s.Outputs[key]; does {
			out = append(out, s)
		}
	}
	return out
}

// job adds the tasks of a job: its fold, its gate, and its steps.
func (c *compiler) job(root string, j *Job, entries []edgeDoc) {
	fold := c.jobs[j]
	gateName := c.unique(j.ID + "__gate")
	c.twice(j)
	locks := c.locksOf(j)
	if c.carries(j, locks) {
		locks = nil
	}
	taking := c.taking(j.ID, j.ID, len(locks))
	edges := []edgeDoc{folded(gateName, true)}
	for _, name := range taking {
		edges = append(edges, folded(name, true))
	}
	for _, s := range j.Steps {
		own := []edgeDoc{folded(c.steps[s], s.SkipJob)}
		if n := len(c.stepLocks(j, s)) - 1; n > 0 {
			c.taking(c.steps[s], c.steps[s], n)
			c.held[s] = c.unique(c.steps[s] + "__held")
			if own = append(own, folded(c.held[s], s.SkipJob)); s.SkipJob { // it knows why a lock was not taken
				slices.Reverse(own)
			}
		}
		edges = append(edges, own...)
	}
	c.add(taskDoc{Name: fold, Parent: root, Fold: true, Timeout: j.Timeout, Dependencies: edges}, KindJob, place{j, -1})
	for _, name := range c.locks[""] {
		entries = with(entries, accepting(name, "", "success"))
	}
	g := taskDoc{Name: gateName, Parent: fold, Dependencies: entries}
	if j.When != nil && !j.When.Empty() {
		g.When = j.When.CEL(c.reference)
		if len(g.When) > dag.MaxWhenBytes {
			c.at(CodeWhen, j.value.Get("when"), j.loc+".when", "has %d bytes as a condition of a task, the most is %d: split it over several jobs", len(g.When), dag.MaxWhenBytes)
		}
	}
	c.add(g, KindGate, place{j, -1})
	c.take(fold, taking, locks, []edgeDoc{accepting(gateName, "", "success")}, cmp.Or(j.Pool, c.doc.Pool), cmp.Or(j.Priority, c.doc.Priority), place{j, -1})
	for i, s := range j.Steps {
		c.step(fold, gateName, j, i, s)
	}
}

// reference is what a gate names, as an expression of CEL.
func (c *compiler) reference(r gate.Ref) string {
	job := c.byID[r.Job]
	if !c.selected(job) {
		return c.constant(r)
	}
	of := "deps[" + gate.Quote(c.jobs[job]) + "]"
	switch r.Field {
	case "status":
		return "flow_status(" + of + ".outcome)"
	case "skip_reason":
		return "flow_skip_reason(" + of + ".result)"
	case "skip_trigger":
		return "flow_skip_trigger(" + of + ".result)"
	}
	var maps []string
	for _, s := range c.promoters(job, r.Path[0]) {
		maps = append(maps, "deps["+gate.Quote(c.steps[s])+"].outputs")
	}
	out := "flow_output([" + strings.Join(maps, ", ") + "], " + gate.Quote(r.Path[0]) + ")"
	if len(maps) == 1 {
		out = "flow_get(" + maps[0] + ", " + gate.Quote(r.Path[0]) + ")"
	}
	for _, name := range r.Path[1:] {
		out = "flow_get(" + out + ", " + gate.Quote(name) + ")"
	}
	return out
}

func (c *compiler) step(fold, gateName string, j *Job, i int, s *Step) {
	run := s.innermost()
	t := taskDoc{Name: c.steps[s], Parent: fold, Timeout: s.Timeout, Pool: cmp.Or(s.Pool, j.Pool, c.doc.Pool), Priority: cmp.Or(s.Priority, j.Priority, c.doc.Priority)}
	taking := c.taking(j.ID, j.ID, 0)
	for _, name := range taking {
		t.Dependencies = append(t.Dependencies, accepting(name, "", "success"))
	}
	if i == 0 {
		t.Dependencies = append(t.Dependencies, accepting(gateName, "", "success")) // a gate may be skipped without a condition
	} else if before := j.Steps[i-1]; before.SkipJob {
		t.Dependencies = append(t.Dependencies, accepting(c.steps[before], "", "success"))
	} else {
		t.Dependencies = append(t.Dependencies, accepting(c.steps[before], "", "success", "skipped"))
	}
	if i > 0 && (j.When != nil && !j.When.Empty() || j == c.doc.OnFailure) { // the step before was skipped, too, where the gate was, which alone would not keep this one
		t.Dependencies = append(t.Dependencies, accepting(gateName, "", "success"))
	}
	if i > 0 && c.held[j.Steps[i-1]] != "" { // then its locks have gone back
		t.Dependencies = append(t.Dependencies, anyway(c.held[j.Steps[i-1]]))
	}
	for _, before := range j.Steps[:max(i-1, 0)] {
		if before.SkipJob {
			t.Dependencies = append(t.Dependencies, accepting(c.steps[before], "", "success"))
		}
	}
	at := place{j, i}
	w := &writer{compiler: c, at: at, task: &t}
	t.Retry = retryOf(s.Retry)
	c.runs(w, run, s.ID)
	if len(s.Outputs) > 0 {
		t.Outputs, _ = w.value(s.Outputs, s.value.Get("outputs"), s.loc+".outputs", atOutput).(map[string]any)
	}
	if w.looks || len(s.Outputs) > 0 { // else it is a task like others
		t.FlowStep = &w.sees
	}
	if locks := c.stepLocks(j, s); len(locks) > 0 {
		last := len(locks) - 1
		t.Lock = locks[last]
		if last > 0 {
			c.hold(&t, fold, c.held[s], c.taking(c.steps[s], c.steps[s], last), locks[:last], at)
		}
	}
	c.add(t, KindStep, at)
}

// runs completes a task by what runs: of a step, or of one in a foreach.
func (c *compiler) runs(w *writer, run *Step, id string) {
	t := w.task
	if run.Type == forEach {
		c.each(w, run, id)
		return
	}
	if run.Type == callFlow {
		c.call(w, run)
		return
	}
	executor := c.opts.executorOf(run.Type)
	t.Schemas = map[string]string{"method": executor}
	plugin := c.opts.ofPlugin(executor)
	if plugin != nil {
		t.Schemas["method"] = pluginExecutor
	}
	if slices.Contains(c.opts.Workspace, t.Schemas["method"]) {
		t.Params = &paramsDoc{Flow: c.flow, Run: c.run, Job: w.at.job.ID, Step: id, Env: c.env, Workspace: &c.dirs, Bundle: c.opts.Bundle}
	}
	if plugin != nil {
		t.Params.Plugin = &pluginRef{plugin.ID, plugin.Path, plugin.SHA256}
		t.Timeout = cmp.Or(t.Timeout, plugin.Timeout.Seconds())
	}
	inputs, _ := w.value(run.Inputs, run.value.Get("inputs"), run.loc+".inputs", atInput).(map[string]any)
	t.Inputs, t.Template = c.renamed(t.Schemas["method"], inputs), w.tokens
	c.connect(run, executor, t)
	if t.Params == nil && c.opts.Bundle != nil && w.inBundle(t.Inputs) {
		t.Params = &paramsDoc{Flow: c.flow, Run: c.run, Job: w.at.job.ID, Step: id, Bundle: c.opts.Bundle}
	}
	if t.Schemas["method"] == process {
		if own := c.ownRetry(run, t.Inputs); own != nil {
			t.Retry = retryOf(own)
		}
	}
}

// renamed are inputs with the names that count.
func (c *compiler) renamed(executor string, inputs map[string]any) map[string]any {
	if c.opts.Rename == nil || len(inputs) == 0 {
		return inputs
	}
	text, err := json.Marshal(inputs)
	if err != nil {
		return inputs
	}
	text, old := c.opts.Rename(executor, text)
	if len(old) == 0 {
		return inputs
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	out := map[string]any{}
	if d.Decode(&out) != nil {
		return inputs
	}
	return out
}

// hold puts a fold around a step, for which tasks take the outer ones of its locks.
func (c *compiler) hold(t *taskDoc, job, held string, outer []string, locks []*lockDoc, at place) {
	fold := taskDoc{Name: held, Parent: job, Fold: true}
	for _, name := range outer {
		fold.Dependencies = append(fold.Dependencies, folded(name, true))
	}
	fold.Dependencies = append(fold.Dependencies, folded(t.Name, true))
	c.add(fold, KindHeld, place{at.job, -1})
	c.take(held, outer, locks, t.Dependencies, t.Pool, t.Priority, at)
	t.Parent = held
	for _, name := range outer {
		t.Dependencies = append(t.Dependencies, accepting(name, "", "success"))
	}
}

// retryOf is when a step is tried again: there is no chance in it unless it says so, and a wait that has no bound has the largest.
func retryOf(r *Retry) *retryDoc {
	if r == nil {
		return nil
	}
	out := &retryDoc{MaxAttempts: r.MaxAttempts, Backoff: string(dag.Exponential), InitialDelay: r.Backoff, MaxDelay: cmp.Or(r.Most, dag.MaxDuration.Seconds()), Multiplier: r.Multiplier, Jitter: "none", RetryOn: r.On}
	if r.Jitter {
		out.Jitter = "full"
	}
	const timeout = string(dag.KindTimeout)
	switch listed := slices.Contains(r.On, timeout); {
	case listed:
	case r.OnTimeout && len(r.On) > 0:
		out.RetryOn = append(slices.Clone(r.On), timeout)
	case !r.OnTimeout:
		out.NoRetryOn = []string{timeout}
	}
	return out
}

// lockExecutor does nothing: its tasks take locks.
const lockExecutor = "noop_executor"

// locksOf are the locks around a job, the one taken first before the others.
func (c *compiler) locksOf(j *Job) (out []*lockDoc) {
	if len(j.Steps) == 0 {
		return nil
	}
	if c.doc.Locks != nil && c.doc.Locks.Scope == "job" && j != c.doc.OnFailure && j != c.doc.Finally {
		out = append(out, &lockDoc{Key: "flow:" + c.flow + ":job:" + j.ID, OnContention: "wait"})
	}
	if j.Lock != nil {
		out = append(out, c.lockDoc(j, j.Lock))
	}
	return out
}

// carries reports whether the only step of a job holds the only lock around it.
func (c *compiler) carries(j *Job, locks []*lockDoc) bool {
	return len(j.Steps) == 1 && len(locks) == 1 && len(j.Steps[0].locks()) == 0
}

// stepLocks are the locks around a step, the one taken first before the others. It holds the last itself.
func (c *compiler) stepLocks(j *Job, s *Step) (out []*lockDoc) {
	if locks := c.locksOf(j); c.carries(j, locks) {
		return locks
	}
	for _, l := range s.locks() {
		out = append(out, c.lockDoc(j, l))
	}
	return out
}

// locks are those of a step itself, the outer ones first.
func (s *Step) locks() (out []*Lock) {
	for ; s != nil; s = s.Inner {
		if s.Lock != nil {
			out = append(out, s.Lock)
		}
	}
	return out
}

func (c *compiler) lockDoc(j *Job, l *Lock) *lockDoc {
	key := c.literal(l.Key, l.value, l.loc, j)
	text, is := key.(string)
	if !is {
		text = fmt.Sprint(key)
	}
	return &lockDoc{Key: text, OnContention: l.OnContention, WaitTimeout: l.WaitTimeout}
}

// twice tells of a lock around something that holds a lock of the same key already, for which it would wait, and not get it.
func (c *compiler) twice(j *Job) {
	around := map[string]bool{}
	if c.doc.Locks != nil && c.doc.Locks.Scope == "flow" {
		around["flow:"+c.flow] = true
	}
	again := func(at treefile.Value, loc, key string, held map[string]bool) {
		if held[key] {
			c.at(CodeNotYet, at, loc, "%s", aroundItself(key))
		}
		held[key] = true
	}
	for _, l := range c.locksOf(j) {
		again(j.value, j.loc, l.Key, around)
	}
	for _, s := range j.Steps {
		held := maps.Clone(around)
		for _, l := range s.locks() {
			again(l.value, l.loc, c.lockDoc(j, l).Key, held)
		}
		c.twiceIn(j, s, held, again)
	}
}

// taking are the names of so many tasks that take locks of what is called of; the same each time.
func (c *compiler) taking(of, name string, n int) []string {
	names, known := c.locks[of]
	for i := 0; !known && i < n; i++ {
		names = append(names, c.unique(name+"__lock"))
	}
	if n > 0 {
		c.locks[of] = names
	}
	return names
}

// take adds the tasks of the names, which take locks for their parent, each after those before it. Whatever is below the parent depends on each of them, so that it has the locks
// taken again where it runs again.
func (c *compiler) take(parent string, names []string, locks []*lockDoc, after []edgeDoc, pool string, priority *int, at place) {
	for i, name := range names {
		l := *locks[i]
		l.Hold = dag.HoldParent.Word()
		t := taskDoc{Name: name, Parent: parent, Schemas: map[string]string{"method": lockExecutor}, Pool: pool, Priority: priority, Lock: &l, Dependencies: slices.Clone(after)}
		for _, before := range names[:i] {
			t.Dependencies = append(t.Dependencies, accepting(before, "", "success"))
		}
		c.add(t, KindLock, place{at.job, -1})
	}
}

// holdRun adds the lock around the whole run, and the fold that holds it, which ends after all jobs.
func (c *compiler) holdRun(root string, every []*Job) {
	if c.doc.Locks == nil || c.doc.Locks.Scope != "flow" || len(every) == 0 {
		return
	}
	held, names := c.unique("run__held"), c.taking("", "run", 1)
	fold := taskDoc{Name: held, Parent: root, Fold: true, Dependencies: []edgeDoc{folded(names[0], false)}}
	for _, j := range every {
		fold.Dependencies = append(fold.Dependencies, folded(c.jobs[j], false))
	}
	c.add(fold, KindHeld, place{index: -1})
	c.take(held, names, []*lockDoc{{Key: "flow:" + c.flow, OnContention: "wait"}}, nil, c.doc.Pool, c.doc.Priority, place{index: -1})
}

// handlers adds the jobs that run once all others have ended.
func (c *compiler) handlers(root string) {
	failure, finally := c.doc.OnFailure, c.doc.Finally
	if failure == nil && finally == nil {
		return
	}
	switch n := len(c.doc.Jobs); n {
	case 1:
		c.all = c.jobs[c.doc.Jobs[0]]
	default:
		c.all = c.unique("all_jobs")
		fold := taskDoc{Name: c.all, Parent: root, Fold: true}
		for _, j := range c.doc.Jobs {
			fold.Dependencies = append(fold.Dependencies, folded(c.jobs[j], false))
		}
		c.add(fold, KindSoFar, place{index: -1})
	}
	if failure != nil {
		c.job(root, failure, []edgeDoc{accepting(c.all, "skip", "failed")})
	}
	if finally != nil {
		edges := []edgeDoc{anyway(c.all)}
		if failure != nil {
			edges = append(edges, anyway(c.jobs[failure]))
		}
		c.job(root, finally, edges)
	}
}

// scope is what templates of a job know when the run is made. Names of secrets are left out.
func (c *compiler) scope(j *Job) template.Scope {
	env := map[string]any{}
	for _, all := range []map[string]string{c.doc.Env, c.opts.Env} {
		for name, value := range all {
			if !c.doc.Secret(name) {
				env[name] = value
			}
		}
	}
	if c.opts.Bundle != nil {
		for _, name := range systemEnv {
			env[name] = bundle.DirMark
		}
		env[cacheEnv] = bundle.CacheMark
	}
	scope := template.Scope{"env": env, "params": maps.Clone(c.doc.Params), "run_id": c.run, "flow_id": c.flow}
	if of := c.opts.Schedule; of != nil {
		scope["schedule"] = map[string]any{"id": of.ID, "fire_time": of.FireTime.UTC().Format(time.RFC3339Nano)}
	}
	if j != nil {
		scope["job"] = map[string]any{"id": j.ID}
	}
	return scope
}

// literal renders a text whose values are all known when the run is made.
func (c *compiler) literal(text string, at treefile.Value, loc string, j *Job) any {
	out, err := (&template.Rules{}).Render(text, c.scope(j), maxRendered)
	return c.told(out, err, text, at, loc)
}

// maxRendered is how many bytes values may put into a text.
const maxRendered = 1 << 20

func (c *compiler) told(out any, err error, text string, at treefile.Value, loc string) any {
	bad, is := errors.AsType[*template.Error](err)
	if !is {
		return out
	}
	code := Code(bad.Kind)
	if bad.Kind == template.MissingKey {
		code = CodeMissingEnv
		if strings.Contains(bad.Token, "params.") {
			code = CodeParameter
		}
	} else if _, known := codes[code]; !known {
		code = CodeTemplateLarge
	}
	c.at(code, at, loc, "%s: %s", shorten(bad.Token), bad.Reason)
	return text
}

// finish judges the tree as trees are.
func (c *compiler) finish() *Tree {
	var document bytes.Buffer
	e := json.NewEncoder(&document)
	e.SetEscapeHTML(false)
	if err := e.Encode(c.tasks); err != nil {
		c.tell(CodeTree, "", "", treedoc.Position{}, "%v", err)
		return nil
	}
	f, err := treefile.Decode(c.FlowYAML, bytes.TrimSpace(document.Bytes()))
	if err == nil {
		f, err = f.Read(treefile.Options{Executors: c.opts.Executors, AllowUnknown: true})
	}
	if bad, is := errors.AsType[*treefile.Error](err); is {
		for _, fault := range bad.Faults {
			c.treeFault(fault)
		}
		return nil
	} else if err != nil {
		c.tell(CodeTree, "", "", treedoc.Position{}, "%v", err)
		return nil
	}
	t := &Tree{FlowID: c.flow, RunID: c.run, Document: f.JSON, Tasks: c.where, needs: map[string][]string{}, gates: map[string]string{}, locks: c.locks, handlers: map[string]bool{}}
	for _, j := range c.doc.Jobs {
		for _, n := range j.Needs {
			if !n.Done {
				t.needs[j.ID] = append(t.needs[j.ID], n.Job)
			}
		}
	}
	for _, j := range []*Job{c.doc.OnFailure, c.doc.Finally} {
		if j != nil {
			t.handlers[j.ID] = true
		}
	}
	for _, w := range c.where {
		if w.Kind == KindGate {
			t.gates[w.Job] = w.Name
		}
	}
	return t
}

var taskIndex = regexp.MustCompile(`^tasks\[(\d+)\]\.?`)

// treeFault tells a fault of the tree at what of the flow it comes from.
func (c *compiler) treeFault(f treefile.Fault) {
	loc, at, text := "", treefile.Value{}, f.Text
	if m := taskIndex.FindStringSubmatch(text); m != nil {
		if i, err := strconv.Atoi(m[1]); err == nil && i < len(c.locs) && c.locs[i].job != nil {
			p := c.locs[i]
			loc, at = p.job.loc, p.job.value
			if p.index >= 0 {
				s := p.job.Steps[p.index]
				loc, at = s.loc, s.value
			}
			text = strings.TrimPrefix(text, m[0])
		}
	}
	c.tell(CodeTree, "", loc, at.Position(), "%s", text)
}
