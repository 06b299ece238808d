package reference

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/taskgrove/taskgrove/executors"
)

// examples are documents that a reader can submit.
func examples(b *strings.Builder, e Entry) error {
	if len(e.Examples) == 0 {
		return nil
	}
	b.WriteString("## Examples\n\n")
	for _, one := range e.Examples {
		doc, err := Document(e.ID, one)
		if err != nil {
			return fmt.Errorf("example %q: %w", one.Title, err)
		}
		fmt.Fprintf(b, "%s:\n\n```yaml\n%s```\n\n", strings.TrimSuffix(one.Title, "."), doc)
	}
	return nil
}

// Document is the YAML document of a tree of one task, which does what an example shows.
func Document(executor string, one executors.Example) (string, error) {
	schemas := yaml.MapSlice{{Key: "method", Value: executor}}
	more, err := ordered("schemas", one.Schemas)
	if err != nil {
		return "", err
	}
	task := yaml.MapSlice{{Key: "name", Value: one.Title}, {Key: "schemas", Value: append(schemas, more...)}}
	for _, part := range []struct {
		name string
		text json.RawMessage
	}{{"params", one.Params}, {"inputs", one.Inputs}} {
		fields, err := ordered(part.name, part.text)
		if err != nil {
			return "", err
		}
		if len(fields) > 0 {
			task = append(task, yaml.MapItem{Key: part.name, Value: fields})
		}
	}
	text, err := yaml.MarshalWithOptions(yaml.MapSlice{{Key: "tasks", Value: []yaml.MapSlice{task}}}, yaml.UseLiteralStyleIfMultiline(true))
	return string(text), err
}

// ordered is an object with its members in their order; nil: there is none.
func ordered(name string, object json.RawMessage) (fields yaml.MapSlice, err error) {
	if len(object) == 0 {
		return nil, nil
	}
	if !json.Valid(object) {
		return nil, fmt.Errorf("%s are not JSON", name)
	}
	return fields, yaml.UnmarshalWithOptions(object, &fields, yaml.UseOrderedMap())
}
