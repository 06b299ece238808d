package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramsOnThePathAreCommands runs those that the arguments name, and never one in place of a command of ours.
func TestProgramsOnThePathAreCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"hello", "list", "deep-er", "deep", "help", "no-x"} {
		script := "#!/bin/sh\necho " + name + " \"$@\" \"$SEEN\"\nexit 7\n"
		mode := os.FileMode(0o755)
		if name == "no-x" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, pluginPrefix+name), []byte(script), mode); err != nil {
			t.Fatal(err)
		}
	}
	environment := []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "SEEN=yes"}
	for _, row := range []struct {
		args   string
		stdout string // how it begins
		code   int
	}{
		{"hello", "hello yes\n", 7},
		{"hello -x --help there", "hello -x --help there yes\n", 7},
		{"deep er more", "deep-er more yes\n", 7},
		{"deep other", "deep other yes\n", 7},
		{"list --help", "Lists", 0},
		{"help list", "Lists", 0},
		{"no-x", "", 2},
		{"../" + filepath.Base(dir) + "/hello", "", 2},
		{"missing", "", 2},
	} {
		stdout, stderr, code := program(t, environment, strings.Fields(row.args)...)
		if code != row.code || !strings.HasPrefix(stdout, row.stdout) {
			t.Errorf("%s: exit code %d, %s%s", row.args, code, stdout, stderr)
		}
	}
	stdout, _, _ := program(t, environment, "plugin", "list", "-o", "json")
	var found []foundPlugin
	if err := json.Unmarshal([]byte(stdout), &found); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	faults := map[string]string{}
	for _, p := range found {
		faults[p.Name] = p.Fault
	}
	for name, want := range map[string]string{"hello": "", "deep": "", "deep-er": "", "list": "is hidden by the command", "help": "is hidden by the command", "no-x": "is not executable"} {
		if got, ok := faults[name]; !ok || !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("plugin list: %s: %q, want %q", name, got, want)
		}
	}
}
