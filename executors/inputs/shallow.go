package inputs

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// remarks are the keywords that constrain nothing.
var remarks = []string{"description", "title", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}

// members is which members of an object a schema says anything about, each as it stands in JSON text. ok is false when the
// schema says more than that: what all members or the object as a whole must be like, or that a member must be there.
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

// keeps reports whether inputs, an object, keep a schema for sure, without decoding them: they hold none of the members that
// it says anything about. That they are JSON at all is for the executor to see. False: they have to be looked at.
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
