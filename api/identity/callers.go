package identity

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Callers knows who senders of requests are, by whichever way they show it. Make it with [NewCallers]. Safe for concurrent use.
type Callers struct {
	own      *Verifier            // of the settings; nil: none
	issuers  map[string]*Verifier // by iss
	machines []Machine
	// Keys finds who API keys and sessions are of; nil: there are none. Set it before the first call.
	Keys KeyFinder
	// Refused is told of each refusal; nil: nobody is. Set it before the first call.
	Refused func(Reason)
}

// KeyFinder knows API keys, and sessions of browsers.
type KeyFinder interface {
	// CallerOfKey is who a key is of: [coordinator.ErrNotFound], [coordinator.ErrRevoked], [coordinator.ErrExpired], [coordinator.ErrUnavailable].
	CallerOfKey(ctx context.Context, key string) (coordinator.Caller, error)
}

// NewCallers knows the tokens of the settings' own verifier, which may be nil, and of issuers, which differ by the iss of their tokens.
func NewCallers(own *Verifier, issuers []*Verifier, machines []Machine) *Callers {
	c := &Callers{own: own, issuers: map[string]*Verifier{}, machines: machines}
	for _, v := range issuers {
		c.issuers[v.cfg.Issuer] = v
	}
	return c
}

// Own is the verifier of the settings; nil: there is none.
func (c *Callers) Own() *Verifier { return c.own }

// Issuer is the verifier of an issuer; nil: it is none of ours.
func (c *Callers) Issuer(name string) *Verifier { return c.issuers[name] }

// Run keeps the keys that issuers publish until ctx ends. It leaves no goroutine behind but fetches, which are bounded.
func (c *Callers) Run(ctx context.Context, log *slog.Logger) {
	var all sync.WaitGroup
	for _, v := range c.issuers {
		all.Go(func() { v.Run(ctx, log) })
	}
	all.Wait()
}

// Identify is who sends a request. A token says it, and a certificate only where there is none: a proxy or a mesh has a certificate of its own, and
// carries the tokens of others. A token that is not believed is refused whatever certificate comes along.
func (c *Callers) Identify(ctx context.Context, given api.Credentials) (who coordinator.Caller, err error) {
	switch {
	case strings.HasPrefix(given.Token, coordinator.KeyPrefix), strings.HasPrefix(given.Token, coordinator.SessionPrefix):
		who, err = c.key(ctx, given)
	case given.Token != "":
		who, err = c.token(ctx, given.Token)
	default:
		who, err = c.machine(given)
	}
	if err != nil && c.Refused != nil {
		c.Refused(WhyRefused(err))
	}
	return who, err
}

// WhyRefused is the reason of a refusal.
func WhyRefused(err error) Reason {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal.Reason
	}
	return KeysUnknown
}

// token is who a JWT is of. Its iss chooses by whose keys it is verified, and then must be theirs: no issuer's key signs another's tokens.
func (c *Callers) token(ctx context.Context, token string) (who coordinator.Caller, err error) {
	s, err := shapeOf(token)
	if err != nil {
		return who, err
	}
	v := c.issuers[s.issuer]
	if v == nil {
		v = c.own
	}
	if v == nil {
		return who, refuse(WrongIssuer, "its issuer is none of those that are configured")
	}
	who, _, err = v.verify(ctx, token, s, nil)
	return who, err
}

// key is who an API key or a session is of.
func (c *Callers) key(ctx context.Context, given api.Credentials) (who coordinator.Caller, err error) {
	session := strings.HasPrefix(given.Token, coordinator.SessionPrefix)
	switch {
	case c.Keys == nil, !coordinator.KeyShaped(given.Token):
		return who, refuse(Malformed, "it can't be a key")
	case session && !given.Cookie:
		return who, refuse(WrongCarrier, "a session comes in a cookie, and nowhere else")
	}
	who, err = c.Keys.CallerOfKey(ctx, given.Token)
	switch {
	case errors.Is(err, coordinator.ErrNotFound):
		return who, refuse(UnknownKey, "no such key is known")
	case errors.Is(err, coordinator.ErrRevoked):
		return who, refuse(Revoked, "the key was revoked")
	case errors.Is(err, coordinator.ErrExpired):
		return who, refuse(Expired, "the key has expired")
	}
	return who, err
}

// IssuerState is what is known of the keys that an issuer publishes.
type IssuerState struct {
	Issuer string
	Until  time.Time // for how long they count without another fetch; zero: none are known
	Fault  error     // why the last fetch failed; nil: it did not
}

// Issuers are the states of issuers that publish keys, by name.
func (c *Callers) Issuers() (all []IssuerState) {
	for _, name := range slices.Sorted(maps.Keys(c.issuers)) {
		if v := c.issuers[name]; v.published != nil {
			until, fault := v.published.state()
			all = append(all, IssuerState{name, until, fault})
		}
	}
	return all
}
