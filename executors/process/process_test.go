package process_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/process"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

func TestMain(m *testing.M) {
	guardian.Hook()
	os.Exit(m.Run())
}

var open = command.Config{Allow: true}

// attempt is one run.
type attempt struct {
	*executors.Outcome
	err error
	*conformance.Recorder
	files *conformance.Files
}

// with runs an attempt whose pool may use a directory; change may change the call.
func with(t *testing.T, cfg command.Config, place workdir.Place, inputs any, change func(*executors.Call)) attempt {
	t.Helper()
	call, said := conformance.Call(t, inputs)
	files := &conformance.Files{}
	call.Files = files
	if change != nil {
		change(call)
	}
	out, err := process.New(cfg, func(string) workdir.Place { return place }).Run(t.Context(), call)
	return attempt{out, err, said, files}
}

func run(t *testing.T, dir string, inputs any) attempt {
	t.Helper()
	return with(t, open, workdir.Place{Dir: dir}, inputs, nil)
}

// shown is the result as JSON, or the error.
func (a attempt) shown() string {
	if a.err != nil {
		return "!" + a.err.Error()
	}
	text, err := json.Marshal(a.Value())
	if err != nil {
		return "!" + err.Error()
	}
	return a.Reason() + string(text)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func TestResult(t *testing.T) {
	for name, row := range map[string]struct{ inputs, want string }{
		"a list is argv":               {`{"command": ["printf", "%s|", "a b", "$HOME", "; ls"], "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"a b|$HOME|; ls|"}`},
		"a text is split":              {`{"command": "printf '%s|' 'a b' \"c d\" e\\ f", "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"a b|c d|e f|"}`},
		"args are appended":            {`{"command": "printf %s-", "args": ["x y", 5, 2.50, true], "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"x y-5-2.50-true-"}`},
		"the shell gets it untouched":  {`{"command": "printf '%s' a b | tr ab xy", "shell": true, "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"xy"}`},
		"args after a shell command":   {`{"command": "printf '%s|'", "args": ["it's", "$HOME"], "shell": true, "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"it's|$HOME|"}`},
		"a list needs no shell":        {`{"command": ["printf", "$HOME"], "shell": true, "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"$HOME"}`},
		"nothing is captured":          {`{"command": "echo hi"}`, `{"attempts":1,"exit_code":0}`},
		"both are captured":            {`{"command": "echo out; echo err >&2", "shell": true, "log": {"stdout": "capture", "stderr": "capture"}}`, `{"attempts":1,"exit_code":0,"stderr":"err\n","stdout":"out\n"}`},
		"what is no text":              {`{"command": "printf 'a\\377\\000b'", "shell": true, "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"a��b"}`},
		"the first part is kept":       {`{"command": "head -c 3000 /dev/zero | tr '\\0' x", "shell": true, "log": {"stdout": "capture", "max_capture_kb": 1}}`, `{"attempts":1,"exit_code":0,"stdout":"` + strings.Repeat("x", 1024) + `","truncated":true,"truncated_fields":["stdout"]}`},
		"other exit codes":             {`{"command": "exit 3", "shell": true, "success": {"exit_codes": [0, 3]}}`, `{"attempts":1,"exit_code":3}`},
		"one exit code":                {`{"command": "exit 3", "shell": true, "success": {"exit_codes": 3}}`, `{"attempts":1,"exit_code":3}`},
		"0 is none of them":            {`{"command": "true", "success": {"exit_codes": 3}}`, `!the program ended with exit code 0`},
		"a failure":                    {`{"command": "echo oops >&2; exit 4", "shell": true, "log": {"stderr": "capture"}}`, `!the program ended with exit code 4: oops`},
		"a signal":                     {`{"command": "kill -9 $$", "shell": true}`, `!the program was ended by signal 9 (killed)`},
		"a signal that is none":        {`{"command": "kill -9 $$", "shell": true, "success": {"exit_codes": [-9]}}`, `{"attempts":1,"exit_code":-9}`},
		"outputs":                      {`{"command": "true", "outputs": {"a": {"b": [1, 2.50]}, "n": null, "attempts": 9}}`, `{"a":{"b":[1,2.50]},"attempts":9,"exit_code":0,"n":null}`},
		"a result file of lines":       {`{"command": "printf 'rows=12\\n\\npath=a=b \\r\\nrows=13' > $TASKGROVE_RESULT_FILE", "shell": true}`, `{"attempts":1,"exit_code":0,"path":"a=b ","rows":"13"}`},
		"a result file of JSON":        {`{"command": "echo '{\"rows\": 12, \"a-b\": [null]}' > $TASKGROVE_RESULT_FILE", "shell": true, "outputs": {"rows": 1}}`, `{"a-b":[null],"attempts":1,"exit_code":0,"rows":1}`},
		"an empty result file":         {`{"command": ": > $TASKGROVE_RESULT_FILE", "shell": true}`, `{"attempts":1,"exit_code":0}`},
		"null stands for absent":       {`{"command": "true", "args": null, "shell": null, "cwd": null, "inherit_env": null, "env": null, "timeout_seconds": null, "kill_grace_seconds": null, "log": null, "success": null, "idempotency": null, "retry": null, "outputs": null}`, `{"attempts":1,"exit_code":0}`},
		"null in parts":                {`{"command": "true", "log": {"stdout": null, "max_capture_kb": null, "file_path": null}, "success": {"exit_codes": null, "require_files": null, "marker_file": null}, "idempotency": {"strategy": null, "atomic_rename": null}, "retry": {"max_attempts": null, "retry_on_exit_codes": null}}`, `{"attempts":1,"exit_code":0}`},
		"null in env is empty":         {`{"command": "printf '%s' \"[$A][$B][$C]\"", "shell": true, "env": {"A": null, "B": 2.50, "C": true}, "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":"[][2.50][true]"}`},
		"a log file may be read":       {`{"command": "echo one; echo two >&2; grep -c o log/all.txt > n; grep -q 2 n", "shell": true, "log": {"stdout": "file", "stderr": "file", "file_path": "log/all.txt"}, "outputs": {"x": 1}}`, `{"attempts":1,"exit_code":0,"log_file":"log/all.txt","x":1}`},
		"the log file is named":        {`{"command": "echo one", "log": {"stdout": "file", "file_path": "log/./all.txt"}}`, `{"attempts":1,"exit_code":0,"log_file":"log/all.txt"}`},
		"the working directory":        {`{"command": "[ \"$PWD\" = \"$TASKGROVE_ARTIFACTS_DIR\" ] && ls -a", "shell": true, "log": {"stdout": "capture"}}`, `{"attempts":1,"exit_code":0,"stdout":".\n..\n"}`},
		"the worker's env is not":      {`{"command": "env", "inherit_env": false, "log": {"stdout": "capture"}, "success": {"exit_codes": 0}, "outputs": {"stdout": 0}}`, `{"attempts":1,"exit_code":0,"stdout":0}`},
		"an old name":                  {`{"command": "true", "success": {"required_files": ["no"]}}`, `!invalid_output:missing_required_file:no`},
		"a file is missing":            {`{"command": "true", "success": {"require_files": "out/a.txt"}}`, `!invalid_output:missing_required_file:out/a.txt`},
		"a file is there":              {`{"command": "mkdir out; touch out/a.txt", "shell": true, "success": {"require_files": ["out/a.txt", "out"], "marker_file": "out/a.txt"}}`, `{"attempts":1,"exit_code":0}`},
		"the marker is missing":        {`{"command": "true", "success": {"marker_file": "done"}}`, `!invalid_output:missing_required_file:done`},
		"a pattern matches":            {`{"command": "mkdir out; touch out/a1.csv", "shell": true, "success": {"require_glob": "out/a[!x].c?v"}}`, `{"attempts":1,"exit_code":0}`},
		"a pattern does not":           {`{"command": "mkdir out; touch out/ax.csv", "shell": true, "success": {"require_glob": ["out/*", "out/a[!x].c?v"]}}`, `!invalid_output:missing_required_glob:out/a[!x].c?v`},
		"a pattern without its folder": {`{"command": "true", "success": {"require_glob": "out/*"}}`, `!invalid_output:missing_required_glob:out/*`},
		"a forbidden file":             {`{"command": "touch core", "success": {"forbid_files": ["x", "core"]}}`, `!invalid_output:forbidden_file_present:core`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, "", row.inputs).shown(); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

// What is wrong with inputs is said at once, and nothing is started.
func TestWrongInputs(t *testing.T) {
	for inputs, want := range map[string]string{
		`{}`:                                           "command is required in inputs",
		`{"command": null}`:                            "command is required in inputs",
		`{"command": ""}`:                              "command must not be empty",
		`{"command": " \t"}`:                           "command must not be empty",
		`{"command": []}`:                              "command must be a text, or a list of texts that begins with a program",
		`{"command": [""]}`:                            "command must be a text, or a list of texts that begins with a program",
		`{"command": [["a"]]}`:                         "command must be a text, or a list of texts that begins with a program",
		`{"command": ["a", null]}`:                     "command must be a text, or a list of texts that begins with a program",
		`{"command": 5}`:                               "command must be a text, or a list of texts that begins with a program",
		`{"command": {"a": 1}}`:                        "command must be a text, or a list of texts that begins with a program",
		`{"command": "a 'b"}`:                          "command: a single quote is not closed (shell: true gives it to the shell as it is)",
		`{"command": "a | b"}`:                         `command: shell operator "|" is not allowed; quote it if it is meant as text (shell: true gives it to the shell as it is)`,
		`{"command": "a $(b)"}`:                        `command: shell operator "$" is not allowed; quote it if it is meant as text (shell: true gives it to the shell as it is)`,
		`{"command": ["tr\u0000ue"]}`:                  "command: contains a NUL",
		`{"command": ["no-such-one"]}`:                 `command: "no-such-one" was not found in PATH`,
		`{"command": "a\u0000b", "shell": true}`:       "command: contains a NUL",
		`{"command": "true", "args": "x"}`:             "args must not be a string",
		`{"command": "true", "args": [null]}`:          "args has a value that can't be read",
		`{"command": "true", "env": {"A=B": "x"}}`:     `env: "A=B" can't be set`,
		`{"command": "true", "env": {"": "x"}}`:        `env: "" can't be set`,
		`{"command": "true", "env": {"A": "x\u0000"}}`: `env: "A" can't be set`,
		`{"command": "true", "timeout_seconds": 0, "kill_grace_seconds": -1, "log": {"stdout": "tee"}}`: "log.stdout must be one of inherit, capture, file, discard; kill_grace_seconds must be 0 to 3600; timeout_seconds must be a number above 0",
		`{"command": "true", "log": {"stderr": "file", "max_capture_kb": 0}}`:                           "log.file_path is required where log.stdout or log.stderr is file; log.max_capture_kb must be 1 at least",
		`{"command": "true", "idempotency": {"strategy": "twice"}}`:                                     "idempotency.strategy must be one of none, marker, atomic_dir",
		`{"command": "true", "idempotency": {"strategy": "marker"}}`:                                    "idempotency.marker_path, or success.marker_file, is required for the strategy marker",
		`{"command": "true", "idempotency": {"strategy": "atomic_dir", "temp_output_dir": "t"}}`:        "idempotency.temp_output_dir and idempotency.final_output_dir are required for the strategy atomic_dir",
		`{"command": "true", "retry": {"backoff_seconds": -1}}`:                                         "retry has a negative number",
		`{"command": "true", "outputs": {"": 1}}`:                                                       "outputs: a name is empty",
		`{"command": "true", "cwd": "no"}`:                                                              `!cwd: "no": no such file or directory`,
		`{"command": "true", "success": {"require_glob": "[a"}}`:                                        `!success.require_glob: "[a" is no pattern`,
		`{"command": "true", "success": {"require_glob": "*/a"}}`:                                       `!success.require_glob: "*/a": only the last part of a path may have wildcards`,
		`{"command": "true", "success": {"require_files": [""]}}`:                                       `!success.require_files: is empty`,
		atomic("true", "out", "out"):                                                                    "idempotency.temp_output_dir and idempotency.final_output_dir must not be one in the other",
		atomic("true", "out/tmp", "out"):                                                                "idempotency.temp_output_dir and idempotency.final_output_dir must not be one in the other",
		atomic("true", "out", "./out/final"):                                                            "idempotency.temp_output_dir and idempotency.final_output_dir must not be one in the other",
		atomic("true", ".", "out"):                                                                      "idempotency.temp_output_dir and idempotency.final_output_dir must be below the directory that the task may use, and not that directory itself",
		atomic("true", "tmp", "a/.."):                                                                   "idempotency.temp_output_dir and idempotency.final_output_dir must be below the directory that the task may use, and not that directory itself",
	} {
		got := run(t, "", inputs)
		want := "[external.process] " + want
		if rest, bare := strings.CutPrefix(want, "[external.process] !"); bare {
			want = rest
		}
		if got.err == nil || got.err.Error() != want || !executors.IsPermanent(got.err) {
			t.Errorf("%s: got  %v\nwant %s", inputs, got.err, want)
		}
	}
	if err := with(t, command.Config{}, workdir.Place{}, `{"command": "true"}`, nil).err; err == nil || !strings.Contains(err.Error(), "TASKGROVE_COMMAND_ALLOW") {
		t.Errorf("though commands are off: %v", err)
	}
}

func atomic(script, temp, final string, more ...string) string {
	text, _ := json.Marshal(script)
	return fmt.Sprintf(`{"command": %s, "shell": true, "idempotency": {"strategy": "atomic_dir", "temp_output_dir": %q, "final_output_dir": %q} %s}`, text, temp, final, strings.Join(more, ""))
}

func TestLogModes(t *testing.T) {
	script := `echo out; printf 'no end'; echo err >&2`
	for mode, want := range map[string]string{"inherit": "stdout: no end stdout: out", "capture": "stdout: no end stdout: out", "discard": "", "file": ""} {
		inputs := map[string]any{"command": script, "shell": true, "log": map[string]any{"stdout": mode, "stderr": "discard", "file_path": "x"}}
		got := run(t, "", inputs)
		lines := got.Lines()
		slices.Sort(lines)
		if strings.Join(lines, " ") != want || got.err != nil {
			t.Errorf("%s: got %q, %v", mode, lines, got.err)
		}
	}
}

// Each attempt appends to the log file, and secrets are not in it.
func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	inputs := map[string]any{"command": `echo first; printf 'pass'; sleep 0.05; echo "word $NAME" >&2; printf 'end password'`, "shell": true, "env": map[string]any{"NAME": "x"},
		"log": map[string]any{"stdout": "file", "stderr": "file", "file_path": dir + "/logs/all.log"}}
	for range 2 {
		got := with(t, open, workdir.Place{Dir: dir}, inputs, func(c *executors.Call) {
			c.Redact = func(text string) string { return strings.ReplaceAll(text, "password", "***") }
		})
		if want := `{"attempts":1,"exit_code":0,"log_file":"` + dir + `/logs/all.log"}`; got.shown() != want {
			t.Fatalf("got %s", got.shown())
		}
	}
	if got, one := content(t, dir+"/logs/all.log"), "first\n***"; !strings.HasPrefix(got, one) || strings.Count(got, "first\n") != 2 || strings.Contains(got, "password") {
		t.Errorf("the file has %q", got)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("TASKGROVE_HIDDEN", "hidden")
	t.Setenv("OTHER", "hidden")
	t.Setenv("KEPT", "kept")
	t.Setenv("TZ", "UTC")
	params := json.RawMessage(`{"flow_id": "f", "run_id": "r", "job_id": "j", "step_id": "s", "env": {"FROM_RUN": "1", "OWN": "run"}}`)
	show := func(inherit bool) map[string]string {
		inputs := map[string]any{"command": []string{"env", "-0"}, "inherit_env": inherit, "env": map[string]any{"OWN": "own", "AETHERFLOW_RUN_ID": "mine", "TASKGROVE_RUN_ID": "mine"}, "log": map[string]any{"stdout": "capture"}}
		got := with(t, command.Config{Allow: true, KeepEnv: []string{"KEPT"}}, workdir.Place{}, inputs, func(c *executors.Call) {
			c.Params, c.Attempt, c.Lock, c.Trace = params, 3, &executors.Lock{Key: "k", Token: 7}, executors.Trace{Parent: "00-a-b-01"}
		})
		if got.err != nil {
			t.Fatal(got.err)
		}
		all := map[string]string{}
		for _, v := range strings.Split(got.Value().(map[string]any)["stdout"].(string), "�") {
			name, value, _ := strings.Cut(v, "=")
			all[name] = value
		}
		return all
	}
	all, little := show(true), show(false)
	for name, want := range map[string]string{
		"AETHERFLOW_FLOW_ID": "f", "AETHERFLOW_RUN_ID": "mine", "TASKGROVE_FLOW_ID": "f", "TASKGROVE_RUN_ID": "r", "TASKGROVE_JOB_ID": "j", "TASKGROVE_STEP_ID": "s",
		"TASKGROVE_TASK_ID": "task-1", "TASKGROVE_ATTEMPT": "3", "TASKGROVE_LOCK_TOKEN": "7", "TRACEPARENT": "00-a-b-01", "OWN": "own", "FROM_RUN": "1", "TZ": "UTC", "KEPT": "kept",
		"TASKGROVE_HIDDEN": "", "OTHER": "", "TASKGROVE_OUTPUT_DIR": "",
	} {
		if all[name] != want {
			t.Errorf("%s is %q, want %q", name, all[name], want)
		}
		if inherited := slices.Contains([]string{"FROM_RUN", "TZ", "KEPT"}, name); inherited && little[name] != "" || !inherited && little[name] != want {
			t.Errorf("without inherit_env %s is %q", name, little[name])
		}
	}
	for _, name := range []string{"PATH", "TASKGROVE_ARTIFACTS_DIR", "TASKGROVE_RESULT_FILE"} {
		if all[name] == "" || little[name] == "" {
			t.Errorf("%s is not set", name)
		}
	}
	for _, odd := range []string{`[]`, `{"flow_id": 5}`, `{"flow_id": "a\u0000b"}`, `{"env": [1]}`} { // params are anybody's
		if got := with(t, open, workdir.Place{}, `{"command": "true"}`, func(c *executors.Call) { c.Params = json.RawMessage(odd) }); got.err != nil {
			t.Errorf("params %s: %v", odd, got.err)
		}
	}
}

// With an allow-list there is no shell, and the run's environment sets only what tasks may.
func TestAllowList(t *testing.T) {
	listed := command.Config{Allow: true, Whitelist: []string{"printenv"}, KeepEnv: []string{"FINE"}}
	params := func(c *executors.Call) {
		c.Params = json.RawMessage(`{"env": {"FINE": "yes", "LD_PRELOAD": "/x.so", "OTHER": "no"}}`)
	}
	for inputs, want := range map[string]string{
		`{"command": "printenv FINE", "log": {"stdout": "capture"}}`:              `{"attempts":1,"exit_code":0,"stdout":"yes\n"}`,
		`{"command": "printenv OTHER"}`:                                           `!the program ended with exit code 1`,
		`{"command": "printenv LD_PRELOAD"}`:                                      `!the program ended with exit code 1`,
		`{"command": "printenv FINE", "shell": true}`:                             `![external.process] shell: there is none while a whitelist of commands is in force`,
		`{"command": "sh -c true"}`:                                               `![external.process] command: Command 'sh' is not in the whitelist. Allowed commands: printenv`,
		`{"command": ["./printenv"], "cwd": "."}`:                                 `![external.process] command: Command './printenv' is not in the whitelist. Allowed commands: printenv`,
		`{"command": ["printenv"], "env": {"PATH": "."}}`:                         `![external.process] env: "PATH" must not be set while a whitelist is in force`,
		`{"command": ["printenv"], "inherit_env": false, "env": {"OTHER": "no"}}`: `![external.process] env: "OTHER" must not be set while a whitelist is in force`,
	} {
		if got := with(t, listed, workdir.Place{}, inputs, params).shown(); got != want {
			t.Errorf("%s: got  %s\nwant %s", inputs, got, want)
		}
	}
}

// The time is that of one attempt, and all processes end with it.
func TestTimeOut(t *testing.T) {
	dir := t.TempDir()
	script := `trap 'echo stopped > ` + dir + `/said; exit 0' TERM; (trap '' TERM; sleep 600.375) & sleep 600.375 & wait; wait`
	begin := time.Now()
	got := run(t, dir, map[string]any{"command": script, "shell": true, "timeout_seconds": 0.5, "kill_grace_seconds": 1})
	if got.shown() != "!the program timed out after 0.5 seconds" || executors.KindOf(got.err) != executors.KindTimeout || executors.IsPermanent(got.err) {
		t.Errorf("got %s, %v", got.shown(), got.err)
	}
	if took := time.Since(begin); took < 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if said := content(t, dir+"/said"); said != "stopped\n" {
		t.Errorf("the program was not told: %q", said)
	}
	list, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip(err)
	}
	for _, entry := range list {
		if text, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline"); strings.Contains(string(text), "600.375") {
			t.Errorf("process %s is left: %q", entry.Name(), text)
		}
	}
}

// What another attempt may mend: without retry, the task's policy says; with it, what it lists.
func TestRetry(t *testing.T) {
	for name, row := range map[string]struct {
		inputs    string
		attempt   int
		permanent bool
		after     time.Duration
	}{
		"by the policy":     {`{"command": "exit 3", "shell": true}`, 1, false, 0},
		"none is listed":    {`{"command": "exit 3", "shell": true, "retry": {"max_attempts": 3}}`, 1, true, 0},
		"another is listed": {`{"command": "exit 3", "shell": true, "retry": {"retry_on_exit_codes": [4]}}`, 1, true, 0},
		"listed":            {`{"command": "exit 3", "shell": true, "retry": {"retry_on_exit_codes": [4, 3], "backoff_seconds": 2}}`, 1, false, 2 * time.Second},
		"one is listed":     {`{"command": "exit 3", "shell": true, "retry": {"retry_on_exit_codes": 3, "backoff_seconds": 2, "backoff_multiplier": 3}}`, 3, false, 18 * time.Second},
		"a longest pause":   {`{"command": "exit 3", "shell": true, "retry": {"retry_on_exit_codes": 3, "backoff_seconds": 2, "backoff_multiplier": 3, "max_backoff_seconds": 5}}`, 3, false, 5 * time.Second},
		"many attempts":     {`{"command": "exit 3", "shell": true, "retry": {"retry_on_exit_codes": 3, "backoff_seconds": 2, "backoff_multiplier": 3}}`, 5000, false, time.Hour},
		"a timeout":         {`{"command": "sleep 600", "timeout_seconds": 0.1}`, 1, false, 0},
		"that is not":       {`{"command": "sleep 600", "timeout_seconds": 0.1, "retry": {"retry_on_exit_codes": [0, -15, 143]}}`, 1, true, 0},
		"that is":           {`{"command": "sleep 600", "timeout_seconds": 0.1, "retry": {"retry_on_timeout": true}}`, 1, false, 0},
		"bad output":        {`{"command": "true", "success": {"require_files": "x"}, "retry": {"retry_on_exit_codes": 0, "retry_on_timeout": true}}`, 1, true, 0},
	} {
		got := with(t, open, workdir.Place{}, row.inputs, func(c *executors.Call) { c.Attempt = row.attempt })
		if got.err == nil || executors.IsPermanent(got.err) != row.permanent || executors.RetryAfterOf(got.err) != row.after {
			t.Errorf("%s: got %v, permanent %v, after %v", name, got.err, executors.IsPermanent(got.err), executors.RetryAfterOf(got.err))
		}
	}
}

func TestMarker(t *testing.T) {
	dir := t.TempDir()
	inputs := func(more string) string {
		return `{"command": "echo run >> ` + dir + `/runs; touch ` + dir + `/done", "shell": true, "idempotency": {"strategy": "marker", "marker_path": "` + dir + `/done"}` + more + `}`
	}
	runs := func() int { return strings.Count(content(t, dir+"/runs"), "run") }
	if got := run(t, dir, inputs("")); got.err != nil || got.Kind() != executors.KindCompleted || runs() != 1 {
		t.Fatalf("first: %s, %d", got.shown(), runs())
	}
	got := run(t, dir, inputs(""))
	if want := `marker_present{"marker":"` + dir + `/done","skipped":true}`; got.shown() != want || got.Kind() != executors.KindSkipped || runs() != 1 {
		t.Errorf("again: %s, %d", got.shown(), runs())
	}
	if got := run(t, dir, inputs(`, "success": {"require_files": "`+dir+`/runs", "forbid_files": "`+dir+`/other"}`)); got.Kind() != executors.KindSkipped || runs() != 1 {
		t.Errorf("with what success asks for: %s, %d", got.shown(), runs())
	}
	if got := run(t, dir, inputs(`, "success": {"require_files": "`+dir+`/gone"}`)); runs() != 2 || got.shown() != "!invalid_output:missing_required_file:"+dir+"/gone" {
		t.Errorf("without what success asks for: %s, %d", got.shown(), runs())
	}
	if got := run(t, dir, `{"command": "true", "idempotency": {"strategy": "marker"}, "success": {"marker_file": "`+dir+`/done"}}`); got.Kind() != executors.KindSkipped {
		t.Errorf("success.marker_file: %s", got.shown())
	}
	if got := run(t, "", inputs("")); executors.KindOf(got.err) != workdir.KindEscape || runs() != 2 {
		t.Errorf("a pool without files: %s", got.shown())
	}
}

func TestAtomicDir(t *testing.T) {
	dir := t.TempDir()
	at := func(script string, more ...string) attempt {
		t.Helper()
		return run(t, dir, atomic(script, dir+"/work/tmp", dir+"/out/final", more...))
	}
	tree := func() string {
		var names []string
		for _, pattern := range []string{"out/*", "out/*/*", "out/*/*/*", "out/.*", "work/*"} {
			found, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, name := range found {
				short := strings.TrimPrefix(name, dir+"/")
				if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
					short += "=" + content(t, name)
				}
				names = append(names, short)
			}
		}
		return strings.Join(names, " ")
	}
	want := func(step, want string) {
		t.Helper()
		if got := tree(); got != want {
			t.Errorf("%s: got  %s\nwant %s", step, got, want)
		}
	}
	write(t, dir+"/work/tmp/left", "of an attempt that was killed")
	if got := at(`[ $AETHERFLOW_OUTPUT_DIR = $TASKGROVE_OUTPUT_DIR ]; printf 1 > $TASKGROVE_OUTPUT_DIR/a; mkdir $TASKGROVE_OUTPUT_DIR/d; printf 1 > $TASKGROVE_OUTPUT_DIR/d/b`,
		`, "success": {"require_files": ["`+dir+`/out/final/a", "`+dir+`/out/final"], "require_glob": "`+dir+`/out/final/d/*", "forbid_files": "`+dir+`/out/final/left"}`); got.err != nil {
		t.Fatal(got.err)
	}
	want("first", "out/final out/final/a=1 out/final/d out/final/d/b=1")
	for name, got := range map[string]attempt{
		"a failure":  at(`printf 2 > $TASKGROVE_OUTPUT_DIR/a; exit 1`),
		"bad output": at(`printf 2 > $TASKGROVE_OUTPUT_DIR/b`, `, "success": {"require_files": "`+dir+`/out/final/a"}`),
		"a bad file": at(`printf 2 > $TASKGROVE_OUTPUT_DIR/a; echo x > $TASKGROVE_RESULT_FILE`),
		"forbidden":  at(`printf 2 > $TASKGROVE_OUTPUT_DIR/a`, `, "success": {"forbid_files": "`+dir+`/out/final/a"}`),
		"too slow":   at(`printf 2 > $TASKGROVE_OUTPUT_DIR/a; sleep 600`, `, "timeout_seconds": 0.3`),
		"it is gone": at(`rm -r $TASKGROVE_OUTPUT_DIR`),
		"it is none": at(`rm -r $TASKGROVE_OUTPUT_DIR; touch $TASKGROVE_OUTPUT_DIR`),
	} {
		if got.err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	_ = os.RemoveAll(dir + "/work")
	want("failures", "out/final out/final/a=1 out/final/d out/final/d/b=1")
	if got := at(`printf 3 > $TASKGROVE_OUTPUT_DIR/c`); got.err != nil {
		t.Fatal(got.err)
	}
	want("the second", "out/final out/final/c=3")
	if got := run(t, dir, `{"command": "printf 4 > $TASKGROVE_OUTPUT_DIR/d; mkdir $TASKGROVE_OUTPUT_DIR/c; printf 4 > $TASKGROVE_OUTPUT_DIR/c/x", "shell": true, "idempotency": {"strategy": "atomic_dir", "atomic_rename": false, "temp_output_dir": "`+dir+`/work/tmp", "final_output_dir": "`+dir+`/out/final"}}`); got.err != nil {
		t.Fatal(got.err)
	}
	want("one by one", "out/final out/final/c out/final/d=4 out/final/c/x=4")
	_ = os.RemoveAll(dir + "/out/final")
	write(t, dir+"/out/final", "a file")
	if got := at("true"); got.err == nil || !executors.IsPermanent(got.err) {
		t.Errorf("a file is there: %v", got.err)
	}
}

// A cancelled attempt publishes nothing, and files of the attempt's own directory become artifacts.
func TestArtifacts(t *testing.T) {
	call := func(c *executors.Call) { c.Artifacts = []string{"out/*.csv"} }
	got := with(t, open, workdir.Place{}, atomic(`echo a,b > $TASKGROVE_OUTPUT_DIR/x.csv`, "tmp", "out"), call)
	if saved := got.files.Saved(); got.err != nil || len(saved) != 1 || saved[0].Artifact != "out/x.csv" || string(got.files.Content(saved[0])) != "a,b\n" {
		t.Errorf("got %s, %v", got.shown(), saved)
	}
	files := &conformance.Files{}
	ref, _ := json.Marshal(files.Put("data.csv", []byte("1,2")))
	in := fmt.Sprintf(`{"command": ["sh", "-c", "cat $1 $FILE $TASKGROVE_ARTIFACT_COMMAND_4", "sh", %[1]s], "env": {"FILE": %[1]s}, "log": {"stdout": "capture"}}`, ref)
	got = with(t, open, workdir.Place{}, in, func(c *executors.Call) { c.Files = files })
	if want := `{"attempts":1,"exit_code":0,"stdout":"1,21,21,2"}`; got.shown() != want {
		t.Errorf("got %s", got.shown())
	}
	got = with(t, command.Config{Allow: true, MaxOutputBytes: 10}, workdir.Place{}, `{"command": "echo 0123456789abc", "log": {"stdout": "capture"}}`, func(c *executors.Call) { c.KeepOutputs = true })
	if text := got.shown(); !strings.Contains(text, `"artifact":"stdout"`) || strings.Contains(text, "truncated") {
		t.Errorf("a large output: got %s", text)
	}
}

func TestRename(t *testing.T) {
	for text, want := range map[string]string{
		`{"cmd": "x"}`:                                `{"command":"x"} cmd=command`,
		`{"cmd": "x", "command": "y"}`:                `{"cmd": "x", "command": "y"}`,
		`{"retry": {"sleep_seconds": 1.50}}`:          `{"retry":{"backoff_seconds":1.50}} retry.sleep_seconds=retry.backoff_seconds`,
		`{"log": {"max_capture_bytes": 1025}}`:        `{"log":{"max_capture_kb":2}} log.max_capture_bytes=log.max_capture_kb`,
		`{"log": {"max_capture_bytes": "{{env.B}}"}}`: `{"log": {"max_capture_bytes": "{{env.B}}"}}`,
		`{"success": {"required_globs": ["a"], "forbidden_files": "b", "required_files": 1}}`: `{"success":{"forbid_files":"b","require_files":1,"require_glob":["a"]}} success.required_files=success.require_files success.required_globs=success.require_glob success.forbidden_files=success.forbid_files`,
		`{"success": [1], "log": null, "retry": "x"}`:                                         `{"success": [1], "log": null, "retry": "x"}`,
		`[]`: `[]`, `nothing`: `nothing`,
	} {
		got, renamed := process.Rename(json.RawMessage(text))
		shown := string(got)
		for _, r := range renamed {
			shown += " " + r.Old + "=" + r.New
		}
		if shown != want {
			t.Errorf("%s: got  %s\nwant %s", text, shown, want)
		}
	}
}
