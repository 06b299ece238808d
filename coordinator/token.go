package coordinator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/taskgrove/taskgrove/dag"
)

// tokenBytes is how long an attempt's token is.
const tokenBytes = 16

// tokens makes and checks the proof that a worker was given an attempt (design §2.6). A token is a MAC over the
// attempt under the cluster's random secret: as hard to guess as a random one, new for every attempt since numbers
// never restart, and it needs no room in the store.
type tokens struct{ macs *sync.Pool } // of [hash.Hash]: keyed ones, which take most of the time to make

func newTokens(secret []byte) tokens {
	return tokens{&sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

func (t tokens) of(k dag.Key, attempt int32) []byte {
	b := make([]byte, 0, sha256.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(k))
	b = binary.BigEndian.AppendUint32(b, uint32(attempt))
	mac := t.macs.Get().(hash.Hash)
	defer t.macs.Put(mac)
	mac.Reset()
	mac.Write(b)
	return mac.Sum(b[:0])[:tokenBytes]
}

func (t tokens) valid(k dag.Key, attempt int32, token []byte) bool {
	return hmac.Equal(token, t.of(k, attempt))
}
