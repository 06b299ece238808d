package crew

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// defaults are what params and schemas say for all agents of all crews.
type defaults struct {
	llm     llm
	process string
	verbose bool
	rate    int
}

// order is what a task's document asks for.
type order struct {
	crews  []*crew
	names  []string // of a batch's works, in their order
	limits *budget.Limits
	opts   model.Options
}

// read reads the call of an attempt. Its error names all that is wrong.
func (k *kind) read(call *executors.Call, fallback string) (*order, error) {
	params, in := fieldsOf(call.Params), fieldsOf(call.Inputs)
	works := worksIn(params)
	if text := k.missing(works); text != "" {
		if _, ok := in["works"]; ok && empty(works) {
			text += ": they are in inputs, and must be in params"
		}
		return nil, executors.Invalid(k.id, text)
	}
	var f faults
	o := &order{opts: model.Options{ID: k.id}}
	o.spending(params, in, &f)
	o.service(call, in, &f)
	d := defaultsIn(params, fieldsOf(call.Schemas), fallback, &f)
	vars := variablesIn(call, in)
	if k.batch {
		o.batch(works, d, vars, &f)
	} else if unfit(works) {
		f.add("works must contain agents and tasks")
	} else {
		o.crews = []*crew{readCrew("works", works, d, vars, &f)}
	}
	if len(f) > 0 {
		return nil, executors.Invalid(k.id, list(f))
	}
	return o, nil
}

const maxFaults = 20 // that one text names

func list(f faults) string {
	if len(f) > maxFaults {
		more := len(f) - maxFaults
		f = f[:maxFaults:maxFaults]
		f.add("and %d more", more)
	}
	return strings.Join(f, "; ")
}

// worksIn is what params say of the works: as the reference's code wants it, or with agents and tasks beside one another, as its guides
// write them.
func worksIn(params map[string]json.RawMessage) json.RawMessage {
	if works := params["works"]; works != nil {
		return works
	}
	if params["agents"] == nil || params["tasks"] == nil {
		return nil
	}
	both, _ := json.Marshal(map[string]json.RawMessage{"agents": params["agents"], "tasks": params["tasks"]}) // both are valid
	return both
}

// missing is the reference's text for works that are none; empty: there are some.
func (k *kind) missing(works json.RawMessage) string {
	switch {
	case empty(works) && k.batch:
		return "No works found in batch"
	case empty(works):
		return "works parameter is required"
	case kindOf(works) != "object":
		return "works must be a dictionary"
	}
	return ""
}

// unfit reports whether a work lacks what every crew has.
func unfit(work json.RawMessage) bool {
	fields := fieldsOf(work)
	return fields["agents"] == nil || fields["tasks"] == nil
}

func (o *order) batch(all json.RawMessage, d defaults, vars variables, f *faults) {
	for name, work := range members(all) {
		path := "works." + cut(name, 60)
		switch {
		case slices.Contains(o.names, name):
			f.add("%s: another work has this name already", path)
		case unfit(work):
			f.add("%s: works must contain agents and tasks", path)
		default:
			o.crews = append(o.crews, readCrew(path, work, d, vars, f))
		}
		o.names = append(o.names, name)
		if len(o.names) > maxWorks {
			f.add("works are more than %d", maxWorks)
			return
		}
	}
}

// spending reads the budget: of params, or of inputs, as other executors have it there. An input budget that is no object is a variable like
// any other, as crews that plan trips have one.
func (o *order) spending(params, in map[string]json.RawMessage, f *faults) {
	limits := params["budget"]
	if limits == nil && kindOf(in["budget"]) == "object" {
		limits = in["budget"]
	}
	on := params["on_exhausted"]
	if on == nil {
		on = in["on_exhausted"]
	}
	policy := ""
	switch kindOf(on) {
	case "null":
	case "text":
		policy, _ = rawjson.Unquote(on)
	default:
		policy = "?" // which is none
	}
	var wrong []string
	o.limits, wrong = budget.Parse(limits, policy)
	*f = append(*f, wrong...)
}

// service reads which key and address the inputs have for all models.
func (o *order) service(call *executors.Call, in map[string]json.RawMessage, f *faults) {
	fields := &object{path: "inputs", faults: f, fields: in, read: map[string]bool{}}
	o.opts.Key, o.opts.BaseURL = fields.text("api_key"), fields.text("api_base")
	if call.Connection != "" {
		o.opts.API = fields.text("api")
	}
}

// variablesIn are the inputs without those that are for us, above all the key.
func variablesIn(call *executors.Call, in map[string]json.RawMessage) variables {
	vars := variables{}
	for name, value := range in {
		switch name {
		case "api_key", "api_base", "on_exhausted", "connection":
			continue
		case "api":
			if call.Connection != "" {
				continue
			}
		case "budget":
			if kindOf(value) == "object" {
				continue
			}
		}
		vars[name] = value
	}
	return vars
}

func defaultsIn(params, schemas map[string]json.RawMessage, fallback string, f *faults) (d defaults) {
	if d.llm.models = modelsIn(schemas["model"], "schemas.model", f); len(d.llm.models) == 0 {
		d.llm.models = modelsIn(params["model"], "params.model", f)
	}
	if len(d.llm.models) == 0 {
		d.llm.models = []string{fallback}
	}
	p := &object{path: "params", faults: f, fields: params, read: map[string]bool{}}
	d.process, d.verbose, d.rate = p.text("process"), p.flag("verbose"), p.whole("max_rpm", 1, maxRate)
	return d
}
