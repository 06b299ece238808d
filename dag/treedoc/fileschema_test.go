package treedoc

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestFileSchema takes what a tree file may say, and refuses what it may not.
func TestFileSchema(t *testing.T) {
	text, err := FileSchema([]ExecutorInputs{{ID: "rest_executor", Inputs: json.RawMessage(`{"properties":{"url":{"description":"where"}}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("file.json")
	if err != nil {
		t.Fatal(err)
	}
	const whole = `{"taskgrove":1,"name":"n","x-mine":3,"$schema":"s","description":"d","labels":{"a":"{{parameters.a}}"},"timeout":"{{parameters.t}}","pool":"p","priority":1,
		"parameters":{"a":{"type":"string","default":"x"},"b":null},"defaults":{"retry":{"max_attempts":3},"timeout":"{{ parameters.t }}"},
		"tasks":[{"name":"a","executor":"rest","needs":["b",{"task":"c","accept":["failed"],"merge":"{{parameters.m}}"}],"inputs":{"url":"u"},"priority":"{{parameters.p}}","tasks":[{"name":"d"}]}]}`
	for name, change := range map[string][2]string{
		"nothing": {"", ""}, "version": {`"taskgrove":1`, `"taskgrove":2`}, "no name": {`"name":"n",`, ``}, "a key": {`"x-mine"`, `"mine"`}, "a key of a task": {`"executor"`, `"executer"`},
		"of a need": {`"task":"c"`, `"name":"c"`}, "of a parameter": {`"default"`, `"defalt"`}, "of defaults": {`"retry"`, `"labels"`}, "a type": {`"priority":1`, `"priority":"high"`},
		"of a task": {`"{{parameters.p}}"`, `"x{{parameters.p}}"`}, "no tasks": {`[{"name":"d"}]`, `[]`}, "a name of a parameter": {`"b":null`, `"b-c":null`}, "a condition": {`"inputs"`, `"when":3,"inputs"`},
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(whole, change[0], change[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(value); (err == nil) != (name == "nothing") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestKeysOfTreeFiles: no key is in two tables of one object twice, and words that mean a key are none.
func TestKeysOfTreeFiles(t *testing.T) {
	for of, keys := range map[string][]Key{"file": FileKeys(), "task": FileTaskKeys(), "need": NeedKeys(), "defaults": DefaultKeys(), "parameter": ParameterKeys(), "items": ItemKeys()} {
		seen := map[string]bool{}
		for _, k := range keys {
			if seen[k.Name] || k.Effect == "" || k.Default == "" && of != "need" {
				t.Errorf("%s: %s is there twice, or says nothing", of, k.Name)
			}
			seen[k.Name] = true
			if k.Example != "" && !json.Valid([]byte(k.Example)) {
				t.Errorf("%s: the example of %s is no JSON", of, k.Name)
			}
		}
	}
	for word, want := range map[string]string{"depends_on": "did you mean needs?", "run": "did you mean inputs.command?", "id": "write name", "dependencies": "write needs", "nonsense": "is not known; there are name, "} {
		if got := UnknownTaskKey(word); !strings.Contains(got, want) {
			t.Errorf("%s: got %s", word, got)
		}
	}
}
