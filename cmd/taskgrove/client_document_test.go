package main

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// TestBadFiles submits a file of each kind of fault: each ends with 2, says where, and nothing of it is stored.
func TestBadFiles(t *testing.T) {
	svc := double(t)
	for name, c := range map[string]struct {
		text string
		want []string // parts of the output, in order; FILE is the file
	}{
		"nothing":                 {"", []string{"not accepted:\n  FILE: the file is empty"}},
		"white space":             {" \n\t\n", []string{"not accepted:\n  FILE: the file is empty"}},
		"a byte order mark only":  {"\ufeff", []string{"not accepted:\n  FILE: the file is empty"}},
		"comments only":           {"# a\n# b\n", []string{"FILE: there is no document in it"}},
		"UTF-16":                  {"\xff\xfe[\x00]\x00", []string{"FILE:1:1: not UTF-8"}},
		"Latin-1":                 {"- name: a\n- name: caf\xe9\n", []string{"FILE:2:12: not UTF-8"}},
		"an array of no tasks":    {"[]", []string{"Tasks array cannot be empty. Submit one task"}},
		"a number":                {"7", []string{"FILE:1:1: must be a list of tasks"}},
		"text":                    {"hello\n", []string{"FILE:1:1: must be a list of tasks"}},
		"tasks that are no list":  {"tasks: {a: 1}\n", []string{"FILE: Tasks must be a list"}},
		"tasks beside other keys": {"version: 1\ntasks: []\n", []string{`"tasks" can't stand beside other keys`}},

		"JSON that ends":          {"[\n  {\"name\": \"a\"},\n", []string{"FILE:3:1: not valid JSON: unexpected end"}},
		"JSON with a comma":       {"[\n  {\"name\": \"a\",}\n]", []string{"FILE:2:16: not valid JSON: unexpected '}', want a key"}},
		"JSON with a comment":     {"[\n  // a task\n  {\"name\": \"a\"}]", []string{"FILE:2:3: not valid JSON: unexpected '/'"}},
		"JSON with single quotes": {"[{'name': 'a'}]", []string{"FILE:1:3: not valid JSON: unexpected ''', want a key"}},
		"two JSON documents":      {"{\"name\":\"a\"}\n{\"name\":\"b\"}", []string{"FILE:2:1: not valid JSON: unexpected '{', want the end"}},
		"YAML without end":        {"- name: a\n  inputs: {a: [1, 2\n", []string{"FILE:2:", "not valid YAML: "}},
		"YAML with a tab":         {"- name: a\n\tinputs: {}\n", []string{"FILE:2:", "not valid YAML: "}},
		"YAML indented wrongly":   {"- name: a\n  id: x\n pool: y\n", []string{"FILE:3:2: not valid YAML: "}},
		"an alias of nothing":     {"- name: a\n- *b\n", []string{"FILE:2:3: there is no anchor &b before this alias"}},
		"an alias of itself":      {"- name: a\n  inputs: &i {x: *i}\n", []string{"an alias stands within what it stands for"}},
		"a key that is no text":   {"- name: a\n  inputs:\n    ? {b: 1}\n    : 2\n", []string{"FILE:4:5: not valid YAML: "}},
		"not a number of JSON":    {"- name: a\n  inputs: {x: .nan}\n", []string{"FILE:2:15: .nan is not a number that JSON has"}},
		"a tag that is wrong":     {"- name: a\n  inputs: {x: !!int many}\n", []string{`FILE:2:15: "many" is not a number`}},

		"types, in JSON": {"[{\"name\":\"a\",\"priority\":\"high\"},\n {\"name\": 7, \"parent_id\":\"a\",\n  \"dependencies\": [\"a\", {\"id\": 8}]}]", []string{
			"FILE:1:14: tasks[0].priority: must be an integer", "FILE:2:3: tasks[1].name: must be a string", "FILE:3:26: tasks[1].dependencies[1].id: must be a string"}},
		"types, in YAML": {"- name: a\n  priority: high\n- name: [b]\n  parent_id: a\n  dependencies:\n  - a\n  - id: {}\n  retry:\n    max_attempts: many\n", []string{
			"FILE:2:3: tasks[0].priority: must be an integer", "FILE:3:3: tasks[1].name: must be a string", "FILE:7:5: tasks[1].dependencies[1].id: must be a string",
			"FILE:9:5: tasks[1].retry.max_attempts: must be an integer"}},
		"types and shape together": {"- {name: a, timeout: 1h}\n- {name: b}\n", []string{"FILE: Multiple root tasks found: ['a', 'b']", "add a common root", "FILE:1:13: tasks[0].timeout: must be a number of seconds"}},
		"one task":                 {"name: a\npool: a b\n", []string{"FILE:2:1: tasks[0].pool: must be 1 to 64 letters"}},
		"wrapped, with a schema":   {"{\"$schema\":\"x\",\n\"tasks\":[{\"name\":\"a\"},\n{\"name\":\"b\",\"parent_id\":\"x\"}]}", []string{"FILE:3:13: Task 'b' at index 1 has parent_id 'x'"}},
		"an item that is no task":  {"- name: a\n- b\n", []string{"FILE:2:3: tasks[1]: must be an object"}},
		"a key twice, in JSON":     {"[{\"name\":\"a\",\n\"name\":\"b\"}]", []string{"FILE:2:1: tasks[0].name: must not be there twice"}},
		"a key twice, in YAML":     {"- name: a\n  name: b\n", []string{"FILE:2:3: tasks[0].name: must not be there twice"}},
		"merged keys":              {"tasks:\n- &d {name: a, priority: x}\n- {<<: *d, name: b, parent_id: a}\n", []string{"FILE:2:16: tasks[0].priority", "FILE:2:16: tasks[1].priority"}},
		"a cycle":                  {"- {name: a}\n- {name: b, parent_id: a, dependencies: [c]}\n- {name: c, parent_id: a, dependencies: [b]}\n", []string{"FILE:2:27: Circular dependency detected: b -> c -> b"}},
		"an unknown dependency":    {"- {name: root}\n- {name: fetch-orders, parent_id: root}\n- {name: c, parent_id: root, dependencies: [fetch-order]}\n", []string{"FILE:3:30: Task 'c' at index 2", "did you mean 'fetch-orders'?"}},
		"misspelt keys": {"- name: a\n  time_out: 5\n- name: b\n  parent_id: a\n  dependecies: [a]\n  dependencies: [{name: a}]\n", []string{
			"FILE:2:3: tasks[0].time_out: has no effect", "did you mean timeout?", "FILE:5:3: tasks[1].dependecies", "--allow-unknown"}},
		"a key that no dependency has": {"- name: a\n- name: b\n  parent_id: a\n  dependencies: [{name: a, optional: true}]\n", []string{
			"FILE:4:28: tasks[1].dependencies[0].optional: there is no such key; did you mean required: false?"}},
		"misspelt keys, too deep for them": {"- name: a\n  schemas: {metod: noop_executor}\n", []string{"FILE:2:13: tasks[0].schemas.metod", "did you mean method?"}},
		"nested too deep":                  {"- name: a\n  inputs: {x: " + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}\n", []string{"FILE:2:", "deeper than 256 levels"}},
	} {
		for _, mark := range []string{"", "\ufeff"} {
			if mark != "" && (strings.HasPrefix(name, "UTF") || strings.HasPrefix(c.text, "\ufeff")) {
				continue
			}
			path := file(t, "tree", mark+c.text)
			out, note, code := runCommand(t, "submit", path)
			rest := strings.ReplaceAll(note, path, "FILE")
			for _, want := range c.want {
				at := strings.Index(rest, want)
				if at < 0 {
					t.Errorf("%s: %s\nwant %q", name, note, c.want)
					break
				}
				rest = rest[at+len(want):]
			}
			if !strings.HasPrefix(note, "taskgrove: not accepted:\n") {
				t.Errorf("%s: no head: %s", name, note)
			}
			if code != exitUsage || out != "" {
				t.Errorf("%s: exit %d, want %d; stdout %q", name, code, exitUsage, out)
			}
			for _, phrase := range apitest.LibraryPhrases(note) {
				t.Errorf("%s: %q is a library's: %s", name, phrase, note)
			}
		}
	}
	if stored, err := svc.Trees(t.Context(), coordinator.TreeFilter{}); err != nil || len(stored.Items) != 0 {
		t.Errorf("%d trees were stored, %v", len(stored.Items), err)
	}
}

