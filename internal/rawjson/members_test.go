package rawjson_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

func TestMembersAndElements(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "", ` { "a" : 1 , "b":{"c":[2]} ,"d":"x,}" } `: `"a"=1;"b"={"c":[2]};"d"="x,}";`, `{"a":null}`: `"a"=null;`,
		`[]`: "", ` [ 1 , "a]" ,{"b":[2]},[] ] `: `1;"a]";{"b":[2]};[];`, `[[[]]]`: `[[]];`, `7`: "", `"{"`: "", `null`: "", ``: "",
	} {
		if text != "" && !json.Valid([]byte(text)) {
			t.Fatalf("%s is not JSON", text)
		}
		got := ""
		for name, value := range rawjson.Members([]byte(text)) {
			got += fmt.Sprintf("%s=%s;", name, value)
		}
		for value := range rawjson.Elements([]byte(text)) {
			got += fmt.Sprintf("%s;", value)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for range rawjson.Members([]byte(`{"a":1,"b":2}`)) {
		break
	}
	for range rawjson.Elements([]byte(`[1,2]`)) {
		break
	}
}
