package main

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
)

// TestErrorsOfTheCommandLineSpeakPlainly has command lines that fail in every way; none of their texts is a library's.
func TestErrorsOfTheCommandLineSpeakPlainly(t *testing.T) {
	double(t)
	for _, tc := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"list", "--limit", "x"}, `--limit: takes a whole number, not "x"`, exitUsage},
		{[]string{"list", "--limit", "99999999999999999999"}, `--limit: takes a whole number, not "99999999999999999999"`, exitUsage},
		{[]string{"list", "--running=maybe"}, `--running: takes true or false, not "maybe"`, exitUsage},
		{[]string{"submit", "--timeout", "soon", "x"}, `--timeout: takes a duration, such as 30s or 10m, not "soon"`, exitUsage},
		{[]string{"list", "--request-timeout", "soon"}, "not a duration", exitUsage},
		{[]string{"list", "--nothing"}, "--nothing", exitUsage},
		{[]string{"list", "--limit"}, "--limit", exitUsage},
		{[]string{"nothing"}, "nothing", exitUsage},
		{[]string{"tasks", "nothing"}, `unknown command "nothing" for "taskgrove tasks"; there are: cancel, children`, exitUsage},
		{[]string{"context", "nothing"}, `unknown command "nothing" for "taskgrove context"; there are: delete, list, set, use`, exitUsage},
		{[]string{"run", "nothing"}, "there are: artifacts, cancel, events, flow", exitUsage},
		{[]string{"flow", "nothing"}, "there are: apply, ", exitUsage},
		{[]string{"import", "nothing"}, "there are: apflow", exitUsage},
		{[]string{"import", "apflow"}, "--from is needed", exitUsage},
		{[]string{"plugin", "nothing"}, "there are: describe, list, test", exitUsage},
		{[]string{"token", "nothing"}, "there are: create", exitUsage},
		{[]string{"token", "create"}, "--user is needed", exitUsage},
		{[]string{"cancel"}, "cancel needs a task, or flags that select, such as --status", exitUsage},
		{[]string{"submit"}, "", exitUsage},
		{[]string{"submit", t.TempDir()}, "has no .yaml, .yml or .json file", exitUsage},
		{[]string{"get", strings.Repeat("x", 5000)}, "", exitError},
		{[]string{"get", "no\x00ne"}, "", exitError},
		{[]string{"list", "--server", "127.0.0.1:1"}, "127.0.0.1:1", exitUnreachable},
		{[]string{"list", "--server", "nowhere.invalid:1", "--request-timeout", "2s"}, "nowhere.invalid", exitUnreachable},
		{[]string{"list", "--server", "%%%"}, "", exitUsage},
		{[]string{"watch", "nope"}, "", exitError},
		{[]string{"logs", "nope"}, "", exitError},
		{[]string{"rerun", "nope"}, "", exitError},
		{[]string{"why", "nope"}, "", exitError},
		{[]string{"verify", "--tree", "nope"}, "", exitError},
	} {
		out, note, code := runCommand(t, tc.args...)
		if len(note) > 300 {
			note = note[:300]
		}
		if code != tc.code || !strings.Contains(note, tc.want) || note == "" {
			t.Errorf("%.60q: exit %d, want %d and %q\n%s%s", tc.args, code, tc.code, tc.want, note, out)
		}
		for _, phrase := range apitest.LibraryPhrases(note) {
			t.Errorf("%.60q: %q is a library's: %s", tc.args, phrase, note)
		}
	}
}
