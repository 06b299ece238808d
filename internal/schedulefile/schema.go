package schedulefile

import (
	"encoding/json"
	"errors"

	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// Schema is the JSON Schema of files of schedules (draft 7), for editors. treeFile is that of tree files, whose definitions it takes over.
func Schema(treeFile []byte) ([]byte, error) {
	var tree map[string]any
	if err := json.Unmarshal(treeFile, &tree); err != nil {
		return nil, err
	}
	definitions, ok := tree["definitions"].(map[string]any)
	if !ok {
		return nil, errors.New("the schema of tree files has no definitions")
	}
	delete(tree, "definitions")
	draft := tree["$schema"]
	delete(tree, "$schema")
	schedule, err := scheduledoc.Schema(map[string]any{"$ref": "#/definitions/tree_file"})
	if err != nil {
		return nil, err
	}
	definitions["tree_file"], definitions["schedule"] = tree, schedule
	out, err := json.MarshalIndent(map[string]any{
		"$schema": draft, "title": "Taskgrove schedules", "description": "Schedules as people write them.", "type": "object", "additionalProperties": false,
		"required": []string{"taskgrove", "schedules"},
		"properties": map[string]any{
			"taskgrove": map[string]any{"enum": []int{version}, "description": "The version of the format."},
			"schedules": map[string]any{"type": "array", "minItems": 1, "maxItems": MaxSchedules, "items": map[string]any{"$ref": "#/definitions/schedule"}},
		},
		"definitions": definitions,
	}, "", "  ")
	return append(out, '\n'), err
}
