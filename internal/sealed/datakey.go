package sealed

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// Cluster is the namespace of keys that are the cluster's own, not a namespace's. Of these, none is ever deleted.
const Cluster int32 = -1

// DataKey is a data key as it is stored: wrapped. It holds no secret.
type DataKey struct {
	Number    int32 // in the cluster; 0: not stored yet
	Namespace int32
	Wrapped   []byte
	Master    string // the name of the master key that wrapped it
	Check     []byte // of the key itself: tells a wrong one
	Created   time.Time
	Retired   *time.Time // nil: its namespace's values are sealed with it
}

// KeyStore keeps wrapped data keys. A namespace has at most one that is not retired.
type KeyStore interface {
	// CurrentKey is the namespace's key that is not retired; nil: it has none.
	CurrentKey(ctx context.Context, namespace int32) (*DataKey, error)
	// KeyNumbered is the key of that number; nil: there is none.
	KeyNumbered(ctx context.Context, number int32) (*DataKey, error)
	// AddKey stores a key in place of the current one of the number given, which it retires; 0: the namespace shall have none. It returns the
	// current one: if another process was faster, its.
	AddKey(ctx context.Context, fresh DataKey, instead int32) (*DataKey, error)
	// AllKeys are those that are stored, by number.
	AllKeys(ctx context.Context) ([]DataKey, error)
	// RewrapKey replaces what wraps a key, if old still does.
	RewrapKey(ctx context.Context, number int32, old, wrapped []byte, master string) error
}

// opened is a data key in memory. Its fields are shown by nothing: see secret.
type opened struct {
	number    int32
	namespace int32
	raw       secret
	aead      cipher.AEAD
}

// secret is a key in memory, which fmt, slog and JSON show as "***".
type secret struct{ bytes *[KeyBytes]byte }

func (secret) String() string               { return "***" }
func (secret) GoString() string             { return "***" }
func (secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte("***")) }
func (secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// newRaw is a fresh key.
func newRaw() secret {
	s := secret{new([KeyBytes]byte)}
	_, _ = rand.Read(s.bytes[:]) // never fails
	return s
}

func gcm(raw []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// checkValue tells keys apart, and nothing of them.
func checkValue(raw []byte) []byte {
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte("taskgrove data key check"))
	return mac.Sum(nil)[:8]
}

// keyContext is what a wrapped key is bound to.
func keyContext(namespace int32) []byte {
	return binary.BigEndian.AppendUint32([]byte("taskgrove data key\x00"), uint32(namespace))
}

// derive is the key for another use of a data key.
func derive(raw []byte, label string) ([]byte, error) {
	return hkdf.Key(sha256.New, raw, nil, "taskgrove "+label, KeyBytes)
}
