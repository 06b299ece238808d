// Package identity tells by a token, an API key or a certificate who sends a request (spec 5.6), and issues tokens.
//
// It owns which tokens are believed, whose keys verify them, and what their claims mean. It must not know where a request carries its token,
// nor what its sender may do.
package identity

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of what is believed.
const (
	MaxTokenBytes = 8 << 10
	MaxKeys       = 8
	MinSecret     = 8   // bytes of a secret; RFC 7518 asks for as many as the hash has: [Verifier.Weak]
	maxUserChars  = 255 // of a user's id (spec 1.1)
	maxRoles      = 100
	maxGroups     = 500
	maxGroupChars = 255
	maxDepth      = 16 // levels of a token's header and claims
)

// Lifetime is how long an issued token is valid if nothing else is said (spec 5.6).
const Lifetime = 30 * 24 * time.Hour

// AdminRole is the role of those who may act for every owner.
const AdminRole = "admin"

// ErrToken: the token is not believed.
var ErrToken = errors.New("invalid token")

// Reason is why a token is not believed, in one of few words, for metrics.
type Reason string

// The reasons.
const (
	Malformed    Reason = "malformed"     // no token, or one with parts that no token may have
	Algorithm    Reason = "algorithm"     // signed by another algorithm than the configuration or the key says
	UnknownKey   Reason = "unknown_key"   // none of the issuer's keys, or no API key of ours
	Signature    Reason = "signature"     // the key did not sign it
	Expired      Reason = "expired"       // its end is past
	NotYetValid  Reason = "not_yet_valid" // its beginning is to come
	WrongIssuer  Reason = "issuer"
	WrongAud     Reason = "audience"
	WrongClaims  Reason = "claims"      // what it says of its user can't be
	Revoked      Reason = "revoked"     // the API key was revoked, or the session ended
	Certificate  Reason = "certificate" // it names no machine
	KeysUnknown  Reason = "no_keys"     // the keys of its issuer could not be had yet: try again
	WrongCarrier Reason = "carrier"     // a session's that did not come as a cookie
)

// Refusal says why somebody is not believed. It is an [ErrToken]. Its text is for the log, and shows nothing of the token.
type Refusal struct {
	Reason Reason
	Text   string
}

// Error is the text.
func (r *Refusal) Error() string { return ErrToken.Error() + ": " + r.Text }

// Unwrap makes it an [ErrToken].
func (r *Refusal) Unwrap() error { return ErrToken }

func refuse(why Reason, format string, args ...any) error {
	return &Refusal{why, fmt.Sprintf(format, args...)}
}
