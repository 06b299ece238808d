package crew

import (
	"encoding/json"
	"strings"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const (
	maxTokens  = 1 << 20
	maxModels  = 10 // that stand in for one another
	maxSeconds = 7 * 24 * 3600
)

// refusedOfModels say why a crew's document can't set what decides where a key goes.
var refusedOfModels = map[string]string{
	"api_key": "a crew's document holds no keys: they come from the task's own key, the user's, or the worker",
}

func init() {
	for _, name := range []string{"base_url", "api_base"} {
		refusedOfModels[name] = "a crew's document names no addresses: the worker's operator names services of models, and a model is then service/model"
	}
}

// passed are fields of a model that go to the service as they are.
var passed = []string{"top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort"}

var ignoredOfModels = []string{"timeout", "stream", "provider", "drop_params", "is_litellm", "max_retries", "verbose"}

// llm reads a choice of models: a name, a list of names, or an object.
func (r *reader) llm(o *object, name string) (l llm) {
	raw := o.raw(name)
	if kindOf(raw) != "object" {
		l.models = modelsOf(o, name)
		return l
	}
	in, _ := objectAt(o.at(name), raw, r.faults)
	if l.models = modelsOf(in, "model"); len(l.models) == 0 {
		l.models = modelsOf(in, "models")
	}
	in.raw("models")
	l.temperature = in.number("temperature", 0, 2)
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if n := in.whole(name, 1, maxTokens); n > 0 {
			l.maxTokens = n
		}
	}
	for _, name := range passed {
		if value := in.raw(name); value != nil {
			if l.extra == nil {
				l.extra = map[string]json.RawMessage{}
			}
			l.extra[name] = value
		}
	}
	in.done(ignoredOfModels, refusedOfModels)
	return l
}

func modelsOf(o *object, name string) []string {
	models := o.texts(name)
	if len(models) > maxModels {
		o.faults.add("%s has %d models, more than %d", o.at(name), len(models), maxModels)
	}
	return models
}

// modelsIn reads the models of schemas.model or params.model.
func modelsIn(raw json.RawMessage, path string, f *faults) []string {
	o := &object{path: path[:strings.LastIndexByte(path, '.')], faults: f, fields: map[string]json.RawMessage{}, read: map[string]bool{}}
	if name := path[strings.LastIndexByte(path, '.')+1:]; raw != nil && string(raw) != "null" {
		o.fields[name] = raw
		return modelsOf(o, name)
	}
	return nil
}

// fieldsOf are the fields of an object that may not be there.
func fieldsOf(raw json.RawMessage) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	if kindOf(raw) == "object" {
		_ = rawjson.Unmarshal(raw, &fields) // it is valid
	}
	return fields
}
