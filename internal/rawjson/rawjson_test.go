package rawjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// FuzzAgrees: what encoding/json takes is taken, and comes out the same.
func FuzzAgrees(f *testing.F) {
	for _, text := range []string{
		``, ` `, `null`, ` { } `, `{"a" : 1 , "a" : [ 2.50e+1, -0 ] }`, `"\ud800"`, "\"\xff\"", "\"\x00\"", `"\u0000"`, `{"a":1} x`, `[1,]`, `01`, `1.`, `nul`,
		`{"a"}`, `{"a":0,"a"`, `"é\/<>&` + "\u2028" + `"`, "\ufeff{}", strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if rawjson.Depth(text) > rawjson.MaxDepth {
			return // encoding/json has another bound
		}
		var want bytes.Buffer
		fault := json.Compact(&want, text)
		if got := rawjson.Check(text); (got == nil) != (fault == nil) {
			t.Errorf("Check(%q) = %v, encoding/json says %v", text, got, fault)
		}
		last, err := rawjson.LastNames(text)
		if (err == nil) != (fault == nil) || err == nil && (rawjson.CheckNames(last) != nil || asValue(t, last) != asValue(t, text)) {
			t.Errorf("LastNames(%q) = %q, %v", text, last, err)
		}
		if fault == nil && rawjson.CheckNames(text) != nil {
			if _, err := rawjson.Compact(text); err == nil || err.Error() != rawjson.CheckNames(text).Error() || bytes.Equal(last, text) {
				t.Errorf("Compact(%q): %v, LastNames: %q", text, err, last)
			}
			return
		}
		if fault == nil {
			if got := rawjson.AppendCompact(nil, text); !bytes.Equal(got, want.Bytes()) {
				t.Errorf("AppendCompact(%q) = %q, want %q", text, got, want.Bytes())
			}
			from := rawjson.SkipSpace(text, 0)
			if got := rawjson.SkipValue(text, from); rawjson.SkipSpace(text, got) != len(text) {
				t.Errorf("SkipValue(%q, %d) = %d", text, from, got)
			}
		}
		got, err := rawjson.Compact(text)
		if (err == nil) != (fault == nil) || err == nil && !bytes.Equal(got, want.Bytes()) {
			t.Errorf("Compact(%q) = %q, %v, want %q, %v", text, got, err, want.Bytes(), fault)
		}
	})
}

// TestSpecial puts each byte at each place of a word, beside bytes that must not be taken for it.
func TestSpecial(t *testing.T) {
	for c := range 256 {
		for _, beside := range []byte{'a', '!', '#', ' ', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
			for at := range 20 {
				text := bytes.Repeat([]byte{beside}, 20)
				text[at] = byte(c)
				want := len(text)
				if c == '"' || c == '\\' || c < ' ' {
					want = at
				}
				for from := range at + 1 {
					if got := rawjson.Special(text, from); got != want {
						t.Fatalf("Special(%q, %d) = %d, want %d", text, from, got, want)
					}
				}
			}
		}
	}
	if got := rawjson.Special([]byte(`a"bcdefgh"`), 2); got != 9 {
		t.Errorf("Special = %d, want 9", got)
	}
}

// asValue is how a reader in Go takes it.
func asValue(t *testing.T, text []byte) string {
	var value any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return fmt.Sprintf("%#v", value)
}

func TestRepeatedNames(t *testing.T) {
	many := func(format string) string {
		var b strings.Builder
		for i := range 200 {
			fmt.Fprintf(&b, format, i, i)
		}
		return b.String()
	}
	for name, tt := range map[string]struct{ text, path, last string }{
		"none":                      {`{"a":{"b":1},"b":[{"a":1},{"a":2}]}`, "", `{"a":{"b":1},"b":[{"a":1},{"a":2}]}`},
		"at the top":                {`{"a":1,"a":2}`, ".a", `{"a":2}`},
		"with space":                {` { "a" : 1 , "b" : 3 , "a" : 2 } `, ".a", ` { "b" : 3 , "a" : 2 } `},
		"written in two ways":       {`{"a":1,"\u0061":2}`, ".a", `{"\u0061":2}`},
		"below":                     {`{"a":[0,{"b":{"c":1,"d":2,"c":3}}]}`, ".a[1].b.c", `{"a":[0,{"b":{"d":2,"c":3}}]}`},
		"below a name that repeats": {`{"a":{"b":1,"b":2},"a":{"c":1,"c":{"d":1}}}`, ".a.b", `{"a":{"c":{"d":1}}}`},
		"three times":               {`{"a":1,"b":0,"a":2,"a":"a"}`, ".a", `{"b":0,"a":"a"}`},
		"in an array at the top":    {`[1,{"a":1,"a":2}]`, "[1].a", `[1,{"a":2}]`},
		"a name that is a number":   {`{"0":{"0":1,"0":2}}`, ".0.0", `{"0":{"0":2}}`},
		"a name with a slash":       {`{"a/b~c":1,"a/b~c":2}`, ".a/b~c", `{"a/b~c":2}`},
		"case matters":              {`{"a":1,"A":2}`, "", `{"a":1,"A":2}`},
		"among many":                {"{" + many(`"k%d":%d,`) + `"k77":0}`, ".k77", "{" + strings.Replace(many(`"k%d":%d,`), `"k77":77,`, "", 1) + `"k77":0}`},
	} {
		err := rawjson.CheckNames([]byte(tt.text))
		bad, _ := errors.AsType[*rawjson.RepeatedError](err)
		if (err != nil) != (tt.path != "") || bad != nil && bad.Path != tt.path {
			t.Errorf("%s: got %v, want %q", name, err, tt.path)
		}
		if last, err := rawjson.LastNames([]byte(tt.text)); err != nil || string(last) != tt.last {
			t.Errorf("%s: got %s, %v, want %s", name, last, err, tt.last)
		}
	}
	for _, text := range []string{`{"a":1,"a":2`, `{"a":1,"a":}`, `{"a":1,"a":2}x`, ``, `{"a" 1}`} {
		if _, err := rawjson.LastNames([]byte(text)); !errors.Is(err, rawjson.ErrNotJSON) {
			t.Errorf("%s: got %v, want not JSON", text, err)
		}
	}
}

