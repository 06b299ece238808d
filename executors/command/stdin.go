package command

import (
	"encoding/json"
	"strings"
)

// stdinFrom finds the text for the command's standard input in the merged inputs: a string as it is, any other value as JSON.
// The pointer is a JSON pointer (RFC 6901) of object keys. "/fetch/body" is the body that the dependency with the id "fetch"
// got.
func stdinFrom(inputs json.RawMessage, pointer string) (string, error) {
	if !strings.HasPrefix(pointer, "/") {
		return "", invalid("stdin_from: %q is not a JSON pointer, such as /fetch/body", pointer)
	}
	at := inputs
	for key := range strings.SplitSeq(pointer[1:], "/") {
		key = strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~")
		var object map[string]json.RawMessage
		if json.Unmarshal(at, &object) != nil || object[key] == nil {
			return "", invalid("stdin_from: there is no %q in the inputs", pointer)
		}
		at = object[key]
	}
	var text string
	if json.Unmarshal(at, &text) == nil && string(at) != "null" {
		return text, nil
	}
	return string(at), nil
}
