package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestFlowRunsAreKept: what docs/flows/state.md says, on a real cluster. Steps that have ended don't run again, which the server that they call counts.
func TestFlowRunsAreKept(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	var mu sync.Mutex
	calls := map[string]int{}
	slow := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/slow" {
			slow <- struct{}{} // it runs
			<-slow
		}
		if calls[r.URL.Path]++; r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"n": %d}`, calls[r.URL.Path])
	}))
	defer server.Close()
	flow := func(last, more string) string {
		return fmt.Sprintf(`
flow: {id: repair, env: {BASE: "%s"}, parameters: {day: {required: true}}}
jobs:
- id: take
  steps:
  - {id: first, type: rest, inputs: {url: "{{env.BASE}}/first?day={{params.day}}"}, outputs: {n: "{{result.json.n}}"}}
  - {id: gone, type: noop}
- id: give
  depends_on: [take]
  steps:
  - {id: second, type: rest, inputs: {url: "{{env.BASE}}/%s", fail_on_error: true}}
  - {id: third, type: noop, inputs: {n: "{{jobs.take.outputs.n}}"}}
%s`, server.URL, last, more)
	}
	broken, good := file(t, "broken.yaml", flow("broken", "")), file(t, "good.yaml", strings.Replace(flow("second", ""), "  - {id: gone, type: noop}\n", "", 1))
	var r client.FlowRun
	ask := func(wantCode int, args ...string) string {
		t.Helper()
		out, note, code := runCommand(t, append(args, "-o", "json")...)
		r = client.FlowRun{}
		if code != wantCode || json.Unmarshal([]byte(out), &r) != nil {
			t.Fatalf("%v: exit %d, want %d\n%s\n%s", args, code, wantCode, note, out)
		}
		return note
	}
	called := func(path string) int {
		mu.Lock()
		defer mu.Unlock()
		return calls[path]
	}
	ask(exitError, "flow", "run", broken, "--run-id", "monday", "--set", "day=mon")
	first := r.TreeID
	if r.Outcome != "FAILED" || r.Revision != 1 || r.Version != 0 || len(r.Set) != 1 || len(r.Revisions) != 1 {
		t.Errorf("the run: %+v", r)
	}
	if ask(exitError, "flow", "run", broken, "--run-id", "monday", "--set", "day=mon"); r.TreeID != first || called("/broken") != 1 {
		t.Errorf("the same again is %+v, and called %d times", r, called("/broken"))
	}
	if out, note, code := runCommand(t, "run", "cancel", "monday"); code != exitOK || !strings.Contains(out, "had ended") {
		t.Errorf("a run that has failed is cancelled: exit %d, %s, %s", code, out, note)
	}
	if out, note, code := runCommand(t, "flow", "run", broken, "--run-id", "monday", "--set", "day=mon"); code != exitError || !strings.Contains(strings.Join(strings.Fields(out), " "), "third BLOCKED 0") ||
		!strings.Contains(note, "run monday of repair is there already, and was not begun again\n") || !strings.Contains(note, `"taskgrove run resume repair/monday [FILE]" has it go on`) {
		t.Errorf("the same again, for people: exit %d, %s, %s", code, out, note)
	}
	if _, note, code := runCommand(t, "flow", "run", broken, "--run-id", "monday", "--set", "day=tue"); code == exitOK || !strings.Contains(note, "with other values") {
		t.Errorf("other values: exit %d, %s", code, note)
	}
	if ask(exitError, "run", "resume", "monday"); r.TreeID != first || r.Revision != 1 || called("/broken") != 2 || called("/first") != 1 {
		t.Errorf("resumed as it was: %+v, %v", r, calls)
	}
	note := ask(exitOK, "flow", "run", good, "--run-id", "monday", "--resume")
	if r.Outcome != "SUCCESS" || r.Revision != 2 || r.TreeID == first || len(r.Revisions) != 2 || called("/first") != 1 || called("/second") != 1 {
		t.Errorf("resumed as edited: %+v, %v", r, calls)
	}
	if !strings.Contains(note, "take.gone: is not there any more") {
		t.Errorf("nobody says what is gone: %s", note)
	}
	if !strings.Contains(string(r.Jobs), `"outputs":{"n":1}`) {
		t.Errorf("what was promoted is lost: %s", r.Jobs)
	}
	if ask(exitOK, "run", "restart", "repair/monday", "--run-id", "tuesday"); r.RunID != "tuesday" || r.Revision != 1 || called("/first") != 2 || called("/second") != 2 {
		t.Errorf("restarted: %+v, %v", r, calls)
	}
	if ask(exitOK, "run", "get", "tuesday"); r.Outcome != "SUCCESS" || r.Set[0] != "day=mon" {
		t.Errorf("shown: %+v", r)
	}
	if out, _, code := runCommand(t, "run", "list", "--flow", "repair"); code != exitOK || !strings.Contains(out, "tuesday") || !strings.Contains(out, "monday") || strings.Index(out, "tuesday") > strings.Index(out, "monday") {
		t.Errorf("listed: exit %d, %s", code, out)
	}
	if out, note, code := runCommand(t, "run", "list", "--outcome", "FAILED"); code != exitOK || strings.Contains(out, "monday") {
		t.Errorf("what failed: exit %d, %s, %s", code, out, note)
	}
	if out, note, code := runCommand(t, "run", "events", "tuesday"); code != exitOK || !strings.Contains(out, "second") {
		t.Errorf("events: exit %d, %s, %s", code, out, note)
	}
	for _, args := range [][]string{{"get"}, {"wait"}, {"logs"}, {"events"}, {"artifacts"}, {"cancel"}, {"resume"}, {"restart"}} {
		if _, note, code := runCommand(t, "run", args[0], "nothing"); code != exitError || !strings.Contains(note, `not found: there is no run nothing ("taskgrove run list")`) {
			t.Errorf("%s what is not there: exit %d, %s", args[0], code, note)
		}
		if _, note, code := runCommand(t, "run", args[0], "nothing", "--server", "127.0.0.1:1"); code != exitFlowUnreachable {
			t.Errorf("%s where there is nobody: exit %d, %s", args[0], code, note)
		}
	}
	if out, note, code := runCommand(t, "run", "artifacts", "tuesday"); code != exitOK || !strings.Contains(out, "SHA256") {
		t.Errorf("files: exit %d, %s, %s", code, out, note)
	}

	// While a run goes on.
	if out, note, code := runCommand(t, "flow", "run", file(t, "slow.yaml", flow("slow", "")), "--run-id", "slow", "--set", "day=x", "--wait=false"); code != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(note, `"taskgrove run get repair/slow" shows it`) {
		t.Fatalf("without waiting: exit %d, %s, %s", code, out, note)
	}
	<-slow
	shown, _, code := runCommand(t, "run", "get", "slow")
	if want := "take SUCCESS - first SUCCESS 1 - gone SUCCESS 1 - give RUNNING - second RUNNING 1 - third PENDING 0 -"; code != exitOK || !strings.Contains(strings.Join(strings.Fields(shown), " "), want) {
		t.Errorf("while it goes on: exit %d\n%s\nwant %s", code, shown, want)
	}
	if out, _, code := runCommand(t, "run", "list", "--outcome", "running"); code != exitOK || !strings.Contains(out, "slow") || strings.Contains(out, "tuesday") {
		t.Errorf("what goes on: exit %d, %s", code, out)
	}
	if note := ask(exitOK, "run", "resume", "slow", "--wait=false"); !strings.Contains(note, "nothing was begun: run slow of repair has not ended") {
		t.Errorf("what goes on is resumed: %s", note)
	}
	slow <- struct{}{}
	if ask(exitOK, "run", "wait", "slow"); r.Outcome != "SUCCESS" {
		t.Errorf("waited for: %+v", r)
	}
	if note := ask(exitOK, "run", "resume", "slow"); !strings.Contains(note, "nothing was begun: run slow of repair has nothing to run again") {
		t.Errorf("what has ended well is resumed: %s", note)
	}
}

// TestFilesOfKeptSteps: what steps have left is there for those that a later revision runs, of their own job and of others, however often the run is repaired.
func TestFilesOfKeptSteps(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }, Worker: func(s *config.Worker) { s.CommandAllow = true }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	flow := func(second, third string) string {
		return file(t, "files.yaml", fmt.Sprintf(`
