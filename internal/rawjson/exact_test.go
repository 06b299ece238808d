package rawjson

import "testing"

func TestExact(t *testing.T) {
	names := []string{"host", "key_file"}
	for in, want := range map[string]string{
		`{"host": 1, "other": {"HOST": 2}}`:              `{"host": 1, "other": {"HOST": 2}}`,
		`{"Host": 1, "a": [1, 2], "\u004bey_file": "}"}`: `{"a":[1, 2]}`,
		`{"host": 1, "HOST": 2, "hoſt": 3}`:              `{"host":1}`,
		`{"\u212aey_file": 1}`:                           `{}`,
		`{"\u0068ost": 1}`:                               `{"\u0068ost": 1}`,
		`{}`:                                             `{}`,
		`[1]`:                                            `[1]`,
	} {
		if got := string(Exact([]byte(in), names)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
