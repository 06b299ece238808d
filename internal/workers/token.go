package workers

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/attemptkey"
)

const (
	macBytes        = 16 // of a token, after the number of its generation
	generationBytes = 4
)

// Generation is one of the secrets that tokens and keys of attempts are made of. Of several the highest number signs.
type Generation struct {
	Number uint32
	Secret []byte
	Claims bool // a token of it may claim
	Proves bool // a token of it proves; else it is only there to open logs
}

// Proof is what a token proves.
type Proof uint8

// What a token may prove.
const (
	Forged  Proof = iota // nothing: it is not that of the attempt
	Proved               // that who bears it was given the attempt
	Retired              // nothing any more: it was made in a generation that proves no longer
	Unknown              // it names a later generation than those that are known
)

// Tokens makes and checks the proof that a worker was given an attempt (design §2.6), and the keys under which values of attempts travel. A token
// is a MAC over the attempt under a random secret of the cluster: as hard to guess as a random one, new for every attempt since numbers never
// restart, and it needs no room in the store. The secret may change: a token begins with the number of the secret's generation, but for that of
// generation 0, which older processes made. Safe for concurrent use.
type Tokens struct{ generations atomic.Pointer[[]*generation] }

// generation is one that is ready for use. Its pools hold [hash.Hash], keyed: that takes most of the time.
type generation struct {
	Generation
	tokens, keys *sync.Pool
}

// NewTokens makes tokens under a secret of generation 0.
func NewTokens(secret []byte) *Tokens {
	t := &Tokens{}
	t.Use([]Generation{{Secret: secret, Claims: true, Proves: true}})
	return t
}

// Use takes the generations that there are, at least one, in place of those before.
func (t *Tokens) Use(list []Generation) {
	var fresh []*generation
	for _, g := range list {
		keys, err := hkdf.Extract(sha256.New, g.Secret, []byte("taskgrove: keys of attempts"))
		if err != nil { // only of a hash that may not be used
			panic(err)
		}
		fresh = append(fresh, &generation{Generation: g, tokens: macs(g.Secret), keys: macs(keys)})
	}
	slices.SortFunc(fresh, func(a, b *generation) int { return int(int64(a.Number) - int64(b.Number)) })
	t.generations.Store(&fresh)
}

func macs(secret []byte) *sync.Pool {
	return &sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}
}

func (t *Tokens) signing() *generation {
	all := *t.generations.Load()
	return all[len(all)-1]
}

// of is the generation of a number; nil: it is not known.
func (t *Tokens) of(number uint32) *generation {
	for _, g := range *t.generations.Load() {
		if g.Number == number {
			return g
		}
	}
	return nil
}

// mac is a MAC over an attempt, of one of the pools.
func mac(pool *sync.Pool, k dag.Key, attempt int32, label string) []byte {
	b := make([]byte, 0, sha256.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(k))
	b = binary.BigEndian.AppendUint32(b, uint32(attempt))
	b = append(b, label...)
	h := pool.Get().(hash.Hash)
	defer pool.Put(h)
	h.Reset()
	h.Write(b)
	return h.Sum(b[:0])
}

func (g *generation) token(k dag.Key, attempt int32) []byte {
	sum := mac(g.tokens, k, attempt, "")[:macBytes]
	if g.Number == 0 {
		return sum
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, generationBytes+macBytes), g.Number), sum...)
}

// Of is the token of an attempt.
func (t *Tokens) Of(k dag.Key, attempt int32) []byte { return t.signing().token(k, attempt) }

// generationOf is that which a token names.
func generationOf(token []byte) uint32 {
	if len(token) <= macBytes {
		return 0
	}
	return binary.BigEndian.Uint32(token)
}

// Check says what a token proves of the attempt.
func (t *Tokens) Check(k dag.Key, attempt int32, token []byte) Proof {
	if len(token) != macBytes && len(token) != generationBytes+macBytes {
		return Forged
	}
	number := generationOf(token)
	switch g := t.of(number); {
	case g == nil && number > t.signing().Number:
		return Unknown
	case g == nil:
		return Retired
	case !hmac.Equal(token, g.token(k, attempt)):
		return Forged
	case !g.Proves:
		return Retired
	}
	return Proved
}

// Valid reports whether a token is that of the attempt.
func (t *Tokens) Valid(k dag.Key, attempt int32, token []byte) bool {
	return t.Check(k, attempt, token) == Proved
}

// Claim answers a claim that needs no look at its row: a worker that was not given the attempt is refused, and an instance
// that is not registered has to beat first. decided is false when the row decides. Whose message is so old that its token may claim no more is
// refused, too: the attempt is offered again, with another token.
func (t *Tokens) Claim(k dag.Key, attempt int32, token []byte, who Instance) (v dag.Verdict, decided bool) {
	switch proof := t.Check(k, attempt, token); {
	case proof == Unknown:
		return dag.Undecided, true
	case proof != Proved || !t.of(generationOf(token)).Claims:
		return dag.No, true
	case who.Key == 0:
		return dag.Undecided, true
	}
	return dag.Undecided, false
}

// Key is the key of an attempt whose token was proved, in the generation of the token. nil: it is not known any more.
func (t *Tokens) Key(k dag.Key, attempt int32, token []byte) *attemptkey.Key {
	return t.KeyIn(generationOf(token), k, attempt)
}

// KeyIn is the key that an attempt has in a generation; nil: that is not known.
func (t *Tokens) KeyIn(number uint32, k dag.Key, attempt int32) *attemptkey.Key {
	g := t.of(number)
	if g == nil {
		return nil
	}
	// HKDF's expansion to one block, of the secret that Use has extracted.
	key, err := attemptkey.New(number, mac(g.keys, k, attempt, "\x01"))
	if err != nil {
		return nil
	}
	return key
}
