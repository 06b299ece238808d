package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Config says which tokens of an issuer are believed.
type Config struct {
	Algorithm string // one of [Algorithms]; empty: HS256, unless there are Algorithms
	// Algorithms are several in the place of Algorithm, all of them with secrets or none. With a URL of keys none has a secret.
	Algorithms []string
	// Keys verify tokens, any of them, at most [MaxKeys]: secrets of HS256, HS384 and HS512, PEM of public keys for the others. The first one signs
	// tokens, if it is a secret.
	Keys []string
	// JWKS are the keys that the issuer publishes, in the place of Keys; nil: it publishes none.
	JWKS      *JWKS
	Issuer    string        // that tokens must name; empty: any
	Audience  string        // that tokens must name; empty: any, unless there are Audiences
	Audiences []string      // tokens must name one of them
	Leeway    time.Duration // by how much clocks may differ; 0: none
	Claims    Claims
}

// Verifier knows who a token of an issuer is of. Safe for concurrent use.
type Verifier struct {
	cfg        Config
	algorithms []string
	keys       []key   // that do not change
	published  *keySet // nil: there are only those
	secret     []byte  // that signs; nil: keys are public
	signs      jwt.SigningMethod
}

// New makes a verifier. Its errors name what is wrong with the configuration, and show nothing of a key.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{cfg: cfg, algorithms: cfg.Algorithms}
	if len(v.algorithms) == 0 {
		v.algorithms = []string{or(cfg.Algorithm, "HS256")}
	}
	for _, name := range v.algorithms {
		if !slices.Contains(Algorithms, name) {
			return nil, fmt.Errorf("the algorithm must be one of %s", strings.Join(Algorithms, ", "))
		}
	}
	secret := strings.HasPrefix(v.algorithms[0], "HS")
	switch {
	case slices.ContainsFunc(v.algorithms, func(name string) bool { return strings.HasPrefix(name, "HS") != secret }):
		return nil, errors.New("algorithms with a secret and with two keys can't be mixed")
	case cfg.JWKS != nil && secret:
		return nil, errors.New("keys that an issuer publishes are public, and no secrets")
	case cfg.JWKS != nil:
		v.published = newKeySet(*cfg.JWKS, cfg.Issuer)
		return v, nil
	case len(cfg.Keys) == 0:
		return nil, errors.New("there is no key")
	case len(cfg.Keys) > MaxKeys:
		return nil, fmt.Errorf("there may be %d keys at most", MaxKeys)
	}
	for i, text := range cfg.Keys {
		k, err := v.keyOf(text)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		v.keys = append(v.keys, k)
	}
	v.signs = jwt.GetSigningMethod(v.algorithms[0])
	v.secret, _ = v.keys[0].key.([]byte)
	return v, nil
}

// keyOf reads a key of one of the algorithms.
func (v *Verifier) keyOf(text string) (k key, err error) {
	var first error
	for _, name := range v.algorithms {
		if k, err = parseKey(name, text); err == nil {
			return k, nil
		}
		if first == nil {
			first = err
		}
	}
	return k, first
}

// Weak reports whether a secret has fewer bytes than the algorithm's hash, so that it is easier to guess than a signature (RFC 7518, 3.2).
func (v *Verifier) Weak() bool { return weak(v.keys, v.algorithms) }

// Caller is who a token is of. The error, a [Refusal], says for the log why it is not believed; it shows nothing of the token. While the keys of
// the issuer can't be had, it is a [coordinator.ErrUnavailable].
func (v *Verifier) Caller(ctx context.Context, token string) (coordinator.Caller, error) {
	s, err := shapeOf(token)
	if err != nil {
		return coordinator.Caller{}, err
	}
	who, _, err := v.verify(ctx, token, s, nil)
	return who, err
}

// Identify is [Verifier.Caller] for surfaces that know of tokens alone.
func (v *Verifier) Identify(ctx context.Context, c api.Credentials) (coordinator.Caller, error) {
	return v.Caller(ctx, c.Token)
}

