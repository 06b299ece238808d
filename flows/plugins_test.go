package flows_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/flows"
)

// describing reads descriptions that are an id, or an object with one.
func describing() flows.Options {
	opts := archiving()
	opts.Workspace = []string{"bundle_plugin"}
	opts.Describe = func(text []byte) (string, *flows.Executor, error) {
		var d struct {
			ID      string
			Timeout time.Duration
			Types   []string
		}
		if err := json.Unmarshal(text, &d); err != nil || d.ID == "" {
			return "", nil, errors.New("its description is not JSON")
		}
		var takes *flows.Connector
		if d.Types != nil {
			takes = &flows.Connector{Types: d.Types, Fields: []string{"driver", "password"}}
		}
		return d.ID, &flows.Executor{Connection: takes, Timeout: d.Timeout, Faults: func(in json.RawMessage) []flows.InputFault {
			if !strings.Contains(string(in), `"text"`) {
				return []flows.InputFault{{Field: "text", Missing: true}}
			}
			return nil
		}}, nil
	}
	opts.Bundle = &bundle.Pinned{ID: "b", SHA256: strings.Repeat("a", 64), Size: 1}
	return opts
}

// plugins reads those of a bundle, and shows the reports.
func plugins(files map[string]string, opts flows.Options) (map[string]*flows.Plugin, string) {
	var list []bundle.File
	for name := range files {
		list = append(list, bundle.File{Path: name, SHA256: "sha of " + name})
	}
	all, reports := flows.ReadPlugins("plugins", list, func(name string) ([]byte, *flows.Report) {
		if files[name] == "unreadable" {
			return nil, flows.Unreadable(name, "", "is not there")
		}
		return []byte(files[name]), nil
	}, opts)
	var lines []string
	for _, r := range reports {
		for _, f := range r.Errors {
			lines = append(lines, r.FlowYAML+" "+string(f.Code)+" "+f.Msg)
		}
	}
	return all, strings.Join(lines, "\n")
}

