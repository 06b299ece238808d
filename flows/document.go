package flows

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows/gate"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Document is a flow that was read. Parts that have faults are zero.
type Document struct {
	ID, Description string // templates
	Graph           bool   // execution: graph
	Workspace       Workspace
	Locks           *Locks // nil: not written
	Timeout         float64
	Priority        *int
	Pool            string
	Env             map[string]string
	Secrets, Public []string
	Params          map[string]any // parameters that have a value

	decoded    map[string]bool // names of the environment that feed what is decoded
	secret     map[string]bool // Secrets
	public     map[string]bool // Public
	byName     map[string]int  // of Resources, the first of each
	parameters treefile.Value
	Resources  []Resource
	Jobs       []*Job
	OnFailure  *Job // nil: none
	Finally    *Job // nil: none
}

// Workspace is where the directories of jobs are.
type Workspace struct {
	Root    string            // a template; empty: the worker's own
	Cleanup string            // on_success, always or never
	Layout  map[string]string // templates
}

// Locks say which runs of the flow exclude each other.
type Locks struct {
	Scope string // none, job or flow
	TTL   int    // seconds
}

// Resource is an external system.
type Resource struct {
	Name, Kind, Driver, Profile string
	Config, Options, Decode     map[string]any

	value treefile.Value
	loc   string
}

// Job is a list of steps, one after the other.
type Job struct {
	ID, Description string
	Needs           []Need
	When            *gate.Expr // nil: none, or it has faults
	WhenText        string
	Steps           []*Step
	Pool            string
	Priority        *int
	Timeout         float64
	Lock            *Lock

	index int
	value treefile.Value
	loc   string
}

// Need is a job that another one needs.
type Need struct {
	Job  string
	Done bool // it must have ended; else with success

	value treefile.Value
	loc   string
}

// Step is one thing that a job does.
type Step struct {
	ID, Type string
	Inputs   map[string]any
	Outputs  map[string]any
	SkipJob  bool // on_no_data: skip_job
	Timeout  float64
	Retry    *Retry
	Pool     string
	Priority *int
	Lock     *Lock
	Inner    *Step // of with_lock: what runs
	Each     *Each // of foreach: what runs for each item

	value treefile.Value
	loc   string
}

// Each is what a foreach does.
type Each struct {
	Items        any
	Steps        []*Step // one after the other
	List         bool    // they are written as steps, else as step
	Window       int     // items in progress at most; 0: all
	Stop, Allows bool    // no further items after a failure; failures of items are none of the step
}

// innermost is the step that runs: of with_lock, the one in it.
func (s *Step) innermost() *Step {
	for s.Inner != nil {
		s = s.Inner
	}
	return s
}

// Retry says when a step is tried again.
type Retry struct {
	MaxAttempts               int
	Backoff, Multiplier, Most float64 // seconds, and by how much they grow
	OnTimeout                 bool
	On                        []string
	Jitter                    bool
}

// Lock is what a step or a job holds.
type Lock struct {
	Key          string // a template
	TTL          int    // seconds
	OnContention string // fail, wait or skip
	WaitTimeout  float64

	value treefile.Value
	loc   string
}

