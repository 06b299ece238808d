package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMerge(t *testing.T) {
	const (
		plain  = `{}`
		schema = `{"input_schema":{"type":"object","properties":{"url":{},"n":{"type":"integer"}}}}`
	)
	results := func(pairs ...string) (deps []DependencyResult) {
		for i := 0; i < len(pairs); i += 2 {
			deps = append(deps, DependencyResult{Ref: pairs[i], Result: json.RawMessage(pairs[i+1])})
		}
		return deps
	}
	legacy := func(pairs ...string) []DependencyResult {
		deps := results(pairs...)
		for i := range deps {
			deps[i].Legacy = true
		}
		return deps
	}
	for name, c := range map[string]struct {
		inputs, schemas string
		deps            []DependencyResult
		want            string
	}{
		"no dependencies: inputs as they are":             {`{"b":1, "a":2}`, plain, nil, `{"b":1, "a":2}`},
		"no inputs at all":                                {``, ``, nil, `{}`},
		"null inputs":                                     {`null`, `null`, nil, `{}`},
		"null inputs with a result":                       {`null`, `null`, results("d", `1`), `{"d":1}`},
		"object without schema: whole under the id":       {`{"a":1}`, plain, results("d", `{"result":{"x":1}}`), `{"a":1,"d":{"result":{"x":1}}}`},
		"object with schema: named keys only":             {`{}`, schema, results("d", `{"url":"u","other":1}`), `{"url":"u"}`},
		"object with schema: from its result":             {`{}`, schema, results("d", `{"result":{"n":1},"url":"outer"}`), `{"n":1}`},
		"object with schema: result is no object":         {`{}`, schema, results("d", `{"result":[1],"url":"outer"}`), `{"url":"outer"}`},
		"object with schema: nothing matches":             {`{"a":1}`, schema, results("d", `{"x":1}`), `{"a":1}`},
		"schema with empty properties takes nothing":      {`{}`, `{"input_schema":{"properties":{}}}`, results("d", `{"x":1}`), `{}`},
		"schema without properties: whole under the id":   {`{}`, `{"input_schema":{"type":"object"}}`, results("d", `{"x":1}`), `{"d":{"x":1}}`},
		"properties that are no object count as none":     {`{}`, `{"input_schema":{"properties":[1]}}`, results("d", `{"x":1}`), `{"d":{"x":1}}`},
		"input_schema that is no object counts as none":   {`{}`, `{"input_schema":7}`, results("d", `{"x":1}`), `{"d":{"x":1}}`},
		"new keys come in the schema's order":             {`{}`, schema, results("d", `{"n":1,"url":"u"}`), `{"url":"u","n":1}`},
		"no object: under the id, schema or not":          {`{}`, schema, results("d", `[1,2]`), `{"d":[1,2]}`},
		"text, number and boolean results":                {`{}`, plain, results("s", `"t"`, "n", `-1.50e+3`, "b", `false`), `{"s":"t","n":-1.50e+3,"b":false}`},
		"a null result adds nothing":                      {`{"a":1}`, plain, results("d", `null`, "e", ``), `{"a":1}`},
		"a null among others adds nothing":                {`{"a":1}`, plain, results("d", `null`, "e", `2`), `{"a":1,"e":2}`},
		"a result's null member is a value":               {`{"url":"u"}`, schema, results("d", `{"url":null}`), `{"url":null}`},
		"a result that holds a null result":               {`{}`, schema, results("d", `{"result":null,"n":1}`), `{"n":1}`},
		"results overwrite inputs in place":               {`{"d":1,"a":2}`, plain, results("d", `3`), `{"d":3,"a":2}`},
		"later results overwrite earlier ones":            {`{}`, schema, results("d", `{"url":1}`, "e", `{"url":2}`), `{"url":2}`},
		"a false value overwrites too":                    {`{"n":1}`, schema, results("d", `{"n":0}`), `{"n":0}`},
		"numbers keep every digit":                        {`{"a":12345678901234567890.10}`, plain, results("d", `1e400`), `{"a":12345678901234567890.10,"d":1e400}`},
		"legacy object: keys go straight in":              {`{"a":1}`, schema, legacy("d", `{"x":1,"a":2}`), `{"a":2,"x":1}`},
		"legacy object is not unwrapped":                  {`{}`, schema, legacy("d", `{"result":{"x":1}}`), `{"result":{"x":1}}`},
		"legacy non-object: under the id":                 {`{}`, schema, legacy("d", `7`), `{"d":7}`},
		"ids are quoted":                                  {`{}`, plain, results("a\"\\\n<é>\u2028", `1`), "{\"a\\\"\\\\\\u000a<é>\u2028\":1}"},
		"two spellings of a key are one":                  {`{"\u0061":1}`, plain, results("a", `2`), `{"\u0061":2}`},
		"a repeated key counts as its last":               {`{"a":1,"a":2}`, plain, results("d", `3`), `{"a":2,"d":3}`},
		"white space around values is dropped":            {" { \"a\" : [ 1 ] , \"b\":2 } ", plain, results("d", " { } "), `{"a":[ 1 ],"b":2,"d":{ }}`},
		"brackets within strings are no brackets":         {`{"a":"}]","b":"\\\""}`, plain, results("d", `{"x":"{["}`), `{"a":"}]","b":"\\\"","d":{"x":"{["}}`},
		"schema keys match results by meaning":            {`{}`, `{"input_schema":{"properties":{"\u0075rl":{}}}}`, results("d", `{"url":1}`), `{"url":1}`},
		"the last of repeated input_schemas is the valid": {`{}`, `{"input_schema":{"properties":{"a":{}}},"input_schema":{}}`, results("d", `{"a":1}`), `{"d":{"a":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Merge(json.RawMessage(c.inputs), json.RawMessage(c.schemas), c.deps)
			if err != nil {
				t.Fatalf("Merge: %v", err)
			}
			if string(got) != c.want {
				t.Errorf("Merge = %s, want %s", got, c.want)
			}
		})
	}
}

func TestMergeRefusesInputsThatAreNoObject(t *testing.T) {
	for _, inputs := range []string{`[1]`, `"a"`, `7`} {
		got, err := Merge(json.RawMessage(inputs), nil, []DependencyResult{{Ref: "d", Result: json.RawMessage(`1`)}})
		if err == nil || err.Error() != "merge into inputs: not an object" {
			t.Errorf("Merge into %s = %s, %v", inputs, got, err)
		}
	}
}

// mergeByMaps is the slow twin: spec 3.6 read aloud over decoded values.
func mergeByMaps(inputs, schemas json.RawMessage, deps []DependencyResult) map[string]any {
	merged, _ := decode(inputs).(map[string]any)
	if merged == nil {
		merged = map[string]any{}
	}
	var properties map[string]any
	if s, ok := decode(schemas).(map[string]any); ok {
		if in, ok := s["input_schema"].(map[string]any); ok {
			properties, _ = in["properties"].(map[string]any)
		}
	}
	for _, d := range deps {
		r := decode(d.Result)
		object, isObject := r.(map[string]any)
		switch {
		case r == nil:
		case isObject && d.Legacy:
			maps.Copy(merged, object)
		case isObject && properties != nil:
			if inner, ok := object["result"].(map[string]any); ok {
				object = inner
			}
			for name := range properties {
				if v, ok := object[name]; ok {
					merged[name] = v
				}
			}
		default:
			merged[d.Ref] = r
		}
	}
	return merged
}

func decode(b []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	_ = d.Decode(&v)
	return v
}

// anyJSON draws JSON text of a few levels, its keys from a small set so that they collide.
func anyJSON(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kinds := 5
		if depth > 0 {
			kinds = 8
		}
		space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"}).Draw(t, "space")
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return "null"
		case 1:
			return strconv.FormatBool(rapid.Bool().Draw(t, "bool"))
		case 2:
			return rapid.SampledFrom([]string{"0", "-1", "1.50", "12345678901234567890", "1e400", "-0.0E-7"}).Draw(t, "number")
		case 3:
			return string(appendQuoted(nil, rapid.String().Draw(t, "text")))
		case 4:
			return rapid.SampledFrom([]string{`""`, `"\\"`, `"\""`, `"}]{["`, `"\u0041\ud83d\ude00"`}).Draw(t, "odd")
		case 5:
			return "[" + space + strings.Join(rapid.SliceOfN(anyJSON(depth-1), 0, 3).Draw(t, "items"), space+","+space) + "]"
		default:
			return objectJSON(depth).Draw(t, "object")
		}
	})
}

func objectJSON(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		space := rapid.SampledFrom([]string{"", "", " "}).Draw(t, "space")
		var parts []string
		for range rapid.IntRange(0, 12).Draw(t, "members") {
			key := rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `"d"`, `"\u0061"`, `"\\u0061"`, `"é"`, `"\u00e9"`, `"f"`, `"g"`, `"h"`, `"i"`, `"result"`, `""`, `"\\"`}).Draw(t, "key")
			parts = append(parts, space+key+space+":"+space+anyJSON(depth-1).Draw(t, "value"))
		}
		return "{" + strings.Join(parts, space+",") + space + "}"
	})
}

func TestMergeAgreesWithMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inputs := json.RawMessage(objectJSON(2).Draw(t, "inputs"))
		schemas := json.RawMessage(rapid.OneOf(
			objectJSON(1),
			rapid.Map(anyJSON(2), func(s string) string { return `{"input_schema":` + s + `}` }),
			rapid.Map(objectJSON(1), func(s string) string { return `{"input_schema":{"properties":` + s + `}}` }),
		).Draw(t, "schemas"))
		var deps []DependencyResult
		for range rapid.IntRange(0, 4).Draw(t, "dependencies") {
			deps = append(deps, DependencyResult{
				Ref:    rapid.SampledFrom([]string{"a", "b", "x", `\`}).Draw(t, "id"),
				Result: json.RawMessage(rapid.OneOf(anyJSON(2), objectJSON(2)).Draw(t, "result")),
				Legacy: rapid.Bool().Draw(t, "legacy"),
			})
		}
		got, err := Merge(inputs, schemas, deps)
		if err != nil {
			t.Fatalf("Merge: %v", err)
		}
		if want := mergeByMaps(inputs, schemas, deps); !json.Valid(got) || !reflect.DeepEqual(decode(got), any(want)) {
			t.Fatalf("Merge = %s, want %v", got, want)
		}
		keepsWhatIsNotOverwritten(t, inputs, schemas, got, deps)
	})
}

// keepsWhatIsNotOverwritten: inputs that [Task.Overwrites] does not name are as they were.
func keepsWhatIsNotOverwritten(t *rapid.T, inputs, schemas, merged json.RawMessage, deps []DependencyResult) {
	task := Task{Inputs: inputs, Schemas: schemas}
	for _, d := range deps {
		task.Dependencies = append(task.Dependencies, Dependency{Ref: d.Ref, Legacy: d.Legacy})
	}
	for _, object := range []json.RawMessage{inputs, merged} {
		for m := range members(object) {
			if name := m.name(); !task.Overwrites(name) && !bytes.Equal(lookup(inputs, name), lookup(merged, name)) {
				t.Fatalf("%q was %s and is %s", name, lookup(inputs, name), lookup(merged, name))
			}
		}
	}
}

func FuzzMerge(f *testing.F) {
	for _, s := range [][3]string{
		{`{}`, `{}`, `1`}, {`{"a":1}`, `{"input_schema":{"properties":{"a":{}}}}`, `{"result":{"a":2}}`},
		{`null`, ``, `"x"`}, {`{"a":"\u0061"}`, `{"input_schema":{}}`, `{"a":[{}]}`}, {`{"`, `{"\`, `"\`}, {`{"":""}`, ` `, `{"a" : }`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]), false)
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]), true)
	}
	f.Fuzz(func(t *testing.T, inputs, schemas, result []byte, legacy bool) {
		ChooseExecutor("n", inputs, schemas, Known{}) // must not panic, whatever it gets
		deps := []DependencyResult{{Ref: "d", Result: result, Legacy: legacy}, {Ref: "e", Result: json.RawMessage(`0`)}}
		got, err := Merge(inputs, schemas, deps)
		for _, text := range [][]byte{inputs, schemas, result} {
			if len(text) > 0 && !json.Valid(text) {
				return
			}
		}
		if err != nil {
			return
		}
		if !json.Valid(got) {
			t.Fatalf("Merge = %q, which is not JSON", got)
		}
		if want := mergeByMaps(inputs, schemas, deps); !reflect.DeepEqual(decode(got), any(want)) {
			t.Fatalf("Merge = %s, want %v", got, want)
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	inputs := json.RawMessage(`{"url":"https://example.org/","timeout":30,"headers":{"accept":"text/plain"}}`)
	for _, n := range []int{0, 1, 10, 10_000} {
		var deps []DependencyResult
		for i := range n {
			deps = append(deps, DependencyResult{Ref: fmt.Sprintf("task-%d", i), Result: json.RawMessage(`{"status_code":200,"body":"ok","success":true}`)})
		}
		b.Run(fmt.Sprintf("dependencies=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Merge(inputs, nil, deps); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
