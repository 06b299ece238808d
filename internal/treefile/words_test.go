package treefile

import (
	"strings"
	"testing"
)

// TestYAMLFaultsSpeakPlainly: each text is wrong in a way of its own.
func TestYAMLFaultsSpeakPlainly(t *testing.T) {
	for text, want := range map[string]string{
		"- name: a\n\tinputs: {}\n":      "<stdin>:2:1: not valid YAML: indent with spaces, not with a tab",
		"a: {b: 1\n":                     "<stdin>:1:4: not valid YAML: this '{' has no '}'",
		"a: [1, 2\n":                     "<stdin>:1:4: not valid YAML: this '[' has no ']'",
		"a: ]\n":                         "<stdin>:1:4: not valid YAML: this ']' has no '['",
		"a: [,1]\n":                      "there is nothing before this ','",
		"a: {b: 1\nc: 2}\n":              "a ',' or '}' is missing before this",
		"a: 'x\nb: 2\n":                  "this ' has no other one that ends the text",
		"a: \"x\nb: 2\n":                 "this \" has no other one that ends the text",
		"a: \"x\\qy\"\n":                 "only escapes such as",
		"a: @x\n":                        "text can't begin with this character unless it is in quotes",
		"a: %x\n":                        "can't begin with '%' unless it is in quotes",
		"command: echo hi: there\n":      "text that holds ': ' must be in quotes",
		"a: 1\nb\nc: 2\n":                "<stdin>:2:1: not valid YAML: a key and ':' are missing",
		": a\n":                          "a key and ':' are missing",
		"- name: a\n  id: x\n pool: y\n": "<stdin>:3:2: not valid YAML: this can't stand here: it is indented otherwise",
		"command: 'it's'\n":              "follows the end of a text in quotes",
		"a: - b\n":                       "a list can't begin in this line",
		"a: |x\n  b\n":                   "after '|' or '>' only",
		"a: >3\n b\n":                    "not indented alike",
		"a: &\n":                         "an anchor is a name",
		"a: *\n":                         "an alias is the name of an anchor",
		"%YAML 3\n---\na: 1\n":           "only YAML 1.2 and 1.1 are known",
		"--- a: 1\n":                     "nothing can follow '---'",
		"a: 1\n... b\n":                  "nothing can follow '...'",
		"a: {{x.y}}\n":                   `must be in quotes here: "{{name}}"`,
		"b: 1\na: {{x.y}}/z\n":           `must be in quotes here: "{{name}}"`,
		"- {a: echo {{x.y}}, b: 1}\n":    `must be in quotes here: "{{name}}"`,
		"a: [1,,2]\n":                    "look at the indentation, brackets and quotes",
	} {
		_, err := Read("-", Options{Stdin: strings.NewReader(text)})
		if _, ok := err.(*Error); !ok || !strings.HasPrefix(err.Error(), "not accepted:\n  <stdin>:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
