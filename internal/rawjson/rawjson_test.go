package rawjson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// FuzzAgrees: what encoding/json takes is taken, and comes out the same.
func FuzzAgrees(f *testing.F) {
	for _, text := range []string{
		``, ` `, `null`, ` { } `, `{"a" : 1 , "a" : [ 2.50e+1, -0 ] }`, `"\ud800"`, "\"\xff\"", "\"\x00\"", `"\u0000"`, `{"a":1} x`, `[1,]`, `01`, `1.`, `nul`,
		`{"a"}`, `"é\/<>&` + "\u2028" + `"`, "\ufeff{}", strings.Repeat("[", 100) + strings.Repeat("]", 100),
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
		got, err := rawjson.Compact(text)
		if (err == nil) != (fault == nil) || err == nil && !bytes.Equal(got, want.Bytes()) {
			t.Errorf("Compact(%q) = %q, %v, want %q, %v", text, got, err, want.Bytes(), fault)
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
