package inputs

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// remarks lists the keywords that constrain nothing.
var remarks = []string{"description", "title", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}

// members lists the members of an object that a schema constrains, each as written in JSON. ok is false if the schema also
// constrains all members or the object as a whole, or requires a member.
func members(doc any) (quoted [][]byte, ok bool) {
	s, isObject := doc.(map[string]any)
	if !isObject {
		return nil, false
	}
	for keyword, value := range s {
		switch {
		case slices.Contains(remarks, keyword), keyword == "type" && value == "object":
		case keyword == "properties":
			properties, isObject := value.(map[string]any)
			if !isObject {
				return nil, false
			}
			for name, rules := range properties {
				if remarksOnly(rules) {
					continue
				}
				if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError }) {
					return nil, false // JSON has other ways to write it
				}
				quoted = append(quoted, []byte(`"`+name+`"`))
			}
		default:
			return nil, false
		}
	}
	return quoted, true
}

func remarksOnly(rules any) bool {
	s, isObject := rules.(map[string]any)
	for keyword := range s {
		if !slices.Contains(remarks, keyword) {
			return false
		}
	}
	return isObject
}

// keeps reports whether inputs, an object, satisfy a schema for certain because they hold none of the members that it
// constrains. It does not decode them; the executor notices if they are not JSON. If it returns false, check them.
func (c *compiled) keeps(inputs []byte) bool {
	if !c.shallow || bytes.IndexByte(inputs, '\\') >= 0 { // an escape may hide a name
		return false
	}
	for _, name := range c.members {
		if bytes.Contains(inputs, name) {
			return false
		}
	}
	return true
}
