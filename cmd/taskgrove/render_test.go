package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

const treeFile = `taskgrove: 1
name: report
parameters:
  day: {type: integer, required: true}
tasks:
- name: fetch
  executor: command
  inputs: {command: "echo {{parameters.day}}"}
- name: clean
  executor: command
  needs: [fetch]
  inputs: {command: sort, stdin: "{{deps.fetch.result.stdout}}"}
`

// TestRender prints trees in both formats, reads standard input, and ends with 2 at faults.
func TestRender(t *testing.T) {
	path := file(t, "tree.yaml", treeFile)
	out, note, code := runCommand(t, "render", path, "--set", "day=3")
	var tasks []map[string]any
	if err := json.Unmarshal([]byte(out), &tasks); err != nil || len(tasks) != 3 || code != exitOK || note != "" {
		t.Fatalf("exit %d, %v, %s %s", code, err, out, note)
	}
	if got := tasks[1]["inputs"].(map[string]any)["command"]; got != "echo 3" {
		t.Errorf("got %v", got)
	}
	values := file(t, "values.yaml", "day: 4\n")
	if out, _, code = runCommand(t, "render", path, "--values", values, "-o", "yaml"); code != exitOK || !strings.Contains(out, "command: echo 4\n") {
		t.Errorf("exit %d, %s", code, out)
	}
	if out, _, code = runCommand(t, "render", path, "--values", values, "--set", "day=5"); code != exitOK || !strings.Contains(out, "echo 5") {
		t.Errorf("exit %d, %s", code, out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, path + ":4:3: parameters.day: is required, and no value is given"},
		{[]string{"--set", "day=x"}, `--set day: must be an integer, and is "x"`},
		{[]string{"--set", "day"}, `--set: want NAME=VALUE, got "day"`},
		{[]string{"--values", file(t, "bad.yaml", "day: x\ndax: 1\n")}, "bad.yaml:1:1: day: must be an integer, and is a string"},
		{[]string{"--values", "nowhere"}, "nowhere"},
		{[]string{"--set", "day=1", "-o", "text"}, "json"},
	} {
		if out, note, code := runCommand(t, append([]string{"render", path}, c.args...)...); code != exitUsage || out != "" || !strings.Contains(note, c.want) {
			t.Errorf("%q: exit %d, %s%s, want %s", c.args, code, out, note, c.want)
		}
	}
}

// TestSubmitOfTreeFiles stores the tree that a file makes, and nothing of one with faults. What the server says is told at the file's lines.
func TestSubmitOfTreeFiles(t *testing.T) {
	double(t)
	path := file(t, "tree.yaml", treeFile)
	if out, note, code := runCommand(t, "submit", path, "--set", "day=3"); code != exitOK || out == "" {
		t.Errorf("exit %d, %s%s", code, out, note)
	}
	out, note, code := runCommand(t, "submit", file(t, "bad.yaml", strings.ReplaceAll(treeFile, "needs", "depends_on")), "--set", "dax=3")
	for _, want := range []string{"--set dax: there is no such parameter; there is day", "bad.yaml:4:3: parameters.day: is required", "bad.yaml:11:3: tasks[1].depends_on: there is no such key; did you mean needs?"} {
		if code != exitUsage || out != "" || !strings.Contains(note, want) || strings.Count(note, "\n") != 4 {
			t.Errorf("exit %d, %s%s, want %s", code, out, note, want)
		}
	}
	misspelt := file(t, "cwd.yaml", strings.Replace(treeFile, "inputs: {command: sort", "inputs: {cwdd: x, command: sort", 1))
	if _, note, code := runCommand(t, "submit", misspelt, "--set", "day=3"); code != exitUsage || !strings.Contains(note, "--allow-unknown submits it all the same") || !strings.Contains(note, "tasks[1].inputs.cwdd") {
		t.Errorf("exit %d, %s", code, note)
	}
	if _, note, code := runCommand(t, "submit", misspelt, "--set", "day=3", "--allow-unknown"); code != exitOK {
		t.Errorf("exit %d, %s", code, note)
	}
	if _, note, code := runCommand(t, "submit", file(t, "plain.yaml", "name: a\n"), "--set", "day=3"); code != exitUsage || !strings.Contains(note, "only a tree file has") {
		t.Errorf("exit %d, %s", code, note)
	}
}

