package rawjson

import (
	"slices"
	"strings"
)

// Exact is a valid object without the members whose names differ from one of names by the case of letters alone. encoding/json takes such a
// member for the one that is meant, so that a check of names does not see what a decoder does.
func Exact(object []byte, names []string) []byte {
	folded := func(quoted []byte) bool {
		name, _ := Unquote(quoted)
		return !slices.Contains(names, name) && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	clean := true
	for name := range Members(object) {
		if folded(name) {
			clean = false
			break
		}
	}
	if clean {
		return object
	}
	out := append(make([]byte, 0, len(object)), '{')
	for name, value := range Members(object) {
		if folded(name) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}')
}
