// Package identity tells by a token who sends a request (spec 5.6), and issues tokens.
//
// It owns which tokens are believed and what their claims mean. It must not know where a request carries its token, nor what its sender may do.
package identity

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Bounds of what is believed.
const (
	MaxTokenBytes = 8 << 10
	MaxKeys       = 8
	MinSecret     = 8   // bytes of a secret; RFC 7518 asks for as many as the hash has: [Verifier.Weak]
	maxUserChars  = 255 // of a user's id (spec 1.1)
	maxRoles      = 100
)

// Lifetime is how long an issued token is valid if nothing else is said (spec 5.6).
const Lifetime = 30 * 24 * time.Hour

// AdminRole is the role of those who may act for every owner.
const AdminRole = "admin"

// Config says which tokens are believed.
type Config struct {
	Algorithm string // one of [Algorithms]; empty: HS256
	// Keys verify tokens, any of them, at most [MaxKeys]: secrets of HS256, HS384 and HS512, PEM of public keys for the others. The first one signs
	// tokens, if it is a secret.
	Keys     []string
	Issuer   string        // that tokens must name; empty: any
	Audience string        // that tokens must name; empty: any
	Leeway   time.Duration // by how much clocks may differ; 0: none
}

// Algorithms are those by which tokens may be signed. There is none without a signature.
var Algorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Verifier knows who a token is of. Safe for concurrent use.
type Verifier struct {
	parser *jwt.Parser
	method jwt.SigningMethod
	keys   jwt.VerificationKeySet
	secret []byte // that signs; nil: keys are public
}

// New makes a verifier. Its errors name what is wrong with the configuration, and show nothing of a key.
func New(cfg Config) (*Verifier, error) {
	name := cfg.Algorithm
	if name == "" {
		name = "HS256"
	}
	switch {
	case !slices.Contains(Algorithms, name):
		return nil, fmt.Errorf("the algorithm must be one of %s", strings.Join(Algorithms, ", "))
	case len(cfg.Keys) == 0:
		return nil, errors.New("there is no key")
	case len(cfg.Keys) > MaxKeys:
		return nil, fmt.Errorf("there may be %d keys at most", MaxKeys)
	}
	v := &Verifier{method: jwt.GetSigningMethod(name)}
	for i, text := range cfg.Keys {
		key, err := parseKey(name, text)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		v.keys.Keys = append(v.keys.Keys, key)
	}
	v.secret, _ = v.keys.Keys[0].([]byte)
	options := []jwt.ParserOption{
		// The one algorithm of the configuration, whatever a token's header says: so no public key is taken for a secret, and none is no algorithm.
		jwt.WithValidMethods([]string{name}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(cfg.Leeway), jwt.WithJSONNumber(), jwt.WithStrictDecoding(),
	}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

// Weak reports whether a secret has fewer bytes than the algorithm's hash, so that it is easier to guess than a signature (RFC 7518, 3.2).
func (v *Verifier) Weak() bool {
	bits, hmac := map[string]int{"HS256": 256, "HS384": 384, "HS512": 512}[v.method.Alg()]
	return hmac && slices.ContainsFunc(v.keys.Keys, func(key jwt.VerificationKey) bool { secret, _ := key.([]byte); return len(secret) < bits/8 })
}

// CheckKey says what is wrong with a key for an algorithm. The error shows nothing of the key.
func CheckKey(algorithm, key string) error {
	_, err := parseKey(algorithm, key)
	return err
}

// parseKey reads a key of the algorithm.
func parseKey(algorithm, text string) (key jwt.VerificationKey, err error) {
	public := crypto.PublicKey(nil)
	switch algorithm[:2] {
	case "HS":
		switch {
		case strings.Contains(text, "-----BEGIN"):
			return nil, fmt.Errorf("%s takes a secret, and this is a key in PEM", algorithm)
		case len(text) < MinSecret:
			return nil, fmt.Errorf("a secret must have %d bytes at least", MinSecret)
		}
		return []byte(text), nil
	case "RS", "PS":
		public, err = jwt.ParseRSAPublicKeyFromPEM([]byte(text))
	case "ES":
		public, err = jwt.ParseECPublicKeyFromPEM([]byte(text))
	default:
		public, err = jwt.ParseEdPublicKeyFromPEM([]byte(text))
	}
	if err != nil {
		return nil, fmt.Errorf("%s takes a public key in PEM, and this is none", algorithm)
	}
	return public, nil
}

// alphabet is that of base64 in URLs.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// ErrToken: the token is not believed.
var ErrToken = errors.New("invalid token")

// Caller is who a token is of. The error, an [ErrToken], says for the log why it is not believed; it shows nothing of the token.
func (v *Verifier) Caller(token string) (coordinator.Caller, error) {
	var none coordinator.Caller
	if len(token) > MaxTokenBytes {
		return none, fmt.Errorf("%w: it is longer than %d bytes", ErrToken, MaxTokenBytes)
	}
	if strings.ContainsFunc(token, func(c rune) bool { return c != '.' && !strings.ContainsRune(alphabet, c) }) { // decoders skip line breaks
		return none, fmt.Errorf("%w: it has other characters than tokens", ErrToken)
	}
	claims := jwt.MapClaims{}
	parsed, err := v.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return v.keys, nil })
	if err != nil {
		return none, fmt.Errorf("%w: %s", ErrToken, reason(err))
	}
	if _, critical := parsed.Header["crit"]; critical { // RFC 7515, 4.1.11: what must be understood, and is not
		return none, fmt.Errorf("%w: its header has critical parameters", ErrToken)
	}
	user, err := userOf(claims)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrToken, err)
	}
	roles, err := rolesOf(claims)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return coordinator.Caller{Name: user, User: user, Admin: slices.Contains(roles, AdminRole)}, nil
}

