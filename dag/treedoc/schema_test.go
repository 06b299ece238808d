package treedoc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskgrove/taskgrove/dag"
)

// compiled is the schema of documents.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema([]ExecutorInputs{{"command_executor", json.RawMessage(`{"properties":{"command":{"type":"string"}}}`)}, {"any_executor", json.RawMessage(`{"type":"object"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("tree", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("tree")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refusedBySchema is why the schema refuses a document.
func refusedBySchema(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.Validate(value)
}

// refusedForShape is why reader and rules refuse a document, but for what tasks have to do with one another.
func refusedForShape(text string) error {
	b := dag.NewBuilder(dag.Limits{}, func() string { return "new" })
	for task, err := range Parse([]byte(text), Options{}) {
		if err != nil {
			return err
		}
		if _, err := b.Add(task); err != nil {
			return err
		}
	}
	_, err := b.Build()
	bad, ok := errors.AsType[*dag.InvalidTreeError](err)
	if !ok {
		return err
	}
	for _, p := range bad.Problems {
		switch {
		case strings.Contains(p.Reason, "a group, which runs nothing"), strings.Contains(p.Reason, "only the dependencies of a fold"):
		case p.Code == dag.InvalidField, strings.Contains(p.Reason, "must have 'id' or 'name'"), strings.Contains(p.Reason, "cannot be empty"):
			return p
		}
	}
	return nil
}

// shapes are values of all kinds, good for some keys.
var shapes = []string{
	`null`, `true`, `false`, `0`, `1`, `-1`, `3`, `4`, `1.5`, `2.0`, `1e3`, `1e300`, `-0.0`, `0.0001`, `0.001`, `0.0015`, `315360000`, `315360001`, `1000`, `1001`,
	`""`, `"a"`, `"retry"`, `"fail"`, `"exponential"`, `"linear"`, `"fixed"`, `"x y"`, `"é木"`, `"a\nb"`, `"a\u0000"`, `"a-b_C9"`, `"1"`, `"true"`,
	`"2030-01-02"`, `"2030-01-02T03:04"`, `"2030-01-02T03:04:05Z"`, `"2030-01-02T03:04:05.25+01:30"`, `"2030-01-02T03:04:05+0130"`, `"2030-01-02 03:04:05"`, `"2030-13-02"`, `"2030-01-02T25:00"`, `"tomorrow"`,
	`"` + strings.Repeat("a", 64) + `"`, `"` + strings.Repeat("a", 65) + `"`, `"` + strings.Repeat("木", 255) + `"`, `"` + strings.Repeat("a", 256) + `"`,
	`[]`, `[1]`, `["a"]`, `["a","b"]`, `[""]`, `[null]`, `[[]]`, `[{}]`, `[{"id":"a"}]`, `[{"id":7}]`, `[{"name":"b"}]`, `[{"id":"","name":"c"}]`, `[{"id":null,"name":"c"}]`, `[{"id":""}]`, `[{"id":null}]`, `[{"name":"` + strings.Repeat("a", 256) + `"}]`,
	`[{"id":"a","required":false,"type":"x","mine":1}]`, `[{"id":"a","required":"no"}]`, `[{"id":"a","type":1}]`, `[{"id":"a","required":null}]`,
	`{}`, `{"a":1}`, `{"max_attempts":3}`, `{"max_attempts":-1}`, `{"max_attempts":1001}`, `{"max_attempts":null,"backoff":null}`, `{"backoff":"x"}`, `{"backoff":"fixed"}`,
	`{"initial_delay":-1}`, `{"initial_delay":0.5,"max_delay":1e9}`, `{"max_delay":"1s"}`, `{"method":1}`, `{"method":"x","type":"http","mine":{}}`, `{"model":null}`,
	`{"method":"command_executor"}`,
}

// TestSchemaAndReaderAgree compares them for every key with values of every kind: each refuses what the other refuses.
func TestSchemaAndReaderAgree(t *testing.T) {
	s := compiled(t)
	accepted, refused := 0, 0
	compare := func(text string) {
		bySchema, byReader := refusedBySchema(t, s, text), refusedForShape(text)
		if (bySchema == nil) != (byReader == nil) {
			t.Errorf("%s\nschema: %v\nreader: %v", text, bySchema, byReader)
		}
		if byReader == nil {
			accepted++
		} else {
			refused++
		}
	}
	for _, value := range shapes {
		for _, k := range taskKeys {
			if k.Name != "name" {
				compare(fmt.Sprintf(`[{"name":"n",%q:%s}]`, k.Name, value))
			} else {
				compare(fmt.Sprintf(`[{%q:%s}]`, k.Name, value))
			}
		}
		for _, name := range append([]string{"mine"}, stored...) {
			compare(fmt.Sprintf(`{"name":"n",%q:%s}`, name, value))
		}
		for _, k := range retryKeys {
			compare(fmt.Sprintf(`{"name":"n","retry":{%q:%s}}`, k.Name, value))
		}
		for _, k := range dependencyKeys {
			compare(fmt.Sprintf(`{"name":"n","dependencies":["m",{"id":"m",%q:%s}]}`, "x"+k.Name, value))
			if k.Name != "id" {
				compare(fmt.Sprintf(`{"name":"n","dependencies":["m",{"id":"m",%q:%s}]}`, k.Name, value))
			}
		}
		compare(fmt.Sprintf(`{"name":"n","schemas":{"method":"command"},"inputs":{"command":%s,"other":%[1]s}}`, value))
		compare(value)
		compare(`[` + value + `]`)
		compare(`{"tasks":` + value + `}`)
		compare(`{"name":"n","tasks":` + value + `}`)
		compare(`[{"name":"n","tasks":` + value + `}]`)
	}
	if accepted < 500 || refused < 500 {
		t.Errorf("%d documents were accepted and %d refused, which says little", accepted, refused)
	}
}

func TestSchemaRefusesWordsThatLikelyMeanAKey(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{
		`[{"name":"a","retries":3}]`, `[{"name":"a","depends_on":["b"]}]`, `[{"name":"a","dependencies":[{"id":"b","optional":true}]}]`, `{"name":"a","retry":{"max_attempt":3}}`,
	} {
		if refusedBySchema(t, s, text) == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

// TestExamplesOfKeysAreRight holds the examples on the reference page against the schema and the reader.
func TestExamplesOfKeysAreRight(t *testing.T) {
	s := compiled(t)
	for prefix, keys := range map[string][]Key{`{"name":"n",%s}`: taskKeys, `{"name":"n","schemas":{%s}}`: schemasKeys, `{"name":"n","params":{%s}}`: paramsKeys,
		`{"name":"n","retry":{%s}}`: retryKeys, `{"name":"n","dependencies":[{"id":"x",%s}]}`: dependencyKeys} {
		for _, k := range keys {
			if k.Name == "id" && keys[1].Name == "name" {
				continue // is in all of them
			}
			if k.Effect == "" || k.Example == "" {
				t.Errorf("%s has no effect or no example", k.Name)
			}
			text := fmt.Sprintf(prefix, fmt.Sprintf("%q:%s", k.Name, k.Example))
			if k.Name == "name" && keys[0].Name == "name" {
				text = strings.Replace(text, `"name":"n",`, "", 1)
			}
			if err := errors.Join(refusedBySchema(t, s, text), refusedForShape(text)); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}