flow: {id: files}
jobs:
- id: make
  steps:
  - {id: first, type: external.process, inputs: {command: 'echo one > rows && echo path=$TASKGROVE_ARTIFACTS_DIR/rows > $TASKGROVE_RESULT_FILE', shell: true}, outputs: {rows: "{{result.path}}"}}
  - {id: second, type: external.process, inputs: {command: "%s", shell: true}}
- id: use
  steps:
  - {id: third, type: external.process, inputs: {command: ["%s", "{{jobs.make.outputs.rows}}"], log: {stdout: capture}}, outputs: {said: "{{result.stdout}}"}}
`, second, third))
	}
	for i, row := range []struct {
		flow, want string
		code       int
	}{
		{flow("exit 1", "false"), `"outcome":"FAILED"`, exitError}, {flow("echo two >> rows", "false"), `"outcome":"FAILED"`, exitError}, {flow("exit 1", "cat"), `"said":"one\ntwo\n"`, exitOK},
	} {
		if out, note, code := runCommand(t, "flow", "run", row.flow, "--run-id", "r", "--resume", "--json"); code != row.code || !strings.Contains(out, row.want) {
			t.Fatalf("revision %d: exit %d, want %d and %s\n%s\n%s", i+1, code, row.code, row.want, note, out)
		}
	}
	out, _, code := runCommand(t, "run", "artifacts", "r")
	if first, second := strings.Index(out, "make__first"), strings.Index(out, "make__second"); code != exitOK || first < 0 || second < first {
		t.Errorf("the files: exit %d\n%s", code, out)
	}
}

// TestFlowsAreKept: what docs/flows/state.md says of registered flows.
func TestFlowsAreKept(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	say := func(wantCode int, want string, args ...string) {
		t.Helper()
		if out, note, code := runCommand(t, args...); code != wantCode || !strings.Contains(out+note, want) {
			t.Errorf("%v: exit %d, want %d and %q\n%s\n%s", args, code, wantCode, want, out, note)
		}
	}
	one := file(t, "one.yaml", "flow: {id: kept}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {n: 1, region: '{{env.REGION}}'}}]}]\n")
	two := file(t, "two.yaml", "flow: {id: kept}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {n: 2}}]}]\n")
	bad := file(t, "bad.yaml", "flow: {id: kept}\njobs: [{id: a, steps: [{id: s, type: nop}]}]\n")
	say(exitUsage, "INVALID: "+bad, "flow", "apply", one, bad)
	say(exitOK, "there are no flows", "flow", "list")
	say(exitOK, "kept: version 1\n", "flow", "apply", one)
	say(exitOK, "kept: unchanged, version 1\n", "flow", "apply", one)
	say(exitOK, "kept: version 2\n", "flow", "apply", two)
	say(exitUsage, "spec.unknown_step_type", "flow", "apply", bad)
	say(exitOK, "kept", "flow", "list")
	say(exitOK, "n: 2", "flow", "get", "kept")
	say(exitOK, "n: 1", "flow", "get", "kept", "--version", "1")
	say(exitOK, ": SUCCESS", "flow", "run", "kept", "--run-id", "r2")
	say(exitUsage, "spec.missing_env", "flow", "run", "kept", "--version", "1")
	say(exitUsage, "secret.inline_value", "flow", "run", "kept", "--env", "MY_TOKEN=x")
	say(exitOK, ": SUCCESS", "flow", "run", "kept", "--version", "1", "--env", "REGION=eu", "--run-id", "r1")
	say(exitOK, `"REGION":"eu"`, "run", "get", "kept/r1", "-o", "json")
	say(exitOK, `"version":1`, "run", "get", "kept/r1", "-o", "json")
	say(exitOK, "had ended", "run", "cancel", "r1")
	say(exitOK, "kept deleted", "flow", "delete", "kept")
	say(exitOK, "SUCCESS", "run", "get", "r1")
	say(exitError, "not found: there is neither a file nor a registered flow kept", "flow", "run", "kept")
	say(exitError, "not found: there is no version 3 of a registered flow kept", "flow", "run", "kept", "--version", "3")
	say(exitError, "not found: there is no registered flow kept", "flow", "get", "kept")
	say(exitError, "not found: there is no registered flow kept", "flow", "delete", "kept")
}
