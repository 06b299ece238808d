package builtin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/reference"
)

// TestDocumentNamesEachExecutor fails when a page is not what its generator makes: of an executor, or the tables of all, which tell the
// slots, too. "go generate ./executors/builtin" makes them.
func TestDocumentNamesEachExecutor(t *testing.T) {
	files, err := reference.Files("../..", func() []executors.Executor { return builtin.New(builtin.Config{}) })
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile("../../" + name); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what its generator makes (%v): run go generate ./executors/builtin", name, err)
		}
	}
	entries, err := os.ReadDir("../../docs/executors")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if files["docs/executors/"+entry.Name()] == nil {
			t.Errorf("docs/executors/%s is of no executor", entry.Name())
		}
	}
}

// TestWhatIsCutIsNamed: an executor that may cut a value says so by truncated_fields, beside it, so that no template takes a part for the whole.
func TestWhatIsCutIsNamed(t *testing.T) {
	var cut []string
	var look func(where string, schema map[string]any)
	look = func(where string, schema map[string]any) {
		properties, _ := schema["properties"].(map[string]any)
		if properties["truncated"] != nil {
			cut = append(cut, where)
			if properties["truncated_fields"] == nil {
				t.Errorf("%s has truncated without truncated_fields", where)
			}
		}
		for name, p := range properties {
			if p, ok := p.(map[string]any); ok {
				look(where+"."+name, p)
				if items, ok := p["items"].(map[string]any); ok {
					look(where+"."+name+"[]", items)
				}
			}
		}
	}
	for d := range builtin.Catalogue() {
		var schema map[string]any
		if len(d.Output) > 0 && json.Unmarshal(d.Output, &schema) != nil {
			t.Errorf("%s: its schema can't be read", d.ID)
		}
		look(d.ID, schema)
	}
	if len(cut) < 5 {
		t.Errorf("only %v may cut", cut)
	}
}

// TestExamplesFitTheirSchemas runs none: the executors' own tests do.
func TestExamplesFitTheirSchemas(t *testing.T) {
	checker := inputs.NewChecker(0)
	for d := range builtin.Catalogue() {
		for _, example := range d.Examples {
			call, _ := conformance.Call(t, conformance.Resolved(d, example.Inputs))
			if err := checker.Check(d, call); err != nil || example.Title == "" {
				t.Errorf("%s: example %q: %v", d.ID, example.Title, err)
			}
			if err := sameDocument(d.ID, example); err != nil {
				t.Errorf("%s: example %q: %v", d.ID, example.Title, err)
			}
		}
	}
}

// TestExamplesRun runs those of the executors whose own tests don't, against a service of its own.
func TestExamplesRun(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	own := []string{"system_info_executor", "command_executor", "rest_executor", "aggregate_results_executor", "noop_executor",
		"noop_repeatable_executor", "sleep_executor", "external.process", "check_items", "doctor_executor"}
	for _, e := range builtin.New(builtin.Config{Command: command.Config{Allow: true}, Network: network.Config{Guard: network.Guard{Loopback: true}}}) {
		d := e.Describe()
		if !slices.Contains(own, d.ID) {
			continue
		}
		for _, example := range d.Examples {
			call, _ := conformance.Call(t, strings.ReplaceAll(string(example.Inputs), "https://example.org", server.URL))
			if _, err := e.Run(t.Context(), call); err != nil {
				t.Errorf("%s: example %q: %v", d.ID, example.Title, err)
			}
		}
	}
}

// sameDocument says whether the document of the page holds what the test ran.
func sameDocument(id string, example executors.Example) error {
	text, err := reference.Document(id, example)
	if err != nil {
		return err
	}
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return err
	}
	var doc struct {
		Tasks []struct{ Inputs, Params any }
	}
	if err := json.Unmarshal(asJSON, &doc); err != nil {
		return err
	}
	if len(doc.Tasks) != 1 || !holds(doc.Tasks[0].Inputs, example.Inputs) || !holds(doc.Tasks[0].Params, example.Params) {
		return fmt.Errorf("the document is\n%s", text)
	}
	return nil
}

// holds says whether a part of a document is an object, which it leaves out if that is empty.
func holds(got any, object json.RawMessage) bool {
	var want any
	if len(object) > 0 && json.Unmarshal(object, &want) != nil {
		return false
	}
	if fields, ok := want.(map[string]any); ok && len(fields) == 0 {
		want = nil
	}
	return reflect.DeepEqual(got, want)
}

func TestExecutorsHaveExamples(t *testing.T) {
	for d := range builtin.Catalogue() {
		if len(d.Examples) == 0 {
			t.Errorf("%s has no example for its page", d.ID)
		}
	}
}

// TestFieldsAreDescribed fails for an input or a field of a result that its schema says nothing of.
func TestFieldsAreDescribed(t *testing.T) {
	for d := range builtin.Catalogue() {
		for kind, schema := range map[string]json.RawMessage{"input": d.Inputs, "result": d.Output} {
			bare, err := reference.Undescribed(schema)
			if err != nil {
				t.Errorf("%s: %s: %v", d.ID, kind, err)
			}
			if len(bare) > 0 {
				t.Errorf("%s: the %s schema does not describe %s", d.ID, kind, strings.Join(bare, ", "))
			}
		}
	}
}