// Options are what a document is judged by.
type Options struct {
	Executors dag.Known          // what steps may name as their type
	Others    Others             // what else they may name; nil: nothing
	Plugins   map[string]*Plugin // of the bundle, by the types of their steps: they go before all others
	// Describe reads the description of a plugin: its id, and what is known of it. nil: there are no plugins.
	Describe func(text []byte) (id string, e *Executor, err error)
	Inputs   map[string]treedoc.InputKeys // those of executors, by id; who is not there takes any
	// Faults finds what is wrong with the inputs of a step of an executor, but for what a template stands for; nil: nobody looks.
	Faults func(executor string, inputs json.RawMessage) []InputFault
	// Rename gives inputs that stand in a flow by old names those that count; nil: there are none.
	Rename func(executor string, inputs json.RawMessage) (json.RawMessage, []Renamed)
	// Connections says which executors take connections, by id: their steps may name resources.
	Connections map[string]Connector
	Profiles    map[string]resource.Part // that resources may name
	// Registered finds profiles that Profiles does not have, by their names; it is asked once, if resources name such. Who is not there is left out. nil: there are none.
	Registered func(names []string) map[string]resource.Part
	Archives   []string            // drivers that the mode enterprise allows, in which archives want a resource; nil: the mode is another one
	Workspace  []string            // executors that work in a directory which the steps of a job share: their tasks are told of the flow
	workers    map[string]bool     // names that workers have, whatever they are called
	Env        map[string]string   // what is known of the environment, beside flow.env
	Secrets    []string            // names of the environment that are secrets, beside those of the flow: of its bundle
	Public     []string            // likewise, that are none
	Bundle     *bundle.Pinned      // that the run is of; nil: of none
	StrictEnv  bool                // a name without a value is an error, unless it is a secret's
	Compat     bool                // tell what the flow does in another way than in AetherFlow
	Priority   *int                // of all steps, in place of flow.priority, from 0 to 3; nil: the flow says it
	Job        string              // the only one that a run is for, with all that it needs or names; empty: all
	NoDeps     bool                // of that job: nothing that it needs runs, as if it had, with success
	JobOutputs []string            // with NoDeps: JOB.KEY=VALUE, what jobs that don't run have given; JSON, else text
	Set        *treefile.Arguments // for parameters; nil: there is no run yet, and no value is missed
	Schedule   *Schedule           // that the run comes from; nil: none
	Timeout    float64             // seconds of a run, in place of the flow's; 0: that

	found map[string]*Executor // what Others have said
}

// Schedule is what a run knows of the schedule that it comes from.
type Schedule struct {
	ID       string
	FireTime time.Time // the instant
}

// Read reads a flow document and tells all that is wrong with it. name is what the report calls it. The document is whole if the report is OK.
func Read(name string, data []byte, opts Options) (*Document, *Report) {
	r, d := read(name, data, opts)
	return d, r.done()
}

func read(name string, data []byte, opts Options) (*reader, *Document) {
	r := &reader{reporter: newReporter(name), opts: opts}
	if !r.parse(data) {
		return r, nil
	}
	switch r.root.Kind() {
	case '{':
	case 0, 'n':
		r.tell(CodeYAML, "", "", treedoc.Position{}, "the file is empty")
		return r, nil
	default:
		r.tell(CodeSchema, "schema:model_type", "", r.root.Position(), "must be a map with flow and jobs, and is %s", kindOf(r.root))
		return r, nil
	}
	r.outer()
	d := r.document()
	c := &checker{reader: r, doc: d}
	c.check()
	return r, d
}

// outer looks at the whole document: at what is in on_failure by rules of its own.
func (r *reader) outer() {
	r.object(r.root, elsewhere(fileKeys, "flow"), "")
	flow := r.root.Get("flow")
	if !flow.Given() {
		return
	}
	if !fits(flow, object) {
		r.look(flow, &keyOf(fileKeys, "flow").shape, "flow")
		return
	}
	r.object(flow, elsewhere(elsewhere(flowKeys, "on_failure"), "parameters"), "flow")
	if v := flow.Get("parameters"); v.Given() && v.Kind() != '{' {
		r.tell(CodeSchema, forms[table].alias, "flow.parameters", v.Position(), "must be a map, and is %s", kindOf(v))
	}
	r.handler = true
	r.look(flow.Get("on_failure"), &handler, "flow.on_failure")
	r.handler = false
}

// elsewhere are the keys, of which one is looked at elsewhere.
func elsewhere(keys []key, name string) []key {
	out := slices.Clone(keys)
	*keyOf(out, name) = key{name: name, shape: shape{form: seen}, required: keyOf(keys, name).required}
	return out
}

func keyOf(keys []key, name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	panic("flows: no key " + name)
}

