package client

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestErrorsSpeakPlainly(t *testing.T) {
	for text, c := range map[string]struct {
		code codes.Code
		said string
	}{
		"get x: unavailable: 127.0.0.1:1: connection refused":                                                                   {codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`},
		"get x: unavailable: nowhere: no such host":                                                                             {codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp: lookup nowhere: no such host"`},
		"get x: unavailable: the connection broke":                                                                              {codes.Unavailable, `error reading from server: EOF`},
		"get x: unavailable: nobody knows a host of that name":                                                                  {codes.Unavailable, `name resolver error: produced zero addresses`},
		"get x: unavailable: http://h:1 is no address: want HOST:PORT of a coordinator's gRPC listener, such as 127.0.0.1:7700": {codes.Unavailable, `invalid target address http://h:1, error info: address http://h:1:443: too many colons in address`},
		"get x: unavailable: tls: failed to verify certificate: x509: certificate signed by unknown authority":                  {codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`},
		"get x: unavailable: the connection broke before the server had spoken":                                                 {codes.Unavailable, `connection error: desc = "error reading server preface: EOF"`},
		"get x: unavailable: remote error: tls: certificate required":                                                           {codes.Unavailable, `connection error: desc = "error reading server preface: remote error: tls: certificate required"`},
		"get x: not allowed: token: it has characters that no token has":                                                        {codes.Unauthenticated, `transport: per-RPC creds failed due to error: token: it has characters that no token has`},
		"get x: refused for now: too many requests at once, try again":                                                          {codes.ResourceExhausted, "too many requests at once, try again"},
		"get x: internal error ABC":                                                                                             {codes.Internal, "internal error ABC"},
		"get x: the server failed":                                                                                              {codes.Unknown, ""},
		"get x: the call was cut off":                                                                                           {codes.Canceled, "context canceled"},
		"get x: the server does not know this call: it is older than the client, or another program":                            {codes.Unimplemented, "unknown method Get for service taskgrove.v1.Taskgrove"},
	} {
		given := status.Error(c.code, c.said)
		err := wrap(context.Background(), given, "get %s", "x")
		if err.Error() != text {
			t.Errorf("%v: %q, want %q", c.code, err, text)
		}
		if _, ok := errors.AsType[*serverError](err); ok && !errors.Is(err, given) {
			t.Errorf("%v does not unwrap to what gRPC says", err)
		}
	}
}
