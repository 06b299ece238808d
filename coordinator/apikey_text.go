package coordinator

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

// What an API key and a session of a browser begin with, so that people and scanners know them: a prefix, 43 digits that are 256 random bits, and
// 6 digits of a checksum, all of them base 62.
const (
	KeyPrefix     = "tgk_"
	SessionPrefix = "tgs_"
	keyDigits     = 43 // 62^43 > 2^256
	sumDigits     = 6  // 62^6 > 2^32
	keyChars      = len(KeyPrefix) + keyDigits + sumDigits
)

// Why a key is not believed, besides [ErrNotFound].
var (
	ErrRevoked = errors.New("revoked")
	ErrExpired = errors.New("expired")
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newKeyText makes a key.
func newKeyText(prefix string) string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	text := prefix + digits62(new(big.Int).SetBytes(random[:]), keyDigits)
	return text + checksum(text)
}

// digits62 is a number in base 62, with zeros before it.
func digits62(n *big.Int, length int) string {
	text := n.Text(62) // small letters before capitals: the order of digits means nothing here
	return strings.Repeat("0", length-len(text)) + text
}

func checksum(text string) string {
	return digits62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), sumDigits)
}

// KeyShaped reports whether a text can be a key, or a session: prefix, length, digits and checksum. Who guesses or mistypes is told by this, and
// nothing is looked up.
func KeyShaped(text string) bool {
	if len(text) != keyChars || !strings.HasPrefix(text, KeyPrefix) && !strings.HasPrefix(text, SessionPrefix) {
		return false
	}
	if strings.ContainsFunc(text[len(KeyPrefix):], func(c rune) bool { return !strings.ContainsRune(base62, c) }) {
		return false
	}
	return checksum(text[:keyChars-sumDigits]) == text[keyChars-sumDigits:]
}

// keyHash is what is stored of a key. It has as many random bits as the hash, so that no salt and no slow hash is needed.
func keyHash(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// newKeyID is what people call a key by.
func newKeyID() string {
	var random [8]byte
	_, _ = rand.Read(random[:])
	return fmt.Sprintf("key_%x", random)
}
