package template_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag/template"
)

func decode(t testing.TB, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func scopeOf(t testing.TB, text string) template.Scope { return decode(t, text).(map[string]any) }

// stepRules are those of a step's inputs in a flow.
var stepRules = template.Rules{Keys: true, Roots: template.Roots{
	"env": {Names: 1}, "steps": {Names: 1}, "job": {Names: 1}, "jobs": {Names: 1}, "run_id": {}, "flow_id": {},
}}

// resourceRules are those of a resource.
var resourceRules = template.Rules{Roots: template.Roots{"env": {Names: 1}}}

const stepScope = `{"env":{"A":"1","E":""},"steps":{"s":{"n":5,"l":[1,2],"b":true,"z":0,"u":null,"d":{"k":"v"}}},"run_id":"r1"}`

// vectors are what the contract of flows lists, each either with its result or with its kind of fault.
var vectors = []struct {
	in, want string
	kind     template.Kind
	rules    *template.Rules
}{
	{in: "{{env.A}}", want: `"1"`},
	{in: "{{ steps.s.n }}", want: `5`},
	{in: "x{{steps.s.n}}", want: `"x5"`},
	{in: "{{steps.s.l}}", want: `[1,2]`},
	{in: "v={{steps.s.l}}", want: `"v=[1,2]"`},
	{in: "v={{steps.s.b}}", want: `"v=true"`},
	{in: "{{steps.s.u}}", want: `null`},
	{in: "{{steps.s.u:9}}", want: `null`},
	{in: "{{steps.s.z:9}}", want: `0`},
	{in: "{{env.E}}", kind: template.MissingKey},
	{in: "{{env.E:}}", want: `""`},
	{in: "{{env.E:d}}", want: `"d"`},
	{in: "{{env.X:a:b}}", want: `"a:b"`},
	{in: "{{env.X:5}}", want: `"5"`},
	{in: "{{env.X:[]}}", want: `"[]"`},
	{in: "{{env.X: foo }}", want: `" foo"`},
	{in: "p{{env.X: foo }}s", want: `"p foos"`},
	{in: "{{env.A}}{{steps.s.n}}", want: `"15"`},
	{in: "{{steps.s.d}}", want: `{"k":"v"}`},
	{in: "{{env.A.b}}", kind: template.MissingKey},
	{in: "{{steps.s.l.0}}", kind: template.Syntax},
	{in: "{{env-a}}", kind: template.Syntax},
	{in: "{{1a}}", kind: template.Syntax},
	{in: "{{ }}", kind: template.Syntax},
	{in: "{{env.A", kind: template.Syntax},
	{in: "{{env.A|lower}}", kind: template.Syntax},
	{in: "{{{env.A}}}", kind: template.Syntax},
	{in: "{{env.X:{{env.A}}}}", kind: template.Syntax},
	{in: "{{foo.bar}}", kind: template.UnknownRoot},
	{in: "{}", kind: template.Forbidden},
	{in: "{% x %}", kind: template.Forbidden},
	{in: "{# c #}", kind: template.Forbidden},
	{in: "#}", kind: template.Forbidden},
	{in: "${X}", kind: template.Forbidden},
	{in: "$X", want: `"$X"`},
	{in: "{a}", want: `"{a}"`},
	{in: "a }} b", kind: template.Syntax},
	{in: "{{env}}", kind: template.Syntax},
	{in: "{{run_id}}", kind: template.UnknownRoot, rules: &resourceRules},
	{in: "{{steps.s.n}}", kind: template.UnknownRoot, rules: &resourceRules},
	{in: "{{env.É:1}}", kind: template.Syntax},
	// what the text of the contract says beside its table
	{in: "{{run_id}}", want: `"r1"`},
	{in: "{{run_id}}\n", want: `"r1"`},
	{in: "{{steps.s.n}}\n", want: `5`},
	{in: " {{steps.s.n}}", want: `" 5"`},
	{in: "{{steps.s.n}}\n\n", want: `"5\n\n"`},
	{in: "{{\t env.A \t}}", want: `"1"`},
	{in: "u={{steps.s.u}}", want: `"u=null"`},
	{in: "d={{steps.s.d}}", want: `"d={\"k\":\"v\"}"`},
	{in: "{{flow_id:none}}", want: `"none"`},
	{in: "{{flow_id}}", kind: template.MissingKey},
	{in: "a }} b {{env.A}}", kind: template.Syntax},
	{in: "{{env.A}} }}", kind: template.Syntax},
	{in: "find . -exec rm {} ;", kind: template.Forbidden},
	{in: "{{env.X :d}}", kind: template.Syntax},
	{in: "{{env.X:a\nb}}", kind: template.Syntax},
	{in: "{{\nenv.A}}", kind: template.Syntax},
	{in: "{{env.X:{a}}", kind: template.Syntax},
	{in: "{{env..A}}", kind: template.Syntax},
	{in: "{{.A}}", kind: template.Syntax},
	{in: "{{env.}}", kind: template.Syntax},
	{in: "{{}}", kind: template.Forbidden},
	{in: "{{a:{}}}", kind: template.Forbidden},
	{in: "", want: `""`},
	{in: "%{{env.A}}%", want: `"%1%"`},
	{in: "#{{env.A}}", want: `"#1"`},
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, row := range vectors {
		rules := row.rules
		if rules == nil {
			rules = &stepRules
		}
		checked := template.Kind("")
		for _, e := range rules.Check(row.in, nil) {
			checked = e.Kind
		}
		if atRun := row.kind == template.MissingKey; !atRun && checked != row.kind || atRun && checked != "" {
			t.Errorf("%q: Check says %q, want %q", row.in, checked, row.kind)
		}
		got, err := rules.Render(row.in, scopeOf(t, stepScope), 0)
		if e, is := errors.AsType[*template.Error](err); is != (row.kind != "") || is && e.Kind != row.kind {
			t.Errorf("%q: got %v, %v, want kind %q", row.in, got, err, row.kind)
		} else if !is && !reflect.DeepEqual(got, decode(t, row.want)) {
			t.Errorf("%q: got %#v, want %s", row.in, got, row.want)
		}
	}
	// a key is left alone, and refused where it can be
	key := map[string]any{"{{env.A}}": "{{env.A}}"}
	if got, err := stepRules.Render(key, scopeOf(t, stepScope), 0); err != nil || !reflect.DeepEqual(got, map[string]any{"{{env.A}}": "1"}) {
		t.Errorf("a key: got %v, %v", got, err)
	}
	if f := stepRules.Check(key, nil); len(f) != 1 || f[0].Kind != template.NotHere || f[0].At != "{{env.A}}" {
		t.Errorf("a key: got %v", f)
	}
}

var treeRules = template.Rules{Plain: true, Keys: true, Cut: true, Roots: template.Roots{
	"deps": {Names: 2}, "inputs": {}, "item": {}, "task": {Names: 1, Of: []string{"id", "name"}},
}}

func TestPlainRules(t *testing.T) {
	t.Parallel()
	scope := scopeOf(t, `{"deps":{"a":{"result":{"n":1,"s":"x"}}},"item":7}`)
	for in, want := range map[string]any{
		"for i in ${LIST}; do echo $i; done": nil,
		"find . -exec rm {} ;":               nil,
		"awk '{ if (x) { print } }'":         nil,
		"awk '{if (x) {print}}'":             nil, // }} ends no token
		`{"a":{"b":{}}}`:                     nil,
		"{% raw %} {# c #}":                  nil,
		`{"a":{"n":{{deps.a.result.n}}}}`:    `{"a":{"n":1}}`,
		"${X} {{deps.a.result.s}} {}":        "${X} x {}",
		"{{item}}":                           json.Number("7"),
		"{{deps.a.result.s}}}":               "x}",
		"{{deps.a.result":                    template.Syntax,
		"docker ps --format '{{.Names}}'":    template.Syntax,
		"{{ }}":                              template.Syntax,
		"{{}}":                               template.Syntax,
		"{{{deps.a.result.s}}}":              template.Syntax,
		"{{deps}}":                           template.Syntax,
		"{{deps.a}}":                         template.Syntax,
		"{{task}}":                           template.Syntax,
		"{{task.nope}}":                      template.MissingKey,
		"{{env.A}}":                          template.UnknownRoot,
		"{{deps.b.result:{}}}":               template.Syntax,
		strings.Repeat("x", template.MaxTextBytes+1):            nil,
		strings.Repeat("x", template.MaxTextBytes) + "{{item}}": template.TooLarge,
	} {
		got, err := treeRules.Render(in, scope, 0)
		e, _ := errors.AsType[*template.Error](err)
		switch kind, bad := want.(template.Kind); {
		case want == nil && (err != nil || got != in):
			t.Errorf("%.60q: got %v, %v, want it as it is", in, got, err)
		case bad && (e == nil || e.Kind != kind):
			t.Errorf("%.60q: got %v, %v, want %s", in, got, err, kind)
		case want != nil && !bad && (err != nil || got != want):
			t.Errorf("%.60q: got %v, %v, want %v", in, got, err, want)
		}
	}
}

// All faults come at once, each with its place.
func TestCheckTellsAll(t *testing.T) {
	t.Parallel()
	document := decode(t, `{"b":["ok","{{x.y}} {{deps}} {{deps.a.b}} {{","{{no"],"a":{"{{k.k}}":"{{ }}{{deps.gone.result:d}}"},"z":7,"y":"}} {{task.id}}"}`)
	var got []string
	for _, e := range treeRules.Check(document, func(r template.Ref) string {
		if r.Path[0] == "deps" && r.Path[1] != "a" {
			return "names no dependency"
		}
		return ""
	}) {
		got = append(got, fmt.Sprintf("%s %s %d", e.At, e.Kind, e.Offset))
	}
	want := []string{
		"a.{{k.k}} template.not_allowed_here 0", "a.{{k.k}} template.syntax 0", "a.{{k.k}} template.missing_key 5",
		"b[1] template.syntax 30", "b[1] template.unknown_root 0", "b[1] template.syntax 8", "b[2] template.syntax 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	many := make([]any, 10*template.MaxFaults)
	for i := range many {
		many[i] = "{{"
	}
	if n := len(treeRules.Check(many, nil)); n != template.MaxFaults {
		t.Errorf("got %d faults", n)
	}
	deep := any("x")
	for range template.MaxDepth + 1 {
		deep = []any{deep}
	}
	if f := treeRules.Check(deep, nil); len(f) != 1 || f[0].Kind != template.TooLarge {
		t.Errorf("a document without bound: %v", f)
	}
	if _, err := treeRules.Render(deep, nil, 0); err == nil {
		t.Error("a document without bound was rendered")
	}
}

func TestTokensAndRefs(t *testing.T) {
	t.Parallel()
	document := decode(t, `{"b":["{{a.b}}{{c}}","{{","{{a.b:x}}"],"{{a}}":"{{d.e :x}} ${X}"}`)
	var places []string
	for _, e := range template.Tokens(document) {
		places = append(places, e.At+" "+e.Token+" "+string(e.Kind))
	}
	const not = " template.not_allowed_here"
	if want := []string{"b[0] {{a.b}}" + not, "b[0] {{c}}" + not, "b[2] {{a.b:x}}" + not, "{{a}} {{a}}" + not, "{{a}} {{d.e :x}}" + not}; !slices.Equal(places, want) {
		t.Errorf("got %q, want %q", places, want)
	}
	rules := template.Rules{Plain: true}
	if got, want := rules.Refs(document), [][]string{{"a", "b"}, {"c"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

var scope = `{"event":{"type":"final","n":7,"f":1.50,"ok":true,"none":null,"empty":"","list":[1,"a"],"map":{"b":"<&>","a":1}},"tree":{"id":"r"}}`

// webhookRules are those of a stored body.
var webhookRules = template.Rules{Blanks: true, Roots: template.Roots{"event": {Names: 1}, "tree": {Names: 1}}}

func TestRender(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"plain"`:                                `"plain"`,
		`"{{event.type}}"`:                       `"final"`,
		`"{{ event.type\t}}!"`:                   `"final!"`,
		`"{{event.n}}"`:                          `7`,
		`"{{event.n}}\n"`:                        `7`,
		`"{{event.f}}"`:                          `1.50`,
		`"n={{event.n}} {{event.f}}"`:            `"n=7 1.5"`,
		`"{{event.ok}}"`:                         `true`,
		`"{{event.ok}}{{event.none}}"`:           `"truenull"`,
		`"{{event.list}}"`:                       `[1,"a"]`,
		`"{{event.map}} {{event.list}}"`:         `"{\"a\":1,\"b\":\"<&>\"} [1,\"a\"]"`,
		`"{{event.empty:d}}"`:                    `"d"`,
		`"{{event.no:0}}"`:                       `"0"`,
		`"{{event.no:a:b c }}"`:                  `"a:b c"`,
		`"{{event.no :d}}"`:                      `"d"`, // as version 0.9
		`"{{event.no:a\nb}}"`:                    `"a\nb"`,
		`"{{event.no:}}"`:                        `""`,
		`"{{event.type.more:none}}"`:             `"none"`,
		`"$HOME {a} }"`:                          `"$HOME {a} }"`,
		`{"{{event.type}}":["{{tree.id}}",1.0]}`: `{"{{event.type}}":["r",1.0]}`,
	} {
		got, err := webhookRules.Render(decode(t, text), scopeOf(t, scope), 1000)
		if err != nil || !reflect.DeepEqual(got, decode(t, want)) {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
}

// What has no token is the document's own, and the document stays as it is.
func TestRenderShares(t *testing.T) {
	t.Parallel()
	whole := decode(t, `{"a":["x",{"b":"${y}"}],"c":"{{item}}"}`)
	got, err := treeRules.Render(whole, template.Scope{"item": "v"}, 0)
	if err != nil || !reflect.DeepEqual(got, decode(t, `{"a":["x",{"b":"${y}"}],"c":"v"}`)) || !reflect.DeepEqual(whole, decode(t, `{"a":["x",{"b":"${y}"}],"c":"{{item}}"}`)) {
		t.Fatalf("got %v, %v of %v", got, err, whole)
	}
	same := func(a, b any) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }
	if !same(got.(map[string]any)["a"], whole.(map[string]any)["a"]) {
		t.Error("a list without tokens was copied")
	}
}

func TestRenderFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]template.Kind{
		"${x}": template.Forbidden, "{{x": template.Syntax, "{{env.HOME}}": template.UnknownRoot, "{{event}}": template.Syntax,
		"{{event.no}}": template.MissingKey, "{{event.empty}}": template.MissingKey, "{{event.list.a}}": template.MissingKey,
		strings.Repeat("x", template.MaxTextBytes+1): template.TooLarge,
		strings.Repeat("{{event.map}} ", 100):        template.TooLarge,
	} {
		document := map[string]any{"a": []any{"{{event.type}}", text}, "b": []any{text}, "c": text}
		_, err := webhookRules.Render(document, scopeOf(t, scope), 1000)
		if e, ok := errors.AsType[*template.Error](err); !ok || e.Kind != want || e.At != "a[1]" {
			t.Errorf("%.40q: got %v, want %s at a[1]", text, err, want)
		}
	}
	// values that stand for themselves count, too: a document does not grow without bound
	whole := decode(t, `["{{event.map}}","{{event.list}}","{{event.type}}"]`)
	if _, err := webhookRules.Render(whole, scopeOf(t, scope), 60); err != nil {
		t.Errorf("got %v for what has 60 bytes", err)
	}
	if _, err := webhookRules.Render(slices.Repeat(whole.([]any), 10), scopeOf(t, scope), 60); err == nil {
		t.Error("a document grew without bound")
	}
	deep := any("x")
	for range template.MaxDepth {
		deep = []any{deep}
	}
	if _, err := treeRules.Render([]any{"{{item}}"}, template.Scope{"item": deep}, 0); err == nil {
		t.Error("a value made a document too deep")
	}
}

// A value of which only a part is there is never taken for the whole.
func TestTruncated(t *testing.T) {
	t.Parallel()
	scope := scopeOf(t, `{"deps":{"a":{"result":{"stdout":"begin","code":0,"inner":{"x":1},"truncated_fields":["stdout","inner"]},
		"error":"e"}},"inputs":{"truncated_fields":7,"x":1}}`)
	for text, want := range map[string]template.Kind{
		"{{deps.a.result.stdout}}": template.Truncated, "{{deps.a.result.stdout:x}}": template.Truncated, "a {{deps.a.result.stdout}}": template.Truncated,
		"{{deps.a.result.inner.x}}": template.Truncated, "{{deps.a.result.code}}": "", "{{deps.a.result}}": "", "{{deps.a.error}}": "", "{{inputs.x}}": "",
	} {
		_, err := treeRules.Render(text, scope, 0)
		if e, ok := errors.AsType[*template.Error](err); ok != (want != "") || ok && e.Kind != want {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if _, err := webhookRules.Render("{{event.x}}", template.Scope{"event": map[string]any{"x": "y", "truncated_fields": []any{"x"}}}, 0); err != nil {
		t.Errorf("rules that do not ask: %v", err)
	}
}

// Numbers in texts lose no digit.
func TestNumbersInTexts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"7": "7", "-0": "-0", "123456789012345678901234567890": "123456789012345678901234567890", "1.50": "1.5", "1.0": "1", "100.00": "100",
		"0.1": "0.1", "1e2": "100", "1E-2": "0.01", "1e21": "1e+21", "-2.50e1": "-25", "0.0": "0", "1e400": "1e400", "1e-400": "1e-400",
		"0.12345678901234567890123": "0.12345678901234567890123", "9007199254740993.0": "9007199254740993.0", "0.30000000000000004": "0.30000000000000004",
		"1e99999999999999999999": "1e99999999999999999999",
	} {
		rules := template.Rules{}
		got, err := rules.Render("{{n}};{{l}}", template.Scope{"n": json.Number(in), "l": []any{json.Number(in)}}, 0)
		if err != nil || got != want+";["+want+"]" {
			t.Errorf("%s: got %v, %v, want %s", in, got, err, want)
		}
	}
	rules := template.Rules{}
	got, err := rules.Render("{{a}} {{b}} {{c}} {{d}} {{e}} {{f}}", template.Scope{"a": 1, "b": int64(-2), "c": 0.5, "d": 1e6, "e": int32(3), "f": 1e21}, 0)
	if err != nil || got != "1 -2 0.5 1000000 3 1e+21" {
		t.Errorf("got %v, %v", got, err)
	}
}

// FuzzRender: what is checked renders or lacks a value; there is one pass, so that no value is ever a template; and the order of keys does not matter.
func FuzzRender(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.in, "{{a.c}}", false)
		f.Add(strings.NewReplacer("env.", "a.", "steps.s", "a").Replace(v.in), "${x} {}", true)
	}
	for _, seed := range []string{"{{a.b}}", "x{{a.b:c}}y", "{{a}}", "{{a.b", "}}", "{{a.b}}{{a.c:}}\n", "${a}", "{{a.b:{}}}"} {
		f.Add(seed, "{{a.c}}", true)
	}
	f.Fuzz(func(t *testing.T, text, value string, plain bool) {
		encoded, err := json.Marshal(value)
		rules := template.Rules{Plain: plain, Roots: template.Roots{"a": {Names: 1}}}
		faults := rules.Check(text, nil)
		_, parseErr := rules.Parse(text)
		if again, _ := rules.Parse(text); parseErr == nil && again == nil {
			t.Fatalf("%q is a template once only", text)
		}
		if len(faults) == 0 != (parseErr == nil) && !slices.ContainsFunc(faults, func(e *template.Error) bool {
			return e.Kind == template.UnknownRoot || e.Token == "{{a}}" || strings.Contains(e.Reason, "no value")
		}) {
			t.Fatalf("%q: Check says %v, Parse %v", text, faults, parseErr)
		}
		const mark = "@value@"
		render := func(document any, value string) (any, error) {
			return rules.Render(document, template.Scope{"a": map[string]any{"b": value, "c": value}}, 0)
		}
		plainly, err1 := render(text, mark)
		if e, is := errors.AsType[*template.Error](err1); len(faults) == 0 && err1 != nil && (!is || e.Kind != template.MissingKey) || len(faults) > 0 && err1 == nil {
			t.Fatalf("%q: Check says %v, Render %v", text, faults, err1)
		}
		for range 3 {
			_, err := render(map[string]any{"x": text, "y": []any{text}, "z": "{{a.no}}", "w": "{{a.nor}}"}, mark)
			e, is := errors.AsType[*template.Error](err)
			if want := "w"; !is || e.At != want {
				t.Fatalf("%q: got %v", text, err)
			}
		}
		if len(faults) > 0 || err != nil || string(encoded) != `"`+value+`"` || value == "" {
			return
		}
		got, err2 := render(text, mark+value)
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q: %v with one value, %v with another", text, err1, err2)
		}
		if s, is := plainly.(string); is && err1 == nil {
			if want := strings.ReplaceAll(s, mark, mark+value); !strings.Contains(text, mark) && got != want {
				t.Fatalf("%q: got %q, want %q", text, got, want)
			}
		}
	})
}

// A thousand different texts more than are kept leave no more in memory than that.
func TestCacheIsBounded(t *testing.T) {
	rules := template.Rules{}
	for i := range 10_000 {
		if _, err := rules.Parse(fmt.Sprintf("{{a%d}}", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := template.Kept(); n > 2048 {
		t.Errorf("%d texts are kept", n)
	}
	strict := template.Rules{}
	plain := template.Rules{Plain: true}
	for range 2 { // the same text by other rules is another one
		_, err1 := plain.Parse("{{a}} {}")
		_, err2 := strict.Parse("{{a}} {}")
		if err1 != nil || err2 == nil {
			t.Errorf("got %v and %v", err1, err2)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	document := decode(b, `{"url":"https://example.org/{{deps.a.result.s}}","method":"POST","headers":{"x":"1","y":"2"},"json":{"n":"{{deps.a.result.n}}"}}`)
	scope := scopeOf(b, `{"deps":{"a":{"result":{"n":1,"s":"x"}}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := treeRules.Render(document, scope, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