func TestAllowUnknown(t *testing.T) {
	double(t)
	path := file(t, "tree.yaml", "- name: a\n  id: a\n  retries: 3\n")
	if _, _, code := runCommand(t, "submit", path); code != exitUsage {
		t.Errorf("exit %d without the flag", code)
	}
	out, note, code := runCommand(t, "submit", path, "--allow-unknown")
	if code != exitOK || out != "a\n" || !strings.Contains(note, path+":3:3: warning: tasks[0].retries: has no effect") {
		t.Errorf("exit %d, %q, %s", code, out, note)
	}
	path = file(t, "two.yaml", "- {name: b, id: b}\n- name: c\n  id: c\n  parent_id: b\n  time_out: 3\n  retries: 2\n")
	_, note, code = runCommand(t, "submit", path, "--allow-unknown")
	first, second := strings.Index(note, path+":5:3: warning: tasks[1].time_out"), strings.Index(note, path+":6:3: warning: tasks[1].retries")
	if code != exitOK || first < 0 || second < first {
		t.Errorf("exit %d, warnings are not in the order of lines:\n%s", code, note)
	}
}

// TestFaultsOfAServerHaveTheOrderOfLines: a server tells them in the order in which it found them.
func TestFaultsOfAServerHaveTheOrderOfLines(t *testing.T) {
	path := file(t, "tree.yaml", "- name: a\n  pool: p\n- name: b\n  parent_id: a\n  inputs: {}\n")
	document, err := treefile.Read(path, treefile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := faultsIn(document, &client.InvalidError{More: 3, Faults: []client.Fault{
		{Field: "tasks[1].inputs", Reason: "tasks[1].inputs: odd"}, {Field: "tasks[1].name", Reason: "taken"}, {Field: "tasks", Reason: "too many"},
		{Field: "tasks[0].pool", Reason: "full"}}})
	want := strings.ReplaceAll("not accepted:\n  FILE: too many\n  FILE:2:3: full\n  FILE:3:3: taken\n  FILE:5:3: tasks[1].inputs: odd\n  and 3 more", "FILE", path)
	if got.Error() != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
