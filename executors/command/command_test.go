package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func run(t *testing.T, cfg command.Config, inputs any) (*command.Result, error) {
	t.Helper()
	call, _ := conformance.Call(t, inputs)
	got, err := command.New(cfg).Run(t.Context(), call)
	result, _ := got.Value().(*command.Result)
	return result, err
}

var open = command.Config{Allow: true, Grace: 200 * time.Millisecond}

func TestResult(t *testing.T) {
	for name, row := range map[string]struct{ inputs, want string }{
		"output is trimmed": {
			`{"command": "echo '  hi  '; echo oops >&2"}`,
			`{"command":"echo '  hi  '; echo oops >&2","return_code":0,"stdout":"hi","stderr":"oops","success":true,"stdout_trimmed":["  ","  \n"]}`},
		"a newline at the end is what is usual": {
			`{"command": "echo hi"}`,
			`{"command":"echo hi","return_code":0,"stdout":"hi","stderr":"","success":true}`},
		"output of nothing but white space": {
			`{"command": "echo; printf ' ' >&2"}`,
			`{"command":"echo; printf ' ' >&2","return_code":0,"stdout":"","stderr":"","success":true,"stdout_trimmed":["","\n"],"stderr_trimmed":[""," "]}`},
		"a bad exit code is a success of the task": {
			`{"command": "exit 3"}`,
			`{"command":"exit 3","return_code":3,"stdout":"","stderr":"","success":false}`},
		"an unknown command is the shell's to report": {
			`{"command": "exec 2>/dev/null; no-such-program"}`,
			`{"command":"exec 2>/dev/null; no-such-program","return_code":127,"stdout":"","stderr":"","success":false}`},
		"a signal shows as its negative number": {
			`{"command": "kill -9 $$"}`,
			`{"command":"kill -9 $$","return_code":-9,"stdout":"","stderr":"","success":false}`},
		"what is not text is base64": {
			`{"command": "printf ' a\\377b\n'; printf 'a\\000b' >&2"}`,
			`{"command":"printf ' a\\377b\n'; printf 'a\\000b' >&2","return_code":0,"stdout":"IGH/Ygo=","stderr":"YQBi","success":true,"encoding":"base64","stderr_encoding":"base64"}`},
		"args are passed without a shell": {
			`{"command": "printf", "args": ["%s|", "a b", "$HOME", "; ls"]}`,
			`{"command":"printf","return_code":0,"stdout":"a b|$HOME|; ls|","stderr":"","success":true,"stdout_trimmed":["",""]}`},
		"stdin, env and cwd": {
			`{"command": "cat; echo $X; pwd", "stdin": "in-", "env": {"X": "set"}, "cwd": "/"}`,
			`{"command":"cat; echo $X; pwd","return_code":0,"stdout":"in-set\n/","stderr":"","success":true}`},
		"null stands for absent": {
			`{"command": "true", "timeout": null, "args": null, "env": null, "cwd": null, "stdin": null, "fail_on_error": null}`,
			`{"command":"true","return_code":0,"stdout":"","stderr":"","success":true}`},
		"the attempt is in the environment": {
			`{"command": "echo $TASKGROVE_TASK_ID $TASKGROVE_ATTEMPT $TASKGROVE_IDEMPOTENCY_KEY", "env": {"TASKGROVE_ATTEMPT": "9"}}`,
			`{"command":"echo $TASKGROVE_TASK_ID $TASKGROVE_ATTEMPT $TASKGROVE_IDEMPOTENCY_KEY","return_code":0,"stdout":"task-1 1 key-1","stderr":"","success":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(t, open, row.inputs)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			enc := json.NewEncoder(&text)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(got); err != nil {
				t.Fatal(err)
			}
			if strings.TrimSpace(text.String()) != row.want {
				t.Errorf("got  %s\nwant %s", text.String(), row.want)
			}
		})
	}
}

func TestGuards(t *testing.T) {
	listed := command.Config{Allow: true, Whitelist: []string{"printf", "echo", "/bin/cat"}, KeepEnv: []string{"LEVEL"}}
	for name, row := range map[string]struct {
		cfg          command.Config
		inputs, want string // want begins the error
	}{
		"missing command":          {open, `{}`, "[command_executor] command is required in inputs"},
		"empty command":            {open, `{"command": " "}`, "[command_executor] command is required in inputs"},
		"switched off by default":  {command.Config{}, `{"command": "true"}`, "[command_executor] Command execution is disabled by default for security. "},
		"not in the whitelist":     {listed, `{"command": "rm -rf x"}`, "[command_executor] Command 'rm' is not in the whitelist. Allowed commands: /bin/cat, echo, printf"},
		"args do not help":         {listed, `{"command": "rm", "args": ["x"]}`, "[command_executor] Command 'rm' is not in the whitelist."},
		"another path to the name": {listed, `{"command": "/tmp/echo x"}`, "[command_executor] Command '/tmp/echo' is not in the whitelist."},
		"a second command":         {listed, `{"command": "echo x; rm -rf y"}`, `[command_executor] command: shell operator ";" is not allowed`},
		"a substitution":           {listed, `{"command": "echo \"$(rm y)\""}`, `[command_executor] command: shell operator "$" is not allowed`},
		"a PATH of the task's":     {listed, `{"command": "echo x", "env": {"PATH": "/tmp"}}`, `[command_executor] env: "PATH" must not be set while a whitelist is in force`},
		"env with an equals sign":  {open, `{"command": "true", "env": {"A=B": "c"}}`, `[command_executor] env: "A=B" can't be set`},
		"no such directory":        {open, `{"command": "true", "cwd": "/no/such"}`, `[command_executor] cwd: "/no/such" is not a directory`},
		"no such program":          {open, `{"command": "no-such-program", "args": []}`, `[command_executor] command: "no-such-program" was not found in PATH`},
		"no such file":             {open, `{"command": "/no/such", "args": []}`, `[command_executor] command: "/no/such" is not a program`},
		"a timeout of nothing":     {open, `{"command": "true", "timeout": 0}`, `[command_executor] timeout must be a number of seconds above 0`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, row.cfg, row.inputs)
			if err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
			if err != nil && !executors.IsPermanent(err) {
				t.Error("the error may be retried")
			}
		})
	}
}

