package node

import (
	"encoding/json"
	"slices"

	"github.com/taskgrove/taskgrove/dag/treedoc"
)

//go:generate go run ./docgen ../docs

// TreeSchema is the JSON Schema of the document of a tree, with the inputs of the executors that every worker of this program has.
func TreeSchema() ([]byte, error) {
	var all []treedoc.ExecutorInputs
	for d := range (Options{}).catalogue() {
		all = append(all, treedoc.ExecutorInputs{ID: d.ID, Inputs: d.Inputs})
	}
	return treedoc.Schema(all)
}

// inputKeys are the keys that the inputs of each executor may have; executors that take any are left out.
func (o Options) inputKeys() map[string][]string {
	keys := map[string][]string{}
	for d := range o.catalogue() {
		var schema struct {
			Properties map[string]json.RawMessage `json:"properties"`
		}
		if json.Unmarshal(d.Inputs, &schema) != nil {
			continue
		}
		for name := range schema.Properties {
			keys[d.ID] = append(keys[d.ID], name)
		}
		slices.Sort(keys[d.ID])
	}
	return keys
}
