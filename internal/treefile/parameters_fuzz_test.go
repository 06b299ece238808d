package treefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParameters: a value that a parameter takes is of its type and within its bounds, as encoding/json sees it, and a task that asks for it is given just that, also when somebody types
// it. What is refused is refused for one of these reasons.
func FuzzParameters(f *testing.F) {
	for _, s := range []string{`"text"`, `"ü{{x}}"`, `5`, `5.0`, `-5`, `1e2`, `1.25`, `123456789012345678901234567890`, `true`, `null`, `[]`, `[1,2]`, `[1,"a"]`, `{}`, `{"a":{"b":[1]}}`, `"\u0000"`, `1e-400`, ` 7 `} {
		for kind := range uint8(6) {
			f.Add(kind, int16(-3), int16(9), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, low, high int16, value []byte) {
		if !json.Valid(value) || len(value) > 5000 || low > high || hugeExponent.Match(value) {
			return
		}
		kinds := []string{"string", "integer", "number", "boolean", "array", "object"}
		name := kinds[int(kind)%len(kinds)]
		bounds := ""
		switch name {
		case "string":
			bounds = fmt.Sprintf(", minLength: %d, maxLength: %d", max(0, low), max(0, high))
		case "integer", "number":
			bounds = fmt.Sprintf(", minimum: %d, maximum: %d", low, high)
		case "array":
			bounds = ", items: {type: integer}"
		}
		text := fmt.Sprintf("taskgrove: 1\nname: t\nparameters: {a: {type: %s, required: true%s}}\ntasks: [{name: x, executor: noop, inputs: {v: \"{{parameters.a}}\"}}]\n", name, bounds)
		given := &Arguments{}
		if err := given.JSON(append(append([]byte(`{"a":`), value...), '}')); err != nil {
			return // no JSON that is taken anywhere, such as a key that is there twice
		}
		file, err := Render("FILE", []byte(text), Options{Arguments: given})
		fits := fitsParameter(name, low, high, value)
		if err != nil {
			if fits && sound(value) {
				t.Fatalf("%s%s refuses %s: %v", name, bounds, value, err)
			}
			return
		}
		if !fits {
			t.Fatalf("%s%s takes %s", name, bounds, value)
		}
		got := inputOf(t, file)
		if !reflect.DeepEqual(number(t, got), number(t, value)) {
			t.Fatalf("%s %s is given on as %s", name, value, got)
		}
		typed := &Arguments{}
		word := string(bytes.TrimSpace(value))
		if name == "string" {
			_ = json.Unmarshal(value, &word)
		}
		if typed.Set("--set", "a="+word) != nil {
			t.Fatalf("%q can't be typed", word)
		}
		again, err := Render("FILE", []byte(text), Options{Arguments: typed})
		if err != nil {
			t.Fatalf("%s %s is refused when it is typed: %v", name, value, err)
		}
		if got := inputOf(t, again); !reflect.DeepEqual(number(t, got), number(t, value)) {
			t.Fatalf("%s %s, typed, is given on as %s", name, value, got)
		}
	})
}

// hugeExponent is in numbers that would take this test too long.
var hugeExponent = regexp.MustCompile(`[0-9][eE][+-]?0*[1-9][0-9]{3}`)

// inputOf is what the only task is given.
func inputOf(t *testing.T, file *File) json.RawMessage {
	var tree []struct{ Inputs map[string]json.RawMessage }
	var whole struct {
		Tasks json.RawMessage
	}
	list := json.RawMessage(file.JSON)
	if json.Unmarshal(list, &whole) == nil && whole.Tasks != nil {
		list = whole.Tasks
	}
	if err := json.Unmarshal(list, &tree); err != nil {
		t.Fatalf("%s: %v", file.JSON, err)
	}
	for _, task := range tree {
		if v, there := task.Inputs["v"]; there {
			return v
		}
	}
	t.Fatalf("no task of %s has the input", file.JSON)
	return nil
}

// number is a value with exact numbers.
func number(t *testing.T, raw []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return exact(v)
}

func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return r.RatString()
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	}
	return v
}

// sound reports whether nothing about a value is refused everywhere: it has no templates, no numbers beyond all bounds, and no text that can't be stored.
func sound(value []byte) bool {
	text := string(value)
	return utf8.Valid(value) && !strings.Contains(text, "{{") && !strings.Contains(text, `\u`) && !strings.ContainsAny(text, "eE") && len(text) < 15
}

// fitsParameter says in the plainest way whether a parameter takes a value.
func fitsParameter(kind string, low, high int16, raw []byte) bool {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return false
	}
	whole := func(v any) (*big.Rat, bool) {
		n, ok := v.(json.Number)
		if !ok || len(n) > 400 {
			return nil, false
		}
		r, ok := new(big.Rat).SetString(n.String())
		return r, ok
	}
	within := func(r *big.Rat) bool {
		return r.Cmp(new(big.Rat).SetInt64(int64(low))) >= 0 && r.Cmp(new(big.Rat).SetInt64(int64(high))) <= 0
	}
	switch kind {
	case "string":
		s, ok := v.(string)
		n := utf8.RuneCountInString(s)
		return ok && n >= int(max(0, low)) && n <= int(max(0, high))
	case "integer":
		r, ok := whole(v)
		return ok && r.IsInt() && within(r)
	case "number":
		r, ok := whole(v)
		return ok && within(r)
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "array":
		list, ok := v.([]any)
		for _, item := range list {
			r, is := whole(item)
			ok = ok && is && r.IsInt()
		}
		return ok
	}
	_, ok := v.(map[string]any)
	return ok
}
