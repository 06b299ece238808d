package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestPluginsOfBundles, as docs/flows/plugins.md says, on a real cluster: a run keeps the program of its version, and a flow that names no plugin of its bundle is refused.
func TestPluginsOfBundles(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 on this machine")
	}
	allows := file(t, "worker.yaml", "pools: {bundle_plugin: {bundle_plugins: true}}\n")
	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }, Worker: func(s *config.Worker) { s.WorkerFile = allows }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	dir, cache := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples/flows/plugins")); err != nil {
		t.Fatal(err)
	}
	manifest, program := filepath.Join(dir, "manifest.yaml"), filepath.Join(dir, "files", "plugins", "count_words.py")
	rewrite := func(name, old, new string) {
		t.Helper()
		text, err := os.ReadFile(name)
		if err == nil && !strings.Contains(string(text), old) {
			err = errors.New("has no " + old)
		}
		if err = errors.Join(err, os.WriteFile(name, []byte(strings.Replace(string(text), old, new, 1)), 0o600)); err != nil {
			t.Fatal(name, err)
		}
	}
	runs := func(want string, args ...string) {
		t.Helper()
		out, note, code := runCommand(t, append(args, "-o", "json")...)
		var run client.FlowRun
		if err := json.Unmarshal([]byte(out), &run); code != exitOK || err != nil || !strings.Contains(string(run.Jobs), want) {
			t.Fatalf("%v: exit %d, %v\n%s\n%s", args, code, err, note, out)
		}
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, note, code := runCommand(t, args...); code != exitUsage || !strings.Contains(out+note, want) {
			t.Errorf("%v: exit %d, want %q\n%s%s", args, code, want, note, out)
		}
	}
	start := []string{"flow", "run", "--bundle-manifest", manifest, "--bundle-dir", cache}
	runs(`"words":6`, append(start, "--run-id", "r1")...)
	// Another program of the same description: those that began before keep theirs.
	rewrite(program, "words = len(", "words = 100 + len(")
	runs(`"words":106`, append(start, "--run-id", "r2")...)
	runs(`"words":6`, "run", "restart", "r1", "--run-id", "r3")
	// A registered flow has the plugins of its bundle, and its inputs are judged by them.
	registered(t, filepath.Join(dir, "files", "count.yaml"))
	runs(`"words":106`, "flow", "run", "registered", "--run-id", "r4")
	refused("spec.missing_input - must be there: count_words needs it", "flow", "apply", "--bundle", "counting", file(t, "f.yaml", "flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: count_words, inputs: {}}]}]\n"))
	refused("there is no executor count_words", "flow", "apply", file(t, "g.yaml", "flow: {id: g}\njobs: [{id: a, steps: [{id: s, type: count_words, inputs: {text: x}}]}]\n"))
	// What a description says is refused before anything runs.
	rewrite(program+".json", `"type":"object"`, `"type":7`)
	refused("spec.plugin", start...)
	rewrite(program+".json", `"type":7`, `"type":"object"`)
	rewrite(program+".json", `"ID":"count_words"`, `"ID":"rest"`)
	refused("as an executor is that there is already", start...)
	rewrite(program+".json", `"ID":"rest"`, `"ID":"count_words"`)
	rewrite(manifest, "version: 1", "version: 1\nmode: enterprise")
	refused("there is no executor count_words", start...)
}

// registered registers a flow of the bundle as another one.
func registered(t *testing.T, flow string) {
	t.Helper()
	text, err := os.ReadFile(flow)
	if err != nil {
		t.Fatal(err)
	}
	at := file(t, "registered.yaml", strings.Replace(string(text), "id: count}", "id: registered}", 1))
	if out, note, code := runCommand(t, "flow", "apply", at, "--bundle", "counting"); code != exitOK {
		t.Fatalf("exit %d, %s%s", code, out, note)
	}
}

