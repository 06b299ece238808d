package mcp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows"
)

// TestFlowsByTools: flows are looked at, listed, shown and run; runs are listed, shown, cancelled and resumed.
func TestFlowsByTools(t *testing.T) {
	t.Parallel()
	each(t, mcp.Config{}, func(t *testing.T, s *served, session *sdk.ClientSession, _ told) {
		if _, err := s.svc.ApplyFlow(t.Context(), coordinator.FlowSpec{Text: []byte("flow: {id: kept}\njobs: []\n")}); err != nil {
			t.Fatal(err)
		}
		var report struct {
			OK     bool
			Errors []struct{ Code, Loc string }
		}
		if call(t, session, "validate_flow", map[string]any{"text": "flow: {}"}, &report); report.OK || len(report.Errors) != 1 || report.Errors[0].Loc != "flow.id" {
			t.Errorf("got %+v", report)
		}
		if call(t, session, "validate_flow", map[string]any{"flow": "kept"}, &report); !report.OK {
			t.Errorf("got %+v", report)
		}
		var list struct{ Flows []struct{ ID string } }
		if _, err := s.svc.ApplyProfiles(t.Context(), coordinator.ProfilesSpec{Text: []byte("wh: {config: {host: '{{env.HOST}}'}}\n")}); err != nil {
			t.Fatal(err)
		}
		var profiles struct{ Profiles []struct{ Name string } }
		if call(t, session, "list_profiles", nil, &profiles); len(profiles.Profiles) != 1 || profiles.Profiles[0].Name != "wh" {
			t.Errorf("profiles: %+v", profiles)
		}
		var profile struct {
			Body struct{ Config map[string]string }
		}
		if call(t, session, "get_profile", map[string]any{"name": "wh"}, &profile); profile.Body.Config["host"] != "{{env.HOST}}" {
			t.Errorf("a profile: %+v", profile)
		}
		if call(t, session, "list_flows", nil, &list); len(list.Flows) != 1 || list.Flows[0].ID != "kept" {
			t.Errorf("got %+v", list)
		}
		var one struct{ ID, Text string }
		if call(t, session, "get_flow", map[string]any{"id": "kept"}, &one); !strings.HasPrefix(one.Text, "flow: {id: kept}") {
			t.Errorf("got %+v", one)
		}
		var run struct {
			RunID    string `json:"run_id"`
			Outcome  string
			Priority *int
			Success  bool
		}
		if call(t, session, "run_flow", map[string]any{"flow": "kept", "run_id": "r1", "priority": 1}, &run); run.RunID != "r1" || run.Outcome != "RUNNING" || run.Priority == nil || *run.Priority != 1 {
			t.Errorf("got %+v", run)
		}
		var runs struct{ Runs []struct{ Outcome string } }
		if call(t, session, "list_runs", map[string]any{"outcome": "RUNNING"}, &runs); len(runs.Runs) != 1 {
			t.Errorf("got %+v", runs)
		}
		if call(t, session, "cancel_run", map[string]any{"run": "r1", "reason": "enough"}, &run); !run.Success {
			t.Errorf("got %+v", run)
		}
		if call(t, session, "get_run", map[string]any{"run": "kept/r1"}, &run); run.Outcome != "CANCELLED" {
			t.Errorf("got %+v", run)
		}
		if call(t, session, "resume_run", map[string]any{"run": "r1"}, &run); run.Outcome != "RUNNING" {
			t.Errorf("got %+v", run)
		}
		for tool, arguments := range map[string]map[string]any{"get_run": {"run": "none"}, "get_run_logs": {"run": "none"}, "cancel_run": {"run": "none"}, "resume_run": {"run": "none"}} {
			res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: arguments})
			if err != nil || !res.IsError || !strings.Contains(texts(res), "Run none not found") {
				t.Errorf("%s: %v, %s", tool, err, texts(res))
			}
		}
		for _, limit := range []any{0, 1001, 1.5} {
			if res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "get_run_logs", Arguments: map[string]any{"run": "r1", "limit": limit}}); err != nil || !res.IsError {
				t.Errorf("limit %v: %v, %s", limit, err, texts(res))
			}
		}
	})
}

// TestLongRun: what a model is told of a run is bounded: what is long is cut, then steps of jobs that went well are left out, then all steps.
func TestLongRun(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{AnswerBytes: 20_000})
	session, _ := s.connect("")
	if _, err := s.svc.RunFlow(t.Context(), coordinator.FlowRunSpec{Text: []byte("flow: {id: f}"), RunID: "r"}); err != nil {
		t.Fatal(err)
	}
	jobs := func(n int, status string, result int) (out []flows.JobOutcome) {
		for i := range n {
			j := flows.JobOutcome{ID: fmt.Sprintf("%s%d", status, i), Status: status}
			for k := range 10 {
				j.Steps = append(j.Steps, flows.StepOutcome{ID: fmt.Sprintf("s%d", k), Status: status, Result: json.RawMessage(`{"text":"` + strings.Repeat("x", result) + `"}`)})
			}
			out = append(out, j)
		}
		return out
	}
	for _, row := range []struct {
		jobs        []flows.JobOutcome
		want, steps string
	}{
		{jobs(1, "FAILED", 100), "", "FAILED"},
		{jobs(1, "FAILED", 20_000), "long values were cut", "FAILED"},
		{append(jobs(10, "SUCCESS", 100), jobs(1, "FAILED", 100)...), "those of jobs that went well were left out", "FAILED"},
		{jobs(20, "FAILED", 200), "all steps were left out", ""},
	} {
		s.svc.SetJobs("r", row.jobs)
		var run struct {
			Jobs []struct {
				Status string
				Steps  []struct{ ID string }
			}
		}
		res := call(t, session, "get_run", map[string]any{"run": "r"}, &run)
		if len(run.Jobs) != len(row.jobs) || row.want != "" && !strings.Contains(texts(res), row.want) {
			t.Errorf("%q: %d jobs, %s", row.want, len(run.Jobs), texts(res))
		}
		for _, j := range run.Jobs {
			if (len(j.Steps) > 0) != (j.Status == row.steps) {
				t.Errorf("%q: %s has %d steps", row.want, j.Status, len(j.Steps))
			}
		}
		if len(texts(res)) > 60_000 {
			t.Errorf("%q: %d bytes", row.want, len(texts(res)))
		}
	}
}
