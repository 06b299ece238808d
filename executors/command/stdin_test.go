package command

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func TestStdinFrom(t *testing.T) {
	inputs := json.RawMessage(`{"fetch":{"body":"b,a\n","json":{"n":[1]},"none":null},"a/b":{"~":"tilde"},
		"mine":{"stdout":" x","encoding":"base64","stdout_trimmed":["a","b"]},
		"image":{"url":"u","status_code":200,"headers":{},"method":"GET","body":"/9j/","encoding":"base64"},
		"there":{"command":"c","return_code":0,"stdout":"a\n","stderr":"","success":true,"host":"h","username":"u"},
		"bad":{"url":"u","status_code":200,"headers":{},"method":"GET","body":"?","encoding":"base64"}}`)
	for pointer, want := range map[string]string{
		"/fetch/body":   "b,a\n",
		"/fetch/json":   `{"n":[1]}`,
		"/fetch/none":   "null",
		"/a~1b/~0":      "tilde",
		"/there/stdout": "a\n", // of ssh_executor
		"/mine/stdout":  " x",  // of an executor that only happens to use the key
		"/image/body":   "\xff\xd8\xff",
	} {
		if got, err := stdinFrom(inputs, pointer); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", pointer, got, err, want)
		}
	}
	for _, pointer := range []string{"fetch", "/nothing", "/fetch/body/deeper", "/", "/bad/body"} {
		if _, err := stdinFrom(inputs, pointer); !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent error", pointer, err)
		}
	}
}

// TestStdinFromSaysWhatIsThere: the reference that is wrong stands in the error, beside those that there are.
func TestStdinFromSaysWhatIsThere(t *testing.T) {
	many := map[string]int{}
	for i := range 10 {
		many[fmt.Sprint(i, strings.Repeat("x", 100))] = i
	}
	for _, row := range []struct {
		inputs  any
		pointer string
		want    string
	}{
		{map[string]any{"fetch orders": map[string]any{"body": "b"}, "stdin_from": "…"}, "/fetch-orders/body",
			`stdin_from: "/fetch-orders/body" is not there: the input has no "fetch-orders", only "fetch orders", "stdin_from"`},
		{map[string]any{"fetch": map[string]any{"body": "b"}}, "/fetch/bodies", `stdin_from: "/fetch/bodies" is not there: "fetch" has no "bodies", only "body"`},
		{map[string]any{"fetch": "text"}, "/fetch/body", `stdin_from: "/fetch/body" is not there: "fetch" has no "body"`},
		{many, "/a", `"7` + strings.Repeat("x", 63) + `" and 2 more`},
	} {
		inputs, err := json.Marshal(row.inputs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = stdinFrom(inputs, row.pointer); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
}

// What a command writes is what the next one reads, whatever the result shows.
func TestOutputReachesAnotherCommandAsItWas(t *testing.T) {
	e := New(Config{Allow: true})
	run := func(in any) *Result {
		t.Helper()
		call, _ := conformance.Call(t, in)
		got, err := e.Run(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		return got.Value().(*Result)
	}
	for _, output := range []string{
		"", "\n", " ", "a", "a\n", "a\n\n", "\n a\tb \r\n", "é\u00a0", "1\n2\n3\n", "\xff", "a\x00b\n", "\xc3", " \x1f\x8b\x08 ",
	} {
		for _, stream := range []string{"stdout", "stderr"} {
			first := run(map[string]any{"command": "base64 -d" + map[string]string{"stdout": "", "stderr": " >&2"}[stream],
				"stdin": base64.StdEncoding.EncodeToString([]byte(output))})
			second := run(map[string]any{"command": "base64 -w0", "first": first, "stdin_from": "/first/" + stream})
			if want := base64.StdEncoding.EncodeToString([]byte(output)); second.Stdout != want {
				t.Errorf("%q by %s: got %s, want %s", output, stream, second.Stdout, want)
			}
		}
	}
	lines := run(map[string]any{"command": "printf '1\\n2\\n'"})
	if got := run(map[string]any{"command": "while read line; do echo got $line; done", "lines": lines, "stdin_from": "/lines/stdout"}); got.Stdout != "got 1\ngot 2" {
		t.Errorf("got %q", got.Stdout)
	}
}
