package api

import (
	"strings"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Identify tells who a token is of. Its error is for the log; callers are told [InvalidToken]. A server that has none asks nobody who it is.
type Identify func(token string) (coordinator.Caller, error)

// Bearer is the token in the value of a header Authorization: with the scheme Bearer, or bare (spec 5.6).
func Bearer(value string) string {
	value = strings.TrimSpace(value)
	if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return value
}
