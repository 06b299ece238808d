package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Bounds of what an issuer publishes.
const (
	maxPublished = 64  // keys
	maxKeyID     = 256 // bytes
	minRSABits   = 2048
	maxRSABits   = 8192 // a larger one takes long to verify with
)

// jsonKey is a key as RFC 7517 writes it. Parts that a private key has are not read.
type jsonKey struct {
	Kind       string   `json:"kty"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  string   `json:"alg"`
	ID         string   `json:"kid"`
	Curve      string   `json:"crv"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
}

// parseKeys reads the keys of a document (RFC 7517, 5). Those that are of no use here are left out: secrets, keys for encryption, kinds that nobody
// knows, weak ones.
func parseKeys(text []byte) (keys []key, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("it is no document of keys")
	}
	if len(set.Keys) > maxPublished {
		return nil, fmt.Errorf("it has %d keys, at most %d are taken", len(set.Keys), maxPublished)
	}
	for _, raw := range set.Keys {
		var one jsonKey
		if json.Unmarshal(raw, &one) != nil || len(one.ID) > maxKeyID {
			continue
		}
		if k, ok := one.key(); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key that can verify a token")
	}
	return keys, nil
}

// key is the key, if it can verify tokens.
func (j *jsonKey) key() (k key, ok bool) {
	if j.Use != "" && j.Use != "sig" || len(j.Operations) > 0 && !slices.Contains(j.Operations, "verify") {
		return k, false
	}
	if j.Algorithm != "" && !slices.Contains(Public, j.Algorithm) {
		return k, false
	}
	k = key{id: j.ID, alg: j.Algorithm}
	switch j.Kind {
	case "RSA":
		k.key, ok = j.rsa()
	case "EC":
		k.key, ok = j.ec()
	case "OKP":
		k.key, ok = j.ed()
	}
	return k, ok && (j.Algorithm == "" || k.verifies(j.Algorithm))
}

func (j *jsonKey) rsa() (*rsa.PublicKey, bool) {
	n, okN := number(j.N)
	e, okE := number(j.E)
	if !okN || !okE || n.BitLen() < minRSABits || n.BitLen() > maxRSABits || n.Bit(0) == 0 || e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 {
		return nil, false
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, true
}

func (j *jsonKey) ec() (*ecdsa.PublicKey, bool) {
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[j.Curve]
	if curve == nil {
		return nil, false
	}
	size := (curve.Params().BitSize + 7) / 8
	x, okX := unbase(j.X)
	y, okY := unbase(j.Y)
	if !okX || !okY || len(x) != size || len(y) != size {
		return nil, false
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y)) // it is on the curve
	return public, err == nil
}

func (j *jsonKey) ed() (ed25519.PublicKey, bool) {
	x, ok := unbase(j.X)
	return x, ok && j.Curve == "Ed25519" && len(x) == ed25519.PublicKeySize
}

func number(text string) (*big.Int, bool) {
	raw, ok := unbase(text)
	return new(big.Int).SetBytes(raw), ok && len(raw) > 0
}

func unbase(text string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return raw, err == nil
}