func TestPlugins(t *testing.T) {
	for _, row := range []struct {
		name  string
		files map[string]string
		ids   string
		want  string // parts of the report, separated by |
	}{
		{"none", map[string]string{"a.yaml": "", "other/x.json": `{"id": "x"}`, "other/x": ""}, "", ""},
		{"two", map[string]string{"plugins/a": "", "plugins/a.json": `{"id": "a"}`, "plugins/deep/b.py": "", "plugins/deep/b.py.json": `{"id": "b"}`, "plugins/helper.py": ""}, "a b", ""},
		{"left out", map[string]string{"plugins/_a": "", "plugins/_a.json": "{", "plugins/.b/c": "", "plugins/.b/c.json": "{", "plugins/__pycache__/d.json": "{"}, "", ""},
		{"no program", map[string]string{"plugins/a.json": `{"id": "a"}`}, "", "plugins/a.json spec.plugin describes a plugin, and there is no program"},
		{"no description", map[string]string{"plugins/a": "", "plugins/a.json": "{"}, "", "plugins/a.json spec.plugin its description is not JSON"},
		{"unreadable", map[string]string{"plugins/a": "", "plugins/a.json": "unreadable"}, "", "plugins/a.json spec.bundle_file"},
		{"twice", map[string]string{"plugins/a": "", "plugins/a.json": `{"id": "x"}`, "plugins/b": "", "plugins/b.json": `{"id": "x"}`}, "x", "plugins/b.json spec.plugin is called x, and so is"},
		{"of an executor", map[string]string{"plugins/a": "", "plugins/a.json": `{"id": "zip"}`}, "", `as an executor is that there is already: give it another id, or say "override": true`},
		{"not in its place", map[string]string{"plugins/a": "", "plugins/a.json": `{"id": "zip", "override": false}`}, "", `"override": true`},
		{"in its place", map[string]string{"plugins/a": "", "plugins/a.json": `{"id": "zip", "override": true}`}, "zip", ""},
		{"in its place, as a text", map[string]string{"plugins/a": "", "plugins/a.json": `{"id": "zip", "override": "yes"}`}, "", "override must be true or false"},
		{"of flows", map[string]string{"plugins/a": "", "plugins/a.json": `{"id": "foreach", "override": true}`}, "", "is called foreach, which is a type that flows have by themselves"},
		{"all faults", map[string]string{"plugins/a.json": "", "plugins/b.json": "", "plugins/c": "", "plugins/c.json": "{"}, "", "plugins/a.json|plugins/b.json|plugins/c.json"},
	} {
		all, report := plugins(row.files, describing())
		var ids []string
		for id, p := range all {
			ids = append(ids, id)
			if p.SHA256 != "sha of "+p.Path {
				t.Errorf("%s: %+v", row.name, p)
			}
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != row.ids || row.want == "" && report != "" {
			t.Errorf("%s: %q\n%s", row.name, got, report)
		}
		for part := range strings.SplitSeq(row.want, "|") {
			if !strings.Contains(report, part) {
				t.Errorf("%s: got\n%s\nwant %q", row.name, report, part)
			}
		}
	}
	many := map[string]string{}
	for i := range flows.MaxPlugins + 1 {
		many["plugins/p"+strings.Repeat("x", i)+".json"] = ""
	}
	if _, report := plugins(many, describing()); !strings.Contains(report, "has 65 descriptions of plugins, and 64 are the most") {
		t.Errorf("many: %s", report)
	}
}

// A step of a plugin's type becomes a task that names the program and its digest; its inputs are judged by the description.
func TestStepOfAPlugin(t *testing.T) {
	opts := describing()
	opts.Plugins, _ = plugins(map[string]string{"plugins/a.py": "", "plugins/a.py.json": `{"id": "words"}`, "plugins/z": "", "plugins/z.json": `{"id": "zip", "override": true}`,
		"plugins/p": "", "plugins/p.json": `{"id": "packs", "timeout": 90000000000, "types": ["archive"]}`}, opts)
	compile := func(step string) (string, string) {
		tree, report := flows.Compile("f.yaml", []byte("flow: {id: f}\nresources: {r: {kind: archive, driver: zipfile}, d: {kind: db, driver: postgres, config: {host: h}}}\njobs: [{id: a, steps: [{id: s, "+step+"}]}]"), "r", opts)
		if tree == nil {
			errors, _ := told(report)
			return "", strings.Join(errors, "\n")
		}
		var tasks []struct {
			Name    string
			Schemas map[string]string
			Inputs  json.RawMessage
			Timeout float64
			Params  struct {
				Plugin json.RawMessage
				Bundle struct{ ID string }
			}
		}
		if err := json.Unmarshal(tree.Document, &tasks); err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if task.Timeout != 0 {
				return fmt.Sprintf("%g s %s", task.Timeout, task.Inputs), ""
			}
			if task.Name == "a__s" {
				return task.Schemas["method"] + " " + string(task.Inputs) + " " + string(task.Params.Plugin) + " " + task.Params.Bundle.ID, ""
			}
		}
		return string(tree.Document), ""
	}
	for step, want := range map[string]string{
		"type: words, inputs: {text: x}": `bundle_plugin {"text":"x"} {"id":"words","path":"plugins/a.py","sha256":"sha of plugins/a.py"} b`,
		// What the description says of time and resources counts, where the step says nothing.
		"type: packs, inputs: {text: x}":                                                        `90 s {"text":"x"}`,
		"type: packs, timeout_seconds: 5, inputs: {text: x}":                                    `5 s {"text":"x"}`,
		"type: with_lock, inputs: {lock_key: k, step: {id: s, type: packs, inputs: {text: x}}}": `90 s {"text":"x"}`,
		"type: packs, inputs: {text: x, resource: r}":                                           `90 s {"connection":{"name":"r","kind":"archive","driver":"zipfile"},"text":"x"}`,
		"type: zip, inputs: {text: x}":                                                          `bundle_plugin {"text":"x"} {"id":"zip","path":"plugins/z","sha256":"sha of plugins/z"} b`,
	} {
		if got, faults := compile(step); got != want {
			t.Errorf("%s: got %s\nwant %s\n%s", step, got, want, faults)
		}
	}
	for step, want := range map[string]string{
		"type: words, inputs: {}":                                 "spec.missing_input jobs[0].steps[0].inputs.text",
		"type: word, inputs: {}":                                  "spec.unknown_step_type",
		"type: words, inputs: {text: x, resource: r}":             "spec.not_supported jobs[0].steps[0].inputs.resource",
		"type: packs, inputs: {text: x, resource: d}":             "spec.wrong_resource jobs[0].steps[0].inputs.resource",
		"type: packs, inputs: {text: x, resource: r, driver: os}": "spec.wrong_resource jobs[0].steps[0].inputs.driver",
		"type: packs, inputs: {text: x, resource: none}":          "jobs[0].steps[0].inputs.resource",
		"type: bundle_plugin, inputs: {text: x}":                  "spec.unknown_step_type",
		"type: bundle_plugin:words, inputs: {}":                   "spec.unknown_step_type",
	} {
		if got, faults := compile(step); got != "" || !strings.Contains(faults, want) {
			t.Errorf("%s: got %s%s\nwant %s", step, got, faults, want)
		}
	}
}
