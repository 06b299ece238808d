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
