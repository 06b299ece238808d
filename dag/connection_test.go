package dag

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const inlineInputs = `{"query":"q {{deps.x.result}}","connection":{"kind":"db","driver":"postgres","config":{"host":"h","password":"{{env.A}}"},"config":{"url":"x://{{ env.B: }}:\u007b{env.C}}@h"},"headers":["{{env.D:d}}"]}}`

// TestInlineConnection: what a task defines as its connection needs a level, names secrets for the rules of pools, and is no template of the task.
func TestInlineConnection(t *testing.T) {
	raw := json.RawMessage(inlineInputs)
	rule := &PoolRule{Secrets: []string{"A"}}
	var fields []string
	for _, f := range rule.Allows("n", &Task{Executor: "sql_executor", Inputs: raw}) {
		fields = append(fields, f.Field+" "+f.Reason)
	}
	if got := strings.Join(fields, "; "); !strings.Contains(got, `does not allow secret "C"`) || !strings.Contains(got, `inputs.connection.headers.[0] does not allow secret "D"`) && !strings.Contains(got, `inputs.connection.headers[0] does not allow secret "D"`) || strings.Contains(got, `"A"`) {
		t.Errorf("by the rule of a pool: %s", got)
	}
	tool := &Task{Executor: "agent_executor", Params: json.RawMessage(`{"tools":[{"executor":"sql_executor","inputs":` + inlineInputs + `}]}`)}
	if faults := rule.Allows("n", tool); !slices.ContainsFunc(faults, func(f PoolFault) bool { return strings.Contains(f.Reason, `"D"`) }) {
		t.Errorf("of a tool: %v", faults)
	}
	if got := AllLevels.Needed(&Task{Executor: "sql_executor", Inputs: raw}); got != ConnectionsLevel {
		t.Errorf("it needs level %d", got)
	}
	if got := AllLevels.Needed(&Task{Executor: "sql_executor", Inputs: json.RawMessage(`{"connection":"c"}`)}); got != BaseLevel {
		t.Errorf("a name needs level %d", got)
	}
	if got := Templated("sql_executor", raw, raw); !slices.Equal(got, []string{"query"}) {
		t.Errorf("rendered are %v", got)
	}
	if got := References("sql_executor", nil, raw, raw); !slices.Equal(got, []string{"connection"}) {
		t.Errorf("references are %v", got)
	}
	if got := References("sql_executor", nil, json.RawMessage(`{"connection":"a"}`), raw); len(got) > 0 {
		t.Errorf("by a result, references are %v", got)
	}
	task := &Task{Executor: "sql_executor", Inputs: json.RawMessage(`{"query":"q","connection":{"kind":"db","driver":"postgres","config":{"host":"{{deps.x.result}}","user":"{{env.A:}}"}}}`), Control: &Control{Template: true}}
	if got := task.ValueFaults(nil); len(got) != 1 || !strings.Contains(got[0], "inputs.connection.config.host") {
		t.Errorf("a template of the task in it: %q", got)
	}
	for text, is := range map[string]bool{`{"kind":"db","driver":"x"}`: true, `{"kind":"db"}`: false, `{"kind":1,"driver":"x"}`: false, `"x"`: false, `null`: false, `[]`: false} {
		if InlineConnection(json.RawMessage(text)) != is {
			t.Errorf("%s: %v", text, !is)
		}
	}
}
