package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag/template"
)

// maxPlaces is in how many places the same wrong name is told.
const maxPlaces = 8

// MaxNamed is how many dependencies the templates of one task may name.
const MaxNamed = 256

// Roots of templates: what inputs may name, and outputs.
var (
	inputRules  = template.Rules{Plain: true, Keys: true, Cut: true, Roots: inputRoots}
	outputRules = template.Rules{Plain: true, Keys: true, Cut: true, Roots: outputRoots}

	inputRoots = template.Roots{
		"deps": {Names: 2}, "inputs": {}, "parameters": {}, "item": {}, "index": {},
		"task": {Names: 1, Of: []string{"id", "name", "attempt", "user_id"}}, "tree": {Names: 1, Of: []string{"id", "user_id"}},
		"schedule": {Names: 1, Of: []string{"id", "fire_time", "interval_start", "interval_end", "local_date", "last_success"}},
	}
	outputRoots = func() template.Roots {
		roots := maps.Clone(inputRoots)
		roots["result"] = template.Root{}
		return roots
	}()

	// As these, of tasks that are made for no item.
	ownInputRules  = template.Rules{Plain: true, Keys: true, Cut: true, Roots: withoutItem(inputRoots)}
	ownOutputRules = template.Rules{Plain: true, Keys: true, Cut: true, Roots: withoutItem(outputRoots)}

	// As these, of steps of flows, and of all that there are.
	flowInputRules    = template.Rules{Plain: true, Keys: true, Cut: true, Roots: withFlow(withoutItem(inputRoots))}
	flowOutputRules   = template.Rules{Plain: true, Keys: true, Cut: true, Roots: withFlow(withoutItem(outputRoots))}
	renderInputRules  = template.Rules{Plain: true, Keys: true, Cut: true, Roots: withFlow(inputRoots)}
	renderOutputRules = template.Rules{Plain: true, Keys: true, Cut: true, Roots: withFlow(outputRoots)}
)

func withoutItem(roots template.Roots) template.Roots {
	own := maps.Clone(roots)
	delete(own, "item")
	delete(own, "index")
	return own
}

// dependencyFields are what templates may read of a dependency.
var dependencyFields = []string{"result", "outputs", "outcome", "error"}

// InputTemplates are how the templates of a task's inputs are read, and [OutputTemplates] those of its outputs (control 4).
func InputTemplates() *template.Rules { return &inputRules }

// OutputTemplates is for what [InputTemplates] is for, with the root result.
func OutputTemplates() *template.Rules { return &outputRules }

// MapExecutor makes tasks for the items of a list.
const MapExecutor = "map_executor"

// unrendered are inputs which have templates of their own, for tasks that are made later.
var unrendered = map[string][]string{MapExecutor: {"task", "tasks", "tree"}, SubtreeExecutor: {"tree"}}

// Unrendered reports whether an input of an executor is never rendered with the others.
func Unrendered(executor, input string) bool { return slices.Contains(unrendered[executor], input) }

// Named is a dependency that a template names.
type Named struct {
	Name   string // by which it does
	Output string // of those of the dependency; empty: it names none, or all
	At     string // where: "inputs.url"
	Token  string
}

// Fault says what is wrong with naming it so, as others say it of templates.
func (n *Named) Fault(reason string) string {
	return (&template.Error{Kind: template.MissingKey, Token: n.Token, Reason: reason}).Error()
}

// valueFault is a fault of a task's templates.
type valueFault struct {
	field string // of the task
	text  string
}

// templates checks all that can be known of the task's templates without its dependencies, and gives those that they name, each in
// a few of the places. ofItem: the task is made for an item, which they may name.
func (t *Task) templates(ofItem bool) (faults []valueFault, named []Named) {
	c := t.Control
	if c == nil || !c.Template && c.Outputs == nil && c.Cache == nil && c.FlowStep == nil {
		return nil, nil
	}
	r := templateReader{seen: map[string]int{}, inputRules: &ownInputRules, outputRules: &ownOutputRules}
	switch {
	case c.FlowStep != nil:
		r.inputRules, r.outputRules, r.step = &flowInputRules, &flowOutputRules, c.FlowStep
		if c.FlowStep.Outer {
			r.inputRules, r.outputRules = &renderInputRules, &renderOutputRules
		}
		r.flowStep(c.FlowStep)
	case ofItem || c.Item != nil:
		r.inputRules, r.outputRules = &inputRules, &outputRules
	}
	if c.Template {
		r.inputs(t)
	}
	if c.Outputs != nil {
		r.outputs(c.Outputs)
	}
	if c.Cache != nil {
		r.cacheKey(c.Cache)
	}
	if len(r.names) > MaxNamed {
		r.fault("inputs", "templates may name %d dependencies of a task at most, these name %d (%s)", MaxNamed, len(r.names), template.TooLarge)
		r.named = nil
	}
	return r.faults, r.named
}

