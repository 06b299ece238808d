package treefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest/phrases"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

func TestYAMLKeepsWhatItSays(t *testing.T) {
	for text, want := range map[string]string{
		"a: 123456789012345678901234567890":           `{"a":123456789012345678901234567890}`,
		"a: 18446744073709551616":                     `{"a":18446744073709551616}`,
		"a: -9223372036854775809":                     `{"a":-9223372036854775809}`,
		"a: 9007199254740993":                         `{"a":9007199254740993}`,
		"a: [012, -0644, 08, 0_1, 0, 0.5, !!int 012]": `{"a":["012","-0644","08","0_1",0,0.5,10]}`,
		"a: 1e3": `{"a":1e3}`,
		"a: [-1E+3, +5, .5, 5., 1.10, -0.0, +1e2]":                              `{"a":[-1E+3,5,0.5,5.0,1.10,-0.0,1e2]}`,
		"a: [0x1F, 0o17, 0b11, 1_000, 0xFFFFFFFFFFFFFFFFFF]":                    `{"a":[31,15,3,1000,4722366482869645213695]}`,
		"a: ['1e3', \"12\", 1.2.3, 12:30, 1e, e3, 0x, _, 1_, ., +, '']":         `{"a":["1e3","12","1.2.3","12:30","1e","e3","0x","_","1_",".","+",""]}`,
		"a: [yes, no, on, True, FALSE, ~, null, ]":                              `{"a":["yes","no","on",true,false,null,null]}`,
		"a: !!str 1\nb: !!int '3'\nc: !!float 1e3\nd: !!bool true\ne: !!null ~": `{"a":"1","b":3,"c":1e3,"d":true,"e":null}`,
		"a: !!timestamp 2030-01-01\nb: !!set {x, y}":                            `{"a":"2030-01-01","b":{"x":null,"y":null}}`,
		"a: 2030-01-01\nb: 2030-01-01T00:00:00Z":                                `{"a":"2030-01-01","b":"2030-01-01T00:00:00Z"}`,
		"a: |\n  x\n  y\nb: >\n  x\n  y\n":                                      `{"a":"x\ny\n","b":"x y\n"}`,
		"a: \"x\\x01\\u00e9<&\"":                                                `{"a":"x\u0001é<&"}`,
		"d: &d {x: 1, y: 2}\na: {<<: *d, y: 3}":                                 `{"d":{"x":1,"y":2},"a":{"x":1,"y":3}}`,
		"a: {<<: [{x: 1}, {x: 2, y: 3}], z: 4}":                                 `{"a":{"x":1,"y":3,"z":4}}`,
		"a: &a [1]\nb: *a\nc: &a 2\nd: *a":                                      `{"a":[1],"b":[1],"c":2,"d":2}`,
		"1: a\ntrue: b\nnull: c\n1.5: d":                                        `{"1":"a","true":"b","null":"c","1.5":"d"}`,
		"%YAML 1.2\n---\na: 1\n...\n":                                           `{"a":1}`,
		"- a\n-\n- b: 1\n  c:\n":                                                `["a",null,{"b":1,"c":null}]`,
	} {
		f, err := Decode("FILE", []byte(text))
		got := f.JSON
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", text, got, err, want)
		}
		if !json.Valid(got) || len(f.origins) == 0 {
			t.Errorf("%s: %s is not JSON, or has no origin", text, got)
		}
	}
}

func TestLocate(t *testing.T) {
	text := "{\"tasks\": [ {\"name\":\"a\"},\n {\"a.b\":1, \"dependencies\" : [\"x\",\n{\"id\":7}], \"name\":1, \"name\":2, \"retry\":{\"max_delay\":0}} ]}"
	for field, want := range map[string]string{
		"0 ": `{"name":"a"}`, "1 ": `{"a.b"`, "1 a.b": `"a.b"`, "1 dependencies[1].id": `"id":7`, "1 dependencies[0]": `"x"`, "1 dependencies[9]": `"dependencies"`,
		"1 name": `"name":2`, "1 retry.max_delay": `"max_delay"`, "1 retry.x": `"retry"`, "1 nothing": `{"a.b"`, "7 name": `{"tasks"`,
	} {
		var index int
		var path string
		_, _ = fmt.Sscanf(field, "%d %s", &index, &path)
		if at := locate([]byte(text), index, path); !strings.HasPrefix(text[at:], want) {
			t.Errorf("%s: found %.12q, want %q", field, text[at:], want)
		}
	}
	if at := locate([]byte(` {"name":1}`), 0, "name"); at != 2 {
		t.Errorf("in one task: %d", at)
	}
	for i := range len(text) { // text that is cut off is no reason to panic
		locate([]byte(text[:i]), 1, "dependencies[1].id")
	}
}

