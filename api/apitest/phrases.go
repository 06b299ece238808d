package apitest

import "strings"

// phrases are how libraries speak of their own affairs: none of them is for the users of a surface.
var phrases = []string{
	"strconv.", "rpc error", "code = ", "desc = ", "json: ", "jsontext", "Go struct", "Go value", "unmarshal", "invalid character", "invalid syntax", "tasks[-1]",
	"yaml: ", "parsing time", "proto:", "SQLSTATE", "ERROR: ", "pgx", "dial tcp", "transport: ", "connection error", "context deadline exceeded",
	"context canceled", "EOF", "runtime error", "reflect:", "reflect.", "jsonschema", "x509:", "nats: ", "goroutine ", "interface {}", "map[string]", "%!", "0xc0",
}

// LibraryPhrases are those that a text for users has.
func LibraryPhrases(text string) (found []string) {
	for _, p := range phrases {
		if strings.Contains(text, p) {
			found = append(found, p)
		}
	}
	return found
}
