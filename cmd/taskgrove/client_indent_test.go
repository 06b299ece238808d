package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestIndentedAsEncodingJSONDoes(t *testing.T) {
	for _, text := range []string{`1`, `"a\"{,:"`, `{}`, `[]`, `{"a":[],"b":{},"c":[1,{"d":"\\"}],"e":"[]"}`, `[[[[1,2],[3]]]]`} {
		var want bytes.Buffer
		if err := json.Indent(&want, []byte(text), "", "  "); err != nil {
			t.Fatal(err)
		}
		if got := string(indented([]byte(text))); got != want.String() {
			t.Errorf("%s: got\n%s\nwant\n%s", text, got, &want)
		}
	}
	if got := string(indented([]byte("{no"))); got != "{no" {
		t.Errorf("got %q", got)
	}
}

// TestIndentationIsBounded: 18 kB of nested arrays once became 154 MiB.
func TestIndentationIsBounded(t *testing.T) {
	for fact, text := range map[string]string{
		"deep":          strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"deep and wide": strings.Repeat("[", 250) + strings.Repeat("1,", 100_000) + "1" + strings.Repeat("]", 250),
	} {
		got := indented([]byte(text))
		var back bytes.Buffer
		if err := json.Compact(&back, got); err != nil || back.String() != text {
			t.Errorf("%s: not the same value: %v", fact, err)
		}
		if len(got) > 2*len(text) {
			t.Errorf("%s: %d bytes became %d", fact, len(text), len(got))
		}
	}
}
