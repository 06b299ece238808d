package bundleplugin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/bundleplugin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/guardian"
)

func TestMain(m *testing.M) {
	guardian.Hook()
	os.Exit(m.Run())
}

func needPython(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must have python3 (tools/need.sh)")
		}
		t.Skip("there is no python3 on this machine")
	}
}

// program is a plugin of lines of Python that answer hello and describe, and then do something with the attempt: start is its message, say writes one.
func program(describes, does string) string {
	return `#!/usr/bin/env python3
import json, os, sys, time
import helper
def say(**m):
    sys.stdout.write(json.dumps(m) + "\n"); sys.stdout.flush()
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello": say(type="hello", version=2)
    elif m["type"] == "describe":
` + indent(describes, 8) + `
    elif m["type"] == "start":
        start, id = m, m["attempt_id"]
` + indent(does, 8) + "\n"
}

func indent(text string, by int) string {
	return strings.Repeat(" ", by) + strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", by))
}

const describes = `say(type="description", id="words", description="Counts", inputs={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})`

// inBundle is a bundle with a plugin, laid out as workers do, and a call of it.
func inBundle(t testing.TB, text, inputs string, change func(ref map[string]string)) (*executors.Call, string, *conformance.Recorder) {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(text), 0o444)); err != nil {
			t.Fatal(err)
		}
	}
	put("plugins/words.py", text)
	put("plugins/helper.py", "def count(text): return len(text.split())\n")
	sum := sha256.Sum256([]byte(text))
	ref := map[string]string{"id": "words", "path": "plugins/words.py", "sha256": hex.EncodeToString(sum[:])}
	if change != nil {
		change(ref)
	}
	call, rec := conformance.Call(t, json.RawMessage(inputs))
	call.Bundle = &executors.Bundle{ID: "b", Dir: dir}
	call.Params, _ = json.Marshal(map[string]any{"plugin": ref})
	return call, dir, rec
}

func allowed() bundleplugin.Config {
	return bundleplugin.Config{Refused: func(string) string { return "" }, Pools: func() []string { return []string{"p"} }, Grace: 200 * time.Millisecond}
}

// A plugin finds what lies beside it, its bundle and its attempt, and gives a result.
func TestRuns(t *testing.T) {
	needPython(t)
	t.Setenv("CANARY_OF_WORKER", "secret")
	call, dir, _ := inBundle(t, program(describes, `say(type="log", attempt_id=id, text="counting")
say(type="result", attempt_id=id, result={"words": helper.count(start["inputs"]["text"]), "bundle": os.environ["TASKGROVE_BUNDLE_DIR"], "task": os.environ["TASKGROVE_TASK_ID"], "canary": os.environ.get("CANARY_OF_WORKER")})`),
		`{"text": "to be or not"}`, nil)
	out, err := bundleplugin.New(allowed()).Run(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(out.Value())
	if want := fmt.Sprintf(`{"words":4,"bundle":%q,"task":%q,"canary":null}`, dir, call.TaskID); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	call, _, _ = inBundle(t, program(describes, `say(type="skip", attempt_id=id, reason="no_words", value={"n": 0})`), `{"text": ""}`, nil)
	if out, err := bundleplugin.New(allowed()).Run(t.Context(), call); err != nil || out.Kind() != executors.KindSkipped || out.Reason() != "no_words" {
		t.Errorf("a skip: %v, %v", out, err)
	}
}

// What must not run does not, and says why; nothing of it is tried again.
func TestRefuses(t *testing.T) {
	needPython(t)
	good := program(describes, `open(start["inputs"]["text"], "w").close(); say(type="result", attempt_id=id, result={})`)
	elf := "\x7fELF and no more"
	hostile := func(lines string) string { return program(lines, "pass") }
	for _, row := range []struct {
		name, text, inputs string
		change             func(map[string]string)
		want               string
	}{
		{"another content", good, "", func(r map[string]string) { r["sha256"] = strings.Repeat("0", 64) }, "and the flow was compiled with 0000"},
		{"no digest", good, "", func(r map[string]string) { r["sha256"] = "00" }, "must have the id, path and sha256"},
		{"no id", good, "", func(r map[string]string) { r["id"] = "a b" }, "must have the id, path and sha256"},
		{"a path out", good, "", func(r map[string]string) { r["path"] = "../words.py" }, "must have the id, path and sha256"},
		{"an absolute path", good, "", func(r map[string]string) { r["path"] = "/bin/sh" }, "must have the id, path and sha256"},
		{"not there", good, "", func(r map[string]string) { r["path"] = "plugins/none.py" }, "plugins/none.py is not in the bundle"},
		{"a directory", good, "", func(r map[string]string) { r["path"] = "plugins" }, "is no plain file"},
		{"another id", good, "", func(r map[string]string) { r["id"] = "other" }, "it calls itself words, and the worker's file calls it other"},
		{"no program", "import sys\n", "", nil, "plugins/words.py is no program: it must begin with #!"},
		{"nothing", "", "", nil, "is no program"},
		{"of no system", elf, "", nil, "plugins/words.py"},
		{"no interpreter", "#!/no/such/interpreter\n", "", nil, "plugins/words.py"},
		{"ends at once", "#!/bin/sh\nexit 3\n", "", nil, "exit code 3"},
		{"says no JSON", "#!/bin/sh\nread x; echo hello\n", "", nil, "is not a JSON object"},
		{"describes nothing", hostile(`say(type="description")`), "", nil, "its description is wrong"},
		{"describes a bad id", hostile(`say(type="description", id="../x", description="d")`), "", nil, "want 1 to 64 letters"},
		{"describes a bad schema", hostile(`say(type="description", id="words", description="d", inputs={"type": 5})`), "", nil, "the schema can't be used"},
		{"describes too much", hostile(`say(type="description", id="words", description="d" * (2 << 20))`), "", nil, "at most"},
		{"describes by lines without end", hostile(`
while True: sys.stdout.write("x" * 65536)`), "", nil, "a line of more than"},
		{"bad inputs", good, `{"text": 5}`, nil, "text"},
		{"missing inputs", good, `{}`, nil, "text"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			in := row.inputs
			ran := filepath.Join(t.TempDir(), "ran")
			if in == "" {
				in = fmt.Sprintf(`{"text": %q}`, ran)
			}
			call, _, _ := inBundle(t, row.text, in, row.change)
			out, err := bundleplugin.New(allowed()).Run(t.Context(), call)
			if err == nil || !strings.Contains(err.Error(), row.want) || !executors.IsPermanent(err) || strings.Contains(err.Error(), os.TempDir()) {
				t.Errorf("got %v, %v, want %q", out, err, row.want)
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("it ran")
			}
		})
	}
	call, dir, _ := inBundle(t, good, `{"text": "x"}`, nil)
	at := filepath.Join(dir, "plugins", "words.py")
	if err := errors.Join(os.Rename(at, at+"2"), os.Symlink(at+"2", at)); err != nil {
		t.Fatal(err)
	}
	if _, err := bundleplugin.New(allowed()).Run(t.Context(), call); err == nil || !strings.Contains(err.Error(), "is no plain file") {
		t.Errorf("a link: %v", err)
	}
	call.Bundle = nil
	if _, err := bundleplugin.New(allowed()).Run(t.Context(), call); err == nil || !strings.Contains(err.Error(), "the run has no bundle") || executors.KindOf(err) != bundleplugin.KindPlugin {
		t.Errorf("no bundle: %v", err)
	}
	call, _, _ = inBundle(t, good, `{"text": "x"}`, nil)
	call.Params = nil
	if _, err := bundleplugin.New(allowed()).Run(t.Context(), call); err == nil || !strings.Contains(err.Error(), "params.plugin") {
		t.Errorf("no plugin: %v", err)
	}
	call, _, _ = inBundle(t, good, `{"text": "x"}`, nil)
	e := bundleplugin.New(bundleplugin.Config{})
	if _, err := e.Run(t.Context(), call); err == nil || !executors.IsPermanent(err) || e.Disabled() == "" {
		t.Errorf("by default: %v, %q", err, e.Disabled())
	}
}

