package ssh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

func run(t *testing.T, e *ssh.Executor, in any) (*ssh.Result, error) {
	t.Helper()
	call, _ := conformance.Call(t, in)
	return runCall(t.Context(), e, call)
}

func runCall(ctx context.Context, e *ssh.Executor, call *executors.Call) (*ssh.Result, error) {
	got, err := e.Run(ctx, call)
	result, _ := got.Value().(*ssh.Result)
	return result, err
}

func TestResult(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	for name, row := range map[string]struct {
		inputs map[string]any
		want   string // without command, host and username
	}{
		"output as it comes":      {map[string]any{"command": "echo '  hi  '; echo oops >&2"}, `"stdout":"  hi  \n","stderr":"oops\n","return_code":0,"success":true`},
		"a bad exit code":         {map[string]any{"command": "exit 3"}, `"stdout":"","stderr":"","return_code":3,"success":false`},
		"a signal":                {map[string]any{"command": "kill -9 $$"}, `"stdout":"","stderr":"","return_code":-9,"success":false`},
		"what is not text":        {map[string]any{"command": "printf ' a\\377b\\n'; printf 'a\\000b' >&2"}, `"stdout":"IGH/Ygo=","stderr":"YQBi","return_code":0,"success":true,"encoding":"base64","stderr_encoding":"base64"`},
		"stdin":                   {map[string]any{"command": "cat", "stdin": "a\nb"}, `"stdout":"a\nb","stderr":"","return_code":0,"success":true`},
		"stdin that nobody reads": {map[string]any{"command": "exit 4", "stdin": strings.Repeat("x", 5<<20)}, `"stdout":"","stderr":"","return_code":4,"success":false`},
		"no stdin":                {map[string]any{"command": "cat; echo end"}, `"stdout":"end\n","stderr":"","return_code":0,"success":true`},
		"several lines":           {map[string]any{"command": "echo 'a'\necho \"b\nc\""}, `"stdout":"a\nb\nc\n","stderr":"","return_code":0,"success":true`},
		"the attempt":             {map[string]any{"command": "echo $TASKGROVE_TASK_ID $TASKGROVE_ATTEMPT $TASKGROVE_IDEMPOTENCY_KEY", "env": map[string]any{"TASKGROVE_ATTEMPT": "9"}}, `"stdout":"task-1 1 key-1\n","stderr":"","return_code":0,"success":true`},
		"env":                     {map[string]any{"command": "echo $A $B $C", "env": map[string]any{"A": "x", "B": 2, "C": true}}, `"stdout":"x 2 true\n","stderr":"","return_code":0,"success":true`},
		"plain":                   {map[string]any{"command": "cat; echo oops >&2; exit 3", "stdin": "in", "plain": true}, `"stdout":"in","stderr":"oops\n","return_code":3,"success":false`},
		"a plain one's signal":    {map[string]any{"command": "kill -9 $$", "plain": true}, `"stdout":"","stderr":"","return_code":-9,"success":false`},
		"what it leaves ends":     {map[string]any{"command": "sleep 600 & echo started"}, `"stdout":"started\n","stderr":"","return_code":0,"success":true`},
		"null stands for absent":  {map[string]any{"command": "true", "timeout": nil, "env": nil, "stdin": nil, "upload": nil, "plain": nil, "agent": nil, "jump": nil}, `"stdout":"","stderr":"","return_code":0,"success":true`},
	} {
		t.Run(name, func(t *testing.T) {
			in := s.Inputs(row.inputs)
			for name, value := range row.inputs {
				in[name] = value // null, too
			}
			got, err := run(t, e, in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Command != in["command"] || got.Host != "127.0.0.1" || got.Username != s.User {
				t.Errorf("got %+v", got)
			}
			text, _ := json.Marshal(got)
			_, shown, _ := strings.Cut(string(text), `"stdout"`)
			shown = strings.Replace(`"stdout"`+shown, `,"host":"127.0.0.1","username":"`+s.User+`"`, "", 1)
			if shown != row.want+"}" {
				t.Errorf("got  %s\nwant %s", shown, row.want)
			}
		})
	}
}

func TestLinesAreLoggedWhileTheyCome(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	call, record := conformance.Call(t, s.Inputs(map[string]any{"command": "echo one; echo two >&2; sleep 600"}))
	ended := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, call)
		ended <- err
	}()
	<-record.Logged("stdout: one")
	<-record.Logged("stderr: two")
	cancel(executors.ErrCancelled)
	if err := <-ended; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	for _, line := range record.Lines() {
		if line != "stdout: one" && line != "stderr: two" {
			t.Errorf("logged %q", line)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{MaxOutputBytes: 1000})
	got, err := run(t, e, s.Inputs(map[string]any{"command": "head -c 30000000 /dev/zero | tr '\\0' x; head -c 2000 /dev/zero | tr '\\0' y >&2"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Stdout) != 1000 || len(got.Stderr) != 1000 || !got.Truncated || !slices.Equal(got.TruncatedFields, []string{"stderr", "stdout"}) || got.ReturnCode != 0 {
		t.Errorf("got %d and %d bytes, truncated %v, code %d", len(got.Stdout), len(got.Stderr), got.Truncated, got.ReturnCode)
	}
}

func TestFailOnError(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	_, err := run(t, e, s.Inputs(map[string]any{"command": "echo why >&2; exit 7", "fail_on_error": true}))
	if err == nil || err.Error() != "command on 127.0.0.1 ended with exit code 7: why\n" || executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

// TestNothingIsInjected: whatever stands in a variable or a command is what the command sees.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	for _, value := range []string{
		"", " ", "a b", "'", `"`, `\`, "$(touch /tmp/x)", "`id`", "$HOME", "; exit 9", "' ; exit 9 ; '", "'; exit 9 #", "a\nexit 9", "\n", "\n\n'\n", "}", "};exit 9;{",
		"&& exit 9", "*", "~", "!x", "é\u00a0", "\\n", "%s", "$tg_c", "'\"$tg_n\"'", "-n", "--", "\t", "a\rb", "\x01", strings.Repeat("y", 100_000),
	} {
		got, err := run(t, e, s.Inputs(map[string]any{"command": `printf '%s.' "$X"`, "env": map[string]any{"X": value}}))
		if err != nil || got.Stdout != value+"." {
			t.Errorf("env %.80q: got %.80q, %v", value, got.Stdout, err)
		}
		quoted := "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		if got, err = run(t, e, s.Inputs(map[string]any{"command": "printf '%s.' " + quoted})); err != nil || got.Stdout != value+"." {
			t.Errorf("command with %.80q: got %.80q, %v", value, got.Stdout, err)
		}
	}
	for _, name := range []string{"", "A B", "A;exit 9", "A=B", "$(id)", "A\n", "1A", "Ä", "tg_c"} {
		_, err := run(t, e, s.Inputs(map[string]any{"env": map[string]any{name: "x"}}))
		if !executors.IsPermanent(err) || !strings.Contains(err.Error(), "env: ") {
			t.Errorf("variable %q: got %v", name, err)
		}
	}
}

// TestVariablesDoNotReachTheScript: a variable steers the command, and not the script that guards it.
func TestVariablesDoNotReachTheScript(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	got, err := run(t, e, s.Inputs(map[string]any{"command": "/bin/echo $PATH", "env": map[string]any{"PATH": "/nowhere", "IFS": "=>", "ENV": "/x", "SHELL": "/bin/sh"}}))
	if err != nil || got.Stdout != "/nowhere\n" || got.ReturnCode != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPlainEnvironment(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t, "AcceptEnv LANG X")
	e := newExecutor(t, ssh.Config{})
	got, err := run(t, e, s.Inputs(map[string]any{"command": `printf '%s' "$X"`, "env": map[string]any{"X": "a 'b\n"}, "plain": true}))
	if err != nil || got.Stdout != "a 'b\n" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = run(t, e, s.Inputs(map[string]any{"env": map[string]any{"Y": "1"}, "plain": true}))
	if !executors.IsPermanent(err) || !strings.Contains(err.Error(), "env: the host does not take Y") {
		t.Errorf("got %v", err)
	}
}

func TestMissingInputs(t *testing.T) {
	e := newExecutor(t, ssh.Config{})
	for in, want := range map[string]string{
		`{}`:                             "[ssh_executor] host is required",
		`{"host": "h"}`:                  "[ssh_executor] username is required",
		`{"host": "h", "username": "u"}`: "[ssh_executor] command is required",
		`{"host": "h", "username": "u", "command": "c"}`:                                                            "[ssh_executor] Either password or key_file must be provided (or key, or agent)",
		`{"host": "h", "username": "u", "command": "c", "key_file": "/x/y"}`:                                        "[ssh_executor] key_file: this worker has no key files for tasks; TASKGROVE_SSH_KEY_DIR",
		`{"host": "h", "username": "u", "command": "c", "agent": true}`:                                             "[ssh_executor] agent: this worker has none for tasks",
		`{"host": "h", "username": "u", "command": "c", "password": "p", "verify_host_key": false}`:                 "[ssh_executor] verify_host_key: this worker does not connect",
		`{"host": "h h", "username": "u\n", "port": 0, "command": "c\u0000", "password": "p"}`:                      "[ssh_executor] host: is neither a name nor an address; port: must be from 1 to 65535; username: contains a control character; command: contains a NUL",
		`{"host": "h", "username": "u", "command": "c", "password": "p", "upload": [{"to": "/a/.."}]}`:              "[ssh_executor] upload[0].to: names a directory",
		`{"host": "h", "username": "u", "command": "c", "password": "p", "jump": [{"host": "j", "username": "u"}]}`: "[ssh_executor] jump[0].password or key must be provided",
		`{"host": "h", "username": "u", "command": "c", "password": "p", "env": {"A": ["x"]}}`:                      "[ssh_executor] env must not be a ",
	} {
		call, _ := conformance.Call(t, in)
		_, err := e.Run(t.Context(), call)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}

// TestThirtyAtOnceShareConnections: one host, four connections.
func TestThirtyAtOnceShareConnections(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	var all sync.WaitGroup
	var together sync.WaitGroup
	together.Add(30)
	for i := range 30 {
		all.Go(func() {
			call, record := conformance.Call(t, s.Inputs(map[string]any{"command": fmt.Sprintf("echo go; read line; echo %d", i)}))
			_ = record
			call.Inputs = json.RawMessage(strings.Replace(string(call.Inputs), "read line; ", "sleep 0.5; ", 1))
			got, err := runCall(t.Context(), e, call)
			if err != nil || got.Stdout != fmt.Sprintf("go\n%d\n", i) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	all.Wait()
	if got := s.Logins(); got != 4 {
		t.Errorf("%d connections, want 4 with 8 sessions each", got)
	}
}

// TestWhatMayNotShareDoesNot: another user, key, rule of host keys, or pool means another connection.
func TestWhatMayNotShareDoesNot(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	must(t, s.Keygen("other", ""))
	must(t, s.Write("authorized", s.Read("id.pub")+s.Read("other.pub")))
	e := newExecutor(t, ssh.Config{})
	pools := []string{"a", "a", "b", "a", "a"}
	for i, in := range []map[string]any{nil, {"command": "echo again", "timeout": 9}, nil, {"key": s.Read("other")}, {"host_key": nil, "known_hosts": s.KnownHosts()}} {
		call, _ := conformance.Call(t, s.Inputs(in))
		call.Pool = pools[i]
		if _, err := runCall(t.Context(), e, call); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Logins(); got != 4 {
		t.Errorf("%d connections, want 4: only the first two share", got)
	}
}

func TestFewSessionsPerConnection(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t, "MaxSessions 2")
	e := newExecutor(t, ssh.Config{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := run(t, e, s.Inputs(map[string]any{"command": "sleep 0.3"})); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestIdleConnectionsClose(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{IdleTimeout: 50 * time.Millisecond})
	if _, err := run(t, e, s.Inputs(nil)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); len(s.Connections()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection stays open")
		}
	}
	if _, err := run(t, e, s.Inputs(nil)); err != nil {
		t.Errorf("after that: %v", err)
	}
}
