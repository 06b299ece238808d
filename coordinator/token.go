package coordinator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/taskgrove/taskgrove/dag"
)

// tokenBytes is how long an attempt's token is.
const tokenBytes = 16

// tokens makes and checks the proof that a worker was given an attempt (design §2.6). A token is a MAC over the
// attempt under the cluster's random secret: as hard to guess as a random one, new for every attempt since numbers
// never restart, and it needs no room in the store.
type tokens struct{ secret []byte }

func (t tokens) of(k dag.Key, attempt int32) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:8], uint64(k))
	binary.BigEndian.PutUint32(b[8:], uint32(attempt))
	mac := hmac.New(sha256.New, t.secret)
	mac.Write(b[:])
	return mac.Sum(nil)[:tokenBytes]
}

func (t tokens) valid(k dag.Key, attempt int32, token []byte) bool {
	return hmac.Equal(token, t.of(k, attempt))
}
