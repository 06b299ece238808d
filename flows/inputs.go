package flows

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// InputFault is what is wrong with an input of a step, by what its executor takes.
type InputFault struct {
	Field   string // path within the inputs: "files[0].path"; empty: the inputs as a whole
	Reason  string
	Missing bool // Field must be there, and is not
}

// Renamed is an input that stands in a flow by an old name: paths within the inputs.
type Renamed struct{ Old, New string }

// resourceKey is the input by which a step names one.
const resourceKey = "resource"

// notFlows are executors whose input of that name means something else.
var notFlows = []string{"system_info_executor"}

// inputs judges the inputs of a step by what its executor takes.
func (c *checker) inputs(s *Step, executor string, inputs treefile.Value, loc string) {
	ours := !slices.Contains(notFlows, executor)
	r := inputs.Get(resourceKey)
	if r.Kind() == '"' && ours {
		c.declared(r, loc+"."+resourceKey)
	}
	c.reachable(s, executor, inputs, loc)
	in := inputsOf{c: c, step: s, value: inputs, loc: loc}
	text := in.renamed(executor)
	if s.Type == process {
		in.process()
	}
	for _, f := range c.opts.faultsOf(executor, text) {
		if takes, connects := c.opts.Connections[executor]; !f.Missing || !r.Given() || !ours || connects && !slices.Contains(takes.Fields, f.Field) { // else the resource may have it
			in.fault(f)
		}
	}
	known, are := c.opts.Inputs[executor]
	if !are || len(known.Names) == 0 {
		return
	}
	for _, m := range inputs.Members() {
		if m.Name == resourceKey || m.Name == connectionKey && c.opts.Connections[executor].Types != nil || slices.Contains(known.Names, m.Name) || slices.ContainsFunc(in.old, func(r Renamed) bool { return r.Old == m.Name }) {
			continue
		}
		msg := fmt.Sprintf("%s has no such input, so that it has no effect", s.Type)
		if near := dag.Nearest(m.Name, known.Names); near != "" {
			msg += fmt.Sprintf("; did you mean %s?", near)
		}
		c.at(CodeUnknownInput, m.Value, join(loc, m.Name), "%s", msg)
	}
}

// inputsOf are the inputs of a step, under judgement.
type inputsOf struct {
	c     *checker
	step  *Step
	value treefile.Value
	loc   string
	old   []Renamed
	told  []string // paths of what was told already
}

// renamed are the inputs as an object that has the names which count. It warns of those that do not.
func (in *inputsOf) renamed(executor string) json.RawMessage {
	text := json.RawMessage("{}")
	if in.value.Kind() == '{' {
		text = in.value.JSON()
	}
	if in.c.opts.Rename == nil {
		return text
	}
	text, in.old = in.c.opts.Rename(executor, text)
	for _, r := range in.old {
		v, _, _ := in.find(r.New)
		in.c.at(CodeOldName, v, in.loc+"."+r.Old, "is an old name: write %s", r.New)
	}
	return text
}

// find is the value at a path of the inputs by the names that count, and the path as it is written. Not there: the nearest value around it.
func (in *inputsOf) find(path string) (v treefile.Value, written string, there bool) {
	for _, r := range in.old {
		if rest, is := strings.CutPrefix(path, r.New); is && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			path = r.Old + rest
		}
	}
	if v = in.value; !v.Given() {
		return in.step.value, path, false
	}
	for rest := path; rest != ""; {
		next, left, is := below(v, rest)
		if !is {
			return v, path, false
		}
		v, rest = next, left
	}
	return v, path, true
}

// below is the part of a value that a path begins with, and what is left of the path.
func below(v treefile.Value, path string) (part treefile.Value, rest string, is bool) {
	for i, item := range v.Items() {
		if left, has := strings.CutPrefix(path, fmt.Sprintf("[%d]", i)); has {
			return item, strings.TrimPrefix(left, "."), true
		}
	}
	for _, m := range v.Members() { // a name may have dots
		if left, has := strings.CutPrefix(path, m.Name); has && (left == "" || left[0] == '.' || left[0] == '[') {
			return m.Value, strings.TrimPrefix(left, "."), true
		}
	}
	return treefile.Value{}, path, false
}

// fault tells what is wrong with an input, unless that was told.
func (in *inputsOf) fault(f InputFault) {
	if slices.ContainsFunc(in.told, func(path string) bool {
		return f.Field == path || strings.HasPrefix(f.Field, path+"[") || strings.HasPrefix(f.Field, path+".")
	}) {
		return
	}
	v, field, _ := in.find(f.Field)
	loc := in.loc
	if field != "" {
		loc += "." + field
	}
	if !f.Missing {
		in.c.at(CodeInput, v, loc, "%s", f.Reason)
		return
	}
	alias := ""
	if in.step.Type == process && f.Field == "command" {
		alias = "semantic:external_process_missing_command"
	}
	in.c.tell(CodeMissingInput, alias, loc, v.Position(), "must be there: %s needs it", in.step.Type)
}

// declared looks for a resource that a step names.
func (c *checker) declared(v treefile.Value, loc string) {
	name := v.Text()
	if len(template.Tokens(name)) > 0 {
		return
	}
	if c.doc.resource(name) != nil {
		return
	}
	msg := "the flow declares no resource " + shorten(name)
	if c.full(CodeUnknownResource) {
		c.at(CodeUnknownResource, v, loc, "%s", msg)
		return
	}
	var all []string
	for _, r := range c.doc.Resources {
		all = append(all, r.Name)
	}
	if near := dag.Closest(name, all); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	c.at(CodeUnknownResource, v, loc, "%s", msg)
}
