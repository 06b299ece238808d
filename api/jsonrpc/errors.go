package jsonrpc

import (
	"fmt"
	"net/http"
	"time"

	"github.com/taskgrove/taskgrove/api"
)

// The codes of the classic dialect (spec K2, 5.2).
const (
	codeParse    = -32700
	codeRequest  = -32600
	codeMethod   = -32601
	codeParams   = -32602
	codeInternal = -32603
	codeOverload = -32000
	codeDenied   = -32001
)

// rpcError is the error of an answer. data is always text here (K2).
type rpcError struct {
	code   int
	data   string
	status int           // of HTTP; 0: the code's own
	name   string        // the message; empty: the code's own
	lacks  string        // the permission that the caller lacks; empty: none, or not told
	retry  time.Duration // after which the caller may try again; 0: nobody knows
	object any           // data of the protocol 1.0; nil: {"reason": data}
}

func (e *rpcError) Error() string { return e.data }

func (e *rpcError) message() string {
	if e.name != "" {
		return e.name
	}
	switch e.code {
	case codeParse:
		return "Parse error"
	case codeRequest:
		return "Invalid Request"
	case codeMethod:
		return "Method not found"
	case codeParams:
		return "Invalid params"
	case codeOverload:
		return "Server unavailable"
	case codeDenied:
		if e.status == http.StatusUnauthorized {
			return "Unauthorized"
		}
		return "Permission denied"
	}
	return "Internal error"
}

func (e *rpcError) httpStatus() int {
	switch {
	case e.status != 0:
		return e.status
	case e.code == codeInternal:
		return http.StatusInternalServerError
	case e.code == codeOverload:
		return http.StatusServiceUnavailable
	case e.code == codeDenied:
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// rpcFault is the one place where a fault becomes a code of the classic dialect.
func rpcFault(f *api.Fault) *rpcError {
	switch f.Kind {
	case api.Invalid, api.NotFound, api.Conflict:
		return &rpcError{code: codeParams, data: f.Text}
	case api.Unauthenticated:
		return &rpcError{code: codeDenied, data: f.Text, status: http.StatusUnauthorized}
	case api.Denied:
		return &rpcError{code: codeDenied, data: f.Text, lacks: f.Permission}
	case api.Limited:
		return &rpcError{code: codeOverload, data: f.Text, status: http.StatusTooManyRequests, name: "Too many requests", retry: f.RetryAfter}
	case api.Unavailable, api.Exhausted, api.Timeout, api.Cancelled:
		return &rpcError{code: codeOverload, data: f.Text}
	}
	return &rpcError{code: codeInternal, data: f.Text}
}

// Refuse answers a request that was not let in, as its path does. The headers are its caller's.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, f *api.Fault) {
	if h.plainly(r) {
		h.answer(w, api.HTTPStatus(f.Kind), pretty(r, plainOf(f)), []byte("\n"))
		return
	}
	answer := &response{id: null, protocol: r.Header.Get(headerProtocol) == protocolVersion}
	if answer.err = rpcFault(f); answer.protocol {
		answer.err = protocolFault(f)
		w.Header().Set(headerProtocol, protocolVersion)
	}
	h.answer(w, answer.err.httpStatus(), answer.append(nil))
}

// tell sets the headers of an answer that say more about an error.
func (e *rpcError) tell(header http.Header) {
	if e.retry > 0 {
		header.Set("Retry-After", api.Seconds(e.retry))
	}
}

// invalid is the fault of a parameter, with the whole sentence.
func invalid(field, format string, args ...any) *api.Fault {
	return api.InvalidParameter(field, fmt.Sprintf(format, args...))
}
