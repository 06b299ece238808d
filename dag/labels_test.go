package dag

import (
	"fmt"
	"strings"
	"testing"
)

// Labels are bounded, and what is wrong with them is named.
func TestLabels(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range MaxLabels + 1 {
		many[fmt.Sprint("k", i)] = ""
	}
	large := map[string]string{}
	for i := range 20 {
		large[fmt.Sprint("k", i)] = strings.Repeat("v", MaxLabelValueChars)
	}
	for _, tt := range []struct {
		fact   string
		labels map[string]string
		want   string // in the one fault; empty: none
	}{
		{"none", nil, ""},
		{"usual ones", map[string]string{"team": "data", "example.org/env": "prod", "a.b_c-9": "", "build": "feature/x=1 2"}, ""},
		{"the longest name", map[string]string{strings.Repeat("a", MaxLabelName): strings.Repeat("é", MaxLabelValueChars)}, ""},
		{"too many", many, "at most 64"},
		{"too much", large, "4096 bytes"},
		{"no key", map[string]string{"": "x"}, "1 to 63"},
		{"a long name", map[string]string{strings.Repeat("a", MaxLabelName+1): ""}, "1 to 63"},
		{"a name that begins with a dot", map[string]string{".a": ""}, "both ends"},
		{"a name with a space", map[string]string{"a b": ""}, "letters"},
		{"two slashes", map[string]string{"a/b/c": ""}, "letters"},
		{"an empty prefix", map[string]string{"/a": ""}, "DNS"},
		{"a prefix in capitals", map[string]string{"Example.org/a": ""}, "DNS"},
		{"a prefix with an empty part", map[string]string{"a..b/c": ""}, "DNS"},
		{"a NUL in a key", map[string]string{"a\x00": ""}, "letters"},
		{"a long value", map[string]string{"a": strings.Repeat("x", MaxLabelValueChars+1)}, "255"},
		{"a comma", map[string]string{"a": "x,y"}, "commas"},
		{"a line break", map[string]string{"a": "x\ny"}, "control"},
		{"a value that is no text", map[string]string{"a": "\xff"}, "UTF-8"},
		{"a space at the end", map[string]string{"a": "x "}, "space"},
	} {
		got := CheckLabels(tt.labels)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: got %q, want one with %q", tt.fact, got, tt.want)
		}
	}
}

// Only a root has labels, and faults in them are faults of the tree.
func TestLabelsOfATree(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fact        string
		root, child map[string]string
		want        string
	}{
		{"of a root", map[string]string{"a": "b"}, nil, ""},
		{"of a child", nil, map[string]string{"a": "b"}, "tasks[1].labels: only the root task may have them"},
		{"with two faults", map[string]string{"": "b", "c": ","}, nil, `tasks[0].labels: value of "c"`},
	} {
		b := NewBuilder(Limits{}, func() string { return "" })
		for _, task := range []*Task{{ID: "r", Name: "r", Labels: tt.root}, {ID: "c", Name: "c", ParentRef: "r", Labels: tt.child}} {
			if _, err := b.Add(task); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.Build()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.fact, err, tt.want)
		}
	}
}