// verify believes a token or says why not. audiences stand in for those of the configuration; nil: they don't.
func (v *Verifier) verify(ctx context.Context, token string, s shape, audiences []string) (who coordinator.Caller, claims jwt.MapClaims, err error) {
	if !slices.Contains(v.algorithms, s.alg) {
		return who, nil, refuse(Algorithm, "it is signed by another algorithm than %s", strings.Join(v.algorithms, ", "))
	}
	keys, err := v.keysFor(ctx, s)
	if err != nil {
		return who, nil, err
	}
	claims = jwt.MapClaims{}
	if _, err = v.parser(audiences).ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return keys, nil }); err != nil {
		return who, nil, reasonOf(err)
	}
	if who, err = v.cfg.Claims.caller(claims); err != nil {
		return coordinator.Caller{}, nil, refuse(WrongClaims, "%v", err)
	}
	who.Issuer = s.issuer
	return who, claims, nil
}

// keysFor are the keys that may have signed a token.
func (v *Verifier) keysFor(ctx context.Context, s shape) (jwt.VerificationKeySet, error) {
	keys := v.keys
	if v.published != nil {
		var err error
		if keys, err = v.published.get(ctx, s.kid); err != nil {
			return jwt.VerificationKeySet{}, err
		}
	}
	set, named := anyOf(keys, s)
	switch {
	case len(set.Keys) > 0:
		return set, nil
	case named:
		return set, refuse(Algorithm, "no key of its issuer is for the algorithm that it is signed by")
	}
	return set, refuse(UnknownKey, "it is signed by a key that its issuer does not have")
}

// parser checks a signature by the algorithms of the configuration, whatever a token's header says: so no public key is taken for a secret, and
// none is no algorithm.
func (v *Verifier) parser(audiences []string) *jwt.Parser {
	options := []jwt.ParserOption{jwt.WithValidMethods(v.algorithms), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(v.cfg.Leeway),
		jwt.WithJSONNumber(), jwt.WithStrictDecoding()}
	if v.cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(v.cfg.Issuer))
	}
	if audiences == nil {
		audiences = v.cfg.Audiences
		if v.cfg.Audience != "" {
			audiences = append(slices.Clone(audiences), v.cfg.Audience)
		}
	}
	if len(audiences) > 0 {
		options = append(options, jwt.WithAudience(audiences...))
	}
	return jwt.NewParser(options...)
}

// reasonOf says why a token is refused, without its parts.
func reasonOf(err error) error {
	for _, known := range []struct {
		err error
		why Reason
	}{
		{jwt.ErrTokenExpired, Expired}, {jwt.ErrTokenNotValidYet, NotYetValid}, {jwt.ErrTokenUsedBeforeIssued, NotYetValid},
		{jwt.ErrTokenInvalidIssuer, WrongIssuer}, {jwt.ErrTokenInvalidAudience, WrongAud}, {jwt.ErrTokenRequiredClaimMissing, WrongClaims}, {jwt.ErrInvalidType, WrongClaims},
		{jwt.ErrTokenSignatureInvalid, Signature}, {jwt.ErrTokenMalformed, Malformed},
	} {
		if errors.Is(err, known.err) {
			return refuse(known.why, "%v", known.err)
		}
	}
	return refuse(Malformed, "it can't be verified")
}

// Run keeps the keys that an issuer publishes until ctx ends. Without any it returns at once.
func (v *Verifier) Run(ctx context.Context, log *slog.Logger) {
	if v.published != nil {
		v.published.run(ctx, log)
	}
}

// Issue makes a token for a user, of so long a life. It can be made only where keys are secrets.
func (v *Verifier) Issue(user string, roles []string, life time.Duration, now time.Time) (string, error) {
	if v.secret == nil {
		return "", fmt.Errorf("tokens are verified by a public key: whoever has the private one issues them (%s)", strings.Join(v.algorithms, ", "))
	}
	claims := jwt.MapClaims{"sub": user, "user_id": user, "iat": now.Unix(), "exp": now.Add(life).Unix()}
	if len(roles) > 0 {
		claims["roles"] = roles
	}
	if _, err := (Claims{}).user(claims); err != nil {
		return "", fmt.Errorf("user %q: %w", user, err)
	}
	token, err := jwt.NewWithClaims(v.signs, claims).SignedString(v.secret)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if len(token) > MaxTokenBytes {
		return "", fmt.Errorf("the token would be longer than %d bytes", MaxTokenBytes)
	}
	return token, nil
}
