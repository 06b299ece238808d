package dag

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestChooseExecutor(t *testing.T) {
	var known Known
	for _, e := range [][2]string{
		{"system_info_executor", "stdio"}, {"command_executor", "stdio"}, {"rest_executor", "http"}, {"plain", ""},
		{"aggregate_results_executor", "core"}, {"local_executor", "local"},
	} {
		known.Add(e[0], e[1])
	}
	for fact, c := range map[string]struct{ name, params, schemas, want string }{
		"nothing named: a group":                           {"root", ``, ``, ""},
		"empty objects: a group":                           {"root", `{}`, `{}`, ""},
		"nulls: a group":                                   {"root", `{"executor_id":null}`, `{"method":null,"type":null}`, ""},
		"empty texts: a group":                             {"root", `{"executor_id":""}`, `{"method":"","type":""}`, ""},
		"other keys don't matter":                          {"root", `{"works":{"method":"rest_executor"}}`, `{"model":"m","input_schema":{"type":"object"}}`, ""},
		"by method":                                        {"a", ``, `{"method":"rest_executor"}`, "rest_executor"},
		"executor_id wins over method":                     {"a", `{"executor_id":"command_executor"}`, `{"method":"rest_executor"}`, "command_executor"},
		"method when executor_id is unknown":               {"a", `{"executor_id":"nope"}`, `{"method":"rest_executor"}`, "rest_executor"},
		"unknown executor_id stays":                        {"a", `{"executor_id":"nope"}`, `{"method":"no","type":"http"}`, "nope"},
		"unknown method stays":                             {"a", `{}`, `{"method":"mine"}`, "mine"},
		"unknown method is not sent elsewhere by its type": {"a", `{}`, `{"method":"mine","type":"stdio"}`, "mine"},
		"method wins over type":                            {"a", ``, `{"type":"http","method":"command_executor"}`, "command_executor"},
		"by type: the first of it":                         {"a", ``, `{"type":"stdio"}`, "system_info_executor"},
		"unknown type stays, to fail":                      {"a", ``, `{"type":"quantum"}`, "quantum"},
		"local is no type":                                 {"a", ``, `{"type":"local"}`, ""},
		"remote is no type":                                {"a", ``, `{"type":"remote"}`, ""},
		"external is no type":                              {"a", ``, `{"type":"external"}`, ""},
		"by name when nothing else is named":               {"rest_executor", ``, ``, "rest_executor"},
		"by name beside a word that is no type":            {"rest_executor", ``, `{"type":"local"}`, "rest_executor"},
		"not by name when a method is named":               {"rest_executor", ``, `{"method":"mine"}`, "mine"},
		"not by name when a type is named":                 {"rest_executor", ``, `{"type":"quantum"}`, "quantum"},
		"not by the name of a type":                        {"stdio", ``, ``, ""},
		"old alias as method":                              {"a", ``, `{"method":"aggregate_results"}`, "aggregate_results_executor"},
		"old alias as executor_id":                         {"a", `{"executor_id":"aggregate_results"}`, ``, "aggregate_results_executor"},
		"a method without its suffix":                      {"a", ``, `{"method":"rest"}`, "rest_executor"},
		"an executor_id without its suffix":                {"a", `{"executor_id":"system_info"}`, ``, "system_info_executor"},
		"an id of its own is no short one":                 {"a", ``, `{"method":"plain"}`, "plain"},
		"an unknown id gets no suffix":                     {"a", ``, `{"method":"docker"}`, "docker"},
		"a suffix alone is no id":                          {"a", ``, `{"method":"_executor"}`, "_executor"},
		"the old alias is no name":                         {"aggregate_results", ``, ``, ""},
		"escaped keys and values":                          {"a", ``, `{"\u006dethod":"rest\u005fexecutor"}`, "rest_executor"},
		"what is no text fails as unknown":                 {"a", ``, `{"method":42}`, "42"},
		"the last of repeated keys":                        {"a", ``, `{"method":"no","method":"rest_executor"}`, "rest_executor"},
		"an executor without type":                         {"a", `{"executor_id":"plain"}`, ``, "plain"},
		"white space":                                      {"a", " { } ", "{ \"type\" :\n\"http\" }", "rest_executor"},
	} {
		t.Run(fact, func(t *testing.T) {
			if got := ChooseExecutor(c.name, json.RawMessage(c.params), json.RawMessage(c.schemas), known); got != c.want {
				t.Errorf("ChooseExecutor = %q, want %q", got, c.want)
			}
		})
	}
}

func TestChooseExecutorWithoutCatalogue(t *testing.T) {
	for schemas, want := range map[string]string{``: "", `{"method":"m"}`: "m", `{"type":"t"}`: "t"} {
		if got := ChooseExecutor("rest_executor", nil, json.RawMessage(schemas), Known{}); got != want {
			t.Errorf("ChooseExecutor with %s = %q, want %q", schemas, got, want)
		}
	}
}

func TestNameExecutor(t *testing.T) {
	for _, tt := range []struct {
		schemas, id, want string
		ok                bool
	}{
		{"", "x", `{"method":"x"}`, true},
		{`{}`, "x", `{"method":"x"}`, true},
		{`{"type":"core","method":null}`, "x", `{"method":"x","type":"core"}`, true},
		{`{"method":"x"}`, "x", `{"method":"x"}`, true},
		{`{"method":"aggregate_results"}`, "aggregate_results_executor", `{"method":"aggregate_results"}`, true},
		{`{"method":"y"}`, "x", `{"method":"y"}`, false},
		{`{"method":1}`, "x", `{"method":1}`, false},
	} {
		got, ok := NameExecutor([]byte(tt.schemas), tt.id)
		if string(got) != tt.want || ok != tt.ok {
			t.Errorf("%s in %s: got %s, %v, want %s, %v", tt.id, tt.schemas, got, ok, tt.want, tt.ok)
		}
	}
}

func TestUnknownExecutorSaysWhatThereIs(t *testing.T) {
	many := make([]string, 150)
	for i := range many {
		many[i] = "x"
	}
	for _, tt := range []struct {
		fact, executor, schemas, want string
		ids                           []string
	}{
		{"by its method", "nope", `{"method":"nope"}`, "type='stdio', method='nope'. Registered executor types: [core, http]. Registered executor ids: [a, b].", []string{"a", "b"}},
		{"by its type", "odd", `{"type":"odd"}`, "type='odd', method='command'. Registered executor types: [core, http]. Registered executor ids: [].", nil},
		{"by both", "nope", `{"type":"http","method":"nope"}`, "type='http', method='nope'.", nil},
		{"by its parameters", "nope", ``, "type='stdio', method='nope'.", nil},
		{"what Postgres can't store", "odd", `{"type":"o\u0000d","method":"` + strings.Repeat("x", 300) + `"}`, "type='o\uFFFDd', method='" + strings.Repeat("x", 255) + "…'.", nil},
		{"of many", "nope", ``, "x, x, and 50 more].", many},
	} {
		got := UnknownExecutor(tt.executor, json.RawMessage(tt.schemas), []string{"core", "http"}, tt.ids)
		if !strings.HasPrefix(got, "Task executor not found. ") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s", tt.fact, got)
		}
	}
}
