package crew_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
)

// one is a work with an agent and a task that have further fields.
func one(agent, task string) string {
	return `{"agents":{"a":{"role":"R"` + agent + `}},"tasks":{"t":{"description":"D"` + task + `}}}`
}

// TestFaultsAreToldAtOnceAndBeforeAPaidCall has the texts of the reference where it has some.
func TestFaultsAreToldAtOnceAndBeforeAPaidCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	for _, row := range []struct{ params, inputs, want string }{
		{`{}`, `{}`, "works parameter is required"},
		{`{"works":{}}`, `{}`, "works parameter is required"},
		{`{"works":null}`, `{"works":{"agents":{}}}`, "works parameter is required: they are in inputs, and must be in params"},
		{`{"works":[1]}`, `{}`, "works must be a dictionary"},
		{`{"works":{"agents":{"a":{"role":"R"}}}}`, `{}`, "works must contain agents and tasks"},
		{`{"works":{"agents":{},"tasks":{}}}`, `{}`, "No agents created"},
		{`{"works":{"agents":{"a":{"role":"R"}},"tasks":{}}}`, `{}`, "No tasks created"},
		{`{"works":` + one("", `,"agent":"bob"`) + `}`, `{}`, "Agent 'bob' not found for task 't'"},
		{`{"works":{"agents":{"a":{"goal":"{x}"},"b":5},"tasks":{"t":{"description":"{y}","agent":"a"}}}}`, `{"why":1}`,
			"works.agents.b must be an object, not number; works.agents.a.role is required; works.agents.a.goal: variable {x} is not in inputs; " +
				"works.tasks.t.description: variable {y} is not in inputs"},
		{`{"works":` + one(`,"gaol":"G","max_iter":1000`, `,"human_input":true,"expected_outputs":"x"`) + `}`, `{}`,
			"works.agents.a.max_iter must be a whole number from 1 to 100; works.agents.a.gaol is unknown: did you mean goal?; " +
				"works.tasks.t.human_input: is not supported yet: no person can be asked in the middle of a crew; " +
				"works.tasks.t.expected_outputs is unknown: did you mean expected_output?"},
		{`{"works":` + one(`,"llm":{"model":"m","api_key":"canary","base_url":"http://evil"}`, "") + `}`, `{}`,
			"works.agents.a.llm.api_key: a crew's document holds no keys: they come from the task's own key, the user's, or the worker; " +
				"works.agents.a.llm.base_url: a crew's document names no addresses: the worker's operator names services of models, and a model is then service/model"},
		{`{"works":` + one(`,"role":7`, `,"context":["u","t"]`) + `}`, `{}`,
			"works.agents.a.role must be a text, not number; works.tasks.t.context: there is no task 'u'; works.tasks.t.context: task 't' does not come before this one"},
		{`{"works":` + one("", `,"output_json":"Report"`) + `}`, `{}`, "works.tasks.t.output_json must be a JSON Schema: classes of Python are not known here"},
		{`{"works":` + one("", `,"output_schema":{"type":"bogus"}`) + `}`, `{}`, "works.tasks.t.output_schema can't be used: "},
		{`{"works":` + one("", "") + `,"budget":{"tokens":-1,"dollars":2},"on_exhausted":"explode"}`, `{}`,
			"budget.dollars is unknown: a budget has tokens, calls, money and seconds; budget.tokens must be a whole number above 0; on_exhausted must be fail, skip or partial"},
		{`{"works":` + strings.TrimSuffix(one("", ""), "}") + `,"process":"chaotic","manager_lm":"x"}}`, `{}`, "works.process must be sequential or hierarchical; works.manager_lm is unknown: did you mean manager_llm?"},
		{`{"works":` + strings.TrimSuffix(one("", ""), "}") + `,"process":"hierarchical","manager_agent":"x"}}`, `{}`, "works.manager_agent: there is no agent 'x'"},
		{`{"works":` + strings.TrimSuffix(one(`,"tools":["X()"]`, ""), "}") + `,"process":"hierarchical","manager_agent":"a"}}`, `{}`,
			"works.agents.a.tools: a manager delegates, and has no tools of its own; works.manager_agent: the manager has nobody to delegate to"},
		{`{"works":{"agents":{"a":{"role":"R"},"b":{"role":"S"}},"tasks":{"t":{"description":"D"}}}}`, `{}`, "works.tasks.t.agent is required where several agents work without a manager"},
	} {
		b.call.Params, b.call.Inputs = json.RawMessage(row.params), json.RawMessage(row.inputs)
		_, err := b.single.Run(t.Context(), b.call)
		if err == nil || !executors.IsPermanent(err) || !strings.HasPrefix(err.Error(), "[crewai_executor] "+row.want) {
			t.Errorf("%s:\ngot  %v\nwant [crewai_executor] %s", row.params, err, row.want)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: a value shows: %v", row.params, err)
		}
	}
	for _, row := range []struct{ params, want string }{
		{`{}`, "No works found in batch"},
		{`{"works":{}}`, "No works found in batch"},
		{`{"works":"x"}`, "works must be a dictionary"},
		{`{"works":{"x":{"agents":{}},"y":7,"z":` + one("", `,"agent":"bob"`) + `}}`,
			"works.x: works must contain agents and tasks; works.y: works must contain agents and tasks; works.z: Agent 'bob' not found for task 't'"},
	} {
		b.call.Params, b.call.Inputs = json.RawMessage(row.params), json.RawMessage(`{}`)
		if _, err := b.batch.Run(t.Context(), b.call); err == nil || !executors.IsPermanent(err) || err.Error() != "[batch_crewai_executor] "+row.want {
			t.Errorf("%s:\ngot  %v\nwant %s", row.params, err, row.want)
		}
	}
	if n := len(b.Requests()); n != 0 {
		t.Errorf("%d calls were paid for", n)
	}
}

