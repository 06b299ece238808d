package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestCommandsOfTheReference takes the commands of spec section 9 to a real cluster, in an order in which one finds what those before it made.
func TestCommandsOfTheReference(t *testing.T) {
	c := cluster.Start(t, cluster.Options{
		Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" },
		Worker:      func(s *config.Worker) { s.CommandAllow = true },
	})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	tree := file(t, "tree.json", `[{"id":"r","name":"root","user_id":"ann","schemas":{"method":"noop_executor"},"dependencies":["low"]},
		{"id":"low","name":"low","parent_id":"r","priority":3},{"id":"high","name":"high","parent_id":"r","priority":1}]`)
	two := file(t, "two.json", `[{"id":"a","name":"a","schemas":{"method":"noop_executor"}},{"id":"a1","name":"a1","parent_id":"a","schemas":{"method":"noop_executor"}},
		{"id":"b","name":"b","schemas":{"method":"command_executor"},"inputs":{"command":"exit 3","fail_on_error":true}}]`)
	stuck := file(t, "stuck.json", `[{"id":"s","name":"s","schemas":{"method":"noop_executor"},"dependencies":["s1"]},{"id":"s1","name":"s1","parent_id":"s","schemas":{"method":"unknown"}}]`)
	result := filepath.Join(t.TempDir(), "result.json")
	for _, row := range []struct {
		command string
		out     string // parts of stdout, compact JSON, with | between them
		note    string // part of stderr
		code    int
	}{
		{"tasks create -f " + tree, `"id":"r","parent_id":null,"user_id":"ann","name":"root","status":"pending","priority":2|"children":[{"id":"high"`, "✅ Successfully created task tree: root task r", exitOK},
		{"tasks create", "", "Error: one of --file and --stdin gives the tasks", exitUsage},
		{"tasks create -f " + tree + "x", "", "no such file", exitError},
		{"tasks list", `[{"id":"r"`, "", exitOK},
		{"tasks list --all-tasks -l 2 -o 1 --json", `[{"id":"low"|{"id":"r"`, "", exitOK},
		{"tasks list -u bob", "[]", "", exitOK},
		{"tasks list -s odd", "", "Error: ", exitError},
		{"tasks get r", `"id":"r"|"has_children":true,"original_task_id":null,"has_copy":false}`, "", exitOK},
		{"tasks get none", "", "Error: Task none not found", exitError},
		{"tasks tree low", `"id":"r"|"children":[{"id":"high"|{"id":"low"`, "", exitOK},
		{"tasks children -p r", `[{"id":"high"|{"id":"low"`, "", exitOK},
		{"tasks children -t none", "", "Error: Task none not found", exitError},
		{"tasks children", "", "one of --parent-id and --task-id", exitUsage},
		{"tasks status r none", `"task_id":"r","context_id":"r","name":"root","status":"pending"|"is_running":false|"task_id":"none"|"status":"not_found"`, "", exitOK},
		{"tasks count -f json -u ann", `{"cancelled":0,"completed":0,"failed":0,"in_progress":0,"pending":3,"total":3,"user_id":"ann"}`, "", exitOK},
		{"tasks count -r", "pending 1|total 1", "", exitOK},
		{"tasks watch -a", "No running tasks found", "", exitOK},
		{"tasks watch -t none", "", "Error: Task none not found", exitError},
		{"tasks cancel high none", `"task_id":"high","status":"cancelled","message":"Cancelled by user"|"message":"Task none not found","error":"Task not found"`, "", exitError},
		{"tasks cancel -f high", `"status":"failed","message":"Task high is already cancelled, cannot cancel","current_status":"cancelled"`, "", exitOK},
		{"tasks watch -t high", "high cancelled", "", exitOK},
		{"tasks update r", "", "Error: nothing to change is given", exitError},
		{"tasks update r --priority 7", "", "priority must be 0 to 3", exitError},
		{"tasks update r --inputs {", "", "--inputs is no JSON", exitError},
		{"run flow", "", "Error: Either --tasks/--tasks-file or executor_id must be provided", exitError},
		{"run flow -t {}", "", "Error: --tasks must be a JSON array", exitError},
		{"run flow -t []", "", "Error: No tasks provided", exitError},
		{"run flow noop -w", "", "--watch goes with --background", exitUsage},
		{"run flow noop_executor -i []", "", "no JSON object", exitError},
		{`run flow sleep_executor -i {"seconds":0}`, `{"status":"completed","progress":1,"root_task_id":"|"task_count":1,"result":{|"error":null}`, "Result:", exitOK},
		{"run flow -f " + two + " -o " + result, "", "Result saved to: ", exitError},
		{"tasks get a1", `"user_id":"cli_user"|"status":"completed"`, "", exitOK},
		{"run flow -f " + stuck, `"status":"failed"|"error":null`, "", exitError}, // its root is blocked
		{`run flow sleep_executor -b -w -i {"seconds":0.1}`, "Task ID: |completed 100% false", "Monitor with: taskgrove tasks status ", exitOK},
		{"run flow -b -f " + two, "Task IDs: ", "Watch with: taskgrove tasks watch --all", exitOK},
	} {
		stdout, stderr, code := runCommand(t, strings.Fields(row.command)...)
		if code != row.code || !strings.Contains(stderr, row.note) {
			t.Errorf("%s: exit code %d, want %d; stderr: %s", row.command, code, row.code, stderr)
		}
		text := compact(stdout)
		for part := range strings.SplitSeq(row.out, "|") {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %s\nlacks %s", row.command, text, part)
			}
		}
	}
	var saved struct {
		Status string `json:"status"`
		Groups int    `json:"task_groups"`
	}
	if text, err := os.ReadFile(result); err != nil || json.Unmarshal(text, &saved) != nil || saved.Status != "partial" || saved.Groups != 2 {
		t.Errorf("the file of the result: %v %s", err, text)
	}
}

// compact is text without the white space that makes it readable.
func compact(text string) string {
	var b strings.Builder
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(text), "[") || strings.HasPrefix(strings.TrimSpace(text), "{") {
			b.WriteString(strings.Replace(strings.TrimSpace(line), "\": ", "\":", 1))
		} else {
			b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
		}
	}
	return b.String()
}
