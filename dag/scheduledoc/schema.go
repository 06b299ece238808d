package scheduledoc

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// object is a JSON Schema.
type object = map[string]any

// shapes are what the values of keys look like.
var shapes = map[string]func(tree object) object{
	"id":          bounded(1, MaxIDBytes),
	"description": bounded(0, MaxDescriptionBytes),
	"cron":        always(object{"type": "string", "examples": []any{"0 2 * * *", "@daily"}}),
	"every":       lasts("1h30m"),
	"on": always(object{"type": "object", "additionalProperties": false, "oneOf": []any{object{"required": []any{"schedule"}}, object{"required": []any{"webhook"}}}, "properties": object{
		"schedule": object{"type": "string"},
		"outcome":  object{"anyOf": []any{outcomeShape(), object{"type": "array", "items": outcomeShape(), "minItems": 1}}},
		"webhook": object{"type": "object", "additionalProperties": false, "properties": object{
			"parameters": object{"type": "object", "additionalProperties": object{"type": "string"}, "maxProperties": maxPicked},
			"tolerance":  object{"type": []any{"integer", "string"}, "minimum": 1, "examples": []any{"5m"}},
		}},
	}}),
	"timezone": always(object{"type": "string", "examples": []any{"Europe/Berlin"}}),
	"tree": func(tree object) object {
		return object{"anyOf": []any{tree, object{"type": []any{"string", "array"}}, object{"type": "object", "required": []any{"name"}, "not": object{"required": []any{"taskgrove"}}}}}
	},
	"flow": always(object{"type": "object", "additionalProperties": false, "required": []any{"id"}, "properties": object{
		"id":              object{"type": "string", "minLength": 1},
		"version":         object{"type": "integer", "minimum": 0},
		"job":             object{"type": "string"},
		"no_deps":         object{"type": "boolean"},
		"job_outputs":     object{"type": "array", "items": object{"type": "string"}, "maxItems": maxOutputs},
		"params":          object{"type": "object"},
		"env":             object{"type": "object", "additionalProperties": object{"type": "string"}},
		"priority":        object{"type": "integer", "minimum": 0, "maximum": maxPriority},
		"timeout_seconds": object{"type": "number", "minimum": 0},
	}}),
	"parameters":    always(object{"type": "object"}),
	"overlap":       always(object{"enum": []any{"skip", "queue_one", "allow", "cancel_other"}}),
	"misfire_grace": lasts("12h"),
	"coalesce":      always(object{"type": "boolean"}),
	"jitter":        lasts("10m"),
	"start_at":      always(object{"type": "string", "format": "date-time"}),
	"end_at":        always(object{"type": "string", "format": "date-time"}),
	"max_runs":      always(object{"type": "integer", "minimum": 0}),
	"after_success": always(object{"type": "boolean"}),
	"due":           lasts("06:00"),
	"paused":        always(object{"type": "boolean"}),
	"user_id":       always(object{"type": "string"}),
	"labels":        always(object{"type": "object", "additionalProperties": object{"type": "string"}}),
	"retention":     always(object{"type": "string", "pattern": dag.RetentionPattern, "examples": []any{"30d"}}),
}

func always(shape object) func(object) object {
	return func(object) object { return maps.Clone(shape) }
}

func bounded(least, most int) func(object) object {
	return always(object{"type": "string", "minLength": least, "maxLength": most})
}

// lasts is a number of seconds, or a text.
func lasts(example string) func(object) object {
	return always(object{"type": []any{"integer", "string"}, "minimum": 0, "examples": []any{example}})
}

func outcomeShape() object {
	var words []any
	for _, word := range slices.Sorted(maps.Keys(ends)) {
		words = append(words, word)
	}
	return object{"enum": words}
}

// link is a reference within the page of schedules.
var link = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)

// Schema is the JSON Schema of a schedule in a file, for editors. tree is that of a tree file.
func Schema(tree map[string]any) (map[string]any, error) {
	properties := object{}
	for _, k := range keys {
		shape := shapes[k.name]
		if shape == nil {
			return nil, fmt.Errorf("the key %s of schedules has no schema", k.name)
		}
		of := shape(tree)
		of["description"] = strings.ReplaceAll(link.ReplaceAllString(k.effect, "$1"), "`", "")
		properties[k.name] = of
	}
	begins := []any{}
	for _, name := range []string{"cron", "every", "on"} {
		begins = append(begins, object{"required": []any{name}})
	}
	return object{"type": "object", "additionalProperties": false, "required": []any{"id"}, "oneOf": begins, "properties": properties,
		"anyOf": []any{object{"required": []any{"tree"}}, object{"required": []any{"flow"}}}}, nil
}
