package treedoc

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestEdgeMode: what an update says of a dependency is read as a tree's is, and each fault has its path.
func TestEdgeMode(t *testing.T) {
	mode := func(accept []string, otherwise string, order, skips bool) dag.EdgeMode {
		m, _ := dag.EdgeOf(accept, otherwise, order, skips)
		return m
	}
	for text, want := range map[string]dag.EdgeMode{
		`{"id":"a"}`:                     0,
		`{"id":"a","required":false}`:    0,
		`{"id":"a","accept":["failed"]}`: mode([]string{"failed"}, "", false, false),
		`{"name":"a","accept":"any"}`:    mode([]string{"any"}, "", false, false),
		`{"id":"a","otherwise":"skip"}`:  mode(nil, "skip", false, false),
		`{"id":"a","merge":false}`:       mode(nil, "", true, false),
		`{"id":"a","skips":true}`:        mode(nil, "", false, true),
		`{"id":"a","type":"x","accept":["success","blocked"],"otherwise":"block"}`: mode([]string{"success", "blocked"}, "block", false, false),
	} {
		if got, faults := EdgeMode([]byte(text)); got != want || len(faults) > 0 {
			t.Errorf("%s: got %b with %v, want %b", text, got, faults, want)
		}
	}
	for text, want := range map[string][]string{
		`{"id":"a","accept":[]}`:                              {".accept"},
		`{"id":"a","accept":["failed","done"]}`:               {".accept[1]"},
		`{"id":"a","accept":"all"}`:                           {".accept"},
		`{"id":"a","otherwise":"fail","merge":"no","note":1}`: {".otherwise", ".merge", ".note"},
	} {
		_, faults := EdgeMode([]byte(text))
		var fields []string
		for _, f := range faults {
			fields = append(fields, f.Field)
		}
		if !slices.Equal(fields, want) {
			t.Errorf("%s: faults of %q, want %q", text, fields, want)
		}
	}
}
