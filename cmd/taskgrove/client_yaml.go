package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// yamlOf writes JSON as YAML, in the same order. The library would write control characters as they are, and a document
// that steers whoever looks at it; here all that is not plain stays a JSON string, which YAML reads, too.
func yamlOf(document []byte) []byte {
	w := &yamlWriter{decoder: json.NewDecoder(bytes.NewReader(document))}
	w.decoder.UseNumber()
	w.value(0, alone)
	return w.out.Bytes()
}

type yamlWriter struct {
	decoder *json.Decoder
	out     bytes.Buffer
}

// place is what stands in a line before a value.
type place int

const (
	alone     place = iota // nothing
	afterKey               // "key:"
	afterDash              // "-"
)

// value writes the next value and the line's end.
func (w *yamlWriter) value(level int, at place) {
	token, err := w.decoder.Token()
	if err != nil {
		return // the document was made here
	}
	open, ok := token.(json.Delim)
	switch {
	case !ok:
		w.scalar(token, level, at)
	case !w.decoder.More():
		_, _ = w.decoder.Token()
		w.lead(at, map[json.Delim]string{'{': "{}", '[': "[]"}[open])
	case level >= indentDepth:
		w.flow(open, at)
	default:
		if at == afterKey {
			w.out.WriteByte('\n')
		}
		w.members(open, level, at)
	}
}

// lead writes what stands in a line by itself, or after "key:" or "-".
func (w *yamlWriter) lead(at place, text string) {
	if at != alone {
		w.out.WriteByte(' ')
	}
	w.out.WriteString(text + "\n")
}

// members writes an object's or array's members, each in a line or more; the first one after a dash, if there is one.
func (w *yamlWriter) members(open json.Delim, level int, at place) {
	indent := strings.Repeat("  ", level)
	for first := true; w.decoder.More(); first = false {
		if first && at == afterDash {
			w.out.WriteByte(' ')
		} else {
			w.out.WriteString(indent)
		}
		below := afterKey
		if open == '{' {
			key, _ := w.decoder.Token()
			w.out.WriteString(quoted(key.(string)) + ":")
		} else {
			w.out.WriteByte('-')
			below = afterDash
		}
		w.value(level+1, below)
	}
	_, _ = w.decoder.Token()
}

// flow writes an object or array whose beginning was read as JSON, in one line: it is YAML, too.
func (w *yamlWriter) flow(open json.Delim, at place) {
	var out bytes.Buffer
	w.compact(&out, open)
	w.lead(at, out.String())
}

// compact writes what follows the delimiter, up to its end.
func (w *yamlWriter) compact(out *bytes.Buffer, open json.Delim) {
	out.WriteRune(rune(open))
	for first := true; w.decoder.More(); first = false {
		if !first {
			out.WriteString(", ")
		}
		if open == '{' {
			key, _ := w.decoder.Token()
			out.WriteString(asJSON(key) + ": ")
		}
		token, _ := w.decoder.Token()
		if inner, ok := token.(json.Delim); ok {
			w.compact(out, inner)
		} else {
			out.WriteString(asJSON(token))
		}
	}
	end, _ := w.decoder.Token()
	out.WriteRune(rune(end.(json.Delim)))
}

// scalar writes a text, a number, a boolean or null; text of several lines as such, where nothing in it would be lost.
func (w *yamlWriter) scalar(token json.Token, level int, at place) {
	text, ok := token.(string)
	switch {
	case !ok:
		w.lead(at, asJSON(token))
	case at == alone || !block(text):
		w.lead(at, quoted(text))
	default:
		trimmed := strings.TrimSuffix(text, "\n")
		w.lead(at, map[bool]string{true: "|", false: "|-"}[trimmed != text])
		for line := range strings.SplitSeq(trimmed, "\n") {
			if line != "" {
				line = strings.Repeat("  ", level) + line
			}
			w.out.WriteString(line + "\n")
		}
	}
}

// block reports whether text can be written in lines of its own.
func block(text string) bool {
	return strings.Contains(strings.TrimSuffix(text, "\n"), "\n") && !strings.HasSuffix(text, "\n\n") && !strings.HasPrefix(text, "\n") &&
		!strings.HasPrefix(text, " ") && !strings.ContainsAny(text, "\t\r\u0085\u2028\u2029\ufeff") && harmless(text, "\n") == text
}

// bare is what needs no quotes: it can't be taken for anything but text.
var bare = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$`)

// reserved are words that some readers of YAML take for other than text.
var reserved = map[string]bool{"true": true, "false": true, "null": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true}

func quoted(text string) string {
	if bare.MatchString(text) && !reserved[strings.ToLower(text)] {
		return text
	}
	return asJSON(text)
}

// asJSON is a value as JSON, without characters that steer terminals.
func asJSON(value any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return "null"
	}
	return string(rawjson.Harmless(bytes.TrimSuffix(out.Bytes(), []byte("\n"))))
}
