package inputs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/inputs"
)

// bomb is a schema of so many levels, each of which has twenty alternatives of the next, below a keyword.
func bomb(keyword string, levels int) string {
	defs := []string{`"a0":{"type":"string"}`}
	for i := 1; i <= levels; i++ {
		next := strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"$ref":"#/$defs/a%d"},`, i-1), 20), ",")
		defs = append(defs, fmt.Sprintf(`"a%d":{"%s":[%s]}`, i, keyword, next))
	}
	return fmt.Sprintf(`{"$defs":{%s},"$ref":"#/$defs/a%d"}`, strings.Join(defs, ","), levels)
}

// TestChecksAreBounded: users write schemas, and none of them may keep a process busy, or fill its memory.
func TestChecksAreBounded(t *testing.T) {
	const much = "the schema needs too much work to be checked"
	texts := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	list := func(element string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	nested := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	words := list(`"w"`, 10_000)
	for name, row := range map[string]struct{ schema, value, want string }{
		"alternatives of alternatives":             {bomb("anyOf", 8), `1`, much},
		"of which exactly one is to hold":          {bomb("oneOf", 8), `"x"`, much},
		"all of all":                               {bomb("allOf", 8), `"x"`, much},
		"where only whether it holds is asked":     {strings.Replace(bomb("anyOf", 8), `"$ref":"#/$defs/a8"`, `"not":{"$ref":"#/$defs/a8"}`, 1), `1`, much},
		"a recursion that branches":                {`{"anyOf":[{"type":"string"},{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}},"required":["b"]}],"minProperties":9}`, nested, much},
		"a pattern that repeats repetitions":       {`{"pattern":"(x{0,30}){0,30}y"}`, texts(2_000_000), much},
		"patterns for many texts":                  {`{"items":{"pattern":"(x?){900}y"}}`, list(texts(500), 1_000), much},
		"a list of values for each element":        {`{"items":{"enum":` + words + `}}`, list(`"y"`, 100_000), much},
		"a number of a million digits":             {`{"minimum":1}`, `1e1000000`, "a number is too large or too small to be checked"},
		"what many tasks have":                     {`{"items":{"anyOf":[{"type":"string"},{"type":"number"}]}}`, list(`1`, 200_000), ""},
		"a long text and a pattern":                {`{"pattern":"^[a-z]+$"}`, texts(1 << 20), ""},
		"a tree of a schema that refers to itself": {`{"properties":{"a":{"$ref":"#"}}}`, nested, ""},
	} {
		schema, err := inputs.Compile([]byte(row.schema))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		begin := time.Now()
		got := strings.Join(schema.Faults([]byte(row.value)), "; ")
		if took := time.Since(begin); took > 3*time.Minute { // what is not bounded takes hours
			t.Errorf("%s took %s", name, took)
		}
		if got != row.want {
			t.Errorf("%s: got %.200q", name, got)
		}
		if again := strings.Join(schema.Faults([]byte(row.value)), "; "); again != got {
			t.Errorf("%s: the second check gave %.200q", name, again)
		}
	}
}

func TestPatternsHaveABound(t *testing.T) {
	for schema, want := range map[string]string{
		`{"pattern":"` + strings.Repeat("x{0,1000}", 100) + `"}`:                                      "is too large with its repetitions",
		`{"patternProperties":{"((x{0,30}){0,30})*y{999}` + strings.Repeat("z{999}", 40) + `":true}}`: "is too large with its repetitions",
		`{"$dynamicAnchor":"x","type":"object"}`:                                                      "$dynamicAnchor is not known here",
	} {
		if _, err := inputs.Compile([]byte(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v", schema, err)
		}
	}
}
