package treefile

import (
	"bytes"
	"errors"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// said is what the parser's messages mean to whoever wrote the file, by a part of them. The first that fits counts.
var said = []struct{ part, means string }{
	{"tab character", "indent with spaces, not with a tab"},
	{"'\t'", "indent with spaces, not with a tab"},
	{"found a tab", "indent with spaces, not with a tab"},
	{"end token '}'", "this '{' has no '}'"},
	{"end token ']'", "this '[' has no ']'"},
	{"or '}' must be specified", "a ',' or '}' is missing before this"},
	{"or ']' must be specified", "a ',' or ']' is missing before this"},
	{"but found ','", "there is nothing before this ','"},
	{"corresponding to ']'", "this ']' has no '['"},
	{"corresponding to '}'", "this '}' has no '{'"},
	{"end character of single-quoted", "this ' has no other one that ends the text"},
	{"end character of double-quoted", "this \" has no other one that ends the text"},
	{"UTF-", "an escape of a character is not complete"},
	{"escape", `only escapes such as \n, \", \\ and \u00e9 can follow a \ within ""; within '' it stands for itself`},
	{"reserved character", "text can't begin with this character unless it is in quotes"},
	{"implicit line break", "a key must stand in one line"},
	{"sequence entries are not allowed", "a list can't begin in this line: put its first '-' into the next one"},
	{"mapping value is not allowed", "a key can't stand here: text that holds ': ' must be in quotes, and keys are indented as those before them"},
	{"map key-value is pre-defined", "this can't stand here: it is indented otherwise than the lines above it, or follows the end of a text in quotes"},
	{"value is not allowed", "this can't stand here: it is indented otherwise than the lines above it, or follows what has ended"},
	{"non-map value", "a key and ':' are missing, as the lines above have them"},
	{"unexpected key name", "a key and ':' are missing, as the lines above have them"},
	{"delimiter ':'", "a ':' is missing after this key"},
	{"anchor", "an anchor is a name of letters and digits after '&', with a value after it"},
	{"alias", "an alias is the name of an anchor after '*'"},
	{"tag", "a tag can't stand here"},
	{"indent", "the lines of this text are not indented alike"},
	{"header option", "after '|' or '>' only '+', '-' and a digit can stand"},
	{"multi-line content", "the lines of this text are not indented alike"},
	{"document separator", "nothing can follow '---' in its line"},
	{"end content", "nothing can follow '...' in its line"},
	{"directive", "a line or a text can't begin with '%' unless it is in quotes"},
	{"YAML version", "only YAML 1.2 and 1.1 are known"},
}

// faultOf is what is wrong with text that is not YAML. The parser's own words speak of its tokens, and show an excerpt.
func faultOf(err error, text []byte) error {
	bad, ok := errors.AsType[yaml.Error](err)
	if !ok || bad.GetToken() == nil {
		return &yamlFault{reason: "not valid YAML"}
	}
	reason := "something is missing or too much here; look at the indentation, brackets and quotes"
	for _, s := range said {
		if strings.Contains(bad.GetMessage(), s.part) {
			reason = s.means
			break
		}
	}
	at := positionOf(bad.GetToken())
	if bareTemplate(text, at.Line) {
		reason = `text with {{ and }} must be in quotes here: "{{name}}"`
	}
	return &yamlFault{at, "not valid YAML: " + reason}
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)

// bareTemplate reports whether a line, counted from 1, has a template that is in no quotes.
func bareTemplate(text []byte, line int) bool {
	for range line - 1 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	text, _, _ = bytes.Cut(text, []byte("\n"))
	return bytes.Contains(quoted.ReplaceAll(text, nil), []byte("{{"))
}