// document is what could be read.
func (r *reader) document() *Document {
	flow := r.root.Get("flow")
	d := &Document{
		ID: textOf(flow.Get("id")), Description: textOf(flow.Get("description")), Graph: textOf(flow.Get("execution")) == "graph",
		Timeout: numberOf(flow.Get("timeout_seconds")), Priority: intOf(flow.Get("priority")), Pool: textOf(flow.Get("pool")),
		Env: map[string]string{}, Secrets: append(textsOf(flow.Get("secrets")), r.opts.Secrets...), Public: append(textsOf(flow.Get("public_env")), r.opts.Public...), parameters: flow.Get("parameters"),
	}
	d.secret, d.public = setOf(d.Secrets), setOf(d.Public)
	w := flow.Get("workspace")
	d.Workspace = Workspace{Root: textOf(w.Get("root")), Cleanup: textOr(w.Get("cleanup_policy"), "on_success"), Layout: map[string]string{"artifacts": "artifacts", "scratch": "scratch", "manifests": "manifests"}}
	for _, m := range w.Get("layout").Members() {
		d.Workspace.Layout[m.Name] = textOf(m.Value)
	}
	if l := flow.Get("locks"); l.Kind() == '{' {
		d.Locks = &Locks{Scope: textOr(l.Get("scope"), "job"), TTL: 3600}
		if ttl := intOf(l.Get("ttl_seconds")); ttl != nil {
			d.Locks.TTL = *ttl
		}
	}
	for _, m := range flow.Get("env").Members() {
		d.Env[m.Name] = textOf(m.Value)
	}
	for _, m := range r.root.Get("resources").Members() {
		d.Resources = append(d.Resources, Resource{
			Name: m.Name, Kind: textOf(m.Get("kind")), Driver: textOf(m.Get("driver")), Profile: textOf(m.Get("profile")), Config: tableIn(m.Get("config")), Options: tableIn(m.Get("options")),
			Decode: tableIn(m.Get("decode")), value: m.Value, loc: join("resources", m.Name),
		})
	}
	d.byName = make(map[string]int, len(d.Resources))
	for i := range d.Resources {
		if _, had := d.byName[d.Resources[i].Name]; !had {
			d.byName[d.Resources[i].Name] = i
		}
	}
	for i, v := range r.root.Get("jobs").Items() {
		j := r.job(v, fmt.Sprintf("jobs[%d]", i))
		j.index = i
		d.Jobs = append(d.Jobs, j)
	}
	d.OnFailure = r.handlerJob(flow.Get("on_failure"), "on_failure")
	d.Finally = r.handlerJob(flow.Get("finally"), "finally")
	return d
}

func setOf(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[name] = true
	}
	return out
}

// handlerJob is a job that is written as one, or as its steps; nil: there is none.
func (r *reader) handlerJob(v treefile.Value, name string) (j *Job) {
	loc := "flow." + name
	switch v.Kind() {
	case '{':
		j = r.job(v, loc)
	case '[':
		j = &Job{value: v, loc: loc, Steps: r.steps(v, loc)}
	default:
		return nil
	}
	if !v.Get("id").Given() {
		j.ID = name
	}
	return j
}

func (r *reader) job(v treefile.Value, loc string) *Job {
	j := &Job{
		ID: textOf(v.Get("id")), Description: textOf(v.Get("description")), Pool: textOf(v.Get("pool")), Priority: intOf(v.Get("priority")), Timeout: numberOf(v.Get("timeout_seconds")),
		Lock: r.lock(v.Get("lock"), loc+".lock"), Steps: r.steps(v.Get("steps"), loc+".steps"), value: v, loc: loc,
	}
	if when := v.Get("when"); when.Kind() == '"' {
		j.WhenText = when.Text()
	}
	for i, one := range v.Get("depends_on").Items() {
		n := Need{value: one, loc: fmt.Sprintf("%s.depends_on[%d]", loc, i)}
		switch one.Kind() {
		case '"':
			n.Job = one.Text()
		case '{':
			n.Job, n.Done = textOf(one.Get("job")), textOf(one.Get("require")) == "done"
			n.loc += ".job"
		}
		if n.Job != "" {
			j.Needs = append(j.Needs, n)
		}
	}
	return j
}

func (r *reader) steps(v treefile.Value, loc string) (out []*Step) {
	for i, one := range v.Items() {
		out = append(out, r.step(one, fmt.Sprintf("%s[%d]", loc, i)))
	}
	return out
}

