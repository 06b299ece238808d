package jsonrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// The functions below cut a request into parts without copying it, so that a large tree is in memory once. They expect
// JSON that [check] has passed.

// check reports why a body can't be read as JSON, or nil. It takes no more memory for deeply nested bodies.
func check(body []byte) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("request body is not valid UTF-8")
	}
	err := rawjson.Check(body)
	if errors.Is(err, rawjson.ErrDepth) {
		return fmt.Errorf("request body is %w", err)
	}
	if err != nil {
		at, reason := treedoc.Syntax(body) // asked again for the reason alone
		return fmt.Errorf("request body is not valid JSON: line %d, column %d: %s", at.Line, at.Column, reason)
	}
	return nil
}

// kind is the first byte of a value: one of { [ " t f n - and the digits; 0 for nothing.
func kind(value []byte) byte {
	if i := skipSpace(value, 0); i < len(value) {
		return value[i]
	}
	return 0
}

// isNull reports whether a value is null or absent.
func isNull(value []byte) bool {
	k := kind(value)
	return k == 0 || k == 'n'
}

// members yields what an object holds, in its order, repeated keys included; nothing for other values. The values are
// parts of object.
func members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		if kind(object) != '{' {
			return
		}
		for i := skipSpace(object, skipSpace(object, 0)+1); i < len(object) && object[i] == '"'; {
			end := skipString(object, i)
			name := unquote(object[i:end])
			i = skipSpace(object, skipSpace(object, end)+1) // behind the colon
			end = skipValue(object, i)
			if !yield(name, object[i:end:end]) {
				return
			}
			i = skipSpace(object, skipSpace(object, end)+1) // behind the comma
		}
	}
}

// elements yields what an array holds; nothing for other values. The values are parts of array.
func elements(array []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		if kind(array) != '[' {
			return
		}
		for i := skipSpace(array, skipSpace(array, 0)+1); i < len(array) && array[i] != ']'; {
			end := skipValue(array, i)
			if !yield(array[i:end:end]) {
				return
			}
			i = skipSpace(array, skipSpace(array, end)+1)
		}
	}
}

// unquote decodes a JSON string given with its quotes.
func unquote(quoted []byte) string {
	for _, c := range quoted {
		if c == '\\' || c >= utf8.RuneSelf {
			var s string
			_ = json.Unmarshal(quoted, &s) // checked before
			return s
		}
	}
	return string(quoted[1 : len(quoted)-1])
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString is the index behind the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// skipValue is the index behind the value that begins at i.
func skipValue(b []byte, i int) int {
	level := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if level == 0 {
				return i
			}
			continue
		case '[', '{':
			level++
		case ']', '}':
			if level == 0 { // the end of what holds a number or word
				return i
			}
			if level--; level == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if level == 0 {
				return i
			}
		}
		i++
	}
	return i
}