// FuzzReadYAML: whatever a file holds, it is read or refused; what is read as YAML is JSON, and each place lies within the text.
func FuzzReadYAML(f *testing.F) {
	for _, s := range []string{
		"- {name: a}\n", "tasks:\n- name: &n a\n  inputs: {<<: {b: 1}, c: *n}\n", "a: [1e3, 0x1F, .5, !!int '3', ~]\n", "a: |\n  b\n", "? a\n: b\n",
		"a: &a [*a]", "\ufeff- name: a\n  dependecies: [b]\n", "[{\"name\":\"a\",\"priority\":\"x\"}]", "a: b: c", "- a: 1\n b: 2\n", "%YAML 1.2\n---\na: 1\n---\nb: 2", "<<: *x", "a: !!binary\n", "!!str", "&a", "*a", "{a: {", "- - - -", "'",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Decode("FILE", text)
		if err != nil {
			if found := phrases.In(err.Error()); len(found) > 0 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if file.origins != nil && !json.Valid(file.JSON) {
			t.Fatalf("%q became %q", text, file.JSON)
		}
		lines := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + 1
		for _, o := range file.origins {
			if o.at.Line > lines+1 || o.at.Line < 1 || o.at.Column < 1 {
				t.Errorf("%q: %+v lies outside", text, o)
			}
		}
		err = file.check(look{strict: true})
		if found := phrases.In(fmt.Sprint(err)); len(found) > 0 {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// TestYAMLAndJSONAreReadAlike writes a tree both ways.
func TestYAMLAndJSONAreReadAlike(t *testing.T) {
	yaml, err := Decode("a", []byte("tasks:\n- name: a\n  inputs: {x: 1.50, y: \"é\"}\n- {name: b, parent_id: a, dependencies: [a], timeout: 1e1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"tasks":[{"name":"a","inputs":{"x":1.50,"y":"é"}},{"name":"b","parent_id":"a","dependencies":["a"],"timeout":1e1}]}`
	if string(yaml.JSON) != want {
		t.Errorf("got %s", yaml.JSON)
	}
	if got := placeOf(yaml.origins, strings.Index(want, `"timeout"`)); !reflect.DeepEqual(got, treedoc.Position{Line: 4, Column: 46}) {
		t.Errorf("timeout stands at %+v", got)
	}
}

// TestNestingIsBounded: each of these takes the parser memory by the square of its depth.
func TestNestingIsBounded(t *testing.T) {
	deep := rawjson.MaxDepth + 50
	lines := func(line string) string {
		var b strings.Builder
		for i := range deep {
			fmt.Fprintf(&b, "%*s%s\n", i, "", line)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"open brackets":   "a: " + strings.Repeat("[", 200_000),
		"closed brackets": "a: " + strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"open braces":     strings.Repeat("{a: ", 50_000),
		"entries":         strings.Repeat("- ", 100_000),
		"lines of keys":   lines("x:"),
		"lines of dashes": lines("-"),
		"both":            strings.Repeat("- ", deep/2) + strings.Repeat("[", deep/2),
	} {
		if _, err := yamlToJSON([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "nested deeper than 256 levels") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	keys := func(n int, indent string) string { return strings.Repeat(indent+"k: 1\n", n) }
	for name, text := range map[string]string{
		"keys":              keys(10_001, ""),
		"keys with anchors": strings.Repeat("k: &a 1\n", 10_001),
		"keys of a key":     "a:\n" + keys(10_001, "  "),
		"keys of an entry":  "- k: 1\n" + keys(10_000, "  "),
		"around others":     strings.Repeat("k:\n  x: [{y: 1}]\n  z:\n  - 1\n", 10_001),
		"in a document":     "a: 1\n---\n" + keys(10_001, ""),
	} {
		if _, err := yamlToJSON([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "a map has more than 10000 keys: write it in braces") {
			t.Errorf("%s: got %.200v", name, err)
		}
	}
	for name, text := range map[string]string{
		"as many as there may be": keys(10_000, ""),
		"in braces":               "a: {" + strings.Repeat("k: 1, ", 20_000) + "}\nb: 1\n",
		"of several maps":         "a:\n" + keys(6000, "  ") + "b:\n" + keys(6000, "  "),
		"of entries":              "a:\n" + strings.Repeat("- x: 1\n  y: 2\n", 6000) + "b:\n- " + strings.Repeat("- x: 1\n  ", 6000) + "\n",
		"of documents":            strings.Repeat("---\n"+keys(6000, ""), 2),
	} {
		if _, err := yamlToJSON([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wide := "a: [" + strings.Repeat("[1], ", 5000) + "]\nb: '" + strings.Repeat("[", 5000) + "'\nc:\n" + strings.Repeat("- x: 1\n  y:\n  - 2\n", 5000)
	if _, err := yamlToJSON([]byte(wide)); err != nil {
		t.Errorf("wide, not deep: %v", err)
	}
}

func TestFaultsAreInTheOrderOfLines(t *testing.T) {
	misspelt := "- id: a\n  name: a\n  time_out: 3\n- id: b\n  name: b\n  parent_id: a\n  dependecies: [a]\n"
	for text, passable := range map[string]bool{
		misspelt: true,
		misspelt + "  priority: 9\n- id: c\n  name: c\n  parent_id: nobody\n": false,
	} {
		_, err := Read("-", Options{Stdin: strings.NewReader(text)})
		refused, ok := errors.AsType[*Error](err)
		if !ok || len(refused.Faults) < 2 || refused.Passable != passable {
			t.Fatalf("got %v", err)
		}
		if !slices.IsSortedFunc(refused.Faults, byPosition) {
			t.Errorf("not in the order of lines:\n%v", err)
		}
		if got := strings.Count(err.Error(), "--allow-unknown"); (got == 1) != passable || got > 1 {
			t.Errorf("--allow-unknown is named %d times:\n%v", got, err)
		}
	}
}
