package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

const generatedResult = `{"status":"completed","model":"m-1","repaired":true,"warnings":["tasks[1].pool was left out: a generated tree can't set it"],"count":3,"tasks":[
  {"id":"r","name":"Both \u001b[2J","priority":2,"schemas":{"method":"aggregate_results_executor"},"inputs":{},"dependencies":[{"id":"a","required":true},{"id":"b","required":false}]},
  {"id":"a","name":"Orders","parent_id":"r","priority":2,"schemas":{"method":"rest_executor"},"inputs":{"url":"https://example.org/orders"}},
  {"id":"b","name":"Rates","parent_id":"r","priority":2,"schemas":{"method":"rest_executor"},"inputs":{"url":"https://example.org/rates"}}]}`

// generator ends each task that generates with a result, or with an error.
func generator(t *testing.T, svc *apitest.Service, result, fail string) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		ended := map[string]bool{}
		for ctx.Err() == nil {
			page, _ := svc.Tasks(ctx, coordinator.TaskFilter{RootOnly: true, Limit: 100})
			for _, task := range page.Items {
				switch {
				case task.Executor != "generate_executor" || ended[task.ID] || task.State.Settled():
					continue
				case fail != "":
					svc.Fail(task.ID, fail)
				default:
					svc.Complete(task.ID, result)
				}
				ended[task.ID] = true
			}
			<-time.After(2 * time.Millisecond)
		}
	}()
}

func TestGenerateShowsAndSubmits(t *testing.T) {
	svc := double(t)
	generator(t, svc, generatedResult, "")
	out, note, code := runCommand(t, "generate", "orders and rates", "--model", "m", "--budget", "tokens=9000,calls=2", "--executors", "rest,aggregate_results",
		"--temperature", "0", "--max-tasks", "5", "--allow-commands", "--user", "ann")
	lines := strings.Split(out, "\n")
	if code != exitOK || len(lines) != 4 || strings.Contains(out, "\x1b") {
		t.Fatalf("exit %d\n%s%s", code, out, note)
	}
	for i, want := range []string{"aggregate_results_executor  after Orders, Rates (in any case)", `  Orders`, `  Rates`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
	if !strings.Contains(lines[1], `rest_executor`) || !strings.Contains(lines[1], `{"url":"https://example.org/orders"}`) {
		t.Errorf("got %q", lines[1])
	}
	if !strings.Contains(note, "warning: tasks[1].pool was left out") || !strings.Contains(note, "3 tasks by m-1, after a correction; nothing runs yet: --submit") {
		t.Errorf("notes are %s", note)
	}
	page, err := svc.Tasks(t.Context(), coordinator.TaskFilter{RootOnly: true})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("more is stored than the task that generates: %+v, %v", page.Items, err)
	}
	var inputs map[string]any
	if json.Unmarshal(page.Items[0].Inputs, &inputs) != nil || inputs["requirement"] != "orders and rates" || inputs["temperature"] != 0.0 || inputs["allow_commands"] != true ||
		inputs["max_tasks"] != 5.0 || len(inputs["budget"].(map[string]any)) != 2 || len(inputs["executors"].([]any)) != 2 || page.Items[0].UserID != "ann" {
		t.Errorf("inputs are %s", page.Items[0].Inputs)
	}

	out, note, code = runCommand(t, "generate", "orders and rates", "-o", "yaml")
	if code != exitOK || !strings.HasPrefix(out, "---\ntasks:\n") {
		t.Fatalf("exit %d\n%s%s", code, out, note)
	}
	if _, note, code := runCommand(t, "submit", file(t, "tree.yaml", out), "--hold"); code != exitOK {
		t.Errorf("what it prints can't be submitted: exit %d\n%s", code, note)
	}
	out, note, code = runCommand(t, "generate", "orders and rates", "--submit", "--hold")
	id := lastLine(out)
	if tree, err := svc.Tree(t.Context(), id); code != exitOK || err != nil || tree.Tasks != 3 || tree.Status != dag.StatusPending {
		t.Errorf("exit %d, tree %q: %+v, %v\n%s", code, id, tree, err, note)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func TestGenerateSaysWhatIsWrong(t *testing.T) {
	svc := double(t)
	generator(t, svc, "", "Validation failed: No root task found (task with no parent_id)")
	_, note, code := runCommand(t, "generate", "x")
	if code != exitError || !strings.Contains(note, "Task generation failed: Validation failed: No root task found") {
		t.Errorf("exit %d: %s", code, note)
	}
	for _, args := range [][]string{{" "}, {"x", "--hold"}, {"x", "--watch"}, {"x", "--submit", "--hold", "--wait"}, {"x", "--budget", "tokens"}, {"x", "--budget", "tokens=many"}} {
		if _, note, code := runCommand(t, append([]string{"generate"}, args...)...); code != exitUsage {
			t.Errorf("%q: exit %d: %s", args, code, note)
		}
	}
}
