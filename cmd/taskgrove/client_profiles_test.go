package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestProfiles: profiles are registered in versions, listed, shown so that they can be registered again, taken by runs, which tell so, and deleted; what is wrong with a file is told as of a flow.
func TestProfiles(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	ok := func(args ...string) string {
		t.Helper()
		out, note, code := runCommand(t, args...)
		if code != exitOK {
			t.Fatalf("%v: exit %d, %s %s", args, code, out, note)
		}
		return out
	}
	profiles := file(t, "profiles.yaml", "svc: {config: {base_url: 'http://127.0.0.1:1'}}\nother: {config: {password: '{{env.DB_PASSWORD}}', port: 5432}}\n")
	if _, note, code := runCommand(t, "profile", "list"); code != exitOK || !strings.Contains(note, "there are no profiles") {
		t.Errorf("exit %d, %s", code, note)
	}
	if out := ok("profile", "apply", profiles, "--dry-run"); out != "other: nothing is wrong\nsvc: nothing is wrong\n" {
		t.Error(out)
	}
	if _, note, code := runCommand(t, "profile", "get", "svc"); code != exitError || !strings.Contains(note, `there is no registered profile svc, or none of that version ("taskgrove profile list")`) {
		t.Errorf("exit %d, %s", code, note)
	}
	if out := ok("profile", "apply", profiles, "--user", "amy"); out != "other: version 1\nsvc: version 1\n" {
		t.Error(out)
	}
	if out := ok("profile", "apply", profiles); out != "other: unchanged, version 1\nsvc: unchanged, version 1\n" {
		t.Error(out)
	}
	ok("profile", "apply", file(t, "svc.yaml", "svc: {config: {base_url: 'http://127.0.0.1:2'}}\n"))
	var list []client.Profile
	if err := json.Unmarshal([]byte(ok("profile", "list", "--user", "amy", "--json")), &list); err != nil || len(list) != 2 || list[1].Name != "svc" || list[1].Version != 2 || list[1].UserID != "amy" {
		t.Errorf("%v, %+v", err, list)
	}
	if out := ok("profile", "list"); !strings.Contains(out, "other") || !strings.Contains(out, "NAME") {
		t.Error(out)
	}
	shown := ok("profile", "get", "other")
	if out := ok("profile", "apply", file(t, "shown.yaml", shown)); out != "other: unchanged, version 1\n" || !strings.Contains(shown, "{{env.DB_PASSWORD}}") {
		t.Errorf("what is shown is another one: %s\n%s", out, shown)
	}
	var one client.Profile
	if err := json.Unmarshal([]byte(ok("profile", "get", "svc", "--version", "1", "--json")), &one); err != nil || one.Version != 1 || one.Versions != 2 || string(one.Body) == "" {
		t.Errorf("%v, %+v", err, one)
	}
	if out, _, _ := runCommand(t, "__complete", "profile", "get", ""); !strings.HasPrefix(out, "other\nsvc\n") {
		t.Errorf("completed: %s", out)
	}

	flow := file(t, "flow.yaml", "flow: {id: uses}\nresources: {api: {kind: rest, driver: httpx, profile: svc}}\njobs: [{id: a, steps: [{id: s, type: noop}]}]\n")
	if _, note, code := runCommand(t, "flow", "run", flow, "--run-id", "nobodys"); code != exitUsage || !strings.Contains(note, "spec.unknown_profile") {
		t.Errorf("a profile of another user: exit %d, %s", code, note)
	}
	if out := ok("flow", "run", flow, "--run-id", "hers", "--user", "amy"); !strings.Contains(out, "registered profiles: svc@2\n") {
		t.Error(out)
	}
	ok("profile", "delete", "svc")
	if _, note, code := runCommand(t, "profile", "delete", "svc"); code != exitError || !strings.Contains(note, "there is no registered profile svc") {
		t.Errorf("exit %d, %s", code, note)
	}
	var run client.FlowRun
	if err := json.Unmarshal([]byte(ok("run", "get", "hers", "--json")), &run); err != nil || strings.Join(run.RegisteredProfiles, " ") != "svc@2" {
		t.Errorf("%v, %+v", err, run)
	}

	bad := file(t, "bad.yaml", "fine: {config: {host: h}}\nclear:\n  config: {password: hunter2}\n\"a b\": {confg: {}}\n")
	_, note, code := runCommand(t, "profile", "apply", bad)
	for _, want := range []string{"INVALID: " + bad, ":3:", "clear.config.password: secret.literal", ":4:", "spec.unknown_key", "spec.bad_id", "bad.yaml is invalid"} {
		if !strings.Contains(note, want) {
			t.Errorf("%q is missing in %s", want, note)
		}
	}
	if code != exitUsage || strings.Contains(note, "hunter2") {
		t.Errorf("exit %d, %s", code, note)
	}
	var report client.FlowReport
	out, _, code := runCommand(t, "profile", "apply", bad, "--json")
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitUsage || report.OK || len(report.Errors) != 3 {
		t.Errorf("exit %d, %v, %s", code, err, out)
	}
	if _, _, code := runCommand(t, "profile", "get", "fine"); code != exitError {
		t.Errorf("one of a file with faults is stored: exit %d", code)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, []byte("a: {config: {host: "+strings.Repeat("x", 10<<20)+"}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, note, code := runCommand(t, "profile", "apply", large, "--request-timeout", "10m"); code != exitUsage || !strings.Contains(note, "spec.too_large") || len(note) > 4096 {
		t.Errorf("10 MB: exit %d, %.400s", code, note)
	}
	if _, note, code := runCommand(t, "profile", "get", strings.Repeat("x", 100_000)); code != exitError || len(note) > 4096 {
		t.Errorf("a name of 100 kB: exit %d, %.400s", code, note)
	}
	if _, note, code := runCommand(t, "profile", "get", "other", "--version", "-1"); code != exitUsage || !strings.Contains(note, "version: must not be negative") {
		t.Errorf("exit %d, %s", code, note)
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Error(v, err)
	}
}
