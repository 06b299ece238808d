package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

const secret = "a secret of thirty-two bytes, ok"

// guarded starts a cluster of two coordinators that ask callers who they are.
func guarded(t *testing.T) *cluster.Cluster {
	t.Helper()
	return cluster.Start(t, cluster.Options{Coordinators: 2, Coordinator: func(c *config.Coordinator) {
		c.HTTPAddr, c.Secret = "127.0.0.1:0", secret
	}})
}

// bearer sends a user's token along.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b != "" {
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

func tokenOf(t *testing.T, user string, roles ...string) bearer {
	t.Helper()
	verifier, err := identity.New(identity.Config{Keys: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := verifier.Issue(user, roles, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return bearer(token)
}

// joined connects a user to a coordinator of a cluster.
func joined(t *testing.T, url string, who bearer, version string) (*sdk.ClientSession, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx,
		&sdk.StreamableClientTransport{Endpoint: url + "/mcp", HTTPClient: &http.Client{Transport: who}}, &sdk.ClientSessionOptions{ProtocolVersion: version})
	if err == nil {
		t.Cleanup(func() { _ = session.Close() })
	}
	return session, err
}

const command = `"schemas":{"method":"aggregate_results_executor"}`

const work = `[{"id":"%[1]s","name":"root","dependencies":["%[1]s.a"],` + command + `},{"id":"%[1]s.a","name":"first","parent_id":"%[1]s",` + command + `}]`

// TestToolsOnACluster stores, changes, runs, copies and deletes trees with the tools, on a real cluster that asks callers who they are.
func TestToolsOnACluster(t *testing.T) {
	t.Parallel()
	c := guarded(t)
	for i, version := range versions {
		session, err := joined(t, c.Coordinators[i%2].P.HTTP, tokenOf(t, "alice"), version)
		if err != nil {
			t.Fatal(err)
		}
		root := fmt.Sprintf("tree%d", i)
		var task struct {
			ID, Name, Status string
			UserID           string `json:"user_id"`
			Original         string `json:"original_task_id"`
			Inputs           struct{ Note string }
			Children         []struct{ ID string }
		}
		call(t, session, "create_task", json.RawMessage(fmt.Sprintf(`{"tasks":`+work+`}`, root)), &task)
		if task.ID != root || task.UserID != "alice" || len(task.Children) != 1 {
			t.Fatalf("created: got %+v", task)
		}
		call(t, session, "update_task", json.RawMessage(fmt.Sprintf(`{"task_id":"%s.a","name":"changed","inputs":{"note":"new"}}`, root)), &task)
		if task.Name != "changed" || task.Inputs.Note != "new" {
			t.Errorf("updated: got %+v", task)
		}
		var ended struct {
			Status string
			Result json.RawMessage
		}
		call(t, session, "execute_task", json.RawMessage(fmt.Sprintf(`{"task_id":%q,"use_streaming":true}`, root)), &ended)
		if ended.Status != "completed" {
			t.Errorf("executed: got %+v", ended)
		}
		call(t, session, "copy_task", json.RawMessage(fmt.Sprintf(`{"task_id":%q}`, root)), &task)
		if task.ID == root || task.Original != root || task.Status != "pending" {
			t.Errorf("copied: got %+v", task)
		}
		copied := task.ID
		call(t, session, "execute_task", map[string]any{"task_id": copied}, nil)
		call(t, session, "wait_for_task", map[string]any{"task_id": copied}, &ended)
		if ended.Status != "completed" {
			t.Errorf("the copy was executed: got %+v", ended)
		}
		call(t, session, "create_task", json.RawMessage(fmt.Sprintf(`{"tasks":`+work+`}`, root+"gone")), nil)
		var gone struct {
			Success bool
			Count   int `json:"deleted_count"`
		}
		call(t, session, "delete_task", map[string]any{"task_id": root + "gone"}, &gone)
		if !gone.Success || gone.Count != 2 {
			t.Errorf("deleted: got %+v", gone)
		}
		if res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "get_task", Arguments: map[string]any{"task_id": root + "gone"}}); err != nil || !res.IsError {
			t.Errorf("what was deleted: got %+v, %v", res, err)
		}
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}

// ofTask are arguments with which each tool that names tasks would act on one of alice's, and each that names none would act for her.
func ofTask(id string) map[string]string {
	one, schedule := fmt.Sprintf(`{"task_id":%q}`, id), fmt.Sprintf(`{"id":%q}`, id)
	return map[string]string{
		"execute_task": one, "create_task": fmt.Sprintf(`{"id":"foreign","name":"n","user_id":"alice","parent_id":%q}`, id), "get_task": one,
		"update_task": fmt.Sprintf(`{"task_id":%q,"name":"taken"}`, id), "delete_task": one, "list_tasks": `{"user_id":"alice"}`,
		"get_task_status": one, "cancel_task": one, "get_task_tree": one, "list_children": one, "copy_task": one,
		"generate_task_tree": `{"requirement":"x","user_id":"alice"}`, "wait_for_task": `{"task_id":"` + id + `","timeout":1}`, "explain_task": one,
		"pause_tree": fmt.Sprintf(`{"tree_id":%q}`, id), "resume_tree": fmt.Sprintf(`{"tree_id":%q}`, id),
		"list_schedules": `{"user_id":"alice"}`, "get_schedule": schedule, "list_schedule_runs": schedule, "trigger_schedule": schedule, "pause_schedule": schedule, "resume_schedule": schedule,
		"validate_flow": `{"flow":"hers"}`, "list_flows": `{"user_id":"alice"}`, "get_flow": schedule, "list_profiles": `{"user_id":"alice"}`, "get_profile": `{"name":"hers"}`, "run_flow": `{"flow":"hers"}`, "list_runs": `{"user_id":"alice"}`, "get_run": `{"run":"hers"}`,
		"get_run_logs": `{"run":"hers"}`, "resume_run": `{"run":"hers"}`, "cancel_run": `{"run":"hers"}`,
		"skip_task": one, "signal_task": fmt.Sprintf(`{"task_id":%q,"name":"go"}`, id), "answer_approval": fmt.Sprintf(`{"task_id":%q,"choice":"approve"}`, id),
	}
}

// TestForeignTasks: no tool, resource, prompt or completion shows a user the task of another, or changes it.
func TestForeignTasks(t *testing.T) {
	t.Parallel()
	c := guarded(t)
	url := c.Coordinators[0].P.HTTP
	alice, err := joined(t, url, tokenOf(t, "alice"), "")
	if err != nil {
		t.Fatal(err)
	}
	call(t, alice, "create_task", json.RawMessage(`{"tasks":[{"id":"hers","name":"precious","inputs":{"note":"precious"},`+command+`}]}`), nil)
	if _, err := c.Service().CreateSchedule(t.Context(), scheduledoc.Spec{ID: "hers", Description: "precious", UserID: "alice", Cron: "@yearly", Tree: []byte(`[{"name":"precious","schemas":{"method":"noop_executor"}}]`)}); err != nil {
		t.Fatal(err)
	}
	const flow = "flow: {id: hers, description: precious}\njobs: []\n"
	if _, err := c.Service().ApplyFlow(t.Context(), coordinator.FlowSpec{UserID: "alice", Text: []byte(flow)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Service().ApplyProfiles(t.Context(), coordinator.ProfilesSpec{UserID: "alice", Text: []byte("hers: {config: {host: precious}}\n")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Service().RunFlow(t.Context(), coordinator.FlowRunSpec{UserID: "alice", Text: []byte(flow), RunID: "hers"}); err != nil {
		t.Fatal(err)
	}
	for _, version := range versions {
		bob, err := joined(t, url, tokenOf(t, "bob"), version)
		if err != nil {
			t.Fatal(err)
		}
		tools, err := bob.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		arguments := ofTask("hers")
		for _, tool := range tools.Tools {
			if tool.Name == "list_executors" || tool.Name == "get_executor" || tool.Name == "next_instants" {
				continue // these name nothing of anybody's
			}
			given, known := arguments[tool.Name]
			if !known {
				t.Errorf("no arguments for tool %s: whoever adds one says here how it would reach a foreign task", tool.Name)
				continue
			}
			res, err := bob.CallTool(t.Context(), &sdk.CallToolParams{Name: tool.Name, Arguments: json.RawMessage(given)})
			said := fmt.Sprint(err)
			if err == nil {
				content, _ := json.Marshal(res.StructuredContent)
				said = texts(res) + string(content)
			}
			refused := err != nil || res.IsError
			if tool.Name == "get_task_status" || tool.Name == "cancel_task" { // these answer for each id
				refused = strings.Contains(said, "ermission") || strings.Contains(said, "not_found") || strings.Contains(said, "not found")
			}
			if !refused || strings.Contains(said, "precious") {
				t.Errorf("%s with %s: got %s", tool.Name, given, said)
			}
		}
		for _, uri := range []string{"task://hers", "tasks://", "tasks://?limit=10"} {
			res, err := bob.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uri})
			if err == nil && (uri == "task://hers" || strings.Contains(res.Contents[0].Text, "hers")) {
				t.Errorf("%s: got %s", uri, res.Contents[0].Text)
			}
		}
		for _, prompt := range []string{"explain_failure", "summarize_tree"} {
			if res, err := bob.GetPrompt(t.Context(), &sdk.GetPromptParams{Name: prompt, Arguments: map[string]string{"task_id": "hers"}}); err == nil {
				t.Errorf("prompt %s: got %+v", prompt, res.Messages[0].Content)
			}
			done, err := bob.Complete(t.Context(), &sdk.CompleteParams{Ref: &sdk.CompleteReference{Type: "ref/prompt", Name: prompt},
				Argument: sdk.CompleteParamsArgument{Name: "task_id", Value: "h"}})
			if err == nil && slices.Contains(done.Completion.Values, "hers") {
				t.Errorf("completion for %s: got %v", prompt, done.Completion.Values)
			}
		}
		if bob.ID() != "" { // a session is its maker's alone
			for _, who := range []bearer{tokenOf(t, "alice"), tokenOf(t, "root", "admin"), ""} {
				req, err := http.NewRequest(http.MethodPost, url+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`))
				if err != nil {
					t.Fatal(err)
				}
				for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Session-Id": bob.ID()} {
					req.Header.Set(name, value)
				}
				res, err := who.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode < 400 {
					t.Errorf("a session of another user: got %s", res.Status)
				}
			}
		}
	}
	if _, err := joined(t, url, "", ""); err == nil {
		t.Error("a client without a token was let in")
	}
	task, err := c.Service().Task(t.Context(), "hers")
	if err != nil || task.Name != "precious" || task.HasCopy || task.State != dag.Held {
		t.Errorf("the task after all that: got %+v, %v", task, err)
	}
	if _, err := c.Service().Task(t.Context(), "foreign"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a task below a foreign one: got %v", err)
	}
	admin, err := joined(t, url, tokenOf(t, "root", "admin"), "")
	if err != nil {
		t.Fatal(err)
	}
	call(t, admin, "get_task", map[string]any{"task_id": "hers"}, nil)
}
