package client

import (
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// serverError is what a server answered that callers don't branch on: its text is the server's, without gRPC's frame around it. It
// unwraps to gRPC's error.
type serverError struct {
	text string
	kind error // one of the Err..., or nil
	err  error
}

func (e *serverError) Error() string { return e.text }

func (e *serverError) Unwrap() error { return e.err }

// Is reports whether target is the kind.
func (e *serverError) Is(target error) bool { return e.kind != nil && target == e.kind }

// answered makes it of gRPC's error.
func answered(err error, st *status.Status) error {
	text := plain(st.Message())
	var kind error
	switch st.Code() {
	case codes.Unimplemented:
		text = "the server does not know this call: it is older than the client, or another program"
	case codes.Canceled:
		text = "the call was cut off"
	case codes.Unauthenticated:
		kind, text = ErrUnauthenticated, "not allowed: "+text
	case codes.PermissionDenied:
		kind, text = ErrDenied, "not allowed: "+text
	}
	if text == "" {
		text = "the server failed"
	}
	return &serverError{text, kind, err}
}

var (
	dialling = regexp.MustCompile(`dial (?:tcp|unix)[: ]+([^"]+)`)
	innards  = regexp.MustCompile(`transport|desc = |connection error|error reading|goaway|GOAWAY|EOF|context (?:canceled|deadline)|name resolver|server preface|(?:^|: )rpc error`)
)

// noAddress finds a target, such as a URL, that gRPC can't read.
var noAddress = regexp.MustCompile(`invalid target address ([^ ,]+)`)

// encrypting finds why a connection could not be encrypted; preface, that the server never spoke gRPC, as one does not that waits for TLS.
var (
	encrypting = regexp.MustCompile(`((?:remote error: )?tls: [^"]+)`)
	preface    = regexp.MustCompile(`server preface|frame too large`)
)

// plain is what gRPC says of a connection, without its own parts.
func plain(text string) string {
	if _, own, is := strings.Cut(text, "per-RPC creds failed due to error: "); is { // of this package: what is wrong with the token
		return own
	}
	if m := dialling.FindStringSubmatch(text); m != nil {
		return strings.NewReplacer("connect: ", "", "lookup ", "").Replace(m[1])
	}
	if m := encrypting.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if m := noAddress.FindStringSubmatch(text); m != nil {
		return m[1] + " is no address: want HOST:PORT of a coordinator's gRPC listener, such as 127.0.0.1:7700"
	}
	if strings.Contains(text, "name resolver error") {
		return "nobody knows a host of that name"
	}
	if preface.MatchString(text) {
		return "the connection broke before the server had spoken"
	}
	if innards.MatchString(text) {
		return "the connection broke"
	}
	return text
}
