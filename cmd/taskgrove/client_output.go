package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/taskgrove/taskgrove/client"
)

// format is how a command prints its results.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
	formatYAML format = "yaml"
)

// parseFormat reads the flag --output.
func parseFormat(value string, formats ...format) (format, error) {
	var words []string
	for _, f := range formats {
		if value == string(f) {
			return f, nil
		}
		words = append(words, string(f))
	}
	last := len(words) - 1
	return "", usage("--output: takes %s or %s, not %q", strings.Join(words[:last], ", "), words[last], value)
}

// forPeople reports whether the output is text.
func (s *session) forPeople() bool { return s.format == formatText }

// print writes one document, or, for people, what text writes.
func (s *session) print(value any, text func(w io.Writer)) error {
	if s.forPeople() {
		w := &firstError{Writer: harmlessWriter{s.out}}
		text(w)
		return w.err
	}
	return s.format.write(s.out, plain(reflect.ValueOf(value)))
}

// write writes a value as one document: JSON in one line, or YAML after a line that begins a document.
func (f format) write(w io.Writer, value any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return err
	}
	document := harmlessJSON(text.Bytes())
	if f == formatYAML {
		document = append([]byte("---\n"), yamlOf(document)...)
	}
	_, err := w.Write(document)
	return err
}

// harmlessJSON writes characters that could steer a terminal as escapes. The value stays what it is.
func harmlessJSON(text []byte) []byte {
	harmful := func(r rune) bool { return r != '\n' && steers(r) }
	if bytes.IndexFunc(text, harmful) < 0 {
		return text
	}
	var out bytes.Buffer
	for _, r := range string(text) { // outside of strings, JSON has none of them
		if !harmful(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.Bytes()
}

// firstError keeps the first error of writing, so that formatting need not look at each.
type firstError struct {
	io.Writer
	err error
}

func (w *firstError) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.Writer.Write(p)
	w.err = err
	return n, err
}

// table writes rows in columns.
func table(w io.Writer, rows func(w io.Writer)) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	rows(t)
	_ = t.Flush()
}

// plain makes JSON of the client's types: keys in snake case, durations in seconds, times that are not set left out.
func plain(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case json.RawMessage:
		if len(value) == 0 {
			return nil
		}
		return value
	case time.Time:
		return value
	case time.Duration:
		return value.Seconds()
	case client.Dependency: // as documents have it
		return map[string]any{"id": value.Ref, "required": !value.Optional, "type": value.Type}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			switch field := v.Field(i).Interface().(type) {
			case time.Time:
				if field.IsZero() {
					continue
				}
			case *client.TaskOptions: // see export
				continue
			}
			fields[snake(v.Type().Field(i).Name)] = plain(v.Field(i))
		}
		return fields
	}
	return v.Interface()
}

// snake is a Go name in snake case: TreeID is tree_id.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(rune(name[i-1])) || i+1 < len(name) && unicode.IsLower(rune(name[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
