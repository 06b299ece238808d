package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/model"
)

type input struct {
	Model      json.RawMessage            `json:"model"`
	Models     []string                   `json:"models"`
	Messages   []json.RawMessage          `json:"messages"`
	Stream     bool                       `json:"stream"`
	Temp       *float64                   `json:"temperature"`
	MaxTokens  *int                       `json:"max_tokens"`
	MaxNewer   *int                       `json:"max_completion_tokens"`
	APIKey     string                     `json:"api_key"`
	APIBase    string                     `json:"api_base"`
	API        string                     `json:"api"`
	Tools      []json.RawMessage          `json:"tools"`
	ToolChoice json.RawMessage            `json:"tool_choice"`
	Schema     json.RawMessage            `json:"output_schema"`
	Format     json.RawMessage            `json:"response_format"`
	Extra      map[string]json.RawMessage `json:"extra_body"`
	Budget     json.RawMessage            `json:"budget"`
	Exhausted  string                     `json:"on_exhausted"`
	Timeout    json.Number                `json:"timeout"`
}

// own are the inputs that are fields of [input], or of the engine. All others are values for the messages, or parameters.
var own = []string{"model", "models", "messages", "stream", "temperature", "max_tokens", "max_completion_tokens", "api_key", "api_base", "api", "tools", "tool_choice",
	"output_schema", "response_format", "extra_body", "budget", "on_exhausted", "timeout", "connection"}

// parameters are further fields of the wire formats that a task may set as inputs of its own. What has another name goes into extra_body: results
// of dependencies stand among the inputs under names of all kinds.
var parameters = []string{"top_p", "top_k", "min_p", "n", "seed", "stop", "stop_sequences", "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias",
	"logprobs", "top_logprobs", "user", "parallel_tool_calls", "reasoning_effort", "reasoning", "thinking", "verbosity", "service_tier", "metadata",
	"store", "prediction", "modalities", "audio", "web_search_options", "safety_identifier", "prompt_cache_key"}

// plan is a task as its inputs describe it.
type plan struct {
	in      input
	request model.Request
	limits  *budget.Limits
	faults  []string
}

func (p *plan) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// read reads the inputs. Its error names all faults.
func read(call *executors.Call) (*plan, error) {
	p := &plan{}
	if err := inputs.Decode(ID, call, &p.in); err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(call.Inputs, &all) != nil {
		return nil, executors.Invalid(ID, "inputs are not a JSON object")
	}
	r := &p.request
	r.Stream, r.Temperature = p.in.Stream, p.in.Temp
	p.readModels()
	switch {
	case len(r.Models) == 0 && len(p.faults) == 0:
		return nil, executors.Invalid(ID, "model is required in inputs")
	case len(p.in.Messages) == 0:
		return nil, executors.Invalid(ID, "messages is required in inputs")
	}
	values := valuesOf(all)
	for i, raw := range p.in.Messages {
		p.readMessage(fmt.Sprintf("messages[%d]", i), raw, values)
	}
	p.readTokens()
	p.readTools()
	p.readFormat()
	p.readExtra(all)
	var faults []string
	p.limits, faults = budget.Parse(p.in.Budget, p.in.Exhausted)
	if p.faults = append(p.faults, faults...); len(p.faults) > 0 {
		return nil, executors.Invalid(ID, strings.Join(p.faults, "; "))
	}
	return p, nil
}

// readModels takes model, a name or a list of them, then models.
func (p *plan) readModels() {
	r := &p.request
	var one string
	switch raw := bytes.TrimSpace(p.in.Model); {
	case len(raw) == 0 || string(raw) == "null":
	case json.Unmarshal(raw, &one) == nil:
		if one != "" {
			r.Models = []string{one}
		}
	case json.Unmarshal(raw, &r.Models) != nil:
		p.fault("model must be a name or a list of names")
	}
	r.Models = append(r.Models, p.in.Models...)
}

func (p *plan) readTokens() {
	most := p.in.MaxTokens
	if most == nil {
		most = p.in.MaxNewer
	}
	switch {
	case most == nil:
	case *most < 1:
		p.fault("max_tokens must be above 0")
	default:
		p.request.MaxTokens = *most
	}
}

// given reports whether an input says anything.
func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func (p *plan) readTools() {
	for i, raw := range p.in.Tools {
		var tool struct {
			Type     string `json:"type"`
			Function *struct {
				Name        string          `json:"name"`
				Description string          `json:"description"`
				Parameters  json.RawMessage `json:"parameters"`
			} `json:"function"`
		}
		if json.Unmarshal(raw, &tool) != nil || tool.Function == nil || tool.Type != "" && tool.Type != "function" {
			p.fault(`tools[%d] must be {"type": "function", "function": {"name", "description", "parameters"}}`, i)
			continue
		}
		made := model.Tool{Name: tool.Function.Name, Description: tool.Function.Description}
		if given(tool.Function.Parameters) {
			made.Schema = tool.Function.Parameters
		}
		p.request.Tools = append(p.request.Tools, made)
	}
	if !given(p.in.ToolChoice) {
		return
	}
	var name string
	var object struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	switch {
	case json.Unmarshal(p.in.ToolChoice, &name) == nil && (name == "auto" || name == "none" || name == "required"):
	case name == "" && json.Unmarshal(p.in.ToolChoice, &object) == nil && object.Function.Name != "":
		name = object.Function.Name
	default:
		p.fault(`tool_choice must be auto, none, required, or {"type": "function", "function": {"name"}}`)
		return
	}
	p.request.ToolChoice = name
}

// readFormat takes output_schema, or OpenAI's response_format.
func (p *plan) readFormat() {
	if given(p.in.Schema) {
		p.request.Schema = p.in.Schema
	}
	if !given(p.in.Format) {
		return
	}
	var format struct {
		Type   string `json:"type"`
		Schema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	}
	err := json.Unmarshal(p.in.Format, &format)
	switch {
	case err == nil && format.Type == "text":
	case err == nil && format.Type == "json_object" && p.request.Schema == nil:
		p.request.Extra = map[string]json.RawMessage{"response_format": p.in.Format}
	case err == nil && format.Type == "json_schema" && given(format.Schema.Schema):
		if p.request.Schema != nil {
			p.fault("response_format and output_schema say the same: give one of them")
		}
		p.request.Schema = format.Schema.Schema
	default:
		p.fault("response_format must be of type text, json_object, or json_schema with a json_schema.schema")
	}
}

// kept are fields of the wire formats that stand for something that has an input of its own, or that an answer can't be read with.
var kept = []string{"model", "messages", "system", "stream", "stream_options", "temperature", "max_tokens", "max_completion_tokens", "tools", "tool_choice", "response_format",
	"functions", "function_call"}

func (p *plan) readExtra(all map[string]json.RawMessage) {
	r := &p.request
	if r.Extra == nil {
		r.Extra = map[string]json.RawMessage{}
	}
	for _, name := range parameters {
		if given(all[name]) {
			r.Extra[name] = all[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.in.Extra)) {
		if slices.Contains(kept, name) {
			p.fault("extra_body.%s: it has an input of its own", name)
			continue
		}
		r.Extra[name] = p.in.Extra[name]
	}
	if many := r.Extra["n"]; many != nil && p.request.Schema != nil && string(many) != "1" {
		p.fault("n: with output_schema there is one answer")
	}
}
