package modeltest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sorted are the keys of a map.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// strictFault is why OpenAI refuses a strict schema; empty: it takes it. Every object must list all of its properties as required and
// forbid others, and some keywords are unknown.
func strictFault(schema map[string]any) string {
	if schema["type"] != "object" {
		return fmt.Sprintf("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"%v\"'.", cmpNone(schema["type"]))
	}
	return (&strict{root: schema}).fault(schema, nil, 1)
}

type strict struct {
	root       map[string]any
	properties int
}

// notStrict are the keywords that OpenAI's strict schemas can't have.
var notStrict = []string{"allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf", "patternProperties", "unevaluatedProperties",
	"propertyNames", "minProperties", "maxProperties", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems", "default"}

func (s *strict) fault(schema map[string]any, path []string, depth int) string {
	context := "In context=" + python(path) + ", "
	if depth > 11 {
		return fmt.Sprintf("%snesting of %d levels exceeds limit of 10.", context, depth-1)
	}
	for _, word := range sorted(schema) {
		if slices.Contains(notStrict, word) {
			return context + "'" + word + "' is not permitted."
		}
	}
	if len(schema) == 0 {
		return context + "schema must have a 'type' key."
	}
	if ref := text(schema["$ref"]); ref != "" {
		return s.reference(ref, context)
	}
	if isObject(schema) {
		if why := s.object(schema, context); why != "" {
			return why
		}
	} else if schema["type"] == nil && schema["anyOf"] == nil && schema["enum"] == nil && schema["const"] == nil {
		return context + "schema must have a 'type' key."
	}
	for _, group := range []string{"properties", "$defs", "definitions"} {
		members, _ := schema[group].(map[string]any)
		for _, name := range sorted(members) {
			if why := s.below(members[name], append(path, group, name), depth+1); why != "" {
				return why
			}
		}
	}
	if schema["type"] == "array" && schema["items"] == nil {
		return context + "array schema missing items."
	}
	if schema["items"] != nil {
		if why := s.below(schema["items"], append(path, "items"), depth+1); why != "" {
			return why
		}
	}
	choices, _ := schema["anyOf"].([]any)
	for i, choice := range choices {
		if why := s.below(choice, append(path, "anyOf", fmt.Sprint(i)), depth); why != "" {
			return why
		}
	}
	return ""
}

func (s *strict) below(v any, path []string, depth int) string {
	schema, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprintf("In context=%s, %v is not of type 'object', 'boolean'.", python(path), v)
	}
	return s.fault(schema, slices.Clone(path), depth)
}

func (s *strict) reference(ref, context string) string {
	if ref == "#" {
		return ""
	}
	at := any(s.root)
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		members, _ := at.(map[string]any)
		at = members[name]
	}
	if at == nil {
		return fmt.Sprintf("%sreference to component '%s' which was not found in the schema.", context, ref)
	}
	return ""
}

func isObject(schema map[string]any) bool {
	list, _ := schema["type"].([]any)
	return schema["type"] == "object" || slices.Contains(list, any("object"))
}

func (s *strict) object(schema map[string]any, context string) string {
	if schema["additionalProperties"] != false {
		return context + "'additionalProperties' is required to be supplied and to be false."
	}
	properties, _ := schema["properties"].(map[string]any)
	required, listed := schema["required"].([]any)
	if s.properties += len(properties); s.properties > 5000 {
		return fmt.Sprintf("Too many properties: %d. The maximum is 5000.", s.properties)
	}
	for _, name := range sorted(properties) {
		if !slices.Contains(required, any(name)) {
			return context + "'required' is required to be supplied and to be an array including every key in properties. Missing '" + name + "'."
		}
	}
	for _, v := range required {
		if _, ok := properties[text(v)]; !ok {
			return context + "'required' is required to be supplied and to be an array including every key in properties. Extra required key '" + text(v) + "' supplied."
		}
	}
	if !listed && len(properties) > 0 {
		return context + "'required' is required to be supplied and to be an array including every key in properties."
	}
	return ""
}

// python writes a path as the service does: ('properties', 'a').
func python(path []string) string {
	switch len(path) {
	case 0:
		return "()"
	case 1:
		return "('" + path[0] + "',)"
	}
	return "('" + strings.Join(path, "', '") + "')"
}

// notOutput are the keywords that Anthropic's structured outputs can't have.
var notOutput = []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems", "uniqueItems", "oneOf", "not", "if",
	"then", "else", "patternProperties", "propertyNames", "minProperties", "maxProperties", "contains", "prefixItems"}

// outputFault is why Anthropic refuses a schema of structured output; empty: it takes it.
func outputFault(v any) string {
	schema, ok := v.(map[string]any)
	if !ok {
		return "schema must be an object"
	}
	for _, word := range sorted(schema) {
		if slices.Contains(notOutput, word) {
			return fmt.Sprintf("For '%v' type, property '%s' is not supported", cmpNone(schema["type"]), word)
		}
	}
	if isObject(schema) && schema["additionalProperties"] != false {
		return "For 'object' type, 'additionalProperties' must be explicitly set to false"
	}
	if least, ok := wholeNumber(schema["minItems"]); ok && least > 1 {
		return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
	}
	for _, group := range []string{"properties", "$defs", "definitions"} {
		members, _ := schema[group].(map[string]any)
		for _, name := range sorted(members) {
			if why := outputFault(members[name]); why != "" {
				return why
			}
		}
	}
	if schema["items"] != nil {
		if why := outputFault(schema["items"]); why != "" {
			return why
		}
	}
	for _, group := range []string{"anyOf", "allOf"} {
		choices, _ := schema[group].([]any)
		for _, choice := range choices {
			if why := outputFault(choice); why != "" {
				return why
			}
		}
	}
	return ""
}
