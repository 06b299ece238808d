package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
)

// What we leave a server for.
var (
	errAsks  = executors.Permanent(fmt.Errorf("the server asks for more than %d things", mostAsked))
	errNoise = executors.Permanent(fmt.Errorf("the program writes more than %d lines to its standard output that are no messages", mostNoise))
)

// tooLargeError reports a message over the bound, whatever the SDK makes of it.
type tooLargeError int

// Error names the bound, and how it is raised.
func (e tooLargeError) Error() string {
	return fmt.Sprintf("a message of the server has more than %d bytes (TASKGROVE_MAX_MESSAGE_BYTES)", int(e))
}

// codeRejected is the SDK's own, of requests that its transport could not send.
const codeRejected = -32005

// maxText bounds an error's text.
const maxText = 2 << 10

// failure is what failed, with the object that the protocol's other servers give as a result (spec 8.9).
type failure struct {
	text      string
	facts     map[string]any // of the object, beside success and error
	permanent bool
	after     time.Duration // that the server wants to be left alone
	kind      string        // empty: none of those below
}

// KindServer is the kind of what a server says is wrong.
const KindServer = "mcp_error"

// explain finds out what failed: err is what the SDK says, broken what broke the connection first, ended why the program ended.
func explain(x *exchange, err, broken, ended error) *failure {
	if broken != nil && executors.IsPermanent(broken) {
		return &failure{text: broken.Error(), permanent: true}
	}
	for _, e := range []error{err, broken} {
		if e != nil && tooLarge(e) {
			return &failure{text: tooLargeText(e), permanent: true}
		}
	}
	if told, ok := errors.AsType[*jsonrpc.Error](err); ok && told.Code != codeRejected {
		return refused(told)
	}
	if ended != nil {
		return exited(ended)
	}
	if errors.Is(err, sdk.ErrSessionMissing) {
		return &failure{text: "MCP server error: it has forgotten the session"}
	}
	if x.status != 0 {
		return answered(x)
	}
	if broken != nil {
		err = broken
	}
	if _, ok := errors.AsType[*url.Error](err); ok || executors.IsPermanent(err) {
		err = network.Classed(err)
		return &failure{text: "Request error: " + err.Error(), permanent: executors.IsPermanent(err), kind: executors.KindConnect}
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "unsupported protocol version"):
		return &failure{text: "MCP server error: " + text, permanent: true}
	case strings.Contains(text, "decode") || strings.Contains(text, "unmarshal") || strings.Contains(text, "content type") || strings.Contains(text, "invalid"):
		return &failure{text: "Invalid JSON response: " + text}
	case strings.Contains(text, "without response"):
		return &failure{text: "Empty response from MCP server"}
	}
	return &failure{text: "Request error: " + text}
}

// tooLarge reports whether a message was over its bound. The SDK passes on the texts of such errors, and not the errors.
func tooLarge(err error) bool {
	_, ok := errors.AsType[tooLargeError](err)
	return ok || strings.Contains(err.Error(), "TASKGROVE_MAX_MESSAGE_BYTES") || strings.Contains(err.Error(), "SSE event exceeded")
}

func tooLargeText(err error) string {
	if own, ok := errors.AsType[tooLargeError](err); ok {
		return own.Error()
	}
	return "a message of the server is larger than TASKGROVE_MAX_MESSAGE_BYTES allows"
}

// final are the codes of errors that another attempt would meet again.
var final = map[int64]bool{
	jsonrpc.CodeParseError: true, jsonrpc.CodeInvalidRequest: true, jsonrpc.CodeMethodNotFound: true, jsonrpc.CodeInvalidParams: true,
	-32002: true, // resource not found
	-32042: true, // a person must visit a URL first
}

// refused is an error that the server answered.
func refused(e *jsonrpc.Error) *failure {
	f := &failure{text: fmt.Sprintf("MCP server error: %s (code %d)", cut(e.Message, maxText), e.Code), facts: map[string]any{"error_code": e.Code}, permanent: final[e.Code], kind: KindServer}
	if len(e.Data) > 0 && len(e.Data) <= 16<<10 {
		f.facts["error_data"] = e.Data
	}
	return f
}

// exited is the end of a program.
func exited(err error) *failure {
	if e, ok := errors.AsType[*exitError](err); ok {
		code := e.status.Code
		if e.status.Signal != 0 {
			code = -int(e.status.Signal)
		}
		return &failure{text: e.Error(), facts: map[string]any{"return_code": code, "stderr": cut(e.stderr, 16<<10)}, kind: executors.KindExit}
	}
	if start, ok := errors.AsType[*guardian.StartError](err); ok {
		passing := false
		for _, errno := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
			passing = passing || errors.Is(start.Err, errno)
		}
		return &failure{text: start.Error(), permanent: !passing}
	}
	return &failure{text: "MCP server error: " + err.Error()}
}

// answered is an HTTP status that is no success.
func answered(x *exchange) *failure {
	f := &failure{text: fmt.Sprintf("HTTP error %d: %s", x.status, cut(x.said, 200)), facts: map[string]any{"status_code": x.status}}
	if x.said == "" {
		f.text += http.StatusText(x.status)
	}
	err := headers.Classed(errors.New(f.text), x.status, x.header)
	f.permanent, f.after = executors.IsPermanent(err), executors.RetryAfterOf(err)
	f.kind = executors.KindOf(err)
	return f
}

// error is the failure as the error of an attempt, with the object as its detail.
func (f *failure) error(mask *headers.Set) error {
	text := executors.Text([]byte(mask.Mask(cut(f.text, maxText))))
	object := map[string]any{"success": false, "error": text}
	for name, value := range f.facts {
		object[name] = value
	}
	detail, _ := json.Marshal(object) // texts, numbers and JSON
	err := executors.WithDetail(errors.New(text), executors.Text([]byte(mask.Mask(string(detail)))))
	if f.kind != "" {
		err = executors.WithKind(err, f.kind)
	}
	if f.permanent {
		return executors.Permanent(err)
	}
	return executors.RetryAfter(err, f.after)
}