// A plugin whose description says which connections it takes gets the resource that its step names, with the worker's secret, and what it says is without that. The time that
// it describes is its step's, unless that has one.
func TestResourcesOfPlugins(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 on this machine")
	}
	const password = `s3cr%t/p+ss w"rd`
	t.Setenv("STORE_PASSWORD_OF_TEST", password)
	worker := file(t, "worker.yaml", "secrets: {STORE_PASSWORD: {env: STORE_PASSWORD_OF_TEST}}\n"+
		"connections: {named: {type: mysql, host: n.example, username: bob, password: {secret: STORE_PASSWORD}}}\npools: {bundle_plugin: {bundle_plugins: true}}\n")
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	helper, err := os.ReadFile("../../examples/flows/plugins/files/plugins/taskgrove_executor.py")
	if err != nil {
		t.Fatal(err)
	}
	program := `#!/usr/bin/env python3
import base64, sys, time, urllib.parse
from taskgrove_executor import serve
def reach(call):
    p = call.inputs["password"]
    for text in (p, base64.b64encode(p.encode()).decode(), urllib.parse.quote(p)):
        call.log("logged " + text)
        print("printed " + text, file=sys.stderr)
    if call.inputs.get("fail"): raise ValueError("refused " + p)
    if call.inputs.get("hang"): time.sleep(600)
    return {"at": call.inputs["host"], "as": call.inputs["username"], "letters": len(p), "said": p, "keys": sorted(call.inputs)}
serve(reach, id="reach", description="Reaches a database", timeout_seconds=1.5, connection={"types": ["mysql"], "fields": ["host", "port", "username", "password"]},
    inputs={"type": "object", "properties": {"host": {"type": "string"}, "port": {}, "username": {}, "password": {"type": "string"}, "fail": {}, "hang": {}}, "required": ["host", "password"]})
`
	put("files/plugins/taskgrove_executor.py", string(helper))
	put("files/plugins/reach.py", program)
	put("files/profiles.yaml", "{}\n")
	put("manifest.yaml", "version: 1\nbundle:\n  id: reaching\n  source: {type: filesystem, base_path: ./files}\n  layout: {profiles_file: profiles.yaml, plugins_dir: plugins}\n  entry_flow: f.yaml\n")
	if err := os.Chmod(filepath.Join(dir, "files/plugins/reach.py"), 0o700); err != nil {
		t.Fatal(err)
	}
	described, note, code := runCommand(t, "plugin", "describe", "-o", "json", "--", filepath.Join(dir, "files/plugins/reach.py"))
	if code != exitOK || !strings.Contains(described, "1500000000") {
		t.Fatalf("exit %d\n%s%s", code, note, described)
	}
	put("files/plugins/reach.py.json", described)

	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }, Worker: func(s *config.Worker) { s.WorkerFile = worker }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	manifest, cache := filepath.Join(dir, "manifest.yaml"), t.TempDir()
	run := func(id, step string) (string, int) {
		t.Helper()
		put("files/f.yaml", "flow: {id: f}\nresources:\n  store: {kind: db, driver: mysql, config: {host: db.example, user: ann, password: \"{{env.STORE_PASSWORD}}\"}}\n"+
			"  other: {kind: db, driver: postgres, config: {host: h}}\n"+
			"  wide: {kind: db, driver: mysql, config: {host: h, database: d}}\njobs: [{id: a, steps: [{id: s, type: reach, "+step+"}]}]\n")
		out, note, code := runCommand(t, "flow", "run", "--bundle-manifest", manifest, "--bundle-dir", cache, "--run-id", id, "-o", "json")
		all := out + note
		for _, more := range [][]string{{"run", "logs", id}, {"run", "events", id}, {"run", "get", id, "-o", "json"}} {
			out, note, _ := runCommand(t, more...)
			all += out + note
		}
		for _, form := range []string{password, `s3cr%t/p+ss w\"rd`, "czNjciV0L3ArcHNzIHcicmQ", "s3cr%25t"} {
			if strings.Contains(all, form) {
				t.Errorf("%s shows %s:\n%s", id, form, all)
			}
		}
		return all, code
	}
	if all, code := run("r1", "inputs: {resource: store}"); code != exitOK || !strings.Contains(all, `"at":"db.example"`) || !strings.Contains(all, `"as":"ann"`) ||
		!strings.Contains(all, `"letters":16`) || !strings.Contains(all, `"keys":["host","password","username"]`) || !strings.Contains(all, "logged ***") {
		t.Errorf("a resource: exit %d\n%s", code, all)
	}
	if all, code := run("r2", "inputs: {connection: named}"); code != exitOK || !strings.Contains(all, `"at":"n.example"`) || !strings.Contains(all, `"letters":16`) {
		t.Errorf("a connection: exit %d\n%s", code, all)
	}
	if all, code := run("r3", "inputs: {resource: store, fail: true}"); code != exitError || !strings.Contains(all, "refused ***") {
		t.Errorf("a failure: exit %d\n%s", code, all)
	}
	if all, code := run("r4", "inputs: {resource: store, hang: true}"); code != exitError || !strings.Contains(all, "timeout") {
		t.Errorf("no end: exit %d\n%s", code, all)
	}
	if out, note, code := runCommand(t, "flow", "run", "--dry-run", "--bundle-manifest", manifest, "--bundle-dir", cache); code != exitOK || !strings.Contains(out, "bundle_plugin") || strings.Contains(out+note, password) {
		t.Errorf("a dry run: exit %d\n%s%s", code, note, out)
	}
	for step, want := range map[string]string{
		"inputs: {resource: other}":          "spec.wrong_resource",
		"inputs: {resource: wide}":           "has no use for config.database of the resource",
		"inputs: {resource: store, host: h}": "the resource says where to go and as whom: leave it out",
		"inputs: {resource: none}":           "spec.",
		"inputs: {password: x}":              "spec.missing_input",
	} {
		if all, code := run("refused", step); code != exitUsage || !strings.Contains(all, want) {
			t.Errorf("%s: exit %d, want %q\n%s", step, code, want, all)
		}
	}
}
