package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestATreeCanBeSubmittedAgain: what "tree" prints as JSON or YAML is a document of the same tree.
func TestATreeCanBeSubmittedAgain(t *testing.T) {
	svc := double(t)
	submitted(t, `[{"id":"r","name":"root","tree_timeout":60,"dependencies":[{"id":"a","required":false},"b"],"note":"kept","state":"mine"},
		{"id":"a","name":"a","parent_id":"r","priority":0,"inputs":{"n":12345678901234567890},"schemas":{"method":"noop_executor","type":"core"},
		 "params":{"p":[1]},"pool":"gpu","timeout":1.5,"schedule_to_start":30,"not_before":"2040-01-02T03:04:05Z","on_lost":"fail","repeatable":true,
		 "retry":{"max_attempts":3,"backoff":"linear","initial_delay":2,"max_delay":20}},
		{"id":"b","name":"noop_executor","parent_id":"r"}]`)
	svc.Complete("a", `{"done":true}`)
	svc.Fail("b", "no luck")
	first := exportOf(t, "r")
	for _, format := range []string{"json", "yaml"} {
		text, note, code := runCommand(t, "tree", "a", "-o", format)
		if code != exitOK || !strings.Contains(text, "no luck") {
			t.Fatalf("exit %d: %s%s", code, text, note)
		}
		out, note, code := runCommand(t, "submit", file(t, "again."+format, text))
		if code != exitOK {
			t.Fatalf("%s: exit %d: %s\n%s", format, code, note, text)
		}
		if got := exportOf(t, strings.TrimSpace(out)); !reflect.DeepEqual(got, first) {
			t.Errorf("%s: got\n%v\nwant\n%v", format, got, first)
		}
		if timeout := svc.LastSubmit().Timeout; timeout.Seconds() != 60 {
			t.Errorf("%s: the tree's timeout: got %v", format, timeout)
		}
	}
}

// exportOf is what was submitted of a tree, without the ids, which are the cluster's in a copy.
func exportOf(t *testing.T, id string) []map[string]any {
	t.Helper()
	text, _, _ := runCommand(t, "tree", id, "-o", "json")
	var e struct{ Tasks []map[string]any }
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		t.Fatal(err)
	}
	for i, task := range e.Tasks {
		only := map[string]any{"custom": task["custom"], "ref": task["ref"]}
		for _, key := range documentKeys {
			if key != "id" && key != "parent_id" && key != "dependencies" {
				only[key] = task[key]
			}
		}
		dependencies, _ := task["dependencies"].([]any)
		only["dependencies"] = len(dependencies)
		e.Tasks[i] = only
	}
	return e.Tasks
}

// TestACopyCallsItsTasksAsTheFirstDid: results get into inputs by these references, also in the copy of a copy.
func TestACopyCallsItsTasksAsTheFirstDid(t *testing.T) {
	double(t)
	for _, document := range []string{
		`[{"name":"root","dependencies":["fetch"]},{"name":"fetch","parent_id":"root"}]`,
		`[{"id":"1","name":"root","dependencies":["2"]},{"id":"2","name":"fetch","parent_id":"1"}]`,
	} {
		id, _, _ := runCommand(t, "submit", file(t, "t.json", document))
		first := exportOf(t, strings.TrimSpace(id))
		for range 2 {
			text, _, _ := runCommand(t, "tree", strings.TrimSpace(id), "-o", "yaml")
			var note string
			var code int
			if id, note, code = runCommand(t, "submit", file(t, "copy.yaml", text)); code != exitOK {
				t.Fatalf("%s\n%s", note, text)
			}
			if got := exportOf(t, strings.TrimSpace(id)); !reflect.DeepEqual(got, first) || got[0]["dependencies"] != 1 || got[1]["ref"] == "" {
				t.Errorf("%s: got %v, want %v", document, got, first)
			}
		}
	}
}

func TestOtherDocumentsStayAsTheyAre(t *testing.T) {
	for _, text := range []string{`[{"tree":{},"tasks":[]}]`, `{"name":"tree","tree":"x"}`, `{"tasks":[{"name":"a","custom":{"x":1}}]}`, `{"tree":null,"tasks":[]}`, `{"tree"`} {
		if got, was, err := imported(false)([]byte(text)); err != nil || was || string(got) != text {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
}
