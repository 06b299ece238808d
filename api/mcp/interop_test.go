package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/mcp"
)

// sdks are programs that are clients of the official SDKs, each with its first arguments. make interop installs the SDKs.
func sdks(t *testing.T) map[string][]string {
	dir := os.Getenv("TASKGROVE_INTEROP_MCP")
	if dir == "" {
		t.Skip("the SDKs of the protocol are not installed: make interop does that, and runs this test")
	}
	for name, places := range map[string][]string{"drive.mjs": {"js1", "js2"}, "client1.mjs": {"js1"}, "client2.mjs": {"js2"}} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		for _, place := range places { // node looks for packages beside a program
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, place, name), text, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string][]string{
		"Python 1":         {dir + "/py1/bin/python", "testdata/client1.py"},
		"Python 2":         {dir + "/py2/bin/python", "testdata/client2.py", "auto"},
		"Python 2 old":     {dir + "/py2/bin/python", "testdata/client2.py", "legacy"},
		"TypeScript 1":     {"node", dir + "/js1/client1.mjs"},
		"TypeScript 2":     {"node", dir + "/js2/client2.mjs", "auto"},
		"TypeScript 2 old": {"node", dir + "/js2/client2.mjs", "legacy"},
	}
}

// driven is what such a program found.
type driven struct {
	Protocol, Text, Resource, Missing, Prompt string
	GaveUp                                    string `json:"gave_up"`
	Tools, Listed, Prompts                    []string
	Ran                                       struct {
		Status string
		Result struct{ Done bool }
	}
	Heard []float64
	Fault []any
}

// TestInterop lets clients of the official SDKs use the server, over HTTP and by taskgrove mcp.
func TestInterop(t *testing.T) {
	programs := sdks(t)
	binary := filepath.Join(t.TempDir(), "taskgrove")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/taskgrove").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, program := range programs {
		for _, way := range []string{"http", "stdio"} {
			t.Run(name+" over "+way, func(t *testing.T) {
				s := serve(t, mcp.Config{})
				go s.workOff(t.Context())
				where := []string{s.url}
				if way == "stdio" {
					where = []string{binary, "mcp", "--server", s.url + "/mcp"}
				}
				command := slices.Concat(program, where)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, command[0], command[1:]...)
				var said, wrong bytes.Buffer
				cmd.Stdout, cmd.Stderr = &said, &wrong
				if err := cmd.Run(); err != nil {
					t.Fatalf("%v: %s", err, wrong.String())
				}
				var got driven
				if err := json.Unmarshal(said.Bytes(), &got); err != nil {
					t.Fatalf("%v: %s", err, said.String())
				}
				t.Logf("%s, progress %v, gave up: %s", got.Protocol, got.Heard, got.GaveUp)
				verify(t, &got)
			})
		}
	}
}

func verify(t *testing.T, got *driven) {
	t.Helper()
	if len(got.Tools) < 16 || len(got.Prompts) < 3 {
		t.Errorf("got tools %v, prompts %v", got.Tools, got.Prompts)
	}
	if got.Ran.Status != "completed" || !got.Ran.Result.Done || !strings.HasPrefix(got.Text, "{\n  \"success\": true") {
		t.Errorf("got %+v, text %s; want the tree completed", got.Ran, got.Text)
	}
	if !slices.IsSorted(got.Heard) || len(got.Heard) < 2 {
		t.Errorf("heard of progress %v, want it growing", got.Heard)
	}
	if got.GaveUp == "" || !slices.Equal(got.Listed, []string{"long", "r"}) {
		t.Errorf("gave up: %q, then listed %v; want both trees", got.GaveUp, got.Listed)
	}
	if len(got.Fault) != 2 || got.Fault[0] != true || got.Fault[1] != "task_id: Task gone not found" {
		t.Errorf("got fault %v", got.Fault)
	}
	if got.Resource != "completed" || !strings.Contains(got.Missing, "Resource not found") || !strings.Contains(got.Prompt, "reach the moon") {
		t.Errorf("got resource %s, missing %q, prompt of %d bytes", got.Resource, got.Missing, len(got.Prompt))
	}
}

// workOff completes the tasks a and r once they are there, with time to tell of each.
func (s *served) workOff(ctx context.Context) {
	for _, id := range []string{"a", "r"} {
		for {
			if task, err := s.svc.Task(ctx, id); err == nil && task.State.Unfinished() {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		s.svc.Start(id)
		time.Sleep(2 * progressPause)
		s.svc.Complete(id, `{"done":true}`)
		time.Sleep(2 * progressPause)
	}
}

// progressPause is how long progress is not told again.
const progressPause = 100 * time.Millisecond
