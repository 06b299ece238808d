package api

import (
	"context"
	"crypto/tls"
	"strings"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Credentials are what a request says of who sends it.
type Credentials struct {
	Token  string               // a JWT, an API key or a session; empty: none
	Cookie bool                 // it came in a cookie
	TLS    *tls.ConnectionState // of the connection; nil: it is plain text
}

// Given reports whether there is anything to look at: a token, or a certificate that was verified.
func (c Credentials) Given() bool { return c.Token != "" || c.Certified() }

// Certified reports whether the client showed a certificate, and the listener verified it.
func (c Credentials) Certified() bool { return c.TLS != nil && len(c.TLS.VerifiedChains) > 0 }

// Identify tells who sends a request. Its error is for the log; callers are told [InvalidToken], or to try again if it is a
// [coordinator.ErrUnavailable]. A server that has none asks nobody who it is.
type Identify func(ctx context.Context, c Credentials) (coordinator.Caller, error)

// Unproven is what callers are told while it can't be said who they are.
const Unproven = "who the token is of can't be checked just now, try again"

// Refused is told of who was not let in, and why: the caller is anonymous, and the call [Login].
type Refused func(ctx context.Context, caller coordinator.Caller, call coordinator.Call, why error)

// Login is what callers do who show who they are, in the audit record.
const Login = "Login"

// NotLetIn tells of a caller that was not let in. The reason shows nothing of a token. refused may be nil.
func (refused Refused) NotLetIn(ctx context.Context, surface coordinator.Surface, from, reason string) {
	if refused != nil {
		refused(ctx, coordinator.Anonymous(surface, from), coordinator.Call{Method: Login}, &coordinator.LoginError{Reason: reason})
	}
}

// Bearer is the token in the value of a header Authorization: with the scheme Bearer, or bare (spec 5.6).
func Bearer(value string) string {
	value = strings.TrimSpace(value)
	if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return value
}