// TestSubmitOfSeveralTrees stores what files, a directory and YAML with several documents hold, or nothing, and tells the faults of all at their lines.
func TestSubmitOfSeveralTrees(t *testing.T) {
	svc := double(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.yaml", treeFile)
	write("b.yml", treeFile+"---\n"+treeFile)
	write("note.txt", "no tree")
	write(".hidden.yaml", "no tree")
	other := file(t, "c.json", `{"taskgrove": 1, "name": "c", "parameters": {"day": {"type": "integer"}}, "tasks": [{"name": "x", "executor": "noop"}]}`)
	out, note, code := runCommand(t, "submit", dir, other, "--set", "day=3", "--idempotency-key", "night")
	ids := strings.Fields(out)
	if code != exitOK || note != "" || len(ids) != 4 {
		t.Fatalf("exit %d, %s%s", code, out, note)
	}
	if again, _, code := runCommand(t, "submit", dir, other, "--set", "day=3", "--idempotency-key", "night", "-o", "json"); code != exitOK || strings.Count(again, `"replayed":true`) != 4 || !strings.Contains(again, ids[3]) {
		t.Errorf("exit %d, %s", code, again)
	}
	before := svc.LastSubmit()
	write("b.yml", treeFile+"---\n"+strings.Replace(treeFile, "needs", "nedes", 1))
	write("d.yaml", "a: [")
	out, note, code = runCommand(t, "submit", dir, other)
	for _, want := range []string{"a.yaml:4:3: parameters.day: is required", "b.yml:4:3: parameters.day: is required", "b.yml:17:3: parameters.day: is required", "b.yml:24:3: tasks[1].nedes: there is no such key; did you mean needs?", "d.yaml:1:"} {
		if code != exitUsage || out != "" || !strings.Contains(note, want) {
			t.Errorf("exit %d, %s%s, want %s", code, out, note, want)
		}
	}
	if after := svc.LastSubmit(); !reflect.DeepEqual(before.IdempotencyKey, after.IdempotencyKey) {
		t.Error("something was submitted")
	}
	svc.FailNext("Submit", &coordinator.TreesError{Faults: []coordinator.TreeFault{{Tree: 1, Err: &dag.InvalidTaskError{Code: dag.InvalidField, Index: 2, Field: "dependencies[0]", Reason: "tasks[2].dependencies[0]: of the server"}}}})
	if out, note, code = runCommand(t, "submit", file(t, "e.yaml", treeFile), file(t, "f.yaml", treeFile), "--set", "day=3"); code != exitUsage || out != "" || !strings.Contains(note, "f.yaml:11:11: tasks[1].needs[0]: of the server") {
		t.Errorf("exit %d, %s%s", code, out, note)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{other, other, "--wait"}, "--wait and --watch follow one tree, and there are 2"}, {[]string{other, other, "--webhook", "https://example.org"}, "--webhook is of one tree"},
		{[]string{t.TempDir()}, "has no .yaml, .yml or .json file"}, {[]string{"nowhere"}, "nowhere"},
	} {
		if out, note, code := runCommand(t, append([]string{"submit"}, c.args...)...); code != exitUsage || out != "" || !strings.Contains(note, c.want) {
			t.Errorf("%q: exit %d, %s%s, want %s", c.args, code, out, note, c.want)
		}
	}
}

// TestSchemaOfTreeFiles prints the one of the documents.
func TestSchemaOfTreeFiles(t *testing.T) {
	want, err := os.ReadFile("../../docs/tree-file.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if out, note, code := runCommand(t, "schema", "tree"); code != exitOK || out != string(want) || note != "" {
		t.Errorf("exit %d, %d bytes, want the %d of docs/tree-file.schema.json; %s", code, len(out), len(want), note)
	}
	if _, _, code := runCommand(t, "schema", "forest"); code != exitUsage {
		t.Errorf("exit %d", code)
	}
}
