package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

// trick is one to start a program that is not in the whitelist. FORBIDDEN stands for its path, DIR for its directory, in which it is also called
// echo.
type trick struct {
	inputs map[string]any
	works  bool // without a whitelist the program is started: the trick is a real one
}

func line(text string) map[string]any { return map[string]any{"command": text} }

var tricks = map[string]trick{
	"the program itself":                {line("FORBIDDEN"), true},
	"in single quotes":                  {line("'FORBIDDEN'"), true},
	"in double quotes":                  {line(`"FORBIDDEN"`), true},
	"behind a backslash":                {line(`\FORBIDDEN`), true},
	"in pieces":                         {line(`FORB""IDDEN`), true},
	"blanks before it":                  {line("  \t FORBIDDEN"), true},
	"another path to it":                {line("/.FORBIDDEN"), true},
	"a second command":                  {line("echo x; FORBIDDEN"), true},
	"a second command, without a blank": {line("echo x;FORBIDDEN"), true},
	"and":                               {line("echo x && FORBIDDEN"), true},
	"or":                                {line("! echo x || FORBIDDEN"), true},
	"in the background":                 {line("echo x & FORBIDDEN"), true},
	"a pipe":                            {line("echo x | FORBIDDEN"), true},
	"a pipe of both outputs":            {line("echo x |& FORBIDDEN"), false},
	"a substitution":                    {line("echo $(FORBIDDEN)"), true},
	"a substitution by backticks":       {line("echo `FORBIDDEN`"), true},
	"a substitution in double quotes":   {line(`echo "$(FORBIDDEN)"`), true},
	"backticks in double quotes":        {line("echo \"`FORBIDDEN`\""), true},
	"a default":                         {line("echo ${nothing:-$(FORBIDDEN)}"), true},
	"a default in double quotes":        {line(`echo "${nothing:-$(FORBIDDEN)}"`), true},
	"arithmetic":                        {line("echo $((a[$(FORBIDDEN)0]))"), false},
	"a process for a file":              {line("echo <(FORBIDDEN)"), false},
	"a newline":                         {line("echo x\nFORBIDDEN"), true},
	"a newline of another system":       {line("echo x\r\nFORBIDDEN"), true},
	"a newline after a comment":         {line("echo x # nothing\nFORBIDDEN"), true},
	"a carriage return":                 {line("echo x\rFORBIDDEN"), false},
	"a vertical tab":                    {line("echo x\vFORBIDDEN"), false},
	"a line separator of Unicode":       {line("echo x\u2028FORBIDDEN\u2028"), false},
	"a next line of Unicode":            {line("echo x\u0085FORBIDDEN"), false},
	"a wide semicolon":                  {line("echo x； FORBIDDEN"), false},
	"a NUL":                             {line("echo x\x00FORBIDDEN"), false},
	"a here-document":                   {line("cat <<END\n$(FORBIDDEN)\nEND"), true},
	"a group":                           {line("{ FORBIDDEN; }"), true},
	"a subshell":                        {line("(FORBIDDEN)"), true},
	"a subshell after a word":           {line("echo x;(FORBIDDEN)"), true},
	"a variable before it":              {line("X=1 FORBIDDEN"), true},
	"a function":                        {line("echo() { FORBIDDEN; }; echo"), true},
	"a variable for it":                 {line("X=FORBIDDEN; $X"), true},
	"exec":                              {line("exec FORBIDDEN"), true},
	"eval":                              {line("eval FORBIDDEN"), true},
	"command":                           {line("command FORBIDDEN"), true},
	"the dot":                           {line(". FORBIDDEN"), true},
	"env":                               {line("env FORBIDDEN"), true},
	"a shell":                           {line("/bin/sh -c FORBIDDEN"), true},
	"a trap":                            {line("trap FORBIDDEN EXIT"), true},
	"redirection over it":               {line("echo x > DIR/made"), false},
	"a star":                            {line("DIR/forb*"), true},
	"a question mark":                   {line("DIR/forbidde?"), true},
	"brackets":                          {line("DIR/forbidde[n]"), true},
	"braces":                            {line("{FORBIDDEN,x}"), false},
	"a tilde":                           {map[string]any{"command": "~/forbidden", "env": map[string]any{"HOME": "DIR"}}, true},
	"a name that is allowed, elsewhere": {line("DIR/echo"), true},
	"the same, from there":              {map[string]any{"command": "./echo", "cwd": "DIR"}, true},
	"the same, by going up":             {line("/dev/..DIR/echo"), true},
	"PATH":                              {map[string]any{"command": "echo", "args": []any{"x"}, "env": map[string]any{"PATH": "DIR"}}, true},
	"PATH, though it is kept":           {map[string]any{"command": "tool", "args": []any{}, "env": map[string]any{"PATH": "DIR"}}, true},
	"PATH of the directory":             {map[string]any{"command": "echo", "cwd": "DIR", "env": map[string]any{"PATH": "."}}, false},
	"the loader":                        {map[string]any{"command": "echo x", "env": map[string]any{"LD_PRELOAD": "FORBIDDEN"}}, false},
	"a shell's start":                   {map[string]any{"command": "tool", "args": []any{}, "env": map[string]any{"BASH_ENV": "FORBIDDEN", "ENV": "FORBIDDEN"}}, false},
	"a variable within a variable":      {map[string]any{"command": "echo x", "env": map[string]any{"A=1\x00PATH": "DIR"}}, false},
	"args":                              {map[string]any{"command": "FORBIDDEN", "args": []any{}}, true},
	"args after an operator":            {map[string]any{"command": "echo;FORBIDDEN", "args": []any{}}, false},
	"operators in args":                 {map[string]any{"command": "echo", "args": []any{"x;", "FORBIDDEN", "$(FORBIDDEN)", "`FORBIDDEN`", "\nFORBIDDEN"}}, false},
	"a script on the standard input":    {map[string]any{"command": "cat", "args": []any{"-"}, "stdin": "FORBIDDEN\n"}, false},
	"capitals":                          {line("ECHO x; FORBIDDEN"), true},
}

