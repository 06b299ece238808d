package versions

import "testing"

func TestPick(t *testing.T) {
	history := []Commit{{"f", "0.3.0"}, {"e", "0.2.0"}, {"d", "0.2.0"}, {"c", "0.1.0"}}
	for _, row := range []struct {
		fact    string
		commits []Commit
		current string
		want    string
	}{
		{"the first commit of the value before", history, "0.3.0", "d"},
		{"the value is raised, but not committed", history, "0.4.0", "f"},
		{"there was one value only", history[3:], "0.1.0", "c"},
		{"it was set twice", []Commit{{"b", "0.1.0"}, {"a", "0.1.0"}}, "0.1.0", "a"},
		{"nobody has set it", nil, "0.1.0", ""},
	} {
		if got, ok := pick(row.commits, row.current); got.Hash != row.want || ok != (row.want != "") {
			t.Errorf("%s: got %+v, want %s", row.fact, got, row.want)
		}
	}
}
