package rawjson_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

func TestStorable(t *testing.T) {
	deep := strings.Repeat("[", rawjson.MaxDepth) + strings.Repeat("]", rawjson.MaxDepth)
	for _, row := range []struct {
		text   string
		around int
		want   string
	}{
		{"\uFEFF {\"a\": 1}\n", 0, `{"a": 1}`},
		{`["a\u0000\\u0000"]`, 0, `["a\ufffd\\u0000"]`},
		{"\"caf\xe9\"", 0, "\"caf\uFFFD\""},
		{deep, 0, deep},
		{deep, 1, ""},
		{"", 0, ""},
		{"nonsense", 0, ""},
	} {
		if got := string(rawjson.Storable([]byte(row.text), row.around)); got != row.want {
			t.Errorf("%.40q within %d: got %.40q, want %.40q", row.text, row.around, got, row.want)
		}
	}
}