func TestWhitelistRunsWithoutShell(t *testing.T) {
	listed := command.Config{Allow: true, Whitelist: []string{"printf", "/bin/cat"}, KeepEnv: []string{"LEVEL"}}
	for name, row := range map[string]struct{ inputs, stdout string }{
		"quoted operators are text": {`{"command": "printf '%s|' 'a; b' \"c & d\" e\\ f"}`, "a; b|c & d|e f|"},
		"an absolute path":          {`{"command": "/bin/cat", "stdin": "x"}`, "x"},
		"args":                      {`{"command": "printf", "args": ["%s", "$HOME"]}`, "$HOME"},
		"a name that may be set":    {`{"command": "printf ok", "env": {"LEVEL": "1"}}`, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(t, listed, row.inputs)
			if err != nil || got.Stdout != row.stdout {
				t.Errorf("got %+v, %v, want stdout %q", got, err, row.stdout)
			}
		})
	}
}

func TestTheWorkersSecretsAreNotInherited(t *testing.T) {
	t.Setenv("NATS_URL", "nats://worker:hunter2@nats")
	t.Setenv("TASKGROVE_NATS_URL", "nats://worker:hunter2@nats")
	t.Setenv("LC_TIME", "C")
	t.Setenv("CHOSEN", "by the operator")
	got, err := run(t, command.Config{Allow: true, KeepEnv: []string{"CHOSEN", "TASKGROVE_NATS_URL"}}, `{"command": "env"}`)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.Stdout, "hunter2") {
		t.Errorf("a secret shows:\n%s", got.Stdout)
	}
	for _, want := range []string{"PATH=", "LC_TIME=C", "CHOSEN=by the operator"} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("%s is missing:\n%s", want, got.Stdout)
		}
	}
}

func TestFailOnErrorNamesCodeAndReason(t *testing.T) {
	_, err := run(t, open, `{"command": "echo no disk >&2; exit 4", "fail_on_error": true}`)
	if err == nil || err.Error() != "command ended with exit code 4: no disk" || executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestTimeoutStopsTheCommandAndSaysSo(t *testing.T) {
	got, err := run(t, open, `{"command": "echo begun; sleep 600", "timeout": 2}`)
	if err == nil || err.Error() != "Command timeout after 2 seconds" || executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if got == nil || got.Stdout != "begun" {
		t.Errorf("partial result %+v", got)
	}
}

func TestCancelStopsTheCommandAndKeepsWhatItWrote(t *testing.T) {
	call, recorder := conformance.Call(t, `{"command": "echo begun; sleep 600"}`)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-recorder.Logged("stdout: begun") // while it runs: lines are streamed
		cancel(executors.ErrCancelled)
	}()
	got, err := command.New(open).Run(ctx, call)
	if !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got error %v", err)
	}
	if r, _ := got.Value().(*command.Result); r == nil || r.Stdout != "begun" || r.ReturnCode != -15 || r.Success {
		t.Errorf("got %+v", got)
	}
}

func TestOutputIsBounded(t *testing.T) {
	cfg := open
	cfg.MaxOutputBytes = 1000
	got, err := run(t, cfg, `{"command": "head -c 5000000 /dev/zero | tr '\\0' x; echo e >&2"}`)
	if err != nil || got.Stdout != strings.Repeat("x", 1000) || got.Stderr != "e" || !got.Truncated || !slices.Equal(got.TruncatedFields, []string{"stdout"}) {
		t.Errorf("got %d bytes, %q, truncated %v, %v", len(got.Stdout), got.Stderr, got.Truncated, err)
	}
}

func TestSettingsAreRead(t *testing.T) {
	for value, want := range map[string]bool{"1": true, "true": true, "YES": true, " on ": true, "": false, "0": false, "off": false} {
		if got := command.ParseAllow(value); got != want {
			t.Errorf("ParseAllow(%q) is %v", value, got)
		}
	}
	if got := strings.Join(command.ParseWhitelist(" ls, echo,,ls "), "|"); got != "echo|ls" {
		t.Errorf("whitelist is %s", got)
	}
}
