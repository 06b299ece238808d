package identity

import (
	"context"
	"crypto/subtle"

	"github.com/taskgrove/taskgrove/coordinator"
)

// SignedIn is who has just signed in at an issuer, by the ID token that the issuer made for a client of ours, in answer to the request that had the
// nonce (OpenID Connect Core 1.0, 3.1.3.7).
func (c *Callers) SignedIn(ctx context.Context, issuer, token, client, nonce string) (who coordinator.Caller, err error) {
	v := c.issuers[issuer]
	s, err := shapeOf(token)
	switch {
	case err != nil:
	case v == nil || s.issuer != issuer:
		err = refuse(WrongIssuer, "its issuer is another than was asked")
	default:
		var claims map[string]any
		if who, claims, err = v.verify(ctx, token, s, []string{client}); err != nil {
			break
		}
		said, _ := claims["nonce"].(string)
		party, bound := claims["azp"]
		switch {
		case subtle.ConstantTimeCompare([]byte(said), []byte(nonce)) != 1:
			err = refuse(WrongClaims, "its nonce is not that of the request")
		case bound && party != client:
			err = refuse(WrongAud, "it was made for another client")
		}
	}
	if err != nil {
		if c.Refused != nil {
			c.Refused(WhyRefused(err))
		}
		return coordinator.Caller{}, err
	}
	return who, nil
}
