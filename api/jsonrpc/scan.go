package jsonrpc

import (
	"encoding/json"
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
	at, reason := treedoc.Syntax(body)
	if reason == "" {
		return nil
	}
	if err := rawjson.CheckDepth(body, 0); err != nil { // whatever else is wrong with it
		return fmt.Errorf("request body is %w", err)
	}
	return fmt.Errorf("request body is not valid JSON: line %d, column %d: %s", at.Line, at.Column, reason)
}

// kind is the first byte of a value: one of { [ " t f n - and the digits; 0 for nothing.
func kind(value []byte) byte {
	if i := rawjson.SkipSpace(value, 0); i < len(value) {
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
// parts of object, and names are in their quotes.
func members(object []byte) iter.Seq2[json.RawMessage, json.RawMessage] {
	return func(yield func(json.RawMessage, json.RawMessage) bool) {
		if kind(object) != '{' {
			return
		}
		for i := rawjson.SkipSpace(object, rawjson.SkipSpace(object, 0)+1); i < len(object) && object[i] == '"'; {
			end := rawjson.SkipString(object, i)
			quoted := object[i:end]
			i = rawjson.SkipSpace(object, rawjson.SkipSpace(object, end)+1) // behind the colon
			end = rawjson.SkipValue(object, i)
			if !yield(quoted, object[i:end:end]) {
				return
			}
			i = rawjson.SkipSpace(object, rawjson.SkipSpace(object, end)+1) // behind the comma
		}
	}
}

// elements yields what an array holds; nothing for other values. The values are parts of array.
func elements(array []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		if kind(array) != '[' {
			return
		}
		for i := rawjson.SkipSpace(array, rawjson.SkipSpace(array, 0)+1); i < len(array) && array[i] != ']'; {
			end := rawjson.SkipValue(array, i)
			if !yield(array[i:end:end]) {
				return
			}
			i = rawjson.SkipSpace(array, rawjson.SkipSpace(array, end)+1)
		}
	}
}