// reason says why a token is refused, without its parts.
func reason(err error) string {
	for _, known := range []error{
		jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenInvalidIssuer,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenMalformed,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "it can't be verified"
}

// userOf is whom a token names: its claim user_id, else sub (spec K21).
func userOf(claims jwt.MapClaims) (string, error) {
	for _, name := range []string{"user_id", "sub"} {
		user := ""
		switch value := claims[name].(type) {
		case nil:
			continue
		case string:
			user = value
		case interface{ Int64() (int64, error) }: // a number, as issuers that count their users write
			n, err := value.Int64()
			if err != nil {
				return "", fmt.Errorf("its %s is no text", name)
			}
			user = strconv.FormatInt(n, 10)
		default:
			return "", fmt.Errorf("its %s is no text", name)
		}
		switch {
		case user == "":
			continue
		case utf8.RuneCountInString(user) > maxUserChars, !utf8.ValidString(user), strings.ContainsFunc(user, unicode.IsControl):
			return "", fmt.Errorf("its %s can't be the id of a user", name)
		}
		return user, nil
	}
	return "", errors.New("it names no user")
}

// rolesOf are the roles of a token: a list in roles, or one in role.
func rolesOf(claims jwt.MapClaims) (roles []string, err error) {
	for _, name := range []string{"roles", "role"} {
		switch value := claims[name].(type) {
		case nil:
		case string:
			roles = append(roles, value)
		case []any:
			if len(value) > maxRoles {
				return nil, fmt.Errorf("its %s are more than %d", name, maxRoles)
			}
			for _, one := range value {
				role, ok := one.(string)
				if !ok {
					return nil, fmt.Errorf("its %s are no texts", name)
				}
				roles = append(roles, role)
			}
		default:
			return nil, fmt.Errorf("its %s are no texts", name)
		}
	}
	return roles, nil
}

// Issue makes a token for a user, of so long a life. It can be made only where keys are secrets.
func (v *Verifier) Issue(user string, roles []string, life time.Duration, now time.Time) (string, error) {
	if v.secret == nil {
		return "", fmt.Errorf("tokens are verified by a public key: whoever has the private one issues them (%s)", v.method.Alg())
	}
	claims := jwt.MapClaims{"sub": user, "user_id": user, "iat": now.Unix(), "exp": now.Add(life).Unix()}
	if len(roles) > 0 {
		claims["roles"] = roles
	}
	if _, err := userOf(claims); err != nil {
		return "", fmt.Errorf("user %q: %w", user, err)
	}
	token, err := jwt.NewWithClaims(v.method, claims).SignedString(v.secret)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if len(token) > MaxTokenBytes {
		return "", fmt.Errorf("the token would be longer than %d bytes", MaxTokenBytes)
	}
	return token, nil
}