// TestModelsAreCheckedBeforeAPaidCall has a first task that could be done.
func TestModelsAreCheckedBeforeAPaidCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.set(`{"agents":{"a":{"role":"R","llm":"m"},"b":{"role":"S","llm":"bad name"},"c":{"role":"T","llm":"bad name"}},
		"tasks":{"t":{"description":"D","agent":"a"},"u":{"description":"D","agent":"b"}}}`, `{"budget":{"money":1}}`)
	_, err := b.single.Run(t.Context(), b.call)
	if err == nil || !executors.IsPermanent(err) || len(b.Requests()) != 0 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"works.agents.b: model: \"bad name\" is no model's name", "works.agents.a: budget.money: model m has no price"} {
		if !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "bad name") != 1 {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestFieldsThatChangeNothingAreTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(turnOK))
	b.set(strings.TrimSuffix(one(
		`,"verbose":true,"allow_delegation":true,"cache":false,"memory":true,"max_retry_limit":3,"max_rpm":100,"step_callback":null,"allow_code_execution":false,"knowledge_sources":[],"function_calling_llm":"x","respect_context_window":true,"reasoning":false`,
		`,"human_input":false,"output_file":"","callback":null,"guardrails":[],"async_execution":false,"output_json":null,"name":"x","tools":[]`), "}")+
		`,"memory":true,"cache":true,"planning":false,"max_rpm":60,"verbose":false,"share_crew":false}`, `{}`)
	b.call.Params = json.RawMessage(strings.TrimSuffix(string(b.call.Params), "}") + `,"name":"My crew","storage":"x","executor_id":"crewai_executor"}`)
	if _, got, err := b.run(t, b.single); err != nil || got["result"] != "OK" {
		t.Errorf("got %v, %v", got, err)
	}
	if lines := strings.Join(b.report.Lines(), "\n"); !strings.Contains(lines, "R: has done task t (2 bytes): OK") {
		t.Errorf("a verbose agent says %s", lines)
	}
}