// TestTricksStartNothingThatIsNotInTheWhitelist really tries: the program makes a file.
func TestTricksStartNothingThatIsNotInTheWhitelist(t *testing.T) {
	if len(tricks) < 20 {
		t.Fatalf("only %d tricks", len(tricks))
	}
	dir := t.TempDir()
	canary, forbidden := filepath.Join(dir, "canary"), filepath.Join(dir, "forbidden")
	for _, name := range []string{"forbidden", "echo", "tool"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho started > "+canary+"\n"), 0o755); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
	}
	bin := t.TempDir()                                                                                         // of the worker: a tool that starts a shell
	if err := os.WriteFile(filepath.Join(bin, "tool"), []byte("#!/bin/sh\nsh -c true\n"), 0o755); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	listed := command.New(command.Config{Allow: true, Whitelist: []string{"echo", "cat", "tool"}, KeepEnv: []string{"PATH", "LD_PRELOAD", "BASH_ENV", "ENV"}})
	free := command.New(command.Config{Allow: true})
	fill := strings.NewReplacer(`FORB\"\"IDDEN`, dir+`/forb\"\"idden`, `\\FORBIDDEN`, `\\`+forbidden, "FORBIDDEN", forbidden, "DIR", dir)
	for name, trick := range tricks {
		text, err := json.Marshal(trick.inputs)
		if err != nil {
			t.Fatal(err)
		}
		inputs := json.RawMessage(fill.Replace(string(text)))
		started := func(e *command.Executor) (bool, error) {
			call, _ := conformance.Call(t, inputs)
			_, err := e.Run(t.Context(), call)
			_, made := os.Stat(canary)
			_, written := os.Stat(filepath.Join(dir, "made"))
			_ = os.Remove(canary)
			_ = os.Remove(filepath.Join(dir, "made"))
			return made == nil || written == nil && e == listed, err
		}
		was, err := started(listed)
		if was {
			t.Errorf("%s: the program was started", name)
		}
		if err != nil && !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent error", name, err)
		}
		if trick.works {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			if was, err := started(free); !was {
				t.Errorf("%s: the trick is none: %v", name, err)
			}
		}
	}
}
