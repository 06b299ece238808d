package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// indentDepth is how deep values are indented. Each line repeats the indentation of all levels around it, so that deeper ones would
// cost many times the value's own size.
const indentDepth = 12

// indented is JSON for people: a line for each member, two blanks for each level; what lies deeper than indentDepth stays
// on its line. It is the value as it is when that is not JSON.
func indented(value []byte) []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return value
	}
	var out bytes.Buffer
	level, quoted := 0, false
	text := compact.Bytes()
	line := func() {
		if level <= indentDepth {
			out.WriteString("\n" + strings.Repeat("  ", level))
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted:
			if c == '\\' {
				out.WriteByte(c)
				i++
				c = text[i]
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			out.WriteByte(c)
			level++
			if text[i+1] != c+2 { // their ends come two after them in ASCII
				line()
			}
			continue
		case c == '}' || c == ']':
			level--
			if text[i-1] != c-2 && level < indentDepth {
				line()
			}
		case c == ',':
			out.WriteByte(c)
			line()
			continue
		case c == ':':
			out.WriteString(": ")
			continue
		}
		out.WriteByte(c)
	}
	return out.Bytes()
}
