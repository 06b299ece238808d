package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
)

const examplePlugin = "../../examples/external-python"

// TestPluginTest tells of a good program that it is good, and of bad ones what is wrong.
func TestPluginTest(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := program(t, nil, "plugin", "test", "--dir", examplePlugin, "--missing", "{}", "--slow", `{"text": "a b", "seconds_per_word": 600}`, "-o", "json", "--", "python3", "words.py")
	var all []conformance.Verdict
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	looked := map[string]bool{}
	for _, v := range all {
		looked[v.Check] = v.Skipped == ""
	}
	for _, want := range []string{"describes itself", "missing inputs are invalid", "the context's end stops it", "a result passes the declared schema"} {
		if !looked[want] {
			t.Errorf("nothing was looked at: %s", want)
		}
	}
	dir := t.TempDir()
	helper, err := os.ReadFile(filepath.Join(examplePlugin, "taskgrove_executor.py"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("taskgrove_executor.py", string(helper))
	write("bad.py", `from taskgrove_executor import serve, Permanent
def do(call):
    if call.inputs.get("password"):
        raise Permanent("wrong password " + call.inputs["password"])
    return {"words": "many"}
serve(do, id="bad", description="Breaks the rules", inputs={"type": "object", "properties": {"text": {"type": "string"}, "password": {"type": "string"}}},
      output={"type": "object", "properties": {"words": {"type": "integer"}}}, examples=[{"title": "Try", "inputs": {"text": 5}}])
`)
	write("silent.py", "import time\ntime.sleep(600)\n")
	write("noisy.py", "print('hello')\n")
	for _, row := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"--inputs", `{"text": "a"}`, "--failing", `{"password": "hunter2-hunter2"}`, "--secret", "hunter2-hunter2", "--", "python3", "bad.py"}, 1, []string{
			"ok    describes itself", "FAIL  a result passes the declared schema", "FAIL  examples pass the declared schema", `example "Try"`,
			"FAIL  no text shows a secret", "skip  a run goes on from a checkpoint: notes no checkpoints", "3 faults in python3 bad.py",
		}},
		{[]string{"--start-within", "300ms", "--", "python3", "silent.py"}, 1, []string{"no hello within 300ms"}},
		{[]string{"--", "python3", "noisy.py"}, 1, []string{"not a JSON object"}},
		{[]string{"--", "no-such-program"}, 1, []string{"no-such-program"}},
		{[]string{"--inputs", "5", "--", "python3", "bad.py"}, 2, []string{"must be a JSON object"}},
		{[]string{"--failing", `{}`, "--", "python3", "bad.py"}, 2, []string{"--failing needs --secret"}},
		{nil, 2, []string{"needs an argument"}},
	} {
		stdout, stderr, code := program(t, nil, append([]string{"plugin", "test", "--dir", dir}, row.args...)...)
		if code != row.code {
			t.Errorf("%v: exit code %d, want %d: %s%s", row.args, code, row.code, stdout, stderr)
		}
		for _, want := range row.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%v: lacks %q: %s%s", row.args, want, stdout, stderr)
			}
		}
		if strings.Contains(stdout+stderr, "hunter2-hunter2") && !strings.Contains(strings.Join(row.args, " "), "{}") {
			t.Errorf("%v: shows the secret: %s%s", row.args, stdout, stderr)
		}
	}
}

func TestPluginDescribe(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := program(t, nil, "plugin", "describe", "--dir", examplePlugin, "--", "python3", "words.py")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"python_words", "Counts the words of a text", "seconds_per_word", "# Count words"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q: %s", want, stdout)
		}
	}
	if strings.Contains(stdout, "workers") {
		t.Errorf("speaks of workers: %s", stdout)
	}
	if _, stderr, code := program(t, nil, "plugin", "describe", "--", "false"); code != 1 || !strings.Contains(stderr, "did not start") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