// namedBy is a dependency that the templates of a task name.
type namedBy struct {
	task int32
	Named
}

// values checks the task's templates, and keeps what they name until all tasks are known.
func (c *check) values() {
	faults, named := c.task.templates(c.b.ofItems)
	for _, f := range faults {
		c.field(f.field, "%s", f.text)
	}
	for _, n := range named {
		c.b.named = append(c.b.named, namedBy{int32(c.index), n})
	}
	if c.task.Control.Outputs != nil {
		if c.b.outputs == nil {
			c.b.outputs = map[int32][]string{}
		}
		c.b.outputs[int32(c.index)] = c.task.Control.OutputNames()
	}
}

// checkNamed looks up the dependencies that templates name.
func (b *Builder) checkNamed() {
	var addresses *Addresses
	last := int32(-1)
	for i := range b.named {
		n := &b.named[i]
		if n.task != last {
			addresses, last = b.addresses(n.task), n.task
		}
		reason := addresses.Fault(&n.Named)
		if reason == "" || !b.faults.room(atField) {
			continue
		}
		b.faults.keep(atField, &InvalidTaskError{
			Code: InvalidField, Index: int(n.task), Task: b.identity(n.task), Field: n.At, Reason: fmt.Sprintf("tasks[%d].%s: %s", n.task, n.At, n.Named.Fault(reason)),
		})
	}
	b.named, b.outputs = nil, nil
}

// addresses are the dependencies of a task, by what its templates may call them.
func (b *Builder) addresses(task int32) *Addresses {
	var all []Addressed
	for _, e := range b.edges[b.starts[task]:b.starts[task+1]] {
		all = append(all, Addressed{Ref: b.identity(e.Task), Name: b.names[e.Task], Outputs: b.outputs[e.Task]})
	}
	return NewAddresses(all)
}

// ValueFaults are the faults of the templates of a task that has these dependencies.
func (t *Task) ValueFaults(dependencies []Addressed) (texts []string) {
	faults, named := t.templates(false)
	for _, f := range faults {
		texts = append(texts, f.field+": "+f.text)
	}
	addresses := NewAddresses(dependencies)
	for i := range named {
		if reason := addresses.Fault(&named[i]); reason != "" {
			texts = append(texts, named[i].At+": "+named[i].Fault(reason))
		}
	}
	return texts
}

type templateReader struct {
	faults []valueFault
	named  []Named
	seen   map[string]int  // dependencies and outputs: in how many places
	names  map[string]bool // dependencies

	inputRules, outputRules *template.Rules
	step                    *FlowStep // nil: it is none of a flow
}

func (r *templateReader) fault(field, format string, args ...any) {
	if len(r.faults) < template.MaxFaults {
		r.faults = append(r.faults, valueFault{field, fmt.Sprintf(format, args...)})
	}
}

func (r *templateReader) tell(prefix string, faults []*template.Error) {
	for _, f := range faults {
		field := under(prefix, f.At)
		f.At = ""
		r.fault(field, "%v", f)
	}
}

// under is a path below another one.
func under(prefix, at string) string {
	if at == "" || at[0] == '[' {
		return prefix + at
	}
	return prefix + "." + at
}

func (r *templateReader) inputs(t *Task) {
	document := decoded(t.Inputs)
	for _, name := range slices.Sorted(maps.Keys(document)) {
		switch value := document[name]; {
		case Unrendered(t.Executor, name):
			delete(document, name)
		case name == "connection" && inline(value):
			r.tell("inputs.connection", connectionRules.Check(value, nil))
			delete(document, name)
		case FixedInput(name):
			r.grants(name, value)
		default:
			r.secrets(under("inputs", name), value)
		}
	}
	r.check("inputs", r.inputRules, document)
}

// FixedInput reports whether what an input of that name holds is never data, and no value from elsewhere: it names a connection, or allows something.
func FixedInput(input string) bool {
	return input == "connection" || slices.ContainsFunc(granting[:], func(g []byte) bool { return string(g[1:len(g)-1]) == input })
}