// What lies beside a program says which secrets and connections the worker puts into its inputs; what can't be read of it is told, and nothing is put in.
func TestDelegates(t *testing.T) {
	const takes = `{"id": "words", "description": "d", "connection": {"types": ["postgres"], "fields": ["host"]}`
	for _, row := range []struct {
		name, beside string
		types        string // of connections
		want         string // in the error
	}{
		{"of the program", takes + `}`, "postgres", ""},
		{"none", `{"id": "words", "description": "d"}`, "", ""},
		{"no file", "", "", ""},
		{"not JSON", "{", "", "plugins/words.py.json can't be used: its description is not JSON"},
		{"wrong", takes + `, "timeout_seconds": -1}`, "", "timeout_seconds is -1"},
		{"too large", takes + strings.Repeat(" ", 1<<20) + `}`, "", "at most 1048576"},
		{"a link", "->/etc/hostname", "", "plugins/words.py.json is no plain file"},
		{"a directory", "/", "", "plugins/words.py.json is no plain file"},
	} {
		call, dir, _ := inBundle(t, "#!/bin/false", "{}", nil)
		at := filepath.Join(dir, "plugins", "words.py.json")
		var err error
		switch target, link := strings.CutPrefix(row.beside, "->"); {
		case link:
			err = os.Symlink(target, at)
		case row.beside == "/":
			err = os.Mkdir(at, 0o700)
		case row.beside != "":
			err = os.WriteFile(at, []byte(row.beside), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		d, err := bundleplugin.New(allowed()).Delegate(call)
		types := ""
		if d.Connection != nil {
			types = strings.Join(d.Connection.Types, " ")
		}
		switch {
		case row.want == "" && (err != nil || d.ID != "words" || !d.Secrets || types != row.types):
			t.Errorf("%s: %+v, %v", row.name, d, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || !executors.IsPermanent(err) || executors.KindOf(err) != bundleplugin.KindPlugin):
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if d, err := bundleplugin.New(bundleplugin.Config{}).Delegate(call); err == nil || d.ID != "" {
			t.Errorf("%s, in a pool that does not allow it: %+v", row.name, d)
		}
	}
}

// A plugin that does not stop is killed with the attempt, with all that it has started.
func TestKilled(t *testing.T) {
	needPython(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	pids := filepath.Join(t.TempDir(), "pids")
	call, _, _ := inBundle(t, program(describes, `import subprocess, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
p = subprocess.Popen(["sleep", "600"], start_new_session=True)
open(start["inputs"]["text"] + ".new", "w").write("%d %d" % (os.getpid(), p.pid))
os.rename(start["inputs"]["text"] + ".new", start["inputs"]["text"])
time.sleep(600)`), fmt.Sprintf(`{"text": %q}`, pids), nil)
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(pids); err == nil {
				cancel(executors.ErrCancelled)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := bundleplugin.New(allowed()).Run(ctx, call); !errors.Is(err, executors.ErrCancelled) {
		t.Error(err)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(word)
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}
