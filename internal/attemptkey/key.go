// Package attemptkey owns how the values of an attempt travel sealed: the key that an attempt has, and envelopes under it.
//
// Coordinators derive the key from a secret of the cluster, and bring it to the worker that was given the attempt; see package workers. This
// package must not know where keys come from, or what is sealed.
package attemptkey

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

const (
	secretBytes = 32
	// Bytes is how long a key is as it travels: the number of its generation, and the secret.
	Bytes = 4 + secretBytes
	// Overhead is by how much an envelope is longer than what it holds: version, generation, nonce and tag.
	Overhead = headBytes + 12 + 16

	headBytes = 1 + 4
	version   = 1 // no message of protobuf begins with it
)

// ErrOpen: an envelope was cut or changed, is another attempt's, or was moved to another place. Errors show nothing of what it holds.
var ErrOpen = errors.New("a sealed value can't be opened: it was cut, changed or moved")

// Kind is what an envelope holds. Numbers are part of the format.
type Kind uint8

// The kinds.
const (
	Work          Kind = iota + 1 // inputs and more, as they travel with their attempt
	Inputs                        // a part of large inputs: Index is its offset, Of the size of the whole
	Result                        // Index is the outcome, Of the size of a value that travels in parts
	Part                          // of a large result, Index of Of
	Logs                          // lines of output; Index is the number of the first
	Progress                      // a text
	Live                          // pieces; Index is the number of the message
	Artifact                      // a request about files; Index is its number
	ArtifactReply                 // its answer; likewise
	Block                         // of a content in the store of artifacts, under a key of the content's own: Index of Of
	ArchivedLog                   // of an attempt that has ended
	Checkpoint                    // what an attempt noted; Index is the number of the note
)

// Place is what an envelope is bound to.
type Place struct {
	Kind      Kind
	Task      int64
	Attempt   uint32
	Index, Of uint64
}

func (p Place) bound(head []byte) []byte {
	out := append(make([]byte, 0, headBytes+1+8+4+8+8), head...)
	out = append(out, byte(p.Kind))
	out = binary.BigEndian.AppendUint64(out, uint64(p.Task))
	out = binary.BigEndian.AppendUint32(out, p.Attempt)
	out = binary.BigEndian.AppendUint64(out, p.Index)
	return binary.BigEndian.AppendUint64(out, p.Of)
}

// Key is the key of one attempt. However it is printed, it shows nothing of itself. Safe for concurrent use.
type Key struct {
	raw  [Bytes]byte
	aead cipher.AEAD
}

// New makes a key of its generation and its secret, of 32 bytes.
func New(generation uint32, secret []byte) (*Key, error) {
	if len(secret) != secretBytes {
		return nil, fmt.Errorf("the key of an attempt has %d bytes, want %d", len(secret), secretBytes)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	k := &Key{aead: aead}
	binary.BigEndian.PutUint32(k.raw[:], generation)
	copy(k.raw[4:], secret)
	return k, nil
}

// Parse reads a key as it travels.
func Parse(raw []byte) (*Key, error) {
	if len(raw) != Bytes {
		return nil, fmt.Errorf("the key of an attempt has %d bytes, want %d", len(raw), Bytes)
	}
	return New(binary.BigEndian.Uint32(raw), raw[4:])
}

// Raw is the key as it travels. It must not be stored or logged.
func (k *Key) Raw() []byte { return append([]byte(nil), k.raw[:]...) }

// Seal makes an envelope for a place.
func (k *Key) Seal(at Place, plain []byte) []byte {
	out := make([]byte, headBytes, len(plain)+Overhead)
	out[0] = version
	copy(out[1:], k.raw[:4])
	return k.aead.Seal(out, nil, plain, at.bound(out))
}

// Open is what an envelope holds that was sealed for the place. [ErrOpen].
func (k *Key) Open(at Place, envelope []byte) ([]byte, error) {
	if generation, ok := Generation(envelope); !ok || generation != binary.BigEndian.Uint32(k.raw[:]) {
		return nil, ErrOpen
	}
	plain, err := k.aead.Open(nil, nil, envelope[headBytes:], at.bound(envelope[:headBytes]))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Generation is that of the key of an envelope; not ok: it is none.
func Generation(envelope []byte) (generation uint32, ok bool) {
	if len(envelope) < Overhead || envelope[0] != version {
		return 0, false
	}
	return binary.BigEndian.Uint32(envelope[1:]), true
}

const stars = "***"

// String implements [fmt.Stringer].
func (k *Key) String() string { return stars }

// Format implements [fmt.Formatter]: no verb shows the fields.
func (k *Key) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(stars)) }

// LogValue implements [slog.LogValuer].
func (k *Key) LogValue() slog.Value { return slog.StringValue(stars) }

// MarshalText implements [encoding.TextMarshaler].
func (k *Key) MarshalText() ([]byte, error) { return []byte(stars), nil }
