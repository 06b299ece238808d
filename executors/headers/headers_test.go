package headers_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/headers"
)

// given reads headers as a task writes them.
func given(t *testing.T, text string) (h map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHeaders(t *testing.T) {
	call, _ := conformance.Call(t, `{}`)
	for name, row := range map[string]struct {
		given string
		auth  *headers.Auth
		want  string // "name: values"
	}{
		"a text":                         {`{"x-one": "a"}`, nil, "X-One: a"},
		"a number":                       {`{"x-one": 1.50}`, nil, "X-One: 1.50"},
		"a list":                         {`{"X-Many": ["a", true]}`, nil, "X-Many: a|true"},
		"the attempt's key":              {`{}`, nil, "Idempotency-Key: key-1"},
		"the attempt's number":           {`{}`, nil, "X-Taskgrove-Attempt: 1"},
		"a key of the task's own":        {`{"idempotency-key": "own"}`, nil, "Idempotency-Key: own"},
		"null stands for absent":         {`{"x-one": null}`, nil, "X-One: "},
		"bearer":                         {`{}`, &headers.Auth{Type: "bearer", Token: "t"}, "Authorization: Bearer t"},
		"basic":                          {`{}`, &headers.Auth{Type: "basic", Username: "u", Password: "p"}, "Authorization: Basic dTpw"},
		"api key":                        {`{}`, &headers.Auth{Type: "apikey", Key: "x-key", Value: "v"}, "X-Key: v"},
		"headers go before credentials":  {`{"authorization": "own"}`, &headers.Auth{Type: "bearer", Token: "t"}, "Authorization: own"},
		"a value of white space and tab": {`{"x-one": "a \t b"}`, nil, "X-One: a \t b"},
	} {
		t.Run(name, func(t *testing.T) {
			set, faults := headers.New(call, "headers", given(t, row.given), row.auth)
			key, value, _ := strings.Cut(row.want, ": ")
			if got := strings.Join(set.Header[key], "|"); got != value || len(faults) > 0 {
				t.Errorf("got %v and %v, want %s", set.Header, faults, row.want)
			}
		})
	}
}

func TestFaultsNameTheFieldAndShowNoValue(t *testing.T) {
	call, _ := conformance.Call(t, `{}`)
	_, faults := headers.New(call, "metadata", given(t, `{"a b": "hunter2", "c": {"d": "hunter2"}, "e": "hunter2\r\nf: g", "h": ["a", ["b"]]}`),
		&headers.Auth{Type: "bearer", Token: "hunter2\n"})
	want := []string{
		"auth: this can't be sent",
		`metadata: "a b" is not a name that can be sent`,
		"metadata: the value of c must be a string or a list of strings",
		"metadata: the value of e can't be sent",
		"metadata: the value of h must be a string or a list of strings",
	}
	if !slices.Equal(faults, want) {
		t.Errorf("got  %q\nwant %q", faults, want)
	}
	for _, auth := range []headers.Auth{{}, {Type: "bearer"}, {Type: "basic", Password: "p"}, {Type: "apikey", Key: "k"}, {Type: "digest", Token: "t"}} {
		if _, faults := headers.New(call, "headers", nil, &auth); len(faults) != 1 || !strings.HasPrefix(faults[0], "auth must be") {
			t.Errorf("%+v: got %q", auth, faults)
		}
	}
	if _, faults := headers.New(call, "headers", given(t, `{"x": "`+strings.Repeat("y", 64<<10)+`"}`), nil); len(faults) != 1 {
		t.Errorf("64 KiB: got %q", faults)
	}
}

func TestMask(t *testing.T) {
	call, _ := conformance.Call(t, `{}`)
	set, _ := headers.New(call, "headers", given(t, `{"authorization": "Bearer hunter2-word", "x-mode": "short", "user-agent": "somebody-else"}`),
		&headers.Auth{Type: "apikey", Key: "x-key", Value: "swordfish"})
	got := set.Mask("hunter2-word swordfish short somebody-else key-1")
	if want := "*** *** short somebody-else key-1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