// FixedTexts are the texts in a task's inputs that no value from elsewhere may be part of, with where they are: names of secrets, and all in inputs which
// name a connection or allow something. Inputs that hold tasks are left out.
func FixedTexts(executor string, inputs json.RawMessage) iter.Seq2[string, string] {
	return func(yield func(at, text string) bool) {
		document := decoded(inputs)
		for _, name := range slices.Sorted(maps.Keys(document)) {
			if !Unrendered(executor, name) && !fixedTexts(name, document[name], FixedInput(name), yield) {
				return
			}
		}
	}
}

func fixedTexts(at string, v any, all bool, yield func(at, text string) bool) bool {
	switch v := v.(type) {
	case string:
		return !all || yield(at, v)
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if !fixedTexts(under(at, name), v[name], all || name == "secret" && len(v) == 1, yield) {
				return false
			}
		}
	case []any:
		for i, e := range v {
			if !fixedTexts(fmt.Sprintf("%s[%d]", at, i), e, all, yield) {
				return false
			}
		}
	}
	return true
}

// grants refuses a template in an input which allows something: a value that is found at run time must not.
func (r *templateReader) grants(name string, value any) {
	for _, f := range template.Tokens(value) {
		f.Reason = name + " allows what no value from elsewhere may: write it out"
		r.tell(under("inputs", name), []*template.Error{f})
	}
}

// secrets refuses templates in names of secrets.
func (r *templateReader) secrets(at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if text, is := v[name].(string); is && name == "secret" && len(v) == 1 {
				for _, f := range template.Tokens(text) {
					f.Reason = "a value from elsewhere can't name a secret: write its name out"
					r.tell(under(at, name), []*template.Error{f})
				}
			}
			r.secrets(under(at, name), v[name])
		}
	case []any:
		for i, e := range v {
			r.secrets(fmt.Sprintf("%s[%d]", at, i), e)
		}
	}
}

func (r *templateReader) outputs(raw json.RawMessage) {
	document := decoded(raw)
	for _, name := range slices.Sorted(maps.Keys(document)) {
		if !template.Identifier(name) {
			r.fault("outputs", "'%s' must be letters, digits and _, with no digit first, so that templates can name it", cut(name, 80))
		}
	}
	r.check("outputs", r.outputRules, document)
}

func (r *templateReader) check(field string, rules *template.Rules, document map[string]any) {
	r.tell(field, rules.Check(document, func(ref template.Ref) string {
		switch _, ofFlow := flowRoots[ref.Path[0]]; {
		case ref.Path[0] == "deps":
			return r.dependency(field, ref)
		case ofFlow && r.step != nil:
			return r.step.unknown(ref.Path)
		}
		return ""
	}))
}

// dependency keeps a dependency that a path names, or says why the path can lead to nothing.
func (r *templateReader) dependency(field string, ref template.Ref) (reason string) {
	name, what, more := ref.Path[1], ref.Path[2], ref.Path[3:]
	switch {
	case !slices.Contains(dependencyFields, what):
		return "a dependency has " + strings.Join(dependencyFields, ", ")
	case len(more) > 0 && (what == "outcome" || what == "error"):
		return what + " is a text, and has no members"
	}
	n := Named{Name: name, Token: ref.Token}
	if what == "outputs" {
		n.Output = "*"
		if len(more) > 0 {
			n.Output = more[0]
		}
	}
	key := n.Name + " " + n.Output
	if r.seen[key]++; r.seen[key] > maxPlaces {
		return ""
	}
	if r.names == nil {
		r.names = map[string]bool{}
	}
	if r.names[name] = true; len(r.names) <= MaxNamed {
		n.At = under(field, ref.At())
		r.named = append(r.named, n)
	}
	return ""
}

// decoded is a valid JSON object with its numbers as they are written.
func decoded(raw json.RawMessage) (object map[string]any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	_ = d.Decode(&object) // its reader has seen to it
	return object
}

// Addressed is a dependency as templates and conditions may call it: by its reference or its name, whichever is an identifier.
type Addressed struct {
	Ref, Name string
	Outputs   []string // that it names
}

// Addresses are the dependencies of one task by what they may be called.
type Addresses struct {
	all    []Addressed
	byRef  map[string]int
	byName map[string]int // ambiguous: of several
}

const ambiguous = -1

