package treefile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// someInputs are executors as a program knows them.
var someInputs = map[string]treedoc.InputKeys{
	"command_executor": {Names: []string{"command", "stdin", "env", "cwd", "fail_on_error"}, Required: []string{"command"}},
	"rest_executor":    {Names: []string{"url", "method", "headers", "data", "connection", "fail_on_error"}, Required: []string{"url"}},
	"map_executor":     {Names: []string{"items", "task", "tasks"}},
	"noop_executor":    {},
	"noop":             {},
}

// TestWhatLooksRight: what a cluster would take, and what does something else than it says.
func TestWhatLooksRight(t *testing.T) {
	const one = "tasks: [{name: a, executor: noop}]\n"
	for name, c := range map[string]struct {
		text, values string
		set          []string
		want         []string // lines
	}{
		"inputs of what a map makes": {head + "tasks:\n- {name: m, executor: map, inputs: {items: [1], task: {executor: command, inputs: {command: x, cwdd: /tmp}}}}\n" +
			"- {name: n, executor: map, inputs: {items: [1], tasks: [{name: a, executor: command, inputs: {command: x, cwdd: /tmp}}, {name: b, executor: map, needs: [a], inputs: {items: [1], task: {executor: rest, inputs: {urll: x}, retry: {max_atempts: 2}}}}]}}\n", "", nil, []string{
			"FILE:4:96: tasks[0].inputs.task.inputs.cwdd: has no effect: there is no such key; did you mean cwd?",
			"FILE:5:107: tasks[1].inputs.tasks[0].inputs.cwdd: has no effect: there is no such key; did you mean cwd?",
			"FILE:5:211: tasks[1].inputs.tasks[1].inputs.task.inputs.urll: has no effect: there is no such key; did you mean url?",
			"FILE:5:229: tasks[1].inputs.tasks[1].inputs.task.retry.max_atempts: there is no such key; did you mean max_attempts?"}},
		"order of what a map makes": {head + "tasks: [{name: m, executor: map, inputs: {items: [1], tasks: [{name: a, executor: noop, needs: [b]}, {name: b, executor: noop, needs: [a]}, {name: c, executor: noop, needs: [a, q]}]}}]\n", "", nil, []string{
			"FILE:3:97: tasks[0].inputs.tasks[0].needs[0]: Circular dependency detected: a -> b -> a. ", "FILE:3:178: tasks[0].inputs.tasks[2].needs[1]: there is no task q: a task can need only tasks of the same tree"}},
		"conditions of what a map makes": {head + "tasks: [{name: m, executor: map, inputs: {items: [1], task: {executor: noop, when: 'inputs.x >'}}}]\n", "", nil, []string{
			"FILE:3:78: tasks[0].inputs.task.when: line 1, column 11: the expression ends where a value is expected (of task 'm[{{index}}]')"}},
		"executors": {head + "tasks: [{name: a, executor: http, inputs: {url: x}}, {name: b, executor: comand}, {name: c, executor: shell_executor}, {name: d, executor: own}, {name: e, executor: rset}]\n", "", nil, []string{
			"FILE:3:19: tasks[0].executor: there is no executor http; did you mean rest?", "FILE:3:64: tasks[1].executor: there is no executor comand; did you mean command?",
			"FILE:3:93: tasks[2].executor: there is no executor shell_executor; did you mean command?", "FILE:3:156: tasks[4].executor: there is no executor rset; did you mean rest?"}},
		"results in the place of inputs": {head + "tasks:\n- {name: url, executor: noop}\n- name: g\n  needs: [url]\n  tasks:\n  - {name: b, executor: rest, inputs: {url: u}}\n- {name: c, executor: rest, needs: [{task: url, merge: false}], inputs: {url: u}}\n" +
			"- {name: d, executor: rest, needs: [{task: url, accept: [skipped]}], inputs: {url: u}}\n- {name: e, executor: rest, needs: [url], schemas: {input_schema: {properties: {x: {}}}}, inputs: {url: u}}\n", "", nil, []string{
			"FILE:8:40: tasks[1].tasks[0].inputs.url: has no effect once url, which the task needs, has a result: that becomes the input of this name. ",
			"FILE:10:79: tasks[3].inputs.url: has no effect once url"}},
		"defaults that nothing has": {head + "defaults: {retry: {max_atempts: 3}, timeout: -1, limits: [{kex: 3}], template: 3}\npriority: 9\ntasks: [{name: a, executor: noop, timeout: 3, priority: 1, retry: null, limits: [], template: true}]\n", "", nil, []string{
			"FILE:3:20: defaults.retry.max_atempts: there is no such key; did you mean max_attempts?", "FILE:3:37: defaults.timeout: must be 0 to ", "FILE:3:59: defaults.limits[0].key: is required",
			"FILE:3:60: defaults.limits[0].kex: is not known; there are key, max and cost", "FILE:3:70: defaults.template: must be true or false", "FILE:4:1: priority: must be 0 to 3"}},
		"defaults of a subtree": {head + "tasks: [{name: s, executor: subtree, inputs: {tree: {name: x, priority: 9, defaults: {timeout: x}, tasks: [{name: a, executor: noop}, {name: g}]}}}]\n", "", nil, []string{
			"FILE:3:73: tasks[0].inputs.tree.priority: must be 0 to 3", "FILE:3:96: tasks[0].inputs.tree.defaults.timeout: must be a number of seconds"}},
		"what a tree within a file can't have": {head + "tasks: [{name: s, executor: subtree, inputs: {tree: {taskgrove: 2, name: x, unique: {key: k}, tasks: [{name: a, executor: noop}]}}}]\n", "", nil, []string{
			"FILE:3:65: tasks[0].inputs.tree.taskgrove: this version of tree files is not known: there is 1", "FILE:3:77: tasks[0].inputs.tree.unique: is of trees that users submit"}},
		"a circle through a group": {head + "tasks:\n- name: g\n  tasks:\n  - {name: b, executor: noop}\n  - {name: h, tasks: [{name: c, executor: noop}]}\n  needs: [z, a]\n- {name: z, executor: noop}\n- {name: a, executor: noop, needs: [z, g]}\n", "", nil, []string{
			"FILE:8:14: tasks[0].needs[1]: Circular dependency detected: g -> a -> g. Each of these waits for the next, so that none could ever start: remove one of these needs"}},
		"a circle into a group": {head + "tasks:\n- {name: a, executor: noop, needs: [g]}\n- name: g\n  tasks:\n  - {name: b, executor: noop, needs: [a]}\n  - {name: c, executor: noop, needs: [g]}\n  - {name: d, executor: noop, needs: [d]}\n", "", nil, []string{
			"FILE:4:37: tasks[0].needs[0]: Circular dependency detected: a -> g -> b -> a. ", "FILE:8:39: tasks[1].tasks[1].needs[0]: Circular dependency detected: c -> g -> c. ",
			"FILE:9:39: tasks[1].tasks[2].needs[0]: Circular dependency detected: d -> d. "}},
		"a circle through the tree":  {head + "tasks: [{name: a, executor: noop, needs: [t]}]\n", "", nil, []string{"FILE:3:43: tasks[0].needs[0]: Circular dependency detected: a -> t -> a. "}},
		"a group that needs its own": {head + "tasks: [{name: g, needs: [a], tasks: [{name: a, executor: noop}]}]\n", "", nil, []string{"FILE:3:27: tasks[0].needs[0]: Circular dependency detected: g -> a -> g. "}},
		"needs": {head + "tasks: [{name: a, executor: noop}, {name: b, executor: noop, needs: [{task: [a]}, {task: c, required: 3}, {task: a, type: x}, a, '', {task: {}, merge: 1}]}]\n", "", nil, []string{
			"FILE:3:77: tasks[1].needs[0].task: must be the name of a task", "FILE:3:90: tasks[1].needs[1].task: there is no task c: a task can need only tasks of the same tree", "FILE:3:93: tasks[1].needs[1].required: must be true or false",
			"FILE:3:117: tasks[1].needs[2].type: is not known; there are task, required, accept, ", "FILE:3:127: tasks[1].needs[3]: is needs[2] already", "FILE:3:130: tasks[1].needs[4]: must be the name of a task",
			"FILE:3:141: tasks[1].needs[5].task: must be the name of a task"}},
		"columns of conditions": {head + "parameters: {n: {default: 5}, s: {default: a long text}}\ntasks:\n- {name: a, executor: noop, when: 'parameters.n > 3 && inputs.x >'}\n- {name: b, executor: noop, when: \"parameters.s == 'x' && deps.q.outcome == 'success'\"}\n" +
			"- {name: c, executor: noop, repeat: {until: 'parameters.n > 1 && foo'}}\n- name: d\n  executor: noop\n  when: |\n    parameters.n > 1 &&\n      parameters.n > bar\n", "", nil, []string{
			"FILE:5:29: tasks[0].when: line 1, column 31: the expression ends where a value is expected", "FILE:6:29: tasks[1].when: line 1, column 28: the task does not depend on 'q'",
			"FILE:7:38: tasks[2].repeat.until: line 1, column 21: undeclared reference to 'foo'", "FILE:10:3: tasks[3].when: line 2, column 18: undeclared reference to 'bar'"}},
		"values of a file": {head + "parameters: {n: {type: integer}, l: {type: array, items: {type: integer}}}\n" + one, "n: x\nl: [1, x]\nnn: 3\n", nil, []string{
			"VALUES:1:1: n: must be an integer, and is a string", "VALUES:2:1: l[1]: must be an integer, and is a string", "VALUES:3:1: nn: there is no such parameter; there are n and l"}},
		"the version misspelt": {"Task_grov: 1\nname: t\n" + one, "", nil, []string{"FILE:1:1: Task_grov: there is no such key; did you mean taskgrove?"}},
		"no version":           {"name: t\n" + one, "", nil, []string{`FILE:1:1: "tasks" can't stand beside other keys, but for "$schema" before it; the first key of a tree file is taskgrove: 1`}},
		"values that JSON has not, which must be there": {head + "tasks: [{name: .inf, executor: noop, cache: {for: .inf}, needs: [.nan]}, {name: b, executor: .inf, needs: .nan, priority: !!int x}]\n", "", nil, []string{
			"FILE:3:16: .inf is not a number that JSON has", "FILE:3:51: .inf is not a number that JSON has", "FILE:3:66: .nan is not a number that JSON has", "FILE:3:94: .inf is not a number that JSON has",
			"FILE:3:107: .nan is not a number that JSON has", `FILE:3:123: "x" is not a number`}},
		"values that JSON has not": {head + "labls: {}\ntasks: [{name: a, executor: noop, tiemout: 1, inputs: {a: .inf, b: -.Inf, c: .nan, d: !mine 3, e: !!binary aGk=, f: !!int x, g: !!bool x, h: !!null x, i: !own {a: 1}, j: !!str 5, k: !!timestamp 2026-01-01, l: !!set {a, b}}}]\n", "", nil, []string{
			"FILE:3:1: labls: there is no such key; did you mean labels?", "FILE:4:35: tasks[0].tiemout: there is no such key; did you mean timeout?", "FILE:4:59: .inf is not a number that JSON has", "FILE:4:68: -.Inf is not a number that JSON has",
			"FILE:4:78: .nan is not a number that JSON has", "FILE:4:87: the tag !mine is not known: a tree knows !!str, !!int, !!float, !!bool, !!null and !!timestamp", "FILE:4:98: the tag !!binary is not known: write the text itself",
			`FILE:4:115: "x" is not a number`, `FILE:4:126: "x" is neither true nor false`, `FILE:4:138: "x" is not null`, "FILE:4:150: the tag !own is not known"}},
		"integers": {head + "parameters: {n: {type: integer, maximum: 9007199254740992}, m: {type: integer}, h: {type: integer}, f: {type: number, minimum: 0.1}, e: {type: integer, enum: [3]}}\n" + one, "",
			[]string{"n=9007199254740993", "m=1.0000000000000000000001", "h=1e500", "f=0.09999999999999999999999", "e=4"}, []string{
				"--set n: must be at most 9007199254740992", "--set m: must be an integer, and is a number", "--set h: must have at most 400 digits", "--set f: must be at least 0.1", "--set e: must be 3"}},
		"keys twice in values": {head + "parameters: {o: {type: object}, l: {type: array}, d: {default: {a: 1, a: 2}}, e: {enum: [{b: {c: 1, c: 2}}]}}\n" + one, "", []string{`o={"a":{"b":1,"b":2}}`, `l=[{"a":1,"a":2}]`}, []string{
			"--set o: o.a.b: must not be there twice", "--set l: l[0].a: must not be there twice", "FILE:3:64: parameters.d.default.a: must not be there twice", "FILE:3:90: parameters.e.enum[0].b.c: must not be there twice"}},
		"NUL in names of others": {"taskgrove: 1\nname: \"x\\0\"\ntasks: [{name: \"g\\0\", tasks: [{name: a, executor: noop}, {name: b, executor: noop}]}]\n", "", nil, []string{
			"FILE:2:7: name: must not hold a NUL character", "FILE:3:16: tasks[0].name: must not hold a NUL character"}},
		"NUL": {head + "parameters: {p: {default: \"a\\0b\"}, v: {}}\ntasks: [{name: \"a\\0\", executor: noop, inputs: {\"x\\0\": 1, y: [\"\\0\"]}}]\n", `{"v": "a\u0000b"}`, nil, []string{
			"VALUES:1:2: v: must not hold a NUL character", "FILE:3:27: parameters.p.default: must not hold a NUL character", "FILE:4:16: tasks[0].name: must not hold a NUL character",
			"FILE:4:48: tasks[0].inputs.x\uFFFD: must not hold a NUL character", "FILE:4:62: tasks[0].inputs.y[0]: must not hold a NUL character"}},
		"characters that nobody sees": {head + "tasks: [{name: a, executor: command, \"retry\\u200b\": {}, \"nam\u0435\": x, inputs: {command: x, \"cwd\u00a0\": y, \"\u00fc\": 1}}]\n", "", nil, []string{
			"FILE:3:38: tasks[0].retry\u200b: there is no such key; did you mean retry?; it is written \"retry\\u200b\"", "FILE:3:57: tasks[0].nam\u0435: is not known; there are ",
			"FILE:3:89: tasks[0].inputs.cwd\u00a0: has no effect: there is no such key; did you mean cwd?; it is written \"cwd\\u00a0\""}},
		"defaults of tokens": {head + "parameters: {n: {type: integer, minimum: 5}, b: {type: boolean}}\ntasks: [{name: a, executor: noop, inputs: {x: '{{parameters.n:x}}', y: '{{parameters.n:3}}', z: 'a{{parameters.b:no}}'}}]\n", "", nil, []string{
			`FILE:4:47: tasks[0].inputs.x: "{{parameters.n:x}}": the token's default must be an integer, and is "x"`, `FILE:4:72: tasks[0].inputs.y: "{{parameters.n:3}}": the token's default must be at least 5`,
			`FILE:4:97: tasks[0].inputs.z: "{{parameters.b:no}}": the token's default must be a boolean, and is "no"`}},
	} {
		args := &Arguments{}
		if c.values != "" {
			if err := args.Read("VALUES", []byte(c.values)); err != nil {
				t.Fatal(err)
			}
		}
		for _, one := range c.set {
			if err := args.Set("--set", one); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Read("-", Options{Stdin: strings.NewReader(c.text), Arguments: args, Inputs: someInputs})
		refused, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		good := len(refused.Faults) == len(c.want)
		for i := range min(len(c.want), len(refused.Faults)) {
			line := strings.Replace(refused.Faults[i].Place, "<stdin>", "FILE", 1) + ": " + refused.Faults[i].Text
			good = good && strings.HasPrefix(line, c.want[i])
		}
		if !good {
			t.Errorf("%s:\n got %v\nwant\n  %s", name, err, strings.Join(c.want, "\n  "))
		}
	}
	args := &Arguments{}
	if err := errors.Join(args.Set("--set", "a=1"), args.Set("--set", "a=2")); err == nil || err.Error() != "a is given twice" {
		t.Errorf("got %v", err)
	}
}

// TestWhatIsAllowed: what the faults of [TestWhatLooksRight] leave alone, and what may be passed.
func TestWhatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		opts Options
		want string // a part of the tree
	}{
		"an executor that the cluster has": {head + "tasks: [{name: a, executor: http}]\n", Options{Inputs: someInputs, Has: func(id string) bool { return id == "http" }}, `"method":"http"`},
		"an executor, passed":              {head + "tasks: [{name: a, executor: http}]\n", Options{Inputs: someInputs, AllowUnknown: true}, `"method":"http"`},
		"an input, passed":                 {head + "tasks: [{name: url, executor: noop}, {name: b, executor: rest, needs: [url], inputs: {url: u}}]\n", Options{Inputs: someInputs, AllowUnknown: true}, `"url":"u"`},
		"executors that nobody knows":      {head + "tasks: [{name: a, executor: http}]\n", Options{}, `"method":"http"`},
		"items":                            {head + "tasks: [{name: m, executor: map, inputs: {items: [1], task: {executor: command, inputs: {command: 'echo {{item}}'}, lock: {key: 'k-{{item}}'}}}}]\n", Options{Inputs: someInputs}, `"key":"k-{{item}}"`},
		"needs in a group":                 {head + "tasks: [{name: a, executor: noop}, {name: g, needs: [a], tasks: [{name: b, executor: noop, needs: [a]}, {name: c, executor: noop, needs: [b]}]}, {name: d, executor: noop, needs: [g, b]}]\n", Options{}, `"dependencies":["g","b"]`},
		"integers":                         {head + "parameters: {a: {type: integer, default: 3.0}, b: {default: [1e3, -2.50e1], type: array, items: {type: integer}}, c: {type: integer, enum: [4], default: 40e-1}, d: {type: integer, default: -0.0}, e: {type: number, default: 3.0}}\ntasks: [{name: a, executor: noop, inputs: {a: '{{parameters.a}}', b: '{{parameters.b}}', c: 'x{{parameters.c}}', d: '{{parameters.d}}', e: '{{parameters.e}}'}}]\n", Options{}, `"inputs":{"a":3,"b":[1000,-25],"c":"x4","d":0,"e":3.0}`},
		"defaults of tokens":               {head + "parameters: {n: {type: integer}, s: {}, l: {type: array}, o: {type: object, default: {}}}\ntasks: [{name: a, executor: noop, timeout: '{{parameters.n:30}}', inputs: {a: '{{parameters.n: 5}}', b: '{{parameters.s:5}}', c: 'x{{parameters.l:[1]}}', d: '{{parameters.o.x:5}}'}}]\n", Options{}, `"inputs":{"a":5,"b":"5","c":"x[1]","d":"5"},"timeout":30`},
		"defaults with tokens":             {head + "defaults: {lock: {key: 'k-{{inputs.k}}-{{deps.b.result.x}}'}}\ntasks: [{name: a, executor: noop, lock: {key: k}}]\n", Options{}, `"lock":{"key":"k"}`},
		"a tree of a subtree":              {head + "tasks: [{name: s, executor: subtree, inputs: {tree: {taskgrove: 1, name: x, tasks: [{name: a, executor: noop}]}}}]\n", Options{}, `"tree":[{"name":"x"`},
	} {
		c.opts.Stdin = strings.NewReader(c.text)
		f, err := Read("-", c.opts)
		if err != nil || !strings.Contains(string(f.JSON), c.want) {
			t.Errorf("%s: got %v, %v\nwant %s", name, f, err, c.want)
		}
	}
}

