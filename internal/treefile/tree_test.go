package treefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest/phrases"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// head begins a tree file.
const head = "taskgrove: 1\nname: t\n"

// rendered is a tree as text: each task of it as JSON, without what every task of the file has.
func rendered(t *testing.T, text string, set ...string) []string {
	t.Helper()
	args := &Arguments{}
	for _, one := range set {
		if err := args.Set("--set", one); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Render("FILE", []byte(text), Options{Arguments: args})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	var tasks []json.RawMessage
	if err := json.Unmarshal(f.JSON, &tasks); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, task := range tasks {
		out = append(out, strings.Replace(string(task), `,"parent_id":"t"`, "", 1))
	}
	return out
}

func TestRender(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // tasks
	}{
		"a task": {head + "tasks: [{name: a, executor: noop}]", []string{
			`{"name":"t","dependencies":["a"],"fold":true}`, `{"name":"a","schemas":{"method":"noop"}}`}},
		"JSON": {`{"$schema": "x", "taskgrove": 1, "x-mine": [], "name": "t", "tasks": [{"name": "a", "executor": "noop"}]}`, []string{
			`{"name":"t","dependencies":["a"],"fold":true}`, `{"name":"a","schemas":{"method":"noop"}}`}},
		"what the tree says": {head + "description: Of {{parameters.x}}\nparameters: {x: {default: us}}\nlabels: {team: \"{{parameters.x}}\"}\nunique: {key: \"report-{{parameters.x}}\", for: 1h}\ntimeout: 60\npriority: 1\npool: p\ntasks: [{name: a, executor: noop}, {name: b, executor: noop, pool: q}]", []string{
			`{"name":"t","description":"Of us","labels":{"team":"us"},"unique":{"key":"report-us","for":"1h"},"tree_timeout":60,"dependencies":["a","b"],"fold":true}`,
			`{"name":"a","schemas":{"method":"noop"},"priority":1,"pool":"p"}`, `{"name":"b","schemas":{"method":"noop"},"priority":1,"pool":"q"}`}},
		"defaults": {head + "defaults: {retry: {max_attempts: 3}, timeout: 60, template: false}\ntasks: [{name: a, executor: noop, inputs: {x: '{{y}}'}}, {name: b, executor: noop, retry: {backoff: fixed}, timeout: null}, {name: c}]", []string{
			`{"name":"t","dependencies":["a","b","c"],"fold":true}`,
			`{"name":"a","schemas":{"method":"noop"},"inputs":{"x":"{{y}}"},"retry":{"max_attempts":3},"timeout":60,"template":false}`,
			`{"name":"b","schemas":{"method":"noop"},"retry":{"backoff":"fixed"},"template":false}`, `{"name":"c"}`}},
		"needs": {head + "tasks: [{name: a, executor: noop}, {name: b, executor: noop, needs: [a]}, {name: c, executor: noop, needs: [b, {task: a, accept: [failed], otherwise: skip, merge: false, required: true}]}]", []string{
			`{"name":"t","dependencies":["a","b","c"],"fold":true}`, `{"name":"a","schemas":{"method":"noop"}}`, `{"name":"b","schemas":{"method":"noop"},"dependencies":["a"]}`,
			`{"name":"c","schemas":{"method":"noop"},"dependencies":["b",{"name":"a","accept":["failed"],"otherwise":"skip","merge":false,"required":true}]}`}},
		"templates and failures": {head + "tasks: [{name: a, executor: command}, {name: b, executor: rest_executor, needs: [a], inputs: {url: '{{deps.a.result.stdout}}', fail_on_error: false}}, {name: c, executor: rest, inputs: {url: u}}]", []string{
			`{"name":"t","dependencies":["a","b","c"],"fold":true}`, `{"name":"a","schemas":{"method":"command_executor"},"inputs":{"fail_on_error":true}}`,
			`{"name":"b","schemas":{"method":"rest_executor"},"dependencies":["a"],"inputs":{"url":"{{deps.a.result.stdout}}","fail_on_error":false},"template":true}`,
			`{"name":"c","schemas":{"method":"rest_executor"},"inputs":{"url":"u","fail_on_error":true}}`}},
		"a group": {head + "tasks: [{name: p, executor: noop}, {name: g, needs: [p], allow_failure: true, tasks: [{name: a, executor: noop}, {name: b, executor: noop, needs: [a, {task: p, merge: false}]}, {name: h, tasks: [{name: c, executor: noop, allow_failure: false}]}]}, {name: z, executor: noop, needs: [g]}]", []string{
			`{"name":"t","dependencies":["p","g","z"],"fold":true}`, `{"name":"p","schemas":{"method":"noop"}}`, `{"name":"g","allow_failure":true,"dependencies":["a","b","h"],"fold":true}`,
			`{"name":"a","parent_id":"g","schemas":{"method":"noop"},"dependencies":["p"],"allow_failure":true}`,
			`{"name":"b","parent_id":"g","schemas":{"method":"noop"},"dependencies":["a",{"name":"p","merge":false}],"allow_failure":true}`,
			`{"name":"h","parent_id":"g","allow_failure":true,"dependencies":["c"],"fold":true}`,
			`{"name":"c","parent_id":"h","schemas":{"method":"noop"},"dependencies":["p"],"allow_failure":false}`,
			`{"name":"z","schemas":{"method":"noop"},"dependencies":["g"]}`}},
		"tasks below one that runs": {head + "tasks: [{name: a, executor: noop, tasks: [{name: b, executor: noop}]}]", []string{
			`{"name":"t","dependencies":["a","b"],"fold":true}`, `{"name":"a","schemas":{"method":"noop"}}`, `{"name":"b","parent_id":"a","schemas":{"method":"noop"}}`}},
		"gates and folds": {head + "parameters: {n: {default: 5}, s: {default: 'a\"b'}}\ntasks: [{name: a, executor: noop}, {name: gate, needs: [a], inputs: {x: 1}, when: 'inputs.x < parameters.n && parameters[\"s\"] == \"q\"'}, {name: all, fold: true, needs: [gate]}]", []string{
			`{"name":"t","dependencies":["a","gate","all"],"fold":true}`, `{"name":"a","schemas":{"method":"noop"}}`,
			`{"name":"gate","inputs":{"x":1},"when":"inputs.x < {\"n\":5}.n && {\"s\":\"a\\\"b\"}[\"s\"] == \"q\"","dependencies":["a"]}`, `{"name":"all","fold":true,"dependencies":["gate"]}`}},
		"a map": {head + "parameters: {p: {default: w}}\ntasks: [{name: m, executor: map, inputs: {items: [1, 2], task: {executor: rest, inputs: {url: '{{item}}/{{parameters.p}}'}}}}]", []string{
			`{"name":"t","dependencies":["m"],"fold":true}`,
			`{"name":"m","schemas":{"method":"map_executor"},"inputs":{"items":[1,2],"task":{"schemas":{"method":"rest_executor"},"inputs":{"url":"{{item}}/w","fail_on_error":true},"template":true}}}`}},
		"a map of small trees": {head + "tasks: [{name: m, executor: map, inputs: {items: [1], tasks: [{name: a, executor: noop, inputs: {x: '{{item}}'}}, {name: b, executor: noop, needs: [a]}]}}]", []string{
			`{"name":"t","dependencies":["m"],"fold":true}`,
			`{"name":"m","schemas":{"method":"map_executor"},"inputs":{"items":[1],"tasks":[{"name":"a","schemas":{"method":"noop"},"inputs":{"x":"{{item}}"},"template":true,"parent_id":"b"},{"name":"b","schemas":{"method":"noop"},"dependencies":["a"]}]}}`}},
		"subtrees": {head + "defaults: {timeout: 9}\ntasks: [{name: a, executor: subtree, inputs: {tree: {name: x, defaults: {timeout: 3}, tasks: [{name: y, executor: noop}]}}}, {name: b, executor: subtree_executor, inputs: {tree: {name: z, executor: noop}}}]", []string{
			`{"name":"t","dependencies":["a","b"],"fold":true}`,
			`{"name":"a","schemas":{"method":"subtree_executor"},"inputs":{"tree":[{"name":"x","dependencies":["y"],"fold":true},{"name":"y","parent_id":"x","schemas":{"method":"noop"},"timeout":3}]},"timeout":9}`,
			`{"name":"b","schemas":{"method":"subtree_executor"},"inputs":{"tree":[{"name":"z","schemas":{"method":"noop"},"timeout":9}]},"timeout":9}`}},
	} {
		if got := rendered(t, c.text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

// TestParameters gives parameters of every type, in every way, and looks at what becomes of tokens.
func TestParameters(t *testing.T) {
	const text = head + `parameters:
  s: {type: string, default: ""}
  i: {type: integer, default: 3, minimum: 1, maximum: 10}
  n: {type: number, default: 1.50}
  b: {default: true}
  a: {type: array, items: {type: integer}, default: [1, 2]}
  o: {type: object, default: {k: {l: [true]}}}
  e: {enum: [x, y], default: x}
  u: {}
tasks:
- name: a
  executor: noop
  inputs:
    v: "{{parameters.TOKEN}}"
    w: "<{{parameters.TOKEN}}>"
`
	for token, c := range map[string]struct{ set, v, w string }{
		"s":       {"", `""`, `"<>"`},
		"i":       {"", `3`, `"<3>"`},
		"n":       {"", `1.50`, `"<1.5>"`},
		"b":       {"", `true`, `"<true>"`},
		"a":       {"", `[1,2]`, `"<[1,2]>"`},
		"o":       {"", `{"k":{"l":[true]}}`, `"<{\"k\":{\"l\":[true]}}>"`},
		"o.k.l":   {"", `[true]`, `"<[true]>"`},
		"e":       {"e=y", `"y"`, `"<y>"`},
		"u:none ": {"", `"none"`, `"<none>"`},
		"u:":      {"u=7", `"7"`, `"<7>"`},
		"s:d":     {"s=a=b", `"a=b"`, `"<a=b>"`},
		"i:9":     {"i=10", `10`, `"<10>"`},
		"n:9":     {"n=-1e3", `-1e3`, `"<-1000>"`},
		"b:9":     {"b=false", `false`, `"<false>"`},
		"a:9":     {"a=[]", `[]`, `"<[]>"`},
		"o:9":     {`o={"a":null}`, `{"a":null}`, `"<{\"a\":null}>"`},
	} {
		var set []string
		if c.set != "" {
			set = []string{c.set}
		}
		got := rendered(t, strings.ReplaceAll(text, "TOKEN", token), set...)[1]
		if want := `"inputs":{"v":` + c.v + `,"w":` + c.w + `}`; !strings.Contains(got, want) {
			t.Errorf("%s, %s: got %s, want %s", token, c.set, got, want)
		}
	}
	for _, way := range []func(a *Arguments) error{
		func(a *Arguments) error { return a.Set("--set", "i=7") },
		func(a *Arguments) error { return a.Read("VALUES", []byte("i: 7\n")) },
		func(a *Arguments) error { return a.Read("VALUES", []byte(`{"i": 7}`)) },
		func(a *Arguments) error { return a.JSON([]byte(`{"i":7}`)) },
		func(a *Arguments) error { return errors.Join(a.JSON([]byte(`{"i":1,"s":null}`)), a.Set("", "i=7")) },
	} {
		args := &Arguments{}
		if err := way(args); err != nil {
			t.Fatal(err)
		}
		f, err := Render("FILE", []byte(strings.ReplaceAll(text, "TOKEN", "i")), Options{Arguments: args})
		if err != nil || !strings.Contains(string(f.JSON), `"v":7,"w":"<7>"`) {
			t.Errorf("got %v, %v", f, err)
		}
	}
}

// TestFaultsOfTreeFiles has each fault that a tree file can have: where it is, and in which words.
func TestFaultsOfTreeFiles(t *testing.T) {
	const one = "tasks: [{name: a, executor: noop}]\n"
	for name, c := range map[string]struct {
		text string
		set  []string
		want []string // lines
	}{
		"version":                {"taskgrove: 2\nname: t\n" + one, nil, []string{"FILE:1:12: taskgrove: this version of tree files is not known: there is 1"}},
		"version as text":        {"taskgrove: '1'\nname: t\n" + one, nil, []string{"FILE:1:12: taskgrove: this version of tree files is not known: there is 1"}},
		"nothing else":           {"taskgrove: 1\n", nil, []string{"FILE:1:1: name: is required", "FILE:1:1: tasks: is required"}},
		"no tasks":               {head + "tasks: []\n", nil, []string{"FILE:3:8: tasks: has no task"}},
		"tasks that are no list": {head + "tasks: {a: 1}\n", nil, []string{"FILE:3:8: tasks: must be a list of tasks"}},
		"a task that is none":    {head + "tasks: [a]\n", nil, []string{"FILE:3:9: tasks[0]: must be an object"}},
		"JSON that is cut off":   {`{"taskgrove": 1, "name": "t",`, nil, []string{"FILE:1:30: not valid JSON: unexpected end"}},
		"top keys": {head + "version: 3\nTasks: []\nx-y: 1\nzzz: 1\nname: u\n" + one, nil, []string{
			"FILE:3:1: version: there is no such key; did you mean taskgrove?", "FILE:4:1: Tasks: there is no such key; did you mean tasks?",
			"FILE:6:1: zzz: is not known; there are taskgrove, name, description, parameters, defaults, labels, unique, priority, pool, timeout, retention, due and tasks",
			"FILE:7:1: name: must not be there twice"}},
		"keys of tasks": {head + "tasks: [{name: a, executor: noop, depends_on: [], id: 3, parent_id: x, time_out: 3, labels: {}, outcome: failed, schemas: {method: x}}]\n", nil, []string{
			"FILE:3:35: tasks[0].depends_on: there is no such key; did you mean needs?",
			"FILE:3:51: tasks[0].id: there is no such key in a tree file; write name: tasks of a file are known by their names",
			"FILE:3:58: tasks[0].parent_id: there is no such key in a tree file; write tasks: a task stands in the tasks of its parent",
			"FILE:3:72: tasks[0].time_out: there is no such key; did you mean timeout?",
			"FILE:3:85: tasks[0].labels: there is no such key in a tree file; write labels of the file",
			"FILE:3:97: tasks[0].outcome: a task of a tree file can't have it", "FILE:3:124: tasks[0].schemas.method: write executor, beside schemas"}},
		"defaults": {head + "defaults: {labels: {}, timeout: 1h, pool: p}\npool: q\ntasks: [{name: a, executor: noop}, {name: b, executor: noop}]\n", nil, []string{
			"FILE:3:12: defaults.labels: is not known; there are retry, timeout, schedule_to_start, not_before, priority, pool, on_lost, repeatable, allow_failure, template, limits, lock and rates",
			"FILE:3:33: defaults.timeout: must be a number of seconds", "FILE:4:1: pool: is said in defaults, too"}},
		"names": {head + "tasks: [{name: t, executor: noop}, {executor: noop}, {name: a, executor: noop}, {name: a, executor: noop, needs: [q]}]\n", nil, []string{
			"FILE:3:16: tasks[0].name: names must differ, and the tree is called t", "FILE:3:36: tasks[1].name: is required", "FILE:3:88: tasks[3].name: names must differ, and tasks[2] is called a",
			"FILE:3:115: tasks[3].needs[0]: there is no task q: a task can need only tasks of the same tree"}},
		"needs": {head + "tasks: [{name: a, executor: noop}, {name: b, executor: noop, needs: a}, {name: c, executor: noop, needs: [{name: a}, {task: a, acept: [failed]}, 3, {task: b, accept: [bad]}, b]}]\n", nil, []string{
			"FILE:3:69: tasks[1].needs: must be a list of tasks: [a]", "FILE:3:107: tasks[2].needs[0].task: is required", "FILE:3:108: tasks[2].needs[0].name: there is no such key; did you mean task?",
			"FILE:3:128: tasks[2].needs[1].acept: there is no such key; did you mean accept?", "FILE:3:146: tasks[2].needs[2]: must be the name of a task, or an object",
			"FILE:3:168: tasks[2].needs[3].accept[0]: must be success, skipped, failed, cancelled or blocked", "FILE:3:175: tasks[2].needs[4]: is needs[3] already"}},
		"groups": {head + "tasks: [{name: g, inputs: {a: 1}, timeout: 3, when: 'true', tasks: [{name: a, executor: noop}], fold: false}]\n", nil, []string{
			"FILE:3:35: tasks[0].timeout: has no effect on a task without an executor, which runs nothing",
			"FILE:3:47: tasks[0].when: a group with tasks can't have it: let its tasks need a task without executor that has the condition", "FILE:3:97: tasks[0].fold: a group with tasks always is one"}},
		"a circle": {head + "tasks: [{name: a, executor: noop, needs: [b]}, {name: b, executor: noop, needs: [a]}]\n", nil, []string{"FILE:3:43: tasks[0].needs[0]: Circular dependency detected: a -> b -> a. "}},
		"parameters": {head + "parameters: {a: 3, b-c: {}, d: {type: strin}, e: {min: 3}, f: {pattern: '('}, g: {type: integer, default: x, pattern: a}, h: {required: true, default: 1}, i: {enum: []}, j: {type: array, items: {type: integer}, default: [1, x]}, k: {minLength: 3, maxLength: 2}}\n" + one, nil, []string{
			"FILE:3:17: parameters.a: must be an object, such as {type: string, required: true}", "FILE:3:20: parameters.b-c: is no name of a parameter: write letters, digits and _, a digit not first",
			"FILE:3:39: parameters.d.type: must be string, integer, number, boolean, array or object; did you mean string?", "FILE:3:51: parameters.e.min: there is no such key; did you mean minimum?",
			"FILE:3:73: parameters.f.pattern: is no regular expression: missing closing ): `(`", "FILE:3:107: parameters.g.default: must be an integer, and is a string",
			"FILE:3:119: parameters.g.pattern: is of type string, and this is of type integer", "FILE:3:137: parameters.h.required: is of no use beside default", "FILE:3:166: parameters.i.enum: must be a list of values",
			"FILE:3:221: parameters.j.default[1]: must be an integer, and is a string", "FILE:3:245: parameters.k.minLength: is greater than maxLength"}},
		"values": {head + "parameters: {day: {pattern: '^\\d+$', required: true}, n: {type: integer, maximum: 5}, m: {required: true}, e: {enum: [test, prod]}, a: {type: array, items: {maxLength: 1}}, b: {type: boolean}}\n" + one,
			[]string{"day=x", "n=6", "dya=3", "e=tset", `a=["a","bc"]`, "b=yes"}, []string{
				"--set dya: there is no such parameter; did you mean day?", "--set day: must match ^\\d+$", "--set n: must be at most 5", "--set e: must be test or prod; did you mean test?",
				"--set a: a[1]: must be at most 1 characters", `--set b: must be a boolean, and is "yes"`, "FILE:3:87: parameters.m: is required, and no value is given"}},
		"values for a file without parameters": {head + one, []string{"a=b"}, []string{"--set a: the file has no parameters"}},
		"tokens": {head + "parameters: {day: {default: x}, o: {type: object, default: {}}, no: {}}\ntasks: [{name: a, executor: noop, inputs: {b: '{{parameters.dya}}', c: '{{ parameters }}', d: '{{parameters.o.p}}', e: '{{parameters.no}}', '{{parameters.day}}': 1, f: '{{ parameters.day | upper }}'}, pool: 'x{{item}}', priority: '{{parameters.day}}'}]\n", nil, []string{
			`FILE:4:47: tasks[0].inputs.b: "{{parameters.dya}}": there is no parameter dya; did you mean day?`, `FILE:4:72: tasks[0].inputs.c: "{{ parameters }}": is no value: name one of its members`,
			`FILE:4:95: tasks[0].inputs.d: "{{parameters.o.p}}": the parameter has no such member`, `FILE:4:120: tasks[0].inputs.e: "{{parameters.no}}": the parameter has no value; give it one, or the token a default: {{parameters.no:…}}`,
			`FILE:4:141: tasks[0].inputs.{{parameters.day}}: keys are never templates: parameters stand in values`,
			`FILE:4:169: tasks[0].inputs.f: "{{ parameters.day | upper }}": is no path: names are of letters, digits and _, with dots between them`,
			`FILE:4:208: tasks[0].pool: "{{item}}": only parameters can be named here`, "FILE:4:221: tasks[0].priority: must be an integer"}},
		"values that are templates": {head + "parameters: {a: {default: '{{deps.x}}'}, b: {default: '{'}, c: {type: object, default: {x: ['{{y}}']}}}\ntasks: [{name: a, executor: noop, inputs: {a: '{{parameters.a}}', b: 'x {{{parameters.b}}', c: '{{parameters.c}}', d: '{{parameters.b}}{deps.x}}'}}]\n", nil, []string{
			`FILE:4:47: tasks[0].inputs.a: "{{parameters.a}}": the value has {{ in it, which would be read as a template`,
			`FILE:4:70: tasks[0].inputs.b: "{{parameters.b}}": the value has {{ in it, which would be read as a template`,
			`FILE:4:96: tasks[0].inputs.c: "{{parameters.c}}": the value has {{ in it, which would be read as a template`,
			`FILE:4:119: tasks[0].inputs.d: "{{parameters.b}}": the value has {{ in it, which would be read as a template`}},
		"parameters within templates": {head + "parameters: {a: {default: task.id}}\ntasks: [{name: a, executor: noop, inputs: {a: '{{{{parameters.a}}}}', b: '{{task.{{parameters.a}}', c: '{{task.id:{{parameters.a}}', d: '{{task.id}} {{parameters.a}}'}}]\n", nil, []string{
			`FILE:4:47: tasks[0].inputs.a: "{{parameters.a}}": a parameter can't be part of another template`, `FILE:4:74: tasks[0].inputs.b: "{{parameters.a}}": a parameter can't be part of another template`,
			`FILE:4:104: tasks[0].inputs.c: "{{parameters.a}}": a parameter can't be part of another template`}},
		"conditions": {head + "parameters: {n: {default: 5}}\ntasks: [{name: a, executor: noop, when: parameters.m > 3}, {name: b, executor: noop, when: '{{parameters.n}} > 3'}, {name: c, executor: noop, when: 'parameters.n == \"x\"'}, {name: d, executor: noop, when: 'deps.a.outcome == \"success\"'}, {name: e, executor: noop, repeat: {until: 'result.x >'}}]\n", nil, []string{
			"FILE:4:41: tasks[0].when: there is no parameter m; there is n", "FILE:4:92: tasks[1].when: a condition names a parameter as it does anything else, without braces: parameters.day",
			`FILE:4:143: tasks[2].when: line 1, column 14: `, `FILE:4:199: tasks[3].when: line 1, column 5: the task does not depend on 'a'`, "FILE:4:272: tasks[4].repeat.until: line 1, column 11: the expression ends where a value is expected"}},
		"secrets": {head + "parameters: {s: {default: x}, e: {enum: [x], default: x}}\ntasks: [{name: a, executor: rest, inputs: {url: u, connection: '{{parameters.s}}', headers: {A: {secret: '{{parameters.s}}', }, B: {secret: '{{parameters.e}}'}}}}]\n", nil, []string{
			"FILE:4:52: tasks[0].inputs.connection: \"{{parameters.s}}\": what names a secret or a connection, or allows something, may only come from a parameter with enum",
			"FILE:4:84: tasks[0].inputs.headers.A.secret: \"{{parameters.s}}\": what names a secret"}},
		"secrets in values": {head + "parameters: {o: {default: {secret: s}}, l: {default: [{a: {secret: s}}]}, c: {default: {connection: c, allow_private: true}}, e: {enum: [{secret: s}], default: {secret: s}}}\ntasks: [{name: a, executor: rest, inputs: {url: u, headers: '{{parameters.o}}', data: '{{parameters.l}}', form: '{{parameters.e}}'}}, {name: b, executor: sql, inputs: '{{parameters.c}}'}]\n", nil, []string{
			"FILE:4:61: tasks[0].inputs.headers: \"{{parameters.o}}\": the value names a secret; what names a secret or a connection", "FILE:4:87: tasks[0].inputs.data: \"{{parameters.l}}\": the value names a secret; what names",
			"FILE:4:168: tasks[1].inputs: \"{{parameters.c}}\": the value has connection; what names a secret or a connection"}},
		"maps": {head + "tasks: [{name: m, executor: map, inputs: {items: [1], task: {executor: noop, needs: [a], depends_on: [], priority: 9}}}, {name: n, executor: map, inputs: {items: [1], tasks: [{name: a, executor: noop}, {name: b, executor: noop}]}}]\n", nil, []string{
			"FILE:3:85: tasks[0].inputs.task.needs: one task is made for an item here", "FILE:3:90: tasks[0].inputs.task.depends_on: there is no such key; did you mean needs?", "FILE:3:106: tasks[0].inputs.task.priority: must be 0 to 3",
			"FILE:3:175: tasks[1].inputs.tasks: one task must come last, whose result is that of all, and a and b do: let one need the others"}},
		"subtrees": {head + "tasks: [{name: s, executor: subtree, inputs: {tree: {name: x, parameters: {}, tasks: [{name: a, executor: noop, timeout: x, needs: [b]}]}}}]\n", nil, []string{
			"FILE:3:63: tasks[0].inputs.tree.parameters: a tree within a file has the parameters of the file", "FILE:3:113: tasks[0].inputs.tree.tasks[0].timeout: must be a number of seconds",
			"FILE:3:133: tasks[0].inputs.tree.tasks[0].needs[0]: there is no task b: a task can need only tasks of the same tree"}},
		"unique": {head + "unique: {key: '', for: 1w, ttl: 3}\n" + one, nil, []string{"FILE:3:10: unique.key: must not be empty", "FILE:3:19: unique.for: must be a number of seconds, or a text", "FILE:3:28: unique.ttl: there is no such key; did you mean for?"}},
		"labels": {head + "labels: {'a b': x}\ntimeout: 1h\n" + one, nil, []string{"FILE:3:1: labels: key \"a b\" must be", "FILE:4:1: timeout: must be a number of seconds"}},
	} {
		args := &Arguments{}
		for _, one := range c.set {
			if err := args.Set("--set", one); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Render("FILE", []byte(c.text), Options{Arguments: args})
		refused, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		good := len(refused.Faults) == len(c.want)
		for i := range min(len(c.want), len(refused.Faults)) {
			good = good && strings.HasPrefix(refused.Faults[i].Place+": "+refused.Faults[i].Text, c.want[i])
		}
		if !good {
			t.Errorf("%s:\n got %v\nwant\n  %s", name, err, strings.Join(c.want, "\n  "))
		}
		for _, phrase := range phrases.In(err.Error()) {
			t.Errorf("%s: %q is a library's: %v", name, phrase, err)
		}
	}
}

// TestTenMistakes: a file with ten mistakes gets ten, each with its line, its column, and the nearest right word where there is one.
func TestTenMistakes(t *testing.T) {
	const text = `taskgrove: 1
name: nightly
labls: {team: data}
parameters:
  day: {type: sting}
defaults: {retry: {max_atempts: 3}}
tasks:
  - name: fetch
    executor: command
    input: {command: "curl {{parameters.dya}}"}
    time_out: 30
  - name: clean
    executor: command
    needs: [fech]
    priority: 9
    inputs: {command: sort}
  - name: alert
    executor: command
    needs: [{task: clean, acept: [failed]}]
    when: deps.clean.outcom ==
    inputs: {command: mail}
`
	want := []string{
		"FILE:3:1: labls: there is no such key; did you mean labels?",
		"FILE:5:15: parameters.day.type: must be string, integer, number, boolean, array or object; did you mean string?",
		"FILE:6:20: defaults.retry.max_atempts: there is no such key; did you mean max_attempts?",
		"FILE:10:5: tasks[0].input: there is no such key; did you mean inputs?",
		`FILE:10:22: tasks[0].inputs.command: "{{parameters.dya}}": there is no parameter dya; did you mean day?`,
		"FILE:11:5: tasks[0].time_out: there is no such key; did you mean timeout?",
		"FILE:14:13: tasks[1].needs[0]: there is no task fech; did you mean fetch?",
		"FILE:15:5: tasks[1].priority: must be 0 to 3",
		"FILE:19:27: tasks[2].needs[0].acept: there is no such key; did you mean accept?",
		"FILE:20:5: tasks[2].when: line 1, column 21: the expression ends where a value is expected",
	}
	_, err := Render("FILE", []byte(text), Options{})
	refused, ok := errors.AsType[*Error](err)
	if !ok || len(refused.Faults) != len(want) || refused.More != 0 {
		t.Fatalf("got %v", err)
	}
	for i, f := range refused.Faults {
		if got := f.Place + ": " + f.Text; !strings.HasPrefix(got, want[i]) {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}
}

// TestWhatIsNoTreeFile: a file of the protocol is read as before, and is told that parameters are not for it.
func TestWhatIsNoTreeFile(t *testing.T) {
	for text, want := range map[string]string{
		"- {name: a}\n": "", "name: a\n": "", `{"tasks":[{"name":"a"}]}`: "", "name: a\ntaskgrove: 1\n": "",
		"name: a\ntaskgrove: 1\ntasks: [{name: b, executor: noop}]\n": "FILE:1:1: is no tree file: its first key must be taskgrove: 1",
	} {
		f, err := Read("-", Options{Stdin: strings.NewReader(text)})
		if want == "" && (err != nil || f.Rendered()) || want != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "<stdin>", "FILE"), want)) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	args := &Arguments{}
	if err := args.Set("--set", "a=b"); err != nil {
		t.Fatal(err)
	}
	if _, err := Read("-", Options{Stdin: strings.NewReader("name: a\n"), Arguments: args}); err == nil || !strings.Contains(err.Error(), "only a tree file has") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"a", "=b", "\xff=1"} {
		if err := args.Set("--set", bad); err == nil {
			t.Errorf("%q is an assignment", bad)
		}
	}
	for text, want := range map[string]string{"[1]": "V:1:1: must be an object", "a: 1\na: 2\n": "V:2:1: a: must not be there twice", "{": "V:1:2: not valid JSON", "": "the file is empty"} {
		if err := (&Arguments{}).Read("V", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// TestDocumentsOfAFile: YAML may have several, each with its own kind and its own lines, whose faults are told at the lines of the file.
func TestDocumentsOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trees.yaml")
	if err := os.WriteFile(path, []byte("# trees\n---\n"+head+"tasks: [{name: a, executor: noop}]\n---\n- {name: b}\n---\n# the last\n"+head+"tasks: [{name: a, executor: noop, time: 3}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Open(path, nil)
	if err != nil || len(all) != 3 {
		t.Fatalf("got %d, %v", len(all), err)
	}
	first, err := all[0].Read(Options{})
	if err != nil || !first.Rendered() {
		t.Errorf("got %+v, %v", first, err)
	}
	second, err := all[1].Read(Options{})
	if err != nil || second.Rendered() || second.PlaceOf("tasks[0].name") != path+":7:4" {
		t.Errorf("got %+v, %v", second, err)
	}
	if _, err := all[2].Read(Options{}); err == nil || !strings.Contains(err.Error(), path+":12:35: tasks[0].time: ") {
		t.Errorf("got %v", err)
	}
	if _, err := Read(path, Options{}); err == nil || !strings.Contains(err.Error(), path+":7:1: there is more than one document") {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"a: 1\n---\n---\nc: 1\n", "a: 1\n---\n# nothing\n---\nb: 1\n---\nc: 1\n", "---\n---\nc: 1\n"} {
		if all, err := Open("-", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "is empty: remove it") {
			t.Errorf("%q: got %d, %v", text, len(all), err)
		}
	}
	for text, want := range map[string]int{"---\na: 1\n---\n": 1, "%YAML 1.2\n---\na: 1\n...\n---\nb: 1\n": 2, "a: 1\n...\n": 1, "# c\na: |\n  ---\n  x\n": 1, "---\n# c\n---\n": 0} {
		if all, err := Open("-", strings.NewReader(text)); len(all) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v", text, len(all), err)
		}
	}
	if _, err := Open("-", strings.NewReader("a: &a "+strings.Repeat("x", 1<<20)+"\nb: ["+strings.Repeat("*a,", 9)+"]\n---\na: &a "+strings.Repeat("x", 1<<20)+"\nb: ["+strings.Repeat("*a,", 9)+"]\n")); err == nil {
		t.Error("each of the documents may gain as much as all together may")
	}
}

// TestWhatAFileGainsIsBounded: few bytes can't ask for gigabytes.
func TestWhatAFileGainsIsBounded(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	task := func(i int, more string) string { return fmt.Sprintf("- {name: a%d, executor: noop%s}\n", i, more) }
	many := func(more string) string {
		var b strings.Builder
		for i := range 400 {
			b.WriteString(task(i, more))
		}
		return b.String()
	}
	var needs []string
	for i := range 50_000 {
		needs = append(needs, fmt.Sprintf("need%d", i))
	}
	for name, text := range map[string]string{
		"parameters": head + "parameters: {a: {default: " + long + "}}\ntasks:\n" + many(", inputs: {x: '{{parameters.a}}'}"),
		"conditions": head + "parameters: {a: {default: " + long + "}}\ntasks:\n" + many(", when: parameters.a == ''"),
		"defaults":   head + "defaults: {lock: {key: " + long + "}}\ntasks:\n" + many(""),
		"needs":      head + "tasks:\n- name: g\n  needs: [" + strings.Join(needs, ", ") + "]\n  tasks:\n" + strings.ReplaceAll("  "+many(""), "\n-", "\n  -"),
	} {
		want := "add to it is more than 16 MiB"
		if name == "needs" {
			want = "tasks[0].needs[49999]: groups hand more than 100000 needs to their tasks"
		}
		if _, err := Render("FILE", []byte(text), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestManyFaultsAreBounded also looks that they are counted.
func TestManyFaultsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(head + "tasks:\n")
	for i := range 300 {
		fmt.Fprintf(&b, "- {name: a%d, executor: noop, what: 1}\n", i)
	}
	_, err := Render("FILE", []byte(b.String()), Options{})
	refused, ok := errors.AsType[*Error](err)
	if !ok || len(refused.Faults) != maxFaults || refused.More != 200 {
		t.Errorf("got %v", err)
	}
}

// TestPlacesOfRenderedTrees: what a server says of the tree is told at the file's line, and in its words.
func TestPlacesOfRenderedTrees(t *testing.T) {
	f, err := Render("FILE", []byte(head+"timeout: 60\ndefaults: {timeout: 60}\ntasks:\n- {name: a, executor: noop}\n- name: g\n  needs: [a]\n  tasks:\n  - name: b\n    executor: noop\n    inputs: {x: [1]}\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]Fault{
		"tasks[0].tree_timeout":    {Place: "FILE:3:1", Text: "timeout: x"},
		"tasks[1].schemas.method":  {Place: "FILE:6:13", Text: "tasks[0].executor: x"},
		"tasks[2]":                 {Place: "FILE:7:3", Text: "tasks[1]: x"},
		"tasks[3].dependencies[0]": {Place: "FILE:8:11", Text: "tasks[1].needs[0]: x"},
		"tasks[3].inputs.x[0]":     {Place: "FILE:12:18", Text: "tasks[1].tasks[0].inputs.x[0]: x"},
		"tasks[3].timeout":         {Place: "FILE:4:21", Text: "defaults.timeout: x"},
		"tasks":                    {Place: "FILE", Text: "tasks: x"},
		"tasks[9].name":            {Place: "FILE:1:1", Text: "tasks[9].name: x"},
	} {
		if got := f.FaultOf(field, field+": x"); got.Place != want.Place || got.Text != want.Text {
			t.Errorf("%s: got %+v, want %+v", field, got, want)
		}
	}
}

// FuzzTreeFile: whatever a file and its values hold, a tree is made of it that the protocol takes, or it is refused in plain words.
func FuzzTreeFile(f *testing.F) {
	for _, s := range []string{
		head + "parameters: {a: {type: integer, default: 1}}\ntasks: [{name: a, executor: map, inputs: {items: [1], task: {executor: noop, inputs: {x: '{{parameters.a}}{{item}}'}}}}]",
		head + "defaults: {retry: {max_attempts: 3}}\ntasks:\n- {name: g, needs: [{task: b}], tasks: [{name: a, executor: subtree, inputs: {tree: [{name: q, executor: noop}]}}]}\n- {name: b, executor: command, when: parameters.a}\n",
		`{"taskgrove":1,"name":"t","parameters":{"a":{"enum":["x"],"items":{}}},"tasks":[{"name":"a","executor":"rest","inputs":{"connection":"{{parameters.a}}"}}]}`,
		"taskgrove: 1\nname: [1]\ntasks: [{name: {}, executor: [], needs: [[], {task: {}}], tasks: [3], repeat: {until: parameters}}]\n",
		"taskgrove: 1\nparameters: {a: {type: array, items: {pattern: x}, default: ['{{', 1]}}\nlabels: []\ntasks: {}\n",
	} {
		f.Add([]byte(s), "a=1", []byte(`{"a":[1,null]}`))
	}
	f.Fuzz(func(t *testing.T, text []byte, set string, values []byte) {
		if len(text) > 10_000 {
			return
		}
		args := &Arguments{}
		_ = args.Set("--set", set)
		if err := args.JSON(values); err != nil {
			if found := phrases.In(err.Error()); len(found) > 0 {
				t.Errorf("%q: %v", values, err)
			}
		}
		file, err := Render("FILE", text, Options{Arguments: args})
		if err != nil {
			refused, ok := errors.AsType[*Error](err)
			if !ok || len(refused.Faults) == 0 || len(refused.Faults) > maxFaults {
				t.Fatalf("%q: %v", text, err)
			}
			if found := phrases.In(err.Error()); len(found) > 0 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if !json.Valid(file.JSON) {
			t.Fatalf("%q became %q", text, file.JSON)
		}
		for task, err := range treedoc.Parse(file.JSON, treedoc.Options{}) {
			if err != nil || len(task.Faults) > 0 {
				t.Fatalf("%q became %q: %v, %v", text, file.JSON, err, task.Faults)
			}
		}
	})
}
