package command

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// stdin is the command's standard input; nil: it has none. The content of an artifact is fetched whole and checked before the command starts.
func (e *Executor) stdin(ctx context.Context, call *executors.Call, in *input, scratch *workdir.Scratch) (io.Reader, error) {
	raw, text := in.Stdin, ""
	if in.StdinFrom != "" {
		var err error
		if text, err = stdinFrom(call.Inputs, in.StdinFrom); err != nil {
			return nil, err
		}
		raw = json.RawMessage(text)
	} else if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, invalid("stdin: %v", err)
		}
		raw = nil
	}
	if ref, ok := executors.RefOf(raw); ok && call.Files != nil {
		return workdir.Open(ctx, call, ref, scratch)
	}
	if in.StdinFrom == "" && len(raw) > 0 && raw[0] == '{' {
		return nil, invalid("stdin: it is neither a text nor an artifact")
	}
	if text == "" {
		return nil, nil
	}
	return strings.NewReader(text), nil
}

// stdinFrom finds the text for the command's standard input in the merged inputs: a string as it is, any other value as JSON.
// The pointer is a JSON pointer (RFC 6901). "/fetch/body" is the body that the dependency got which the submission
// calls "fetch". The output of a command and the body of an answer are given as they were, not as results show them.
func stdinFrom(inputs json.RawMessage, pointer string) (string, error) {
	if !strings.HasPrefix(pointer, "/") {
		return "", invalid("stdin_from: %q is not a JSON pointer, such as /fetch/body", pointer)
	}
	at := inputs
	var object map[string]json.RawMessage
	var key string
	owner := "the input"
	for key = range strings.SplitSeq(pointer[1:], "/") {
		key = strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~")
		object = nil
		var list []json.RawMessage
		if at[0] == '[' && json.Unmarshal(at, &list) == nil { // stored JSON begins without white space
			if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(list) {
				at, owner = list[i], fmt.Sprintf("%q", key)
				continue
			}
		}
		if json.Unmarshal(at, &object) != nil || object[key] == nil {
			return "", invalid("stdin_from: %q is not there: %s has no %q%s", pointer, owner, key, keysOf(object))
		}
		at, owner = object[key], fmt.Sprintf("%q", key)
	}
	var text string
	if json.Unmarshal(at, &text) != nil || string(at) == "null" {
		return string(at), nil
	}
	raw, ok := original(object, key, text)
	if !ok {
		return "", invalid("stdin_from: what is at %q is not the base64 that it says it is", pointer)
	}
	return raw, nil
}

// keysOf names the keys that an object has, in the error about one that it lacks.
func keysOf(object map[string]json.RawMessage) string {
	const most = 8
	if len(object) == 0 {
		return ""
	}
	keys := slices.Sorted(maps.Keys(object))
	more := ""
	if n := len(keys) - most; n > 0 {
		keys, more = keys[:most], fmt.Sprintf(" and %d more", n)
	}
	for i, key := range keys {
		keys[i] = fmt.Sprintf("%.64q", key)
	}
	return ", only " + strings.Join(keys, ", ") + more
}

// source describes a result whose text shows in another form than it came.
type source struct {
	marks    []string // keys that tell the result from others'
	encoding string   // key of the text's encoding
	trims    bool     // the text is shown trimmed
}

// sources are the texts of results that are given as they were, by their key.
var sources = map[string]source{
	"stdout": {[]string{"command", "return_code", "stderr", "success"}, "encoding", true},
	"stderr": {[]string{"command", "return_code", "stdout", "success"}, "stderr_encoding", true},
	"body":   {[]string{"url", "status_code", "headers", "method"}, "encoding", false},
}

// original is a text of a result as it was before the result was made. false: its encoding is wrong.
func original(result map[string]json.RawMessage, key, text string) (string, bool) {
	from, known := sources[key]
	for _, mark := range from.marks {
		known = known && result[mark] != nil
	}
	if !known {
		return text, true
	}
	var encoding string
	if json.Unmarshal(result[from.encoding], &encoding) == nil && encoding == executors.Base64 {
		raw, err := base64.StdEncoding.DecodeString(text)
		return string(raw), err == nil
	}
	if !from.trims || result["username"] != nil { // ssh_executor's results are not trimmed
		return text, true
	}
	around := usual(text)
	if said := result[key+"_trimmed"]; said != nil {
		around = trimmed{}
		_ = json.Unmarshal(said, &around) // of somebody else's making: nothing is added
	}
	return around[0] + text + around[1], true
}
