package coordinator

import (
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/pg"
)

// TestWhoAsksForTheLastSuccess: schedules whose tree or parameters name it, and runs whose own parameters do; and those that were stored before anybody looked.
func TestWhoAsksForTheLastSuccess(t *testing.T) {
	none := `[{"name":"a"}]`
	for name, test := range map[string]struct {
		tree, parameters, own string
		kind                  dag.FireKind
		asks                  bool
	}{
		"nothing":                       {none, "", "", dag.FireInstant, false},
		"other parts of the run":        {`[{"inputs":{"x":"{{schedule.fire_time}} {{deps.last_success}} {{ tree.id }} schedule.last_success"}}]`, "", "", dag.FireInstant, false},
		"its instant":                   {`[{"inputs":{"x":["since {{schedule.last_success.fire_time:never}}"]}}]`, "", "", dag.FireInstant, true},
		"both":                          {`[{"inputs":{"x":"{{ schedule.last_success }}"}}]`, "", "", dag.FireInstant, true},
		"all of the run":                {`[{"inputs":{"x":"{{schedule}}"}}]`, "", "", dag.FireInstant, true},
		"escaped":                       {`[{"inputs":{"x":"\u007b\u007bschedule.last\u005fsuccess.outputs}}"}}]`, "", "", dag.FireInstant, true},
		"a key":                         {`[{"inputs":{"{{schedule.last_success}}":"x"}}]`, "", "", dag.FireInstant, false},
		"a tree file":                   {`{"taskgrove":1,"name":"a","inputs":{"x":"{{schedule.last_success.outputs.n:0}}"}}`, "", "", dag.FireInstant, true},
		"the text of a tree file":       {`"taskgrove: 1\nname: a\ninputs:\n  x: \"{{schedule.last\\x5fsuccess.outputs.n:0}}\"\n"`, "", "", dag.FireInstant, true},
		"the text of one that does not": {`"taskgrove: 1\nname: a # {{schedule.last_success}}\n"`, "", "", dag.FireInstant, false},
		"parameters":                    {none, `{"from":"{{schedule.last_success.fire_time}}"}`, "", dag.FireInstant, true},
		"own parameters":                {none, `{"from":"x"}`, `{"from":"{{schedule.last_success.fire_time}}"}`, dag.FireTrigger, true},
		"other own parameters":          {none, "", `{"from":"{{schedule.fire_time}}"}`, dag.FireBackfill, false},
		"what an event brings":          {none, "", `{"from":"{{schedule.last_success.fire_time}}"}`, dag.FireEvent, false},
	} {
		body := bodyOfSpec(&scheduledoc.Spec{Tree: json.RawMessage(test.tree), Parameters: json.RawMessage(test.parameters)})
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(name, err)
		}
		var stored scheduleBody
		if err := json.Unmarshal(raw, &stored); err != nil {
			t.Fatal(name, err)
		}
		f := &pg.DueFire{Fire: pg.Fire{Kind: test.kind}, Parameters: []byte(test.own)}
		if got := stored.asksLast(f); got != test.asks {
			t.Errorf("%s: asks %t, want %t", name, got, test.asks)
		}
		if stored.Last = nil; !stored.asksLast(f) {
			t.Errorf("%s: nobody has looked, and it does not ask", name)
		}
	}
}
