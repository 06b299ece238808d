package jsonrpc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLastEventID: what is taken is a number that an event may have; all else is refused by the header's name.
func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{"", "0", "17", "-1", "9223372036854775807", "9223372036854775808", "1e3", " 5", "+5", "0x10", "\xff"} {
		f.Add(s, "")
		f.Add("", s)
	}
	f.Fuzz(func(t *testing.T, header, query string) {
		r := &http.Request{Header: http.Header{"Last-Event-Id": {header}}, URL: &url.URL{RawQuery: url.Values{"after": {query}}.Encode()}}
		after, given, err := lastEventID(r)
		text := header
		if text == "" {
			text = query
		}
		if after < 0 || given != (text != "" && err == nil) {
			t.Fatalf("%q: got %d, given %v, %v", text, after, given, err)
		}
		if err != nil && !strings.Contains(err.Error(), "Last-Event-ID") {
			t.Fatalf("%q: got %v, want the header's name", text, err)
		}
		if given {
			if back, _, err := lastEventID(&http.Request{Header: http.Header{"Last-Event-Id": {strconv.FormatInt(after, 10)}}, URL: &url.URL{}}); err != nil || back != after {
				t.Fatalf("%q: %d comes back as %d, %v", text, after, back, err)
			}
		}
	})
}

// FuzzParams: each kind of parameter is within its bounds or refused by its name, and what is cut out of the body is
// what encoding/json finds there.
func FuzzParams(f *testing.F) {
	for _, s := range []string{`"text"`, `"\u0000"`, `"\ud800"`, `5`, `5.0`, `1e999`, `-0`, `9007199254740993`, `true`, `null`, `[]`, `["a","b",3]`, `"a, b,,"`, `{}`, `{"a":1}`, `{"a":{"b":[1,{"c":"]}"}]}}`, `"` + strings.Repeat("x", 5000) + `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if check(value) != nil {
			return
		}
		raw := append(append([]byte(`{ "x" : `), value...), ` , "y":7}`...)
		read := func() *params {
			p, err := named(raw)
			if err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			return p
		}
		var slow map[string]json.RawMessage
		if err := json.Unmarshal(raw, &slow); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if p := read(); len(p.values) != 2 || strings.TrimSpace(string(p.values["x"])) != strings.TrimSpace(string(slow["x"])) {
			t.Fatalf("%q: got x = %q, want %q", raw, p.values["x"], slow["x"])
		}
		named := func(p *params) bool { return p.err == nil || strings.Contains(p.err.Error(), "x") }
		p := read()
		s := p.text("x")
		var want string
		if json.Unmarshal(value, &want) == nil && p.err == nil && s != want {
			t.Fatalf("%q: got %q, want %q", value, s, want)
		}
		if p.err == nil && (len(s) > maxTextBytes || strings.ContainsRune(s, 0) || !utf8.ValidString(s)) || !named(p) {
			t.Fatalf("%q: got text %q, %v", value, s, p.err)
		}
		if p = read(); p.err == nil {
			if n := p.number("x", 3, 1, 10); p.err == nil && (n < 1 || n > 10) || !named(p) {
				t.Fatalf("%q: got number %d, %v", value, n, p.err)
			}
		}
		p = read()
		if d := p.seconds("x", 1); p.err == nil && !(d > 0 && d <= 1e9) || !named(p) {
			t.Fatalf("%q: got %f seconds, %v", value, d, p.err)
		}
		p = read()
		if list := p.list("x"); p.err == nil {
			for _, s := range list {
				if len(s) > maxTextBytes || strings.ContainsRune(s, 0) {
					t.Fatalf("%q: got %q in a list", value, s)
				}
			}
			if len(list) > maxIDs {
				t.Fatalf("%q: got %d texts in a list", value, len(list))
			}
		}
		p = read()
		p.flag("x", false)
	})
}
