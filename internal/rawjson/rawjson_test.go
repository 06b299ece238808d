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
		if len(text) > 5000 {
			return // they count the depth of 10 000 differently
		}
		var want bytes.Buffer
		fault := json.Compact(&want, text)
		if got := rawjson.Valid(text); got != (fault == nil) {
			t.Errorf("Valid(%q) = %v, encoding/json says %v", text, got, fault)
		}
		got, err := rawjson.Compact(text)
		if (err == nil) != (fault == nil) || err == nil && !bytes.Equal(got, want.Bytes()) {
			t.Errorf("Compact(%q) = %q, %v, want %q, %v", text, got, err, want.Bytes(), fault)
		}
	})
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
