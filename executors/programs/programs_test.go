package programs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/programs"
)

func TestSplitDividesAsAShellDoesAndExpandsNothing(t *testing.T) {
	for line, want := range map[string][]string{
		"":                          nil,
		" a\tb  c ":                 {"a", "b", "c"},
		`'a b' "c d" e\ f`:          {"a b", "c d", "e f"},
		`a'b'"c"d`:                  {"abcd"},
		`'' ""`:                     {"", ""},
		`"a\"b\\c\d\$e"`:            {`a"b\c\d$e`},
		"a\\\nb":                    {"ab"},
		`'$(x) ; | & > * ~' \;`:     {"$(x) ; | & > * ~", ";"},
		"\u00a0a\u2028b\vc\fd\re；f": {"\u00a0a\u2028b\vc\fd\re；f"}, // no blanks for a shell
	} {
		if got, err := programs.Split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", line, got, err, want)
		}
	}
	for _, c := range ";&|<>()`$*?[]{}!#~\n" {
		if got, err := programs.Split("a " + string(c)); err == nil {
			t.Errorf("%q: got %q, want an error", c, got)
		}
	}
	for _, line := range []string{"'", `"`, `\`, `"$x"`, "\"`x`\"", `"\`} {
		if got, err := programs.Split(line); err == nil {
			t.Errorf("%q: got %q, want an error", line, got)
		}
	}
}

// tool makes a program and returns its directory.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	return dir
}

func TestProgramIsWhatTheWorkerCallsSo(t *testing.T) {
	ours, theirs := tool(t, "tool"), tool(t, "tool")
	t.Setenv("PATH", "relative:"+ours+"::/bin")
	env := []string{"PATH=" + theirs}
	confined := programs.New(programs.Config{Allowed: []string{"tool", theirs + "/tool", "./tool"}})
	free := programs.New(programs.Config{})
	for _, row := range []struct {
		guard *programs.Guard
		word  string
		want  string // path; else what the error has
	}{
		{confined, "tool", ours + "/tool"},
		{confined, theirs + "/tool", theirs + "/tool"},
		{confined, "./tool", `"/tool" is not a program`},
		{confined, ours + "/tool", "is not in the whitelist. Allowed commands: ./tool, /"},
		{confined, "Tool", "is not in the whitelist"},
		{confined, "", "there is no program"},
		{confined, "tool\x00", "contains a NUL"},
		{free, "tool", theirs + "/tool"},
		{free, "./tool", theirs + "/tool"},
		{free, "../" + filepath.Base(ours) + "/tool", ours + "/tool"},
		{free, "no-such-tool", `"no-such-tool" was not found in PATH`},
		{free, theirs, "is not a program"},
	} {
		got, err := row.guard.Program([]string{row.word, "x"}, env, theirs)
		if err == nil && got != row.want || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: got %q, %v, want %q", row.word, got, err, row.want)
		}
	}
	if _, err := free.Program(nil, nil, ""); err == nil {
		t.Error("no words are a program")
	}
	_, err := confined.Program([]string{"rm"}, nil, "")
	if not, ok := errors.AsType[*programs.NotAllowedError](err); !ok || not.Program != "rm" || len(not.Allowed) != 3 {
		t.Errorf("got %v", err)
	}
}

func TestEnvironmentIsInheritedSparinglyAndSetInBounds(t *testing.T) {
	for _, name := range []string{"TASKGROVE_NATS_URL", "NATS_URL", "LEVEL", "LD_PRELOAD", "BASH_FUNC_x%%"} {
		t.Setenv(name, "of-the-worker")
	}
	keep := []string{"LEVEL", "LD_PRELOAD", "PATH", "TASKGROVE_NATS_URL"}
	call, _ := conformance.Call(t, `{}`)
	confined, free := programs.New(programs.Config{Allowed: []string{"x"}, KeepEnv: keep}), programs.New(programs.Config{KeepEnv: keep})
	for _, g := range []*programs.Guard{confined, free} {
		env, err := g.Environment(call, map[string]string{"LEVEL": "1"})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(strings.Join(env, "\n"), "of-the-worker"); got != 2 || !slices.Contains(env, "LEVEL=1") || !slices.Contains(env, "TASKGROVE_ATTEMPT=1") {
			t.Errorf("got %q", env)
		}
	}
	for _, name := range []string{"PATH", "LD_PRELOAD", "OTHER"} { // the first two although they are kept
		if _, err := confined.Environment(call, map[string]string{name: "x"}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := free.Environment(call, map[string]string{name: "x"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, value := range map[string]string{"": "x", "A=B": "x", "A\x00": "x", "A": "\x00hunter2"} {
		if _, err := free.Environment(call, map[string]string{name: value}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if got := programs.Inherited([]string{"LANG=C", "A=b"}, nil); !slices.Equal(got, []string{"LANG=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}) {
		t.Errorf("got %q", got)
	}
}

// TestKeysOfModelsAreNotInherited: the worker's environment may hold them.
func TestKeysOfModelsAreNotInherited(t *testing.T) {
	keys := []string{"OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k", "LLM_API_KEY=k", "GROQ_KEY=k", "AWS_ACCESS_KEY_ID=k", "PATH=/bin"}
	if got := programs.Inherited(keys, nil); !slices.Equal(got, []string{"PATH=/bin"}) {
		t.Errorf("got %q", got)
	}
}
