package command

import (
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
)

func TestStdinFrom(t *testing.T) {
	inputs := json.RawMessage(`{"fetch":{"body":"b,a\n","json":{"n":[1]},"none":null},"a/b":{"~":"tilde"}}`)
	for pointer, want := range map[string]string{
		"/fetch/body": "b,a\n",
		"/fetch/json": `{"n":[1]}`,
		"/fetch/none": "null",
		"/a~1b/~0":    "tilde",
	} {
		if got, err := stdinFrom(inputs, pointer); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", pointer, got, err, want)
		}
	}
	for _, pointer := range []string{"fetch", "/nothing", "/fetch/body/deeper", "/"} {
		if _, err := stdinFrom(inputs, pointer); !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent error", pointer, err)
		}
	}
}
