package record

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// encoding begins the bytes that are hashed: another form of them gets another number.
const encoding = "taskgrove.audit.1"

// Encode gives the bytes of an entry that its hash is over, after those of the previous hash: texts one after the other, each after its length in
// bytes as four bytes, the most significant first. Numbers are in decimal digits, details in the order of their names' bytes.
func (e *Entry) Encode() []byte {
	out := make([]byte, 0, 512)
	put := func(texts ...string) {
		for _, text := range texts {
			out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
			out = append(out, text...)
		}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	c := e.Caller
	put(encoding, number(e.Seq), e.At.String(), string(e.Kind), number(e.Of), e.Namespace, e.Method, e.Permission, string(e.Outcome), e.Code, e.Error,
		c.Kind, c.Name, c.User, c.Issuer, c.KeyID, c.From, c.Surface, e.Task, e.Trace, number(e.Count), e.Coordinator, e.Key, number(int64(len(e.Details))))
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		put(name, e.Details[name])
	}
	return out
}

// MinKey is how many bytes a key has at least.
const MinKey = 32

// MaxKeys is how many keys there may be.
const MaxKeys = 16

// Key makes hashes that only who has it can make. It prints as its id.
type Key struct {
	id     string
	secret []byte
}

// NewKey makes a key of a secret of [MinKey] bytes at least.
func NewKey(secret string) (Key, error) {
	if len(secret) < MinKey {
		return Key{}, fmt.Errorf("a key has %d bytes at least", MinKey)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("taskgrove.audit.key"))
	return Key{hex.EncodeToString(mac.Sum(nil)[:8]), []byte(secret)}, nil
}

// ID names the key, and tells nothing of it; empty: there is no key.
func (k Key) ID() string { return k.id }

// String is the id.
func (k Key) String() string { return "key " + k.id }

// GoString is the id, too.
func (k Key) GoString() string { return k.String() }

// Keys are those of a chain; the first one makes new hashes, the others are of older entries. None: hashes have no key.
type Keys []Key

// ParseKeys reads keys, one a line.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, err := NewKey(line)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, errors.New("there is no key in it")
	case len(keys) > MaxKeys:
		return nil, fmt.Errorf("there may be %d keys at most", MaxKeys)
	}
	return keys, nil
}

// First is the key of new hashes.
func (k Keys) First() Key {
	if len(k) == 0 {
		return Key{}
	}
	return k[0]
}

func (k Keys) find(id string) (Key, bool) {
	i := slices.IndexFunc(k, func(key Key) bool { return key.id == id })
	if i < 0 {
		return Key{}, false
	}
	return k[i], true
}

// Append gives an entry its place after a head, and its hash.
func (k Key) Append(after Head, e *Entry) Head {
	e.Seq, e.Prev, e.Key = after.Seq+1, after.Hash, k.id
	e.Hash = k.sum(e)
	return Head{e.Seq, e.Hash}
}

// sum is SHA-256 over the previous hash and the entry, with a key its HMAC.
func (k Key) sum(e *Entry) (out Sum) {
	h := sha256.New()
	if k.id != "" {
		h = hmac.New(sha256.New, k.secret)
	}
	h.Write(e.Prev[:])
	h.Write(e.Encode())
	h.Sum(out[:0])
	return out
}
