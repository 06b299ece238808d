// Package phrases knows words of libraries that texts for users must not have.
//
// It owns the list of them. It must not know whose texts are looked at, so that tests of any package may do it.
package phrases

import (
	"regexp"
	"strings"
)

// phrases are how libraries speak of their own affairs: none of them is for the users of a surface.
var phrases = []string{
	"strconv.", "rpc error", "code = ", "desc = ", "json: ", "jsontext", "Go struct", "Go value", "unmarshal", "invalid character", "invalid syntax", "tasks[-1]",
	"yaml: ", "parsing time", "proto:", "SQLSTATE", "ERROR: ", "pgx", "dial tcp", "transport: ", "connection error", "context deadline exceeded",
	"context canceled", "runtime error", "reflect:", "reflect.", "jsonschema", "x509:", "nats: ", "goroutine ", "interface {}", "map[string]", "%!", "0xc0",
}

// endOfFile is a phrase as a word only: the random number of an internal error may have these letters in it.
var endOfFile = regexp.MustCompile(`\bEOF\b`)

// In are those that a text has.
func In(text string) (found []string) {
	for _, p := range phrases {
		if strings.Contains(text, p) {
			found = append(found, p)
		}
	}
	if p := endOfFile.FindString(text); p != "" {
		found = append(found, p)
	}
	return found
}