func (r *reader) step(v treefile.Value, loc string) *Step {
	s := &Step{
		ID: textOf(v.Get("id")), Type: textOf(v.Get("type")), Inputs: tableIn(v.Get("inputs")), Outputs: tableIn(v.Get("outputs")), SkipJob: textOf(v.Get("on_no_data")) == "skip_job",
		Timeout: numberOf(v.Get("timeout_seconds")), Pool: textOf(v.Get("pool")), Priority: intOf(v.Get("priority")), Lock: r.lock(v.Get("lock"), loc+".lock"), value: v, loc: loc,
	}
	if y := v.Get("retry"); y.Kind() == '{' {
		s.Retry = &Retry{MaxAttempts: 1, Backoff: numberOf(y.Get("backoff_seconds")), Multiplier: 1, Most: numberOf(y.Get("max_backoff_seconds")), OnTimeout: boolOf(y.Get("retry_on_timeout")),
			On: textsOf(y.Get("retry_on")), Jitter: textOf(y.Get("jitter")) == "full"}
		if n := intOf(y.Get("max_attempts")); n != nil {
			s.Retry.MaxAttempts = *n
		}
		if m := numberOf(y.Get("backoff_multiplier")); m >= 1 {
			s.Retry.Multiplier = m
		}
	}
	r.inner(s)
	return s
}

// inner reads the steps in one of a type that has some.
func (r *reader) inner(s *Step) {
	switch {
	case strings.Count(s.loc, ".step") >= maxInner:
	case s.Type == withLock:
		r.withLock(s)
	case s.Type == forEach:
		r.forEach(s)
	}
}

// forEach reads the steps in one that runs them for each item.
func (r *reader) forEach(s *Step) {
	inputs, loc := s.value.Get("inputs"), s.loc+".inputs"
	if inputs.Kind() != '{' {
		return
	}
	e := &Each{Items: inputs.Get("items").Decoded(), Stop: boolOf(inputs.Get("stop_on_failure")), Allows: boolOf(inputs.Get("allow_failures"))}
	if n := intOf(inputs.Get("window")); n != nil {
		e.Window = *n
	}
	if steps := inputs.Get("steps"); steps.Given() {
		e.List, e.Steps = true, r.steps(steps, loc+".steps")
	} else if step := inputs.Get("step"); step.Kind() == '{' {
		e.Steps = []*Step{r.step(step, loc+".step")}
	}
	s.Each = e
}

// withLock reads the step in one that runs it under a lock.
func (r *reader) withLock(s *Step) {
	inputs := s.value.Get("inputs")
	loc := s.loc + ".inputs"
	lock := &Lock{Key: textOf(inputs.Get("lock_key")), TTL: 600, OnContention: textOr(inputs.Get("on_contention"), "fail"), WaitTimeout: numberOf(inputs.Get("wait_timeout_seconds")),
		value: inputs.Get("lock_key"), loc: loc + ".lock_key"}
	if ttl := intOf(inputs.Get("ttl_seconds")); ttl != nil {
		lock.TTL = *ttl
	}
	inner := inputs.Get("step")
	if inner.Kind() != '{' {
		return
	}
	s.Inner = &Step{ID: textOr(inner.Get("id"), s.ID+"_inner"), Type: textOf(inner.Get("type")), Inputs: tableIn(inner.Get("inputs")), Lock: lock, value: inner, loc: loc + ".step"}
	r.inner(s.Inner)
}

// maxInner is how deep steps may lie in each other.
const maxInner = 8

func (r *reader) lock(v treefile.Value, loc string) *Lock {
	if v.Kind() != '{' {
		return nil
	}
	l := &Lock{Key: textOf(v.Get("key")), TTL: 600, OnContention: textOr(v.Get("on_contention"), "fail"), WaitTimeout: numberOf(v.Get("wait_timeout_seconds")), value: v.Get("key"), loc: loc + ".key"}
	if ttl := intOf(v.Get("ttl_seconds")); ttl != nil {
		l.TTL = *ttl
	}
	return l
}

func textOf(v treefile.Value) string { return textOr(v, "") }

func textOr(v treefile.Value, other string) string {
	if v.Kind() == '"' {
		return v.Text()
	}
	return other
}

func textsOf(v treefile.Value) (out []string) {
	for _, item := range v.Items() {
		if item.Kind() == '"' {
			out = append(out, item.Text())
		}
	}
	return out
}

func numberOf(v treefile.Value) float64 {
	x, _ := v.Number()
	return x
}

func intOf(v treefile.Value) *int {
	if x, ok := v.Number(); ok && isInteger(v.Text()) {
		n := int(x)
		return &n
	}
	return nil
}

func boolOf(v treefile.Value) bool {
	if v.Kind() == '"' {
		is, _ := treefile.YesNo(v.Text())
		return is
	}
	return v.Kind() == 't'
}

func tableIn(v treefile.Value) map[string]any {
	out, _ := v.Decoded().(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	return out
}
