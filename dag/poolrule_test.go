package dag

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPoolRuleAllows(t *testing.T) {
	t.Parallel()
	rule := PoolRule{Pool: "gpu", Namespaces: []string{"team-a", "ml-*"}, Executors: []string{"rest_executor", "crew*"}, Connections: []string{"warehouse", "ro-*"}, Secrets: []string{"ml-*", "token"}}
	for fact, tt := range map[string]struct {
		rule                                *PoolRule
		namespace, executor, inputs, params string
		want                                []string
	}{
		"no rule":                         {nil, "x", "x", `{"connection":"x"}`, ``, nil},
		"an empty rule":                   {&PoolRule{Pool: "gpu"}, "x", "x", `{"connection":"x","a":{"secret":"y"}}`, `{"tools":["a(b={})"]}`, nil},
		"all is listed":                   {&rule, "team-a", "rest_executor", `{"connection":"warehouse","a":[{"b":{"secret":"token"}}]}`, ``, nil},
		"by beginnings":                   {&rule, "ml-x", "crewai_executor", `{"connection":"ro-","a":{"secret":"ml-1"}}`, ``, nil},
		"a group":                         {&rule, "other", "", `{"a":{"secret":"x"}}`, ``, nil},
		"another namespace":               {&rule, "team-b", "rest_executor", ``, ``, []string{`pool: takes no tasks of namespace "team-b"`}},
		"a beginning is not a whole name": {&rule, "team-ab", "rest_executor", ``, ``, []string{`pool: takes no tasks of namespace "team-ab"`}},
		"another executor":                {&rule, "team-a", "command_executor", ``, ``, []string{`pool: takes no tasks of executor "command_executor"`}},
		"all faults at once": {&rule, "x", "y", `{"connection":"z","a":{"secret":"s"},"b":[1,{"secret":"s"}]}`, `{"c":{"secret":"t"}}`, []string{
			`pool: takes no tasks of namespace "x"`, `pool: takes no tasks of executor "y"`, `inputs.connection: does not allow connection "z"`,
			`inputs.a: does not allow secret "s"`, `inputs.b[1]: does not allow secret "s"`, `params.c: does not allow secret "t"`}},
		"a connection that is none":      {&rule, "team-a", "rest_executor", `{"connection":null,"headers":{"connection":"close"}}`, ``, nil},
		"names with escapes":             {&rule, "team-a", "rest_executor", `{"connecti\u006fn":"z","a":{"secret":"\u0073"}}`, ``, []string{`inputs.connection: does not allow connection "z"`, `inputs.a: does not allow secret "s"`}},
		"data that looks like a secret":  {&rule, "team-a", "rest_executor", `{"a":{"secret":"s","b":1},"c":{"secret":1},"d":"\"secret\""}`, ``, nil},
		"connections outside tools":      {&rule, "team-a", "crewai_executor", ``, `{"connection":"x","works":{"connection":"y"}}`, nil},
		"tools of an agent":              {&rule, "team-a", "crewai_executor", ``, `{"works":{"agents":{"a":{"tools":[{"executor":"rest","connection":"ro-1","inputs":{"token":{"secret":"token"}}}]}}}}`, nil},
		"tools of an agent, none listed": {&rule, "team-a", "crewai_executor", ``, `{"tools":[{"executor":"sql","connection":"x","inputs":{"connection":"y","a":{"secret":"z"}}},{"mcp":{"connection":"w"}}]}`, []string{`params.tools[0].inputs.a: does not allow secret "z"`, `params.tools[0].executor: does not allow executor "sql" as a tool`, `params.tools[0].connection: does not allow connection "x"`, `params.tools[0].inputs.connection: does not allow connection "y"`, `params.tools[1].mcp: does not allow executor "mcp_executor" as a tool`, `params.tools[1].mcp.connection: does not allow connection "w"`}},
		"tools as texts":                 {&rule, "team-a", "crewai_executor", ``, `{"tools":["MyTool","MyTool()","LimitedScrapeWebsiteTool(hosts=['example.org'])"]}`, nil},
		"tools as texts that may name anything": {&rule, "team-a", "crewai_executor", ``, `{"tools":["T(token={'secret': 'x'})","T('x')","T(a=1, connection='x')"]}`, []string{
			`params.tools[0]: allows some secrets only`, `params.tools[1]: allows some connections only`, `params.tools[2]: allows some connections only`}},
	} {
		task := &Task{Executor: tt.executor, Inputs: json.RawMessage(tt.inputs), Params: json.RawMessage(tt.params)}
		var got []string
		for _, f := range tt.rule.Allows(tt.namespace, task) {
			got = append(got, f.Field+": "+f.Reason)
		}
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s: got\n%s\nwant\n%s", fact, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

func TestPoolRuleIsTold(t *testing.T) {
	t.Parallel()
	rule := &PoolRule{Pool: "gpu", Namespaces: []string{"a"}, Secrets: []string{"a"}}
	task := &Task{Name: "n", Executor: "x", Inputs: json.RawMessage(`{"b":{"secret":"s"}}`)}
	if got, want := rule.Forbids("b", task), `pool "gpu" does not allow this task: it takes no tasks of namespace "b"; inputs.b: it does not allow secret "s"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got := rule.OfTask(2, "b", task)
	if len(got) != 2 || got[0].Reason != `tasks[2].pool: pool "gpu" takes no tasks of namespace "b"` || got[1].Field != "inputs.b" || got[1].Task != "n" || got[1].Index != 2 {
		t.Errorf("got %+v", got)
	}
	many := &Task{Executor: "x", Inputs: json.RawMessage(`[` + strings.Repeat(`{"secret":"s"},`, 1000) + `1]`)}
	if got := rule.Allows("a", many); len(got) != maxFaultsOfATask {
		t.Errorf("%d faults, want %d", len(got), maxFaultsOfATask)
	}
	if got := rule.Forbids("a", many); len(got) > 1000 {
		t.Errorf("a text of %d bytes", len(got))
	}
}

func TestPoolRuleIsChecked(t *testing.T) {
	t.Parallel()
	for fact, tt := range map[string]struct {
		rule PoolRule
		want []string
	}{
		"all that may be": {PoolRule{Pool: "a-B_1", Namespaces: []string{"*", "a*", "x.y"}}, nil},
		"no pool":         {PoolRule{}, []string{"pool"}},
		"several faults":  {PoolRule{Pool: "a b", Namespaces: []string{"ok", ""}, Executors: []string{"*a"}, Connections: []string{"a**"}, Secrets: []string{"a,b", strings.Repeat("x", 256), "a\x00", "a b", "\xff"}}, []string{"pool", "namespaces[1]", "executors[0]", "connections[0]", "secrets[0]", "secrets[1]", "secrets[2]", "secrets[3]", "secrets[4]"}},
		"too many":        {PoolRule{Pool: "p", Secrets: slices.Repeat([]string{"x"}, MaxRulePatterns+1)}, []string{"secrets"}},
	} {
		var got []string
		for _, f := range tt.rule.Check() {
			got = append(got, f.Field)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", fact, got, tt.want)
		}
	}
}

// FuzzPoolRule: a slow twin, which decodes all, finds the same secrets and connections; nothing is found in a pool that lists what the task names.
func FuzzPoolRule(f *testing.F) {
	f.Add([]byte(`{"a":{"secret":"x"},"connection":"y"}`), []byte(`{"tools":[{"executor":"z","connection":"c"},"T(1)"]}`))
	f.Add([]byte(`{"a":[{"secret":"x","secret":"y"}],"b":{"\u0073ecret":"z"}}`), []byte(`[[{"tools":{"a":{"inputs":{"secret":"q"}}}}]]`))
	f.Fuzz(func(t *testing.T, inputs, params []byte) {
		if !json.Valid(inputs) || !json.Valid(params) || repeated(inputs) || repeated(params) {
			return
		}
		rule := &PoolRule{Pool: "p", Namespaces: []string{"n"}, Executors: []string{"e"}}
		for n := range names(compacted(inputs), compacted(params)) {
			switch {
			case n.kind == namesSecret && n.name != "":
				rule.Secrets = append(rule.Secrets, n.name)
			case n.kind == namesConnection && n.name != "":
				rule.Connections = append(rule.Connections, n.name)
			case n.kind == namesTool && n.name != "":
				rule.Executors = append(rule.Executors, n.name)
			case n.kind == mayNameSecret, n.kind == mayNameConnection, n.name == "":
				return
			}
			if n.path() == "" || len(n.path()) > 2*maxPathBytes {
				t.Fatalf("path %q", n.path())
			}
		}
		task := &Task{Executor: "e", Inputs: compacted(inputs), Params: compacted(params)}
		if got := rule.Forbids("n", task); got != "" {
			t.Fatal(got)
		}
		var in, par any
		_ = json.Unmarshal(inputs, &in)
		_ = json.Unmarshal(params, &par)
		for _, s := range append(slowSecrets(in), slowSecrets(par)...) {
			if !slices.Contains(rule.Secrets, s) && s != "" && !strings.Contains(string(inputs)+string(params), `\`) {
				t.Fatalf("secret %q was overlooked", s)
			}
		}
	})
}

func compacted(raw []byte) []byte {
	var v json.RawMessage = raw
	out, _ := json.Marshal(v)
	return out
}

// repeated reports whether an object of the value has a name twice, as no stored one has.
func repeated(raw []byte) bool {
	var v any
	_ = json.Unmarshal(raw, &v)
	again, _ := json.Marshal(v)
	return len(AppendCanonical(nil, raw)) != len(AppendCanonical(nil, again))
}

func slowSecrets(v any) (found []string) {
	switch v := v.(type) {
	case map[string]any:
		if name, is := v["secret"].(string); is && len(v) == 1 {
			return []string{name}
		}
		for _, one := range v {
			found = append(found, slowSecrets(one)...)
		}
	case []any:
		for _, one := range v {
			found = append(found, slowSecrets(one)...)
		}
	}
	return found
}

// TestForbiddenTasksNeverStart: who claims a task that its pool forbids gets a final no, and the task has failed for good; one that started early
// fails, too, whatever it says; its dependents are told.
func TestForbiddenTasksNeverStart(t *testing.T) {
	t.Parallel()
	const k, next = Key(1<<24 | 1), Key(1<<24 | 2)
	for fact, tt := range map[string]struct {
		row   Row
		early bool
	}{
		"claimed":         {Row{Key: k, State: Ready, Attempt: 1, Flags: FlagDependents, Pool: 1}, false},
		"a later attempt": {Row{Key: k, State: Ready, Attempt: 3, Failures: 2, Flags: FlagDependents, Pool: 1}, false},
		"started early":   {Row{Key: k, State: Ready, Attempt: 1, Flags: FlagDependents | FlagRepeatable, Pool: 1}, true},
	} {
		d := NewDecision(time.Unix(1, 0), nil)
		d.Add(tt.row, false)
		d.Add(Row{Key: next, State: Waiting, Attempt: 1, Remaining: 1, Pool: 1}, false)
		d.AddDependent(k, Dependent{Key: next, Required: true})
		d.Forbid(k, "no")
		d.Forbid(99, "there is no such row")
		if tt.early {
			if !d.Settle(Result{Task: k, Attempt: tt.row.Attempt, Worker: 5, Early: true, Outcome: OutcomeCompleted, Value: []byte(`1`)}) {
				t.Errorf("%s: the result changed nothing", fact)
			}
		} else if v := d.Claim(k, tt.row.Attempt, 5); v != No {
			t.Errorf("%s: the answer is %v", fact, v)
		}
		r := d.Row(k)
		if r.State != Failed || r.Worker != 0 || !r.StartedAt.IsZero() || d.Row(next).State != Blocked {
			t.Errorf("%s: %+v, and its dependent is %s", fact, r, d.Row(next).State)
		}
		if len(d.Ended) != 1 || d.Ended[0].Error != "no" || d.Ended[0].Outcome != OutcomeFailed || !d.Ended[0].Counted || d.Ended[0].Result != nil || d.Ended[0].Attempt != tt.row.Attempt {
			t.Errorf("%s: ended %+v", fact, d.Ended)
		}
		if v := d.Claim(k, tt.row.Attempt, 5); v != No || len(d.Ended) != 1 {
			t.Errorf("%s: claimed again: %v", fact, v)
		}
	}
	d := NewDecision(time.Unix(1, 0), nil)
	d.Add(Row{Key: k, State: Running, Attempt: 1, Worker: 5, Pool: 1}, false)
	d.Forbid(k, "no")
	if v := d.Claim(k, 1, 5); v != Yes { // it runs already
		t.Errorf("a running one: %v", v)
	}
	d = NewDecision(time.Unix(1, 0), nil)
	d.Add(Row{Key: k, State: Ready, Attempt: 1, Pool: 1}, true)
	d.Forbid(k, "no")
	if v := d.Claim(k, 1, 5); v != No || len(d.Ended) != 0 { // its tree's cancellation comes first
		t.Errorf("a cancelled one: %v, %+v", v, d.Ended)
	}
}
