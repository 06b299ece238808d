package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonical(t *testing.T) {
	seen := map[string][]string{}
	for name, spellings := range map[string][]string{ // all of a row are one value, and no two rows are
		"null": {`null`, ` null `}, "true": {`true`}, "false": {`false`}, "text of a word": {`"null"`, `"nul\u006c"`},
		"keys in any order":       {`{"a":1,"b":2}`, `{"b":2,"a":1}`, "{ \"b\" : 2 ,\n\t\"a\":1 }", `{"\u0061":1,"b":2}`},
		"nested keys":             {`[{"x":{"c":[1],"a":{}},"b":0}]`, `[{"b":0,"x":{"a":{},"c":[1]}}]`},
		"one":                     {`1`, `1.0`, `1.00`, `1e0`, `10e-1`, `0.1E+1`, `100e-002`},
		"minus one":               {`-1`, `-1.0`, `-0.1e1`},
		"ten":                     {`10`, `1e1`, `1.0e+01`, `0.01e3`},
		"zero":                    {`0`, `-0`, `0.0`, `0e99`, `-0.00E-7`},
		"a tenth":                 {`0.1`, `0.10`, `1e-1`, `10e-2`},
		"2^53":                    {`9007199254740992`, `9007199254740992.0`, `9.007199254740992e15`},
		"2^53+1":                  {`9007199254740993`, `9007199254740993.000`},
		"a large integer":         {`12345678901234567890123`, `1.2345678901234567890123e22`},
		"its neighbour":           {`12345678901234567890124`},
		"beyond a double":         {`1e400`, `10e399`, `1` + strings.Repeat("0", 400)},
		"beyond any exponent":     {`1e99999999999999999999`, `1e+099999999999999999999`},
		"below any exponent":      {`1e-99999999999999999999`},
		"an accent":               {`"é"`, `"\u00e9"`, `"\u00E9"`},
		"two code points":         {`"e\u0301"`, "\"e\u0301\""},
		"beyond the first plane":  {`"😀"`, `"\ud83d\ude00"`, `"\uD83D\uDE00"`},
		"half of a pair":          {`"\ud83d"`, `"\uD83D"`},
		"the other half":          {`"\ude00"`},
		"halves the wrong way":    {`"\ude00\ud83d"`},
		"half before an escape":   {`"\ud83d\n"`, `"\ud83d\u000a"`},
		"what is not a character": {`"\ufffd"`, `"�"`},
		"a slash":                 {`"/"`, `"\/"`, `"\u002f"`},
		"escapes":                 {`"\"\\\b\f\n\r\t"`, `"\u0022\u005c\u0008\u000c\u000a\u000d\u0009"`},
		"a backslash and a u":     {`"\\u00e9"`, `"\u005cu00e9"`},
		"one element":             {`[1]`, `[ 1.0 ]`}, "two": {`[1,1]`}, "none": {`[]`, `[ ]`}, "an array of one": {`[[1]]`},
		"the order of elements": {`[2,1]`}, "the other": {`[1,2]`},
		"no member": {`{}`, `{ }`}, "a null member": {`{"a":null}`}, "a text for a number": {`"1"`},
	} {
		for _, text := range spellings {
			got := AppendCanonical([]byte("before "), []byte(text))
			if want := AppendCanonical([]byte("before "), []byte(spellings[0])); !bytes.Equal(got, want) {
				t.Errorf("%s: %s becomes %q, and %s becomes %q", name, text, got, spellings[0], want)
			}
		}
		seen[string(AppendCanonical(nil, []byte(spellings[0])))] = append(seen[string(AppendCanonical(nil, []byte(spellings[0])))], name)
	}
	for form, names := range seen {
		if len(names) > 1 {
			t.Errorf("%q are all %q", names, form)
		}
	}
}

// TestCanonicalAgreesWithDecoding: two texts have one form exactly when they decode to the same.
func TestCanonicalAgreesWithDecoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.OneOf(anyJSON(3), objectJSON(3)).Draw(t, "a"), rapid.OneOf(anyJSON(3), objectJSON(3)).Draw(t, "b")
		same := bytes.Equal(AppendCanonical(nil, []byte(a)), AppendCanonical(nil, []byte(b)))
		if want := reflect.DeepEqual(exactly(t, a), exactly(t, b)); same != want && !repeatsKeys(a) && !repeatsKeys(b) {
			t.Fatalf("%s and %s are the same: %v, want %v", a, b, same, want)
		}
		var respelt bytes.Buffer
		if err := json.Indent(&respelt, []byte(a), " ", "\t"); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(AppendCanonical(nil, []byte(a)), AppendCanonical(nil, respelt.Bytes())) {
			t.Fatalf("white space makes a difference to %s", a)
		}
	})
}

// exactly decodes a text, with each number as a fraction.
func exactly(t *rapid.T, text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return fractions(v)
}

func fractions(v any) any {
	switch v := v.(type) {
	case json.Number:
		r, ok := new(big.Rat).SetString(string(v))
		if !ok {
			return "number " + string(v)
		}
		return "number " + r.String()
	case string:
		return "text " + v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = fractions(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			out[k] = fractions(v[k])
		}
		return out
	}
	return v
}

// repeatsKeys reports whether an object of the text has a key twice, which is refused before anything is compared.
func repeatsKeys(text string) bool {
	if !isObject([]byte(text)) && !strings.HasPrefix(strings.TrimSpace(text), "[") {
		return false
	}
	return strings.Count(text, `":`) != countKeys(text)
}

func countKeys(text string) int {
	var v any
	_ = json.Unmarshal([]byte(text), &v)
	var count func(any) int
	count = func(v any) (n int) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				n += count(e)
			}
		case map[string]any:
			for _, e := range v {
				n += 1 + count(e)
			}
		}
		return n
	}
	return count(v)
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{``, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `[`, `[,`, `]`, `"\`, `"\u`, `"\u12`, `-`, `1e`, `e`, `.`, `"\ud800\u`, `{"a":1 "b"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		got := AppendCanonical(nil, text)
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			t.Fatal(err)
		}
		if again := AppendCanonical(nil, compact.Bytes()); !slices.Equal(got, again) {
			t.Fatalf("%q becomes %q, without white space %q", text, got, again)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	var flat []string
	for i := range 1000 {
		flat = append(flat, fmt.Sprintf(`"key%d":{"url":"https://example.org/","n":%d,"ok":true}`, i, i))
	}
	for name, text := range map[string]string{"a task's inputs": `{"url":"https://example.org/","timeout":30,"headers":{"accept":"text/plain"}}`,
		"many members":       "{" + strings.Join(flat, ",") + "}",
		"deep, out of order": strings.Repeat(`{"b":1,"a":`, 250) + `"` + strings.Repeat("x", 1<<20) + `"` + strings.Repeat("}", 250)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				out = AppendCanonical(out[:0], []byte(text))
			}
		})
	}
}
