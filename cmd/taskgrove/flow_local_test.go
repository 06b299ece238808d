package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/flows"
)

// TestFlowRunLocal, as docs/flows/quickstart.md shows: a cluster for one command, of which nothing is left, whatever the environment says of other clusters.
func TestFlowRunLocal(t *testing.T) {
	t.Parallel()
	const file = "../../examples/flows/hello.yaml"
	temp := openDir(t)
	environment := []string{"TMPDIR=" + temp, "TASKGROVE_SERVER=127.0.0.1:1", "TASKGROVE_TOKEN=other", "TASKGROVE_POSTGRES_URL=postgres://127.0.0.1:1/other", "TASKGROVE_NATS_URL=nats://127.0.0.1:1"}
	for _, row := range []struct{ words, report string }{{"one two three four", "SUCCESS"}, {"one two", "SKIPPED"}} {
		stdout, stderr, code := program(t, environment, "flow", "run", "--local", "--json", "--env", "WORDS="+row.words, file)
		var got flows.Outcome
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || len(got.Jobs) != 2 || got.Jobs[0].Status != "SUCCESS" || got.Jobs[1].Status != row.report {
			t.Errorf("%s: exit code %d, %v: %s%s", row.words, code, err, stdout, stderr)
		}
	}
	stdout, stderr, code := program(t, environment, "flow", "run", "--local", "--json", "../../examples/flows/numbers.yaml") // docs/flows/workspace.md
	if code != 0 || !strings.Contains(stdout, `"stdout": "7\n"`) && !strings.Contains(stdout, `"stdout":"7\n"`) || !strings.Contains(stdout, `artifact:make/numbers.txt`) {
		t.Errorf("steps that share files: exit code %d, %s%s", code, stdout, stderr)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("flow: {id: broken}\njobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: 'echo no such table >&2; exit 3', shell: true}}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code = program(t, environment, "flow", "run", "--local", broken) // what it wrote is gone with the cluster
	if code != 1 || !strings.Contains(stdout, ": FAILED\n") || !strings.HasPrefix(stderr, "a__s wrote last:\n  no such table\ntaskgrove: run ") {
		t.Errorf("a step that fails: exit code %d, %s%s", code, stdout, stderr)
	}
	stdout, stderr, code = program(t, append(environment, "XDG_CACHE_HOME="+t.TempDir()), "flow", "run", "--local", "--json", "--bundle-manifest", greetings) // docs/flows/bundles.md
	if code != 0 || !strings.Contains(stdout, "Good morning, world!") || !strings.Contains(stdout, `"fingerprint"`) {
		t.Errorf("a bundle: exit code %d, %s%s", code, stdout, stderr)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "taskgrove-work-*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if _, stderr, code := program(t, environment, "flow", "run", "--local", "--server", "127.0.0.1:1", file); code != exitUsage || !strings.Contains(stderr, "--server") {
		t.Errorf("with a server: exit code %d, %s", code, stderr)
	}
	slow := filepath.Join(t.TempDir(), "slow.yaml")
	began := filepath.Join(temp, "began")
	text := "flow: {id: slow}\njobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: 'touch " + began + " && sleep 600', shell: true}}]}]\n"
	if err := os.WriteFile(slow, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, environment, "flow", "run", "--local", slow)
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		if _, err := os.Stat(began); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the step does not begin")
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if code := p.cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(p.out.String(), "what ran in this process has ended") {
		t.Errorf("interrupted: exit code %d, %s", code, p.out.String())
	}
	if left, err := filepath.Glob(filepath.Join(temp, "taskgrove-dev-*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
