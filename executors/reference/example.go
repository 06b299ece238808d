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
	var inputs yaml.MapSlice
	if !json.Valid(one.Inputs) {
		return "", fmt.Errorf("inputs are not JSON")
	}
	if err := yaml.UnmarshalWithOptions(one.Inputs, &inputs, yaml.UseOrderedMap()); err != nil {
		return "", err
	}
	task := yaml.MapSlice{{Key: "name", Value: one.Title}, {Key: "schemas", Value: yaml.MapSlice{{Key: "method", Value: executor}}}}
	if len(inputs) > 0 {
		task = append(task, yaml.MapItem{Key: "inputs", Value: inputs})
	}
	text, err := yaml.MarshalWithOptions(yaml.MapSlice{{Key: "tasks", Value: []yaml.MapSlice{task}}}, yaml.UseLiteralStyleIfMultiline(true))
	return string(text), err
}
