package crew_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

const hierarchy = `{
	"process": "hierarchical",
	"agents": {"analyst": {"role": "Analyst", "goal": "Judge figures"}, "critic": {"role": "Critic"}},
	"tasks": {"rating": {"description": "Rate {company}", "expected_output": "A rating"}}
}`

func TestAManagerDelegates(t *testing.T) {
	t.Parallel()
	onEachWire(t, func(t *testing.T, b *bench) {
		manager := "You are Crew Manager."
		b.Play("m", play(
			modeltest.Turn{When: manager + "\nRate ACME\n- Analyst: Judge figures", Calls: []modeltest.Call{
				{Name: "delegate_work_to_coworker", Arguments: `{"task":"Look at the debts","context":"ACME has debts","coworker":"Analyst"}`}}},
			modeltest.Turn{When: "You are Analyst.\nLook at the debts\nACME has debts", Text: "They are high"},
			modeltest.Turn{When: manager, Last: "They are high", Calls: []modeltest.Call{
				{Name: "ask_question_to_coworker", Arguments: `{"question":"Is that all?","context":"Debts are high","coworker":"critic "}`}}},
			modeltest.Turn{When: "You are Critic.\nIs that all?", Text: "It is"},
			modeltest.Turn{When: manager, Last: "It is", Text: "Rating: 3"},
		))
		b.set(hierarchy, `{"company":"ACME"}`)
		_, got, err := b.run(t, b.single)
		if err != nil || got["result"] != "Rating: 3" {
			t.Fatalf("got %v, %v", got, err)
		}
		if usage := got["token_usage"].(map[string]any); usage["successful_requests"] != 5.0 {
			t.Errorf("usage is %v", usage)
		}
		for _, r := range b.Requests() {
			if system := r.Messages[0].Text; !strings.Contains(system, "Crew Manager") && len(r.Tools) != 0 {
				t.Errorf("%q has tools: %v", system, r.Tools)
			}
		}
	})
}

func TestAManagerReachesOnlyTheAgentOfTheTask(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(
		uses("delegate_work_to_coworker", `{"task":"x","context":"","coworker":"Critic"}`, `{"task":" ","coworker":"Analyst"}`, `["x"]`, `{"task":{"a":1},"coworker":"Analyst"}`),
		modeltest.Turn{When: "There is no such coworker. They are: Analyst.\nSay what the coworker shall do.\nThe arguments must be a JSON object", Text: "OK"},
	))
	b.set(strings.Replace(hierarchy, `"expected_output"`, `"agent": "analyst", "expected_output"`, 1), `{"company":"ACME"}`)
	if _, got, err := b.run(t, b.single); err != nil || got["result"] != "OK" {
		t.Fatalf("got %v, %v", got, err)
	}
	if description := b.Requests()[0].Tools[0].Description; strings.Contains(description, "Critic") {
		t.Errorf("the manager is told of %s", description)
	}
}

func TestAnAgentOfTheCrewManages(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{When: "You are Critic.", Text: "OK"}))
	b.set(strings.Replace(hierarchy, `"process"`, `"manager_agent":"critic","process"`, 1), `{"company":"ACME"}`)
	_, got, err := b.run(t, b.single)
	if err != nil || got["result"] != "OK" {
		t.Fatalf("got %v, %v", got, err)
	}
	if tools := b.Requests()[0].Tools; len(tools) != 2 || strings.Contains(tools[0].Description, "- Critic") {
		t.Errorf("tools are %+v", tools)
	}
	b.set(strings.Replace(hierarchy, `"process"`, `"manager_llm":"boss","process"`, 1), `{"company":"ACME"}`)
	b.Play("boss", play(turnOK))
	if _, got, err := b.run(t, b.single); err != nil || got["result"] != "OK" {
		t.Fatalf("got %v, %v", got, err)
	}
}

// TestDelegationIsBounded lets agents pass everything on.
func TestDelegationIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	var deepest int
	pass := func(r *modeltest.Request) modeltest.Turn {
		if len(r.Tools) == 0 || len(r.Messages) > 2 {
			return modeltest.Turn{Text: "done by " + r.Messages[0].Text[:11]}
		}
		deepest++
		_, list, _ := strings.Cut(r.Tools[0].Description, "- ")
		name, _, _ := strings.Cut(list, "\n")
		return uses("delegate_work_to_coworker", fmt.Sprintf(`{"task":"You do it","context":"-","coworker":%q}`, name))
	}
	b.Play("m", play(modeltest.Turn{Times: -1, Reply: pass}))
	agents := ""
	for i := range 6 {
		agents += fmt.Sprintf(`"a%d":{"role":"Agent %d","allow_delegation":true},`, i, i)
	}
	b.set(`{"agents":{`+strings.TrimSuffix(agents, ",")+`},"tasks":{"t":{"description":"D","agent":"a0"}}}`, `{}`)
	if _, got, err := b.run(t, b.single); err != nil || got["result"] != "done by You are Age" || deepest != 3 {
		t.Fatalf("got %v, %v, %d deep", got, err, deepest)
	}
	for _, r := range b.Requests() {
		role := strings.TrimPrefix(strings.SplitN(r.Messages[0].Text, ".", 2)[0], "You are ")
		for _, tool := range r.Tools {
			if strings.Contains(tool.Description, "- "+role+"\n") {
				t.Errorf("%s may delegate to itself: %s", role, tool.Description)
			}
		}
	}
}

// TestAFailureOfACoworkerEndsTheCrew keeps its class.
func TestAFailureOfACoworkerEndsTheCrew(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(
		uses("delegate_work_to_coworker", `{"task":"x","context":"","coworker":"Analyst"}`),
		modeltest.Turn{When: "You are Analyst.", Fault: modeltest.FaultRate, RetryAfter: "3"},
	))
	b.set(hierarchy, `{"company":"ACME"}`)
	if _, _, err := b.run(t, b.single); err == nil || !strings.Contains(err.Error(), "429") {
		t.Fatalf("got %v", err)
	}
}
