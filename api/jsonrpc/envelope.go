package jsonrpc

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// request is one call, as parts of the body.
type request struct {
	id           json.RawMessage // "null" when none was given
	method       string
	params       json.RawMessage // nil when none were given
	notification bool            // wants no answer
}

// byteOrderMark begins what some editors and shells write; readers may ignore it (RFC 8259, 8.1).
var byteOrderMark = []byte("\xef\xbb\xbf")

// decode reads the body of a POST: one call, or a batch of them. A fault of the whole body is returned as failure; a
// fault of a batch's element stands in its place.
func (h *Handler) decode(body []byte) (calls []call, batch bool, failure *rpcError) {
	body = bytes.TrimPrefix(body, byteOrderMark)
	if err := check(body); err != nil {
		return nil, false, &rpcError{code: codeParse, data: err.Error()}
	}
	if kind(body) != '[' {
		return []call{parseCall(body)}, false, nil
	}
	for element := range elements(body) {
		if len(calls) == h.cfg.MaxBatch {
			return nil, true, &rpcError{code: codeRequest,
				data: fmt.Sprintf("a batch holds at most %d requests", h.cfg.MaxBatch)}
		}
		calls = append(calls, parseCall(element))
	}
	if len(calls) == 0 {
		return nil, true, &rpcError{code: codeRequest, data: "a batch must not be empty"}
	}
	return calls, true, nil
}

// call is a request, or why it is none.
type call struct {
	request
	fault *rpcError

	version  string // of the published protocol, as the call has it; empty: none
	protocol bool   // it is a call of that protocol
}

// parseCall reads one call (spec 5.2). One without jsonrpc is taken as it is; then a missing id means null and not that
// no answer is wanted.
func parseCall(value []byte) call {
	c := call{request: request{id: json.RawMessage("null")}}
	refuse := func(format string, args ...any) call {
		c.notification = false
		c.fault = &rpcError{code: codeRequest, data: fmt.Sprintf(format, args...)}
		return c
	}
	if kind(value) != '{' {
		return refuse("a request must be an object")
	}
	var version, id, method, protocol json.RawMessage
	twice := ""
	known := map[string]*json.RawMessage{"jsonrpc": &version, "id": &id, "method": &method, "params": &c.params, "protocol": &protocol}
	for quoted, value := range members(value) {
		name, _ := rawjson.Unquote(quoted) // of those known, none is like half a character
		if to := known[name]; to != nil {
			if *to != nil {
				twice = name
			}
			*to = value
		}
	}
	if twice == "id" {
		return refuse("id must not be there twice")
	}
	switch kind(id) {
	case 0:
		c.notification = version != nil
	case '{', '[', 't', 'f':
		return refuse("id must be a string, a number or null")
	default:
		c.id = bytes.Clone(id) // it may outlive the body
	}
	if twice != "" {
		return refuse("%s must not be there twice", twice)
	}
	switch kind(protocol) {
	case 0, 'n':
	case '"':
		if c.version, _ = rawjson.Unquote(protocol); c.version == "" {
			c.version = "(empty)"
		}
	default:
		return refuse(`protocol must be "1.0"`)
	}
	if version != nil && (kind(version) != '"' || !is(version, "2.0")) {
		return refuse(`jsonrpc must be "2.0"`)
	}
	if kind(method) != '"' || is(method, "") {
		return refuse("method must be a string")
	}
	whole := true
	if c.method, whole = rawjson.Unquote(method); !whole {
		return refuse("method must be valid Unicode")
	}
	switch kind(c.params) {
	case 0, '{', '[':
	case 'n':
		c.params = nil
	default:
		if c.method != "tasks.create" { // which has a text of its own (spec 2.2)
			c.fault = &rpcError{code: codeParams, data: "params must be an object or an array"}
		}
	}
	return c
}

// is reports whether a string in its quotes is a text.
func is(quoted []byte, text string) bool {
	s, whole := rawjson.Unquote(quoted)
	return whole && s == text
}

// response is the answer to one call: result or err.
type response struct {
	id     json.RawMessage
	result json.RawMessage // nil: null
	err    *rpcError

	protocol bool // of the published protocol
}

func (r *response) append(b []byte) []byte {
	for _, part := range r.parts() {
		b = append(b, part...)
	}
	return b
}

// parts are the answer's, in order. The result, which may be large, is one as it is.
func (r *response) parts() [3][]byte {
	head := []byte(`{"jsonrpc":"2.0",`)
	if r.protocol {
		head = append(head, `"protocol":"`+protocolVersion+`",`...)
	}
	head = append(append(head, `"id":`...), r.id...)
	switch {
	case r.err != nil:
		head = fmt.Append(append(head, `,"error":{"code":`...), r.err.code)
		head = appendText(append(head, `,"message":`...), r.err.message())
		var data any = r.err.data
		if r.protocol {
			if data = r.err.object; data == nil {
				data = map[string]any{"reason": r.err.data}
			}
		}
		head = appendJSON(append(head, `,"data":`...), data)
		if r.err.lacks != "" && !r.protocol {
			head = appendText(append(head, `,"permission":`...), r.err.lacks)
		}
		return [...][]byte{head, nil, []byte("}}")}
	case r.result == nil:
		return [...][]byte{append(head, `,"result":null`...), nil, []byte("}")}
	}
	return [...][]byte{append(head, `,"result":`...), r.result, []byte("}")}
}