// TestLargeGroups: what groups hand to their tasks is bounded, and tasks that need one task in between are not.
func TestLargeGroups(t *testing.T) {
	var names, tasks, within strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, "a%d, ", i)
		fmt.Fprintf(&tasks, "- {name: a%d, executor: noop}\n", i)
		fmt.Fprintf(&within, "  - {name: b%d, executor: noop}\n", i)
	}
	_, err := Render("FILE", []byte(head+"tasks:\n"+tasks.String()+"- name: g\n  needs: ["+names.String()+"]\n  tasks:\n"+within.String()), Options{})
	refused, ok := errors.AsType[*Error](err)
	if !ok || len(refused.Faults) != 1 || !strings.Contains(refused.Faults[0].Text, "tasks[1000].needs[999]: groups hand more than 100000 needs to their tasks") || !strings.HasPrefix(refused.Faults[0].Place, "FILE:1005:") {
		t.Errorf("got %v", err)
	}
	f, err := Render("FILE", []byte(head+"tasks:\n"+tasks.String()+"- {name: all, needs: ["+names.String()+"]}\n- name: g\n  needs: [all]\n  tasks:\n"+within.String()), Options{})
	if err != nil || strings.Count(string(f.JSON), `"dependencies":["all"]`) != 1000 {
		t.Errorf("got %v", err)
	}
}

