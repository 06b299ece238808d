// Package sealed owns how secrets lie in a store that must not be able to read them: sealed with AES-256-GCM and bound to what they belong to,
// a few under a key of the operator's ([Box]), many under data keys that such a key wraps ([Keyring]). It must not know what is sealed, or where
// it is kept.
package sealed

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// KeyBytes is how long a key is.
const KeyBytes = 32

// ErrNoKey: there is no key, or none of those that there are sealed the text.
var ErrNoKey = errors.New("no key opens it")

// Box seals and opens. A nil Box has no key. Safe for concurrent use.
type Box struct {
	keys []key // the first seals
}

type key struct {
	id   [4]byte
	aead cipher.AEAD
}

// version begins each sealed text.
const version = 1

// New makes a box of keys in base64, separated by commas or white space: the first seals, all of them open. nil without any.
// Errors show nothing of a key.
func New(keys string) (*Box, error) {
	b := &Box{}
	for i, text := range strings.FieldsFunc(keys, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		raw, err := decode(text)
		if err != nil || len(raw) != KeyBytes {
			return nil, fmt.Errorf("key %d is not base64 of %d bytes", i+1, KeyBytes)
		}
		aead, err := gcm(raw)
		if err != nil {
			return nil, err
		}
		k := key{aead: aead}
		sum := sha256.Sum256(append([]byte("taskgrove sealed key id\x00"), raw...))
		copy(k.id[:], sum[:])
		b.keys = append(b.keys, k)
	}
	if len(b.keys) == 0 {
		return nil, nil
	}
	return b, nil
}

// decode reads base64 of either alphabet, padded or not.
func decode(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if raw, err := base64.RawStdEncoding.DecodeString(text); err == nil {
		return raw, nil
	}
	return base64.RawURLEncoding.DecodeString(text)
}

// NewKey makes a key as [New] reads it.
func NewKey() string {
	raw := make([]byte, KeyBytes)
	_, _ = rand.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}

// String shows nothing of the keys.
func (b *Box) String() string { return "box" }

// GoString is String.
func (b *Box) GoString() string { return "box" }

// Can reports whether there is a key to seal with.
func (b *Box) Can() bool { return b != nil }

// Seal seals a text for an owner: only who names the same one opens it. [ErrNoKey] of a nil Box.
func (b *Box) Seal(plain []byte, owner string) ([]byte, error) {
	if b == nil {
		return nil, ErrNoKey
	}
	k := b.keys[0]
	out := append([]byte{version}, k.id[:]...)
	return k.aead.Seal(out, nil, plain, []byte(owner)), nil
}

// Open opens what was sealed for an owner. [ErrNoKey] if it was sealed with a key that is not there.
func (b *Box) Open(sealed []byte, owner string) ([]byte, error) {
	if len(sealed) < 5 || sealed[0] != version {
		return nil, errors.New("it is not sealed")
	}
	if b != nil {
		for _, k := range b.keys {
			if string(k.id[:]) != string(sealed[1:5]) {
				continue
			}
			if plain, err := k.aead.Open(nil, nil, sealed[5:], []byte(owner)); err == nil {
				return plain, nil
			}
			return nil, errors.New("it was changed, or is another's")
		}
	}
	return nil, ErrNoKey
}
