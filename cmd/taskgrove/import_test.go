package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// importedTrees runs the import and gives what it told of each tree.
func importedTrees(t *testing.T, from string, want int, flags ...string) map[string]importedTree {
	t.Helper()
	stdout, stderr, code := runCommand(t, append([]string{"import", "apflow", "-o", "json", "--from", from}, flags...)...)
	if code != want {
		t.Fatalf("exit code %d, want %d: %s%s", code, want, stdout, stderr)
	}
	trees := map[string]importedTree{}
	for line := range strings.Lines(stdout) {
		var one importedTree
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		trees[one.ID] = one
	}
	return trees
}

// TestTreesOfTheReferenceAreImported imports what its server has written, twice, and a table that its user extended.
func TestTreesOfTheReferenceAreImported(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	const written = "../../internal/apflow/testdata/tasks.jsonl"
	for id, one := range importedTrees(t, written, exitOK, "--dry-run") {
		if _, stderr, code := runCommand(t, "get", id); one.Outcome != "would import" || code == exitOK {
			t.Errorf("a dry run: %+v: %s", one, stderr)
		}
	}
	first := importedTrees(t, written, exitOK)
	if len(first) != 5 {
		t.Fatalf("%d trees", len(first))
	}
	for id, one := range first {
		if one.Outcome != "imported" || one.TreeID != id || len(one.Problems)+len(one.Notes) > 0 {
			t.Errorf("%+v", one)
		}
	}
	api, err := client.New(c.Coordinators[0].P.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close() //nolint:errcheck // the server goes
	for id, want := range map[string]client.Status{"held-root": client.StatusPending, "done-root": client.StatusCompleted, "fail-root": client.StatusFailed, "gone-root": client.StatusCancelled} {
		tree, err := api.Tree(t.Context(), id)
		if err != nil || tree.Status != want {
			t.Errorf("%s: %v %+v, want %s", id, err, tree, want)
		}
	}
	done, err := api.Task(t.Context(), "done-root")
	if err != nil || done.UserID != "bob" || !strings.Contains(string(done.Result), `"stdout":"done"`) || !strings.Contains(string(done.Custom), `"created_at":"2026-11-29T03:23:34.`) {
		t.Errorf("%v %+v", err, done)
	}
	for id, one := range importedTrees(t, written, exitOK) {
		if one.Outcome != "present" {
			t.Errorf("again: %s: %+v", id, one)
		}
	}
}

// TestImportsTellWhatIsOtherwise names what was changed, refused or found different.
func TestImportsTellWhatIsOtherwise(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	odd := file(t, "odd.jsonl", `{"id":"o","name":"odd","status":"in_progress","priority":9,"pool":"theirs","project_id":"p1","result":{"x":1.50}}
{"id":"o1","name":"below","parent_id":"o","status":"completed","result":[1,"two",null],"dependencies":null}
{"id":"bad","name":"bad","dependencies":[{"id":"elsewhere"}]}
{"id":"lost","name":"lost","parent_id":"nobody"}
`)
	trees := importedTrees(t, odd, exitError)
	if one := trees["o"]; one.Outcome != "imported" || len(one.Notes) != 2 || !strings.Contains(strings.Join(one.Notes, "; "), "priority 9 is 3 here") || !strings.Contains(strings.Join(one.Notes, "; "), "was in progress") {
		t.Errorf("%+v", one)
	}
	if one := trees["bad"]; one.Outcome != "refused" || !strings.Contains(strings.Join(one.Problems, ""), "elsewhere") {
		t.Errorf("%+v", one)
	}
	stdout, _, _ := runCommand(t, "get", "o", "-o", "json")
	for _, part := range []string{`"project_id":"p1"`, `"apflow_pool":"theirs"`} {
		if !strings.Contains(stdout, part) {
			t.Errorf("%s lacks %s", stdout, part)
		}
	}
	if stdout, _, _ := runCommand(t, "get", "o1", "-o", "json"); !strings.Contains(stdout, `"result":[1,"two",null]`) {
		t.Error(stdout)
	}
	if _, stderr, code := runCommand(t, "update", "o", "--name", "renamed"); code != exitOK {
		t.Fatal(stderr)
	}
	if one := importedTrees(t, odd, exitError)["o"]; one.Outcome != "different" || !strings.Contains(strings.Join(one.Problems, ""), "name is odd there, renamed here") {
		t.Errorf("after a change: %+v", one)
	}
	changed := file(t, "changed.jsonl", `{"id":"o","name":"another","status":"pending"}`)
	if one := importedTrees(t, changed, exitError)["o"]; one.Outcome != "refused" || !strings.Contains(strings.Join(one.Problems, ""), "different submission") {
		t.Errorf("another tree with the same id: %+v", one)
	}
	if _, stderr, code := runCommand(t, "import", "apflow"); code != exitUsage || !strings.Contains(stderr, "--from") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := runCommand(t, "import", "apflow", "--from", "duckdb:///x.duckdb"); code != exitUsage || !strings.Contains(stderr, "COPY apflow_tasks TO") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
