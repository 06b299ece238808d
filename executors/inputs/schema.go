package inputs

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// form says which forms a schema may have.
type form byte

const (
	standard form = 's' // JSON Schema
	either   form = 'e' // JSON Schema or the simplified form of spec 3.12
)

// location is the schema's name within the compiler. Nothing can be loaded from it.
const location = "urn:taskgrove:schema"

// compile compiles a schema. Its errors are safe to show.
func compile(f form, text []byte) (out *compiled, err error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("it is not valid JSON")
	}
	switch s := doc.(type) {
	case bool:
	case map[string]any:
		if f == either && simplified(s) {
			doc = convert(s)
		}
	default:
		return nil, errors.New("it is not an object")
	}
	if anchored(doc) {
		return nil, errors.New("$dynamicAnchor is not known here")
	}
	first, err := bind(doc)
	if err != nil {
		return nil, err
	}
	out = &compiled{schema: first.schema, doc: doc}
	out.idle.Put(first)
	out.members, out.shallow = members(doc)
	out.flat = flatten(doc)
	return out, nil
}

// bind compiles what a schema says, for one check at a time.
func bind(doc any) (out *bounded, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, errors.New("it can't be compiled")
		}
	}()
	left := &work{visits: baseVisits, steps: baseSteps}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(left.pattern)
	for _, name := range formats {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
	}
	if err := c.AddResource(location, doc); err != nil {
		return nil, err
	}
	schema, err := c.Compile(location)
	if err != nil {
		return nil, err
	}
	left.count(schema)
	return &bounded{schema, left}, nil
}

// compiled is a compiled schema. Safe for concurrent use.
type compiled struct {
	schema  *jsonschema.Schema // to be read
	doc     any
	idle    sync.Pool // of *bounded
	flat    *flat     // nil: it is not
	shallow bool      // it is about members only
	members [][]byte  // their names in JSON, when it is shallow
}

// validate checks a value.
func (c *compiled) validate(value any) error {
	b, ok := c.idle.Get().(*bounded)
	if !ok {
		var err error
		if b, err = bind(c.doc); err != nil {
			return err
		}
	}
	defer c.idle.Put(b)
	return b.validate(value)
}

// noLoader loads nothing: a user's schema must not make us fetch URLs or read files.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is another document, and those are not fetched", url)
}

// formats lists the formats that the library checks in drafts before 2019-09.
var formats = []string{
	"json-pointer", "relative-json-pointer", "uuid", "duration", "period", "ipv4", "ipv6", "hostname", "email", "date",
	"time", "date-time", "uri", "iri", "uri-reference", "iri-reference", "uri-template", "semver",
}

// simplified reports whether a schema has the simplified form of spec 3.12, {field: {type, required: bool, ...}}: it has
// fields, an object describes each of them, and none is used as a keyword of JSON Schema.
func simplified(s map[string]any) bool {
	if len(s) == 0 {
		return false
	}
	for name, value := range s {
		field, ok := value.(map[string]any)
		if !ok {
			return false // "type": "object", "required": [...], "$ref": "..."
		}
		switch name {
		case "properties", "$defs", "definitions", "patternProperties", "dependentSchemas":
			if allObjects(field) {
				return false // a set of schemas; the description of a field of this name has a text as its type
			}
		case "not", "if", "then", "else", "propertyNames", "additionalProperties", "items", "contains":
			if len(s) == 1 {
				return false
			}
		}
	}
	return true
}

func allObjects(m map[string]any) bool {
	for _, value := range m {
		switch value.(type) {
		case map[string]any, bool:
		default:
			return false
		}
	}
	return true
}

// convert turns the simplified form into an object schema. A field without a type is a string (spec 3.12); its other keywords
// are kept.
func convert(fields map[string]any) map[string]any {
	properties, required := map[string]any{}, []any{}
	for name, value := range fields {
		field, ok := value.(map[string]any)
		if !ok { // nested: not a description of a field
			properties[name] = true
			continue
		}
		property := map[string]any{"type": "string"}
		for key, v := range field {
			switch key {
			case "required":
				if yes, isBool := v.(bool); !isBool {
					property[key] = v
				} else if yes {
					required = append(required, name)
				}
			case "properties":
				if nested, ok := v.(map[string]any); ok {
					inner := convert(nested)
					property["properties"] = inner["properties"]
					if names, ok := inner["required"]; ok && property["required"] == nil {
						property["required"] = names
					}
				}
			default:
				property[key] = v
			}
		}
		properties[name] = property
	}
	schema := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// Usable says why a text can't be used as a JSON Schema; nil: it can. Its errors are safe to show.
func Usable(schema []byte) error {
	_, err := compile(standard, schema)
	return err
}