// BenchmarkResult checks a result of usual size, as each task's is.
func BenchmarkResult(b *testing.B) {
	text := []byte(`{"command":"echo hello","return_code":0,"stdout":"hello","stderr":"","success":true,"attempt":1,"host":"worker-7"}`)
	b.Run("Check", func(b *testing.B) {
		for b.Loop() {
			if rawjson.Check(text) != nil {
				b.Fatal()
			}
		}
	})
	b.Run("LastNames", func(b *testing.B) {
		for b.Loop() {
			if _, err := rawjson.LastNames(text); err != nil {
				b.Fatal()
			}
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	nested := func(open, shut string, depth int) []byte {
		return []byte(strings.Repeat(open, depth) + "1" + strings.Repeat(shut, depth))
	}
	for name, tt := range map[string]struct {
		text  []byte
		fault string
	}{
		"arrays":                  {nested("[", "]", rawjson.MaxDepth), ""},
		"objects":                 {nested(`{"a":`, "}", rawjson.MaxDepth), ""},
		"wide, not deep":          {[]byte("[" + strings.Repeat("[[]],", 1000) + "1]"), ""},
		"brackets within text":    {[]byte(`"` + strings.Repeat(`[\"{`, 1000) + `"`), ""},
		"arrays too deep":         {nested("[", "]", rawjson.MaxDepth+1), "nested deeper"},
		"objects too deep":        {nested(`{"a":`, "}", rawjson.MaxDepth+1), "nested deeper"},
		"after text with escapes": {append([]byte(`["\\",`), append(nested("[", "]", rawjson.MaxDepth), ']')...), "nested deeper"},
		"never closed":            {[]byte(strings.Repeat("[", 1_000_000)), "nested deeper"},
		"not JSON":                {[]byte("[1"), "not JSON"},
	} {
		err := rawjson.Check(tt.text)
		_, compacted := rawjson.Compact(tt.text)
		if (err == nil) != (tt.fault == "") || err != nil && !strings.HasPrefix(err.Error(), tt.fault) || (compacted == nil) != (err == nil) {
			t.Errorf("%s: got %v and %v, want %q", name, err, compacted, tt.fault)
		}
	}
}

func TestUnmarshal(t *testing.T) {
	type target struct {
		Value json.RawMessage `json:"value"`
		Fail  *string         `json:"fail"`
	}
	var got target
	if err := rawjson.Unmarshal([]byte(`{"value":1,"Fail":"no","x":{"fail":"no"},"value": {"a": 2.50} }`), &got); err != nil || string(got.Value) != `{"a": 2.50}` || got.Fail != nil {
		t.Errorf("got %s, %v, %v", got.Value, got.Fail, err)
	}
	if err := rawjson.Unmarshal([]byte(`{"fail":7}`), &got); err == nil || !strings.Contains(err.Error(), "fail") {
		t.Errorf("a number for a text: got %v, want an error that names the field", err)
	}
	if err := rawjson.Unmarshal([]byte(`{} {}`), &got); err == nil {
		t.Error("two values: got no error")
	}
}

// FuzzUnquote: a string is decoded as encoding/json does, and is not whole if that puts a U+FFFD where the text has none.
func FuzzUnquote(f *testing.F) {
	for _, text := range []string{``, `a`, `\n\"\\\/`, `\u0041\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00\ud83d`, `\ud83d\ud83d\ude00`, `\ufffd`, "\ufffd", `\uD800x\uFFFD`, `\\ud800`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		quoted := []byte(`"` + inner + `"`)
		var want string
		if !utf8.ValidString(inner) || json.Unmarshal(quoted, &want) != nil {
			return
		}
		got, whole := rawjson.Unquote(quoted)
		spelt := strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(inner), `\\`, ""), `\ufffd`, "\ufffd")
		if got != want || whole != (strings.Count(want, "\ufffd") == strings.Count(spelt, "\ufffd")) {
			t.Errorf("Unquote(%s) = %q, %v, want %q", quoted, got, whole, want)
		}
	})
}
