package main

import (
	"strings"
	"testing"
)

// Labels are read as kubectl reads them.
func TestLabelFlag(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fact    string
		selects bool
		given   []string
		want    string // what was read, or with ! what the error says
	}{
		{"one", false, []string{"team=data"}, "team=data"},
		{"several, and again", false, []string{"team=data,env=prod", "a=b"}, "a=b,env=prod,team=data"},
		{"an empty value", false, []string{"team="}, "team="},
		{"a value with =", false, []string{"q=a=b"}, "q=a=b"},
		{"== is =", true, []string{"team==data"}, "team=data"},
		{"a key alone selects", true, []string{"team, env=prod"}, "env=prod,team="},
		{"a key alone labels nothing", false, []string{"team"}, "!write team=VALUE"},
		{"no key", false, []string{"=x"}, "!letters"},
		{"the same twice", false, []string{"a=b", "a=b"}, "a=b"},
		{"two values", false, []string{"a=b,a=c"}, "!twice"},
	} {
		f, err := labelFlag{selects: tt.selects}, error(nil)
		for _, text := range tt.given {
			if e := f.Set(text); e != nil {
				err = e
			}
		}
		if want, fails := strings.CutPrefix(tt.want, "!"); fails != (err != nil) || fails && !strings.Contains(err.Error(), want) || !fails && f.String() != want {
			t.Errorf("%s: got %q, %v, want %q", tt.fact, f.String(), err, tt.want)
		}
	}
}
