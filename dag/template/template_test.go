package template_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag/template"
)

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

var scope = `{"event":{"type":"final","n":7,"f":1.50,"ok":true,"none":null,"empty":"","list":[1,"a"],"map":{"b":"<&>","a":1}},"tree":{"id":"r"}}`

func TestRender(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"plain"`:                                `"plain"`,
		`"{{event.type}}"`:                       `"final"`,
		`"{{ event.type\t}}!"`:                   `"final!"`,
		`"{{event.n}}"`:                          `7`,
		`"{{event.n}}\n"`:                        `7`,
		`"n={{event.n}} {{event.f}}"`:            `"n=7 1.50"`,
		`"{{event.ok}}"`:                         `true`,
		`"{{event.ok}}{{event.none}}"`:           `"truenull"`,
		`"{{event.list}}"`:                       `[1,"a"]`,
		`"{{event.map}} {{event.list}}"`:         `"{\"a\":1,\"b\":\"<&>\"} [1,\"a\"]"`,
		`"{{event.empty:d}}"`:                    `"d"`,
		`"{{event.no:0}}"`:                       `"0"`,
		`"{{event.no:a:b c }}"`:                  `"a:b c"`,
		`"{{event.no:}}"`:                        `""`,
		`"{{event.type.more:none}}"`:             `"none"`,
		`"$HOME {a} }"`:                          `"$HOME {a} }"`,
		`{"{{event.type}}":["{{tree.id}}",1.0]}`: `{"{{event.type}}":["r",1.0]}`,
	} {
		got, err := template.Render(decode(t, text), decode(t, scope).(map[string]any), 1000)
		if err != nil || !reflect.DeepEqual(got, decode(t, want)) {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]template.Kind{
		"${x}": template.Forbidden, "{% if %}": template.Forbidden, "{# x #}": template.Forbidden, "find {} ;": template.Forbidden,
		"{{x": template.Forbidden, "{{}}": template.Forbidden, "{{ }}": template.Syntax, "{{a{b}}": template.Syntax, "{{event.x:{{a}}}}": template.Syntax,
		"a }} b": template.Syntax, "{{event.type}} }}": template.Syntax, "{{event.a-b}}": template.Syntax, "{{event.0}}": template.Syntax,
		"{{event..x}}": template.Syntax, "{{.x}}": template.Syntax, "{{event.x | upper}}": template.Syntax,
		"{{env.HOME}}": template.UnknownRoot, "{{event.no}}": template.MissingKey, "{{event.empty}}": template.MissingKey, "{{event.list.a}}": template.MissingKey,
		strings.Repeat("x", template.MaxTextBytes+1): template.TooLarge,
		strings.Repeat("{{event.map}} ", 100):        template.TooLarge,
	} {
		document := map[string]any{"a": []any{text}}
		err := template.Check(document, []string{"event", "tree"})
		if err == nil {
			_, err = template.Render(document, decode(t, scope).(map[string]any), 1000)
		}
		e, ok := errors.AsType[*template.Error](err)
		if !ok || e.Kind != want || e.At != "a[0]" {
			t.Errorf("%.40q: got %v, want %s at a[0]", text, err, want)
		}
	}
	deep := any("x")
	for range template.MaxDepth + 1 {
		deep = []any{deep}
	}
	if err := template.Check(deep, nil); err == nil {
		t.Error("a document without bound was taken")
	}
}

// FuzzRender: what is checked renders or lacks a value; there is one pass, so that no value is ever a template.
func FuzzRender(f *testing.F) {
	for _, seed := range []string{"{{a.b}}", "x{{a.b:c}}y", "{{a}}", "{{a.b", "}}", "{{a.b}}{{a.c:}}\n", "${a}", "{{a.b:{}}}"} {
		f.Add(seed, "{{a.c}}")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		encoded, err := json.Marshal(value)
		if template.Check(text, []string{"a"}) != nil || err != nil || string(encoded) != `"`+value+`"` {
			return
		}
		const mark = "@value@"
		plain, err1 := template.Render(text, template.Scope{"a": map[string]any{"b": mark, "c": mark}}, 0)
		got, err2 := template.Render(text, template.Scope{"a": map[string]any{"b": mark + value, "c": mark + value}}, 0)
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q: %v with one value, %v with another", text, err1, err2)
		}
		if s, is := plain.(string); is && err1 == nil {
			if want := strings.ReplaceAll(s, mark, mark+value); !strings.Contains(text, mark) && got != want {
				t.Fatalf("%q: got %q, want %q", text, got, want)
			}
		}
	})
}