// TestSchemaTakesWhatRenderTakes: a parameter may stand in the same places for both.
func TestSchemaTakesWhatRenderTakes(t *testing.T) {
	text, err := treedoc.FileSchema(nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("file.json")
	if err != nil {
		t.Fatal(err)
	}
	tokens := regexp.MustCompile(`\{\{[^}]*\}\}`)
	tried := 0
	try := func(place, value, document string) {
		tried++
		value = tokens.ReplaceAllString(value, "x") // values are no templates
		document = strings.NewReplacer("VALUE", value, "PLACE", `"{{parameters.p}}"`).Replace(document)
		_, rendered := Render("FILE", []byte(document), Options{})
		value2, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
		if err != nil {
			t.Fatalf("%s: %s: %v", place, document, err)
		}
		if judged := schema.Validate(value2); (judged == nil) != (rendered == nil) {
			t.Errorf("%s: the schema says %v, and render %v\n%s", place, judged, rendered, document)
		}
	}
	const head = `{"taskgrove":1,"name":"t","parameters":{"p":{"default":VALUE}},`
	const tasks = `"tasks":[{"name":"a","executor":"noop"}]}`
	for _, k := range treedoc.FileKeys() {
		switch k.Name {
		case treedoc.FileKey, "parameters", "tasks":
		case "name":
			try(k.Name, k.Example, strings.Replace(head, `"name":"t"`, `"name":PLACE`, 1)+tasks)
		default:
			try(k.Name, k.Example, head+`"`+k.Name+`":PLACE,`+tasks)
		}
		for _, in := range k.Keys {
			if k.Name == "unique" && in.Name != "key" {
				try(k.Name+"."+in.Name, in.Example, head+`"unique":{"key":"k","`+in.Name+`":PLACE},`+tasks)
			} else if k.Name != "parameters" {
				try(k.Name+"."+in.Name, in.Example, head+`"`+k.Name+`":{"`+in.Name+`":PLACE},`+tasks)
			}
		}
	}
	task := func(rest string) string {
		return head + `"tasks":[{"name":"b","executor":"noop"},{"name":"a","executor":"noop",` + rest + `}]}`
	}
	for _, k := range treedoc.FileTaskKeys() {
		switch k.Name {
		case "name", "executor", "fold":
			continue
		case "needs":
			try(k.Name, `["b"]`, task(`"needs":PLACE`))
			try("needs[0]", `"b"`, task(`"needs":[PLACE]`))
			for _, in := range k.Keys {
				switch in.Name {
				case "task":
					try("needs[0].task", `"b"`, task(`"needs":[{"task":PLACE}]`))
				case "skips": // is of a fold's
				default:
					try("needs[0]."+in.Name, in.Example, task(`"needs":[{"task":"b","`+in.Name+`":PLACE}]`))
				}
			}
			continue
		}
		try(k.Name, k.Example, task(`"`+k.Name+`":PLACE`))
		for _, in := range k.Keys {
			object := `{"` + in.Name + `":PLACE}`
			switch k.Name {
			case "limits":
				object = `[{"key":"k","max":3,` + object[1:] + `]`
				object = strings.Replace(strings.Replace(object, `"`+in.Name+`":3,`, "", 1), `"key":"k",`, map[bool]string{true: "", false: `"key":"k",`}[in.Name == "key"], 1)
			case "lock", "schemas", "retry":
			case "rates", "flow_step": // which names tasks that its own waits for
				continue
			case "repeat":
				if object = `{"until":"true",` + object[1:]; in.Name == "until" {
					object = `{"until":PLACE}`
				}
			}
			try(k.Name+"."+in.Name, in.Example, task(`"`+k.Name+`":`+object))
		}
	}
	if tried < 60 {
		t.Errorf("only %d places were tried", tried)
	}
}
