package workers

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

// Tokens makes and checks the proof that a worker was given an attempt (design §2.6). A token is a MAC over the attempt
// under the cluster's random secret: as hard to guess as a random one, new for every attempt since numbers never restart,
// and it needs no room in the store. Safe for concurrent use.
type Tokens struct{ macs *sync.Pool } // of [hash.Hash]: keyed ones, which take most of the time to make

// NewTokens makes tokens under a secret.
func NewTokens(secret []byte) Tokens {
	return Tokens{&sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

// Of is the token of an attempt.
func (t Tokens) Of(k dag.Key, attempt int32) []byte {
	b := make([]byte, 0, sha256.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(k))
	b = binary.BigEndian.AppendUint32(b, uint32(attempt))
	mac := t.macs.Get().(hash.Hash)
	defer t.macs.Put(mac)
	mac.Reset()
	mac.Write(b)
	return mac.Sum(b[:0])[:tokenBytes]
}

// Valid reports whether a token is that of the attempt.
func (t Tokens) Valid(k dag.Key, attempt int32, token []byte) bool {
	return hmac.Equal(token, t.Of(k, attempt))
}

// Claim answers a claim that needs no look at its row: a worker that was not given the attempt is refused, and an instance
// that is not registered has to beat first. decided is false when the row decides.
func (t Tokens) Claim(k dag.Key, attempt int32, token []byte, who Instance) (v dag.Verdict, decided bool) {
	switch {
	case !t.Valid(k, attempt, token):
		return dag.No, true
	case who.Key == 0:
		return dag.Undecided, true
	}
	return dag.Undecided, false
}
