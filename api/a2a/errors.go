package a2a

import (
	"context"
	"errors"
	"fmt"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/api"
)

// The codes of spec 6.2.
const (
	codeParse         = -32700
	codeRequest       = -32600
	codeMethod        = -32601
	codeParams        = -32602
	codeInternal      = -32603
	codeServer        = -32000 // try again
	codeNotFound      = -32001
	codeNotCancelable = -32002
	codeUnsupported   = -32004
	codeNoCard        = -32007
	codeVersion       = -32009
)

// sentinels are the library's errors for the codes: they choose the codes of REST and gRPC.
var sentinels = map[int]error{
	codeParse: a2a.ErrParseError, codeRequest: a2a.ErrInvalidRequest, codeMethod: a2a.ErrMethodNotFound, codeParams: a2a.ErrInvalidParams,
	codeInternal: a2a.ErrInternalError, codeServer: a2a.ErrServerError, codeNotFound: a2a.ErrTaskNotFound, codeNotCancelable: a2a.ErrTaskNotCancelable,
	codeUnsupported: a2a.ErrUnsupportedOperation, codeNoCard: a2a.ErrExtendedCardNotConfigured,
	codeVersion: a2a.ErrVersionNotSupported,
}

// rpcError is an error of the protocol. Its text is safe to show.
type rpcError struct {
	code    int
	text    string
	denied  bool   // the caller may not do that
	lacks   string // the permission that it lacks; empty: none, or not told
	limited bool   // a bound of the caller's is reached
}

func (e *rpcError) Error() string { return e.text }

// asError is the error for the library, which makes one of REST or gRPC of it.
func (e *rpcError) asError() error {
	err := a2a.NewError(e.sentinel(), e.text)
	if e.lacks != "" {
		err = err.WithErrorInfoMeta(map[string]string{"permission": e.lacks})
	}
	return err
}

// sentinel is the library's error of that kind. The protocol has no code for what is forbidden; REST, gRPC and reasons have their own words for it.
func (e *rpcError) sentinel() error {
	if e.denied {
		return a2a.ErrUnauthorized
	}
	return sentinels[e.code]
}

func fault(code int, format string, args ...any) error {
	return &rpcError{code: code, text: fmt.Sprintf(format, args...)}
}

var errNoCard = fault(codeNoCard, "there is no extended card: the public one is whole")

// invalid is the fault of what a client sent, before anything has run (spec 6.4).
func invalid(format string, args ...any) error { return fault(codeParams, format, args...) }

// faultOf is the one place where an error becomes one of the protocol.
func (h *Handler) faultOf(ctx context.Context, operation string, err error) *rpcError {
	if e, ok := errors.AsType[*rpcError](err); ok {
		return e
	}
	f := api.Classify(ctx, h.cfg.Log, operation, err)
	return &rpcError{code: codes[f.Kind], text: f.Text, denied: f.Kind == api.Denied, lacks: f.Permission, limited: f.Kind == api.Limited}
}

var codes = map[api.Kind]int{
	api.Internal: codeInternal, api.Invalid: codeParams, api.NotFound: codeNotFound, api.Conflict: codeParams,
	api.Denied: codeParams, api.Unauthenticated: codeParams, // the listener has asked already who it is
	api.Unavailable: codeServer, api.Exhausted: codeServer, api.Cancelled: codeServer, api.Timeout: codeServer,
	api.Limited: codeServer,
}

// theirs reports whether the fault lies in what the client asked for.
func theirs(e *rpcError) bool { return e.code == codeParams || e.code == codeNotFound }
