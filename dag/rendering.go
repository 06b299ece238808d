package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/dag/template"
)

// Rendering is whose templates are rendered: what they may name of the attempt itself.
type Rendering struct {
	TaskID, Name, TreeID, UserID string
	Attempt                      int64
}

// Scope are the values that the templates of an attempt may name. sent is what was loaded for it, a JSON object or empty; the inputs are the merged ones, with templates
// as they were submitted.
func (r *Rendering) Scope(inputs json.RawMessage, sent []byte) (template.Scope, error) {
	scope := template.Scope{}
	if len(sent) > 0 {
		if err := decodeExact(sent, &scope); err != nil {
			return nil, fmt.Errorf("the values for its templates can't be read: %w", err)
		}
	}
	var merged map[string]any
	if err := decodeExact(inputs, &merged); err != nil {
		return nil, fmt.Errorf("inputs: %w", err)
	}
	scope["inputs"] = merged
	scope["task"] = map[string]any{"id": r.TaskID, "name": r.Name, "attempt": r.Attempt, "user_id": r.UserID}
	scope["tree"] = map[string]any{"id": r.TreeID, "user_id": r.UserID}
	return scope, nil
}

// Inputs puts values in the place of the templates of those of the merged inputs that have some by the task's own word (see [Templated]). data are those of them in which
// a template has put what might name a secret, or allow something: it is data, and does neither. A value over most bytes is a fault; *[template.Error].
func (r *Rendering) Inputs(inputs json.RawMessage, templated []string, sent []byte, most int) (rendered json.RawMessage, data []string, err error) {
	scope, err := r.Scope(inputs, sent)
	if err != nil {
		return nil, nil, err
	}
	merged, _ := scope["inputs"].(map[string]any)
	documents := map[string]any{}
	for _, name := range templated {
		documents[name] = merged[name]
	}
	whole, err := renderInputRules.Render(documents, scope, most)
	if err != nil {
		return nil, nil, placedAt("inputs", err)
	}
	values := whole.(map[string]any)
	out := append(make([]byte, 0, len(inputs)+256), '{')
	for m := range members(inputs) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, m.key...), ':')
		name := m.name()
		if !slices.Contains(templated, name) {
			out = append(out, m.value...)
			continue
		}
		text, err := encodeExact(values[name])
		if err != nil {
			return nil, nil, fmt.Errorf("inputs.%s: %w", name, err)
		}
		out = append(out, text...)
	}
	for _, name := range templated {
		if !StaysSubmitted(name, documents[name], values[name]) {
			data = append(data, name)
		}
	}
	return append(out, '}'), data, nil
}

// Outputs are the values that a task names of the result of an attempt, and of what its inputs may name. result is JSON, or empty for null; *[template.Error].
func (r *Rendering) Outputs(outputs, inputs json.RawMessage, sent, result []byte, most int) ([]byte, error) {
	scope, err := r.Scope(inputs, sent)
	if err != nil {
		return nil, err
	}
	var value any
	if len(result) > 0 {
		if err := decodeExact(result, &value); err != nil {
			return nil, fmt.Errorf("outputs: the result: %w", err)
		}
	}
	scope["result"] = value
	var document any
	if err := decodeExact(outputs, &document); err != nil {
		return nil, fmt.Errorf("outputs: %w", err)
	}
	rendered, err := renderOutputRules.Render(document, scope, most)
	if err != nil {
		return nil, placedAt("outputs", err)
	}
	return encodeExact(rendered)
}

// placedAt gives a fault of a template its path in the task.
func placedAt(field string, err error) error {
	fault, ok := err.(*template.Error)
	if !ok {
		return fmt.Errorf("%s: %w", field, err)
	}
	placed := *fault
	placed.At = under(field, placed.At)
	return &placed
}

// decodeExact reads JSON with its numbers as they are written.
func decodeExact(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

func encodeExact(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}
