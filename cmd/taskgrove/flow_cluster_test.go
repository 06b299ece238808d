package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestFlowsKnowTheWorkersExecutors: a coordinator judges flows by what workers say of executors that it has not itself, and a submission has its own priority.
func TestFlowsKnowTheWorkersExecutors(t *testing.T) {
	type scaled struct {
		To int `json:"to" jsonschema:"to what"`
	}
	c := cluster.Start(t, cluster.Options{
		Executors: func() []executors.Executor {
			return []executors.Executor{executors.Func("scale", func(_ context.Context, in scaled) (map[string]any, error) { return map[string]any{"to": in.To}, nil })}
		},
		Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" },
	})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	good := file(t, "good.yaml", "flow: {id: scales}\njobs: [{id: a, steps: [{id: s, type: scale, inputs: {to: 5}}, {id: p, type: noop, priority: 3}]}]\n")
	bad := file(t, "bad.yaml", "flow: {id: scales}\njobs: [{id: a, steps: [{id: s, type: scale, inputs: {to: five}}, {id: u, type: scales}]}]\n")
	c.Eventually("the worker has said what its executor takes", func() error {
		if out, note, code := runCommand(t, "flow", "validate", "--cluster", bad); code != exitUsage || !strings.Contains(out, "jobs[0].steps[0].inputs.to: spec.invalid_input") {
			return fmt.Errorf("exit %d, %s %s", code, out, note)
		}
		return nil
	})
	out, _, code := runCommand(t, "flow", "validate", "--cluster", bad, "--json")
	var report client.FlowReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitUsage || report.OK || len(report.Errors) != 2 || report.Errors[1].Line != 2 || !strings.Contains(report.Errors[1].Msg, "did you mean scale?") {
		t.Errorf("exit %d, %v, %s", code, err, out)
	}
	if out, note, code := runCommand(t, "flow", "validate", "--cluster", good); code != exitOK || !strings.HasPrefix(out, "OK: ") {
		t.Errorf("exit %d, %s %s", code, out, note)
	}
	if _, note, code := runCommand(t, "flow", "validate", good); code != exitUsage || note == "" {
		t.Errorf("offline nobody knows it: exit %d, %s", code, note)
	}
	if _, note, code := runCommand(t, "flow", "validate", good, "--server", "127.0.0.1:1"); code != exitUsage || !strings.Contains(note, "--server: goes with --cluster") {
		t.Errorf("exit %d, %s", code, note)
	}
	if _, note, code := runCommand(t, "flow", "run", bad); code != exitUsage || !strings.Contains(note, "jobs[0].steps[0].inputs.to: spec.invalid_input") || !strings.Contains(note, "did you mean scale?") {
		t.Errorf("a run with faults: exit %d, %s", code, note)
	}
	if _, note, code := runCommand(t, "flow", "apply", bad); code != exitUsage || !strings.Contains(note, "jobs[0].steps[0].inputs.to: spec.invalid_input") {
		t.Errorf("a flow with faults: exit %d, %s", code, note)
	}
	out, note, code := runCommand(t, "flow", "run", good, "--run-id", "r", "--priority", "0", "-o", "json")
	var run client.FlowRun
	if err := json.Unmarshal([]byte(out), &run); err != nil || code != exitOK || run.Outcome != "SUCCESS" || run.Priority == nil || *run.Priority != 0 {
		t.Fatalf("exit %d, %v, %s %s", code, err, out, note)
	}
	tasks, _, _ := runCommand(t, "list", "--tree", run.TreeID, "-o", "json")
	want := map[string]int{"a__s": 0, "a__p": 3}
	for line := range strings.Lines(tasks) {
		var task struct {
			Name     string
			Priority int
		}
		if err := json.Unmarshal([]byte(line), &task); err != nil {
			t.Fatal(err, line)
		}
		if priority, is := want[task.Name]; is && task.Priority != priority {
			t.Errorf("%s has priority %d", task.Name, task.Priority)
		}
		delete(want, task.Name)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	if _, note, code := runCommand(t, "flow", "run", good, "--run-id", "r", "--priority", "1"); code == exitOK || !strings.Contains(note, "with other values") {
		t.Errorf("another priority: exit %d, %s", code, note)
	}
	if _, note, code := runCommand(t, "flow", "run", good, "--priority", "4"); code != exitUsage || !strings.Contains(note, "--priority") {
		t.Errorf("no priority: exit %d, %s", code, note)
	}
	if out, note, code := runCommand(t, "run", "restart", "r", "--run-id", "again", "-o", "json"); code != exitOK || !strings.Contains(out, `"priority":0`) {
		t.Errorf("begun again: exit %d, %s %s", code, out, note)
	}
}
