package condition

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBind(t *testing.T) {
	for text, want := range map[string]string{
		`parameters.day == "x"`:                       `<day>.day == "x"`,
		`parameters["day"] > 1 && !parameters . n`:    `<day>["day"] > 1 && !<n> . n`,
		`has(parameters.day) || "n" in parameters`:    `has(<day>.day) || "n" in <>`,
		`inputs.parameters.day == 'parameters.day'`:   `inputs.parameters.day == 'parameters.day'`,
		`size(parameters) == parameters[inputs.x]`:    `size(<>) == <>[inputs.x]`,
		"parameters.`a-b` // parameters.day":          "<a-b>.`a-b` // parameters.day",
		`deps.all(d, d != parameters.day.x[0])`:       `deps.all(d, d != <day>.day.x[0])`,
		`parameters.map(p, p).size() > 0`:             `<>.map(p, p).size() > 0`,
		`parameters.day == "`:                         `parameters.day == "`,
		`parametersx + xparameters + parameters_.day`: `parametersx + xparameters + parameters_.day`,
		"true": "true",
		"r'\\' == parameters.a && ''' ' ''' != \"é\" && parameters.b": "r'\\' == <a>.a && ''' ' ''' != \"é\" && <b>.b",
	} {
		if got, _ := Bind(text, "parameters", func(member string) string { return "<" + member + ">" }); got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestColumnsOfBoundText: what is told of the bound text is told where it stands in the one that was written.
func TestColumnsOfBoundText(t *testing.T) {
	const text = "parameters.a > 1 &&\n  parameters.bb == parameters.a || 'é'"
	bound, written := Bind(text, "parameters", func(member string) string { return map[string]string{"a": "é", "bb": "<a long one>"}[member] })
	if bound == text {
		t.Fatal("nothing was bound")
	}
	was, is := strings.Split(text, "\n"), strings.Split(bound, "\n")
	for _, word := range []string{".a", "> 1", "&&", ".bb", "==", "||", "'é'"} {
		for line := range is {
			i, j := strings.LastIndex(is[line], word), strings.LastIndex(was[line], word)
			if i < 0 || j < 0 {
				continue
			}
			column, want := 1+utf8.RuneCountInString(is[line][:i]), 1+utf8.RuneCountInString(was[line][:j])
			if got := written(line+1, column); got != want {
				t.Errorf("%s, line %d, column %d: got %d, want %d", word, line+1, column, got, want)
			}
		}
	}
	if got := written(2, 8); got != 3 { // within a value: where the variable stands
		t.Errorf("got %d", got)
	}
	if _, written = Bind("a", "parameters", nil); written(1, 7) != 7 {
		t.Error("a text without the variable is the same")
	}
}
