package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithms are those by which tokens may be signed. There is none without a signature.
var Algorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Public are those of [Algorithms] that have two keys.
var Public = Algorithms[3:]

// key verifies tokens.
type key struct {
	id  string // as its issuer calls it; empty: it has no name
	alg string // the one algorithm that it is for; empty: any of its kind
	key jwt.VerificationKey
}

// verifies reports whether a token may be signed by this algorithm for the key to verify it: what the key is decides, whatever the token says.
func (k key) verifies(algorithm string) bool {
	if k.alg != "" && k.alg != algorithm {
		return false
	}
	switch public := k.key.(type) {
	case []byte:
		return strings.HasPrefix(algorithm, "HS")
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return algorithm == map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[public.Curve.Params().Name]
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// CheckKey says what is wrong with a key for an algorithm. The error shows nothing of the key.
func CheckKey(algorithm, key string) error {
	_, err := parseKey(algorithm, key)
	return err
}

// parseKey reads a key of the algorithm.
func parseKey(algorithm, text string) (k key, err error) {
	public := crypto.PublicKey(nil)
	switch algorithm[:2] {
	case "HS":
		switch {
		case strings.Contains(text, "-----BEGIN"):
			return k, fmt.Errorf("%s takes a secret, and this is a key in PEM", algorithm)
		case len(text) < MinSecret:
			return k, fmt.Errorf("a secret must have %d bytes at least", MinSecret)
		}
		return key{key: []byte(text)}, nil
	case "RS", "PS":
		public, err = jwt.ParseRSAPublicKeyFromPEM([]byte(text))
	case "ES":
		public, err = jwt.ParseECPublicKeyFromPEM([]byte(text))
	default:
		public, err = jwt.ParseEdPublicKeyFromPEM([]byte(text))
	}
	if err != nil {
		return k, fmt.Errorf("%s takes a public key in PEM, and this is none", algorithm)
	}
	if k = (key{key: public}); !k.verifies(algorithm) {
		return k, fmt.Errorf("%s takes a key of another curve", algorithm)
	}
	return k, nil
}

// anyOf are the keys, by name if the token names one, that may have made its signature.
func anyOf(keys []key, s shape) (out jwt.VerificationKeySet, named bool) {
	for _, k := range keys {
		if s.kid != "" && k.id != "" && k.id != s.kid {
			continue
		}
		if named = true; k.verifies(s.alg) {
			out.Keys = append(out.Keys, k.key)
		}
	}
	return out, named
}

// weak reports whether a secret has fewer bytes than the algorithm's hash.
func weak(keys []key, algorithms []string) bool {
	return slices.ContainsFunc(algorithms, func(name string) bool {
		bits, hmac := map[string]int{"HS256": 256, "HS384": 384, "HS512": 512}[name]
		return hmac && slices.ContainsFunc(keys, func(k key) bool { secret, _ := k.key.([]byte); return len(secret) < bits/8 })
	})
}
