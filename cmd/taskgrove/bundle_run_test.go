package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestBundleRuns: what docs/flows/bundles.md says of runs, on a real cluster. A sync during a run changes nothing for it, on no worker.
func TestBundleRuns(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 2, Concurrency: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }, Worker: func(s *config.Worker) { s.CommandAllow = true }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	dir, cache := t.TempDir(), t.TempDir()
	manifest := filepath.Join(dir, "manifest.yaml")
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var during sync.Once
	var mu sync.Mutex
	synced := "" // what went wrong with a sync during the run
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		during.Do(func() {
			write("files/data.txt", "second")
			_, note, code := runCommand(t, "bundle", "sync", manifest, "--push", "--bundle-dir", cache)
			mu.Lock()
			defer mu.Unlock()
			if code != exitOK {
				synced = note
			}
		})
		fmt.Fprint(w, `{}`)
	}))
	defer server.Close()
	write("manifest.yaml", `
bundle: {id: pinned, source: {base_path: files}, layout: {profiles_file: profiles.yaml}, entry_flow: flows/main.yaml}
env_files: [prod.env]
secrets: [HIDDEN]
`)
	write("prod.env", "BASE="+server.URL+"\nUNUSED=canary-unused\n")
	write("files/profiles.yaml", "svc: {config: {base_url: '{{env.BASE}}'}}\n")
	write("files/data.txt", "first")
	write("files/large.bin", strings.Repeat("0123456789abcdef", 40_000))
	write("files/flows/main.yaml", `
flow: {id: pinned, execution: graph}
resources: {svc: {kind: rest, driver: httpx, profile: svc}}
jobs:
- {id: change, steps: [{id: get, type: rest, inputs: {resource: svc, url: /change}}]}
- &read
  id: one
  depends_on: [change]
  steps:
  - {id: cat, type: external.process, inputs: {command: "cat $AETHERFLOW_ACTIVE_DIR/data.txt {{env.TASKGROVE_BUNDLE_DIR}}/data.txt; wc -c < $TASKGROVE_BUNDLE_DIR/large.bin; echo $TASKGROVE_BUNDLE_DIR/x", shell: true, log: {stdout: capture}}}
  - {id: zip, type: zip, inputs: {src_dir: "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}", items: [data.txt], dest_path: out.zip}}
- {id: two, depends_on: [change], steps: [{id: cat, type: external.process, inputs: {command: [cat, "{{env.TASKGROVE_BUNDLE_DIR}}/data.txt"], log: {stdout: capture}}}]}
- {id: three, depends_on: [change], steps: [{id: cat, type: external.process, inputs: {command: [cat, "{{env.TASKGROVE_BUNDLE_DIR}}/data.txt"], log: {stdout: capture}}}]}
`)
	write("files/flows/writes.yaml", `
flow: {id: writes}
jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, x]}}, {id: zip, type: zip, inputs: {src_dir: "{{env.TASKGROVE_BUNDLE_DIR}}", items: [data.txt], dest_path: "{{env.TASKGROVE_BUNDLE_DIR}}/out.zip"}}]}]
`)
	write("files/flows/secret.yaml", "flow: {id: secret}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {x: '{{env.HIDDEN}}'}}]}]\n")
	ask := func(wantCode int, into any, args ...string) string {
		t.Helper()
		out, note, code := runCommand(t, append(args, "-o", "json")...)
		if code != wantCode || into != nil && json.Unmarshal([]byte(out), into) != nil {
			t.Fatalf("%v: exit %d, want %d\n%s\n%s", args, code, wantCode, note, out)
		}
		return note
	}
	of := func(args ...string) []string {
		return append([]string{"flow", "run", "--bundle-manifest", manifest, "--bundle-dir", cache}, args...)
	}
	var first, second, stale, registered client.FlowRun
	ask(exitOK, &first, of("--run-id", "r1")...)
	mu.Lock()
	defer mu.Unlock()
	text := string(first.Jobs)
	if synced != "" || first.Bundle == nil || len(first.Bundle.Fingerprint) != 64 || first.Stale || strings.Count(text, `first`) != 4 || strings.Contains(text, "second") || !strings.Contains(text, "640000") ||
		!strings.Contains(text, "taskgrove-bundle:dir/x") {
		t.Errorf("%s\n%+v\n%s", synced, first.Bundle, text)
	}
	ask(exitOK, &second, of("--run-id", "r2")...)
	if second.Bundle == nil || second.Bundle.Fingerprint == first.Bundle.Fingerprint || strings.Count(string(second.Jobs), "second") != 4 {
		t.Errorf("%+v\n%s", second.Bundle, second.Jobs)
	}
	// The run keeps its version, also when it begins again.
	var again client.FlowRun
	ask(exitOK, &again, "run", "restart", "r1", "--run-id", "r3")
	if again.Bundle == nil || again.Bundle.Fingerprint != first.Bundle.Fingerprint || strings.Count(string(again.Jobs), "first") != 4 {
		t.Errorf("restarted: %+v\n%s", again.Bundle, again.Jobs)
	}
	// Nothing is written there.
	if note := ask(exitError, nil, of("flows/writes.yaml")...); !strings.Contains(note, "FAILED") {
		t.Error(note)
	}
	// A secret's value is refused before anything is stored, and not shown.
	write("prod.env", "BASE="+server.URL+"\nHIDDEN=canary-hidden\n")
	out, note, code := runCommand(t, of("flows/secret.yaml")...)
	if code != exitUsage || !strings.Contains(note, "env.HIDDEN: secret.inline_value") || strings.Contains(out+note, "canary") {
		t.Errorf("exit %d, %s%s", code, out, note)
	}
	write("prod.env", "BASE="+server.URL+"\n")
	// The source is down.
	if err := os.Rename(filepath.Join(dir, "files"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	ask(exitError, nil, of()...)
	note = ask(exitOK, &stale, of("--allow-stale-bundle", "--run-id", "r4")...)
	if !stale.Stale || stale.Bundle.Fingerprint != second.Bundle.Fingerprint || !strings.Contains(note, "bundle_stale") {
		t.Errorf("stale: %+v\n%s", stale.Bundle, note)
	}
	var shown client.FlowRun
	if ask(exitOK, &shown, "run", "get", "r4"); !shown.Stale || shown.Bundle == nil || shown.Bundle.ID != "pinned" {
		t.Errorf("%+v", shown)
	}
	// A registered flow names the bundle: its runs have the latest version.
	flow := file(t, "registered.yaml", "flow: {id: registered}\nresources: {svc: {kind: rest, driver: httpx, profile: svc}}\njobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [cat, '{{env.TASKGROVE_BUNDLE_DIR}}/data.txt'], log: {stdout: capture}}}]}]\n")
	ask(exitOK, nil, "flow", "apply", flow, "--bundle", "pinned")
	ask(exitOK, &registered, "flow", "run", "registered", "--env", "BASE="+server.URL)
	if registered.Bundle == nil || registered.Bundle.Fingerprint != second.Bundle.Fingerprint || !strings.Contains(string(registered.Jobs), "second") {
		t.Errorf("%+v\n%s", registered.Bundle, registered.Jobs)
	}
	var versions []client.Bundle
	if ask(exitOK, &versions, "bundle", "list", "pinned"); len(versions) != 2 || versions[0].Fingerprint != second.Bundle.Fingerprint || versions[0].Source != "filesystem files" {
		t.Errorf("%+v", versions)
	}
	if _, note, code := runCommand(t, "bundle", "delete", "pinned"); code == exitOK || !strings.Contains(note, "registered names the bundle") {
		t.Errorf("exit %d, %s", code, note)
	}
	ask(exitOK, nil, "flow", "delete", "registered")
	ask(exitOK, nil, "bundle", "delete", "pinned")
	if ask(exitOK, &versions, "bundle", "list"); len(versions) != 0 {
		t.Errorf("deleted: %+v", versions)
	}
	if ask(exitOK, &again, "run", "restart", "r1", "--run-id", "r5"); !strings.Contains(string(again.Jobs), "first") {
		t.Errorf("a run does not keep its bundle: %s", again.Jobs)
	}
}
