package a2a_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// sdk is a client of somebody else's, and the bindings that it calls over.
type sdk struct {
	script   string
	python   string // directory of its environment; empty: Node's
	modules  string // directory of its node_modules
	bindings []string
	old      bool // 0.3
}

// TestInteropSDKs: the official SDKs of both versions, in both languages, see the same of an agent.
func TestInteropSDKs(t *testing.T) {
	dir := os.Getenv("TASKGROVE_INTEROP_A2A")
	if dir == "" {
		t.Skip("the SDKs of A2A are not installed: make interop does that, and runs this test")
	}
	c := cluster.Start(t, cluster.Options{
		Coordinator: func(s *config.Coordinator) { s.HTTPAddr, s.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0" },
		Worker:      func(s *config.Worker) { s.CommandAllow = true },
	})
	for _, s := range []sdk{
		{script: "py1.py", python: "py1", bindings: []string{"JSONRPC", "HTTP+JSON", "GRPC"}},
		{script: "py03.py", python: "py03", bindings: []string{"JSONRPC", "GRPC"}, old: true},
		{script: "js1.mjs", modules: "js1", bindings: []string{"JSONRPC", "HTTP+JSON"}},
		{script: "js03.mjs", modules: "js03", bindings: []string{"JSONRPC"}, old: true},
	} {
		t.Run(s.script, func(t *testing.T) {
			seen := s.run(t, dir, c.Coordinators[0].P.HTTP)
			for _, binding := range s.bindings {
				s.check(t, binding, seen[binding])
			}
		})
	}
}

// run runs the script, and gives what it saw by binding.
func (s sdk) run(t *testing.T, dir, url string) map[string]map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	script, err := filepath.Abs(filepath.Join("testdata", s.script))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, s.python, "bin", "python")
	if s.modules != "" { // a module finds its packages beside it
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		program, script = "node", filepath.Join(dir, s.modules, s.script)
		if err := os.WriteFile(script, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(ctx, program, append([]string{script, url}, s.bindings...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.Bytes(), log.Bytes())
	}
	seen := map[string]map[string]any{}
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		if err := json.Unmarshal(lines.Bytes(), &seen); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
	}
	return seen
}

// check compares what was seen over a binding with what must be.
func (s sdk) check(t *testing.T, binding string, seen map[string]any) {
	t.Helper()
	state := func(name string) string {
		if s.old {
			return strings.ToLower(name)
		}
		return "TASK_STATE_" + name
	}
	for name, want := range map[string]any{
		"skills": 18.0, "send": state("COMPLETED"), "result": 2.0, "get": state("COMPLETED"), "subscribe": state("COMPLETED"),
		"cancel": state("CANCELED"), "create": state("SUBMITTED"),
	} {
		if seen[name] != want {
			t.Errorf("%s: %s: got %v, want %v", binding, name, seen[name], want)
		}
	}
	if s.old {
		last, _ := seen["last"].([]any)
		if len(last) != 3 || last[0] != "completed" || last[1] != true || last[2] != 1.0 {
			t.Errorf("%s: the end of the stream: got %v, want completed, final, and no other final", binding, last)
		}
	} else if seen["last"] != state("COMPLETED") {
		t.Errorf("%s: the end of the stream: got %v, want completed", binding, seen["last"])
	}
	kinds, _ := json.Marshal(seen["stream"])
	plain := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(string(kinds)))
	if plain != `["task","artifactupdate","statusupdate"]` {
		t.Errorf("%s: the stream's first and last events: got %s, want the task, the artifact and the end", binding, kinds)
	}
	if unknown, _ := seen["unknown"].(string); unknown == "" {
		t.Errorf("%s: an unknown task is no error", binding)
	}
}
