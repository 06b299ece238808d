package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/treetest"
)

// TestTestsOfTrees runs a tree by mocks: what the exit code says, and what is printed and written in which format.
func TestTestsOfTrees(t *testing.T) {
	tree := file(t, "tree.yaml", treeFile)
	mocks := func(expect string) string {
		return file(t, "tree.mocks.yaml", "taskgrove: 1\nmocks: {fetch: {result: {stdout: b}}, clean: {result: {stdout: b}}}\nexpect: {tasks: {fetch: {inputs: {command: "+expect+"}}}}\n")
	}
	good, bad := mocks("echo 3"), mocks("echo 4")
	junit := filepath.Join(t.TempDir(), "junit.xml")
	out, note, code := runCommand(t, "test", tree, "--set", "day=3", "--mocks", good, "--junit", junit)
	if code != exitOK || note != "" || out != "ok    the tree (2s)\n1 passed, 0 failed\n" {
		t.Errorf("exit %d, %s%s", code, out, note)
	}
	if text, err := os.ReadFile(junit); err != nil || !strings.Contains(string(text), `tests="1" failures="0" errors="0"`) {
		t.Errorf("%s, %v", text, err)
	}
	if out, note, code = runCommand(t, "test", tree, "--set", "day=3", "-m", bad); code != exitError || !strings.Contains(out, `fetch: inputs.command: want "echo 4", got "echo 3"`) || !strings.Contains(note, "1 of 1 case failed") {
		t.Errorf("exit %d, %s%s", code, out, note)
	}
	if out, _, code = runCommand(t, "test", tree, "--set", "day=3", "-m", good, "-o", "json", "--steps"); code != exitOK {
		t.Errorf("exit %d, %s", code, out)
	}
	var report treetest.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Passed != 1 || len(report.Cases[0].Steps) != 5 || string(report.Cases[0].Tasks[2].Result) == "" {
		t.Errorf("%v, %s", err, out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-m", good}, "tree.yaml:4:3: parameters.day: is required, and no value is given"},
		{[]string{"--set", "day=3"}, "--mocks FILE says what the tasks come to"},
		{[]string{"--set", "day=3", "-m", "nowhere.yaml"}, "nowhere.yaml"},
		{[]string{"--set", "day=3", "-m", file(t, "bad.yaml", "taskgrove: 1\nmocks: {fetsh: {}}\n")}, "bad.yaml:2:9: the tree has no task fetsh; did you mean fetch?"},
		{[]string{"--set", "day=x", "-m", good}, `--set day: must be an integer, and is "x"`},
	} {
		if out, note, code := runCommand(t, append([]string{"test", tree}, c.args...)...); code != exitUsage || out != "" || !strings.Contains(note, c.want) {
			t.Errorf("%q: exit %d, %s%s, want %s", c.args, code, out, note, c.want)
		}
	}
}

// TestTheTestedExample plays the example by its mocks. What JUnit's report of it says is kept beside it.
func TestTheTestedExample(t *testing.T) {
	junit := filepath.Join(t.TempDir(), "junit.xml")
	t.Chdir("../../examples/treefiles")
	if out, note, code := runCommand(t, "test", "nightly-report.yaml", "--mocks", "nightly-report.mocks.yaml", "--junit", junit); code != exitOK || note != "" || !strings.HasSuffix(out, "5 passed, 0 failed\n") {
		t.Fatalf("exit %d, %s%s", code, out, note)
	}
	got, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile("nightly-report.junit.xml"); err != nil || string(want) != string(got) {
		t.Errorf("nightly-report.junit.xml has %s, %v; got %s", want, err, got)
	}
}