// NewAddresses reads the dependencies of a task, each once.
func NewAddresses(all []Addressed) *Addresses {
	a := &Addresses{all: all, byRef: make(map[string]int, len(all)), byName: make(map[string]int, len(all))}
	for i, d := range all {
		a.byRef[d.Ref] = i
		if _, twice := a.byName[d.Name]; twice {
			i = ambiguous
		}
		a.byName[d.Name] = i
	}
	return a
}

// Find is the index of the dependency of that name. reason: why there is none.
func (a *Addresses) Find(name string) (i int, reason string) {
	if i, ok := a.byRef[name]; ok {
		return i, ""
	}
	switch i, ok := a.byName[name]; {
	case ok && i == ambiguous:
		return 0, fmt.Sprintf("several dependencies have the name '%s': call the one that is meant by its id", name)
	case ok:
		return i, ""
	case len(a.all) == 0:
		return 0, fmt.Sprintf("the task does not depend on '%s': it has no dependencies", name)
	}
	reason = fmt.Sprintf("the task does not depend on '%s'", name)
	var known []string
	for _, d := range a.all[:min(len(a.all), maxKnown)] {
		known = append(known, d.Ref, d.Name)
	}
	if likely := Closest(name, known); likely != "" {
		reason += fmt.Sprintf("; is '%s' meant?", cut(likely, 80))
	}
	return 0, reason
}

// maxKnown is how many dependencies are compared with one that is not there.
const maxKnown = 1000

// Fault says why templates can't name a dependency so; empty: they can.
func (a *Addresses) Fault(n *Named) string {
	i, reason := a.Find(n.Name)
	if reason != "" || n.Output == "" {
		return reason
	}
	outputs := a.all[i].Outputs
	switch {
	case len(outputs) == 0:
		return fmt.Sprintf("'%s' has no outputs", n.Name)
	case n.Output != "*" && !slices.Contains(outputs, n.Output):
		return fmt.Sprintf("the outputs of '%s' are %s", n.Name, cut(strings.Join(outputs, ", "), 200))
	}
	return ""
}

// OutputNames are the names of the values that a task gives, sorted.
func (c *Control) OutputNames() (names []string) {
	if c == nil {
		return nil
	}
	for m := range members(c.Outputs) {
		names = append(names, m.name())
	}
	slices.Sort(names)
	return names
}

// Templated are the keys of merged inputs that are to be rendered: those with templates whose values are as the task was submitted. What the result of
// a dependency has written is data, whatever it looks like.
func Templated(executor string, submitted, merged json.RawMessage) (keys []string) {
	if !mayHoldToken(submitted) {
		return nil
	}
	for m := range members(submitted) {
		if !mayHoldToken(m.value) {
			continue
		}
		if name := m.name(); name == "connection" && InlineConnection(m.value) { // its texts are not the task's to render
			continue
		} else if !Unrendered(executor, name) && bytes.Equal(lookup(merged, name), m.value) && !slices.Contains(keys, name) {
			keys = append(keys, name)
		}
	}
	return keys
}

// mayHoldToken reports whether strings of a JSON value may hold a token, also if its braces are written with escapes.
func mayHoldToken(value []byte) bool {
	return bytes.Contains(value, []byte("{{")) || bytes.Contains(value, []byte(`\u007`))
}

// StaysSubmitted reports whether an input which may name secrets, or allow something, may still do so once its templates are rendered: by before and
// after, which are of the types that [encoding/json] decodes to. What a template has put there is data: it names no secret, and allows nothing.
func StaysSubmitted(name string, before, after any) bool {
	if FixedInput(name) {
		return len(template.Tokens(before)) == 0
	}
	switch b := before.(type) {
	case string:
		return !holdsReference(after)
	case map[string]any:
		a, is := after.(map[string]any)
		if text, named := b["secret"].(string); !is || named && a["secret"] != text {
			return false
		}
		for key, member := range b {
			if !StaysSubmitted("", member, a[key]) {
				return false
			}
		}
	case []any:
		a, is := after.([]any)
		if !is || len(a) != len(b) {
			return false
		}
		for i, e := range b {
			if !StaysSubmitted("", e, a[i]) {
				return false
			}
		}
	}
	return true
}

// holdsReference reports whether a value has the form in which inputs name secrets, at any depth.
func holdsReference(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if _, has := v["secret"]; has {
			return true
		}
		for _, member := range v {
			if holdsReference(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsReference)
	}
	return false
}
