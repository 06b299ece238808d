package sealed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Errors that callers branch on, beside [ErrNoKey].
var (
	// ErrAway: the store of keys or the KMS did not answer. Nothing was sealed; the caller may try again.
	ErrAway = errors.New("the keys can't be had now")
	// ErrChanged: what was to be opened was cut, changed, or is of another kind or namespace.
	ErrChanged = errors.New("the sealed value was changed, or belongs elsewhere")
)

// Use is what a value is sealed for: who opens it must name the same.
type Use struct {
	Namespace int32  // [Cluster]: of none
	Kind      string // such as "payload"
}

const (
	// enveloped begins each value that a keyring sealed.
	enveloped  = 2
	headBytes  = 1 + 4                 // version, number of the data key
	extraBytes = headBytes + 12 + 16   // nonce and tag
	keepKeys   = 4096                  // in memory
	freshFor   = 10 * time.Second      // how long a key is taken for its namespace's current one without asking
	retryFirst = 50 * time.Millisecond // pause before a KMS is asked again; it doubles
	retryTimes = 4                     // how often it is asked
	askFor     = 2 * time.Second       // one answer of a KMS
)

// Keyring seals values under data keys, which it makes, and has a [KMS] wrap. Data keys are unwrapped on first use and kept in memory, at most
// 4096. A process takes a namespace's key for the current one for 10 s at most, or until it is told ([Keyring.Forget]).
//
// A nil Keyring has no keys: see [Keyring.Can]. Safe for concurrent use; fmt, slog and JSON show nothing of the keys.
//
// Other uses have keys of their own, made of a data key with a label: [Keyring.Derived]. The label of messages in NATS is [LabelMessages],
// that of stored keys of models [LabelModelKeys].
type Keyring struct {
	kms   KMS
	store KeyStore

	mu      sync.Mutex // guards what follows; held while nothing is waited for
	keys    map[int32]*opened
	current map[int32]currentKey // by namespace

	asking sync.Map // number or namespace -> *sync.Mutex: one question at a time
}

// Labels of derived keys.
const (
	LabelMessages  = "messages in NATS"
	LabelModelKeys = "stored keys of models"
	LabelDigests   = "digests of submissions"
)

type currentKey struct {
	number int32
	until  time.Time
}

// NewKeyring makes a keyring. It asks nobody; see [Keyring.Verify].
func NewKeyring(kms KMS, store KeyStore) *Keyring {
	return &Keyring{kms: kms, store: store, keys: map[int32]*opened{}, current: map[int32]currentKey{}}
}

// String shows nothing of the keys.
func (r *Keyring) String() string { return "keyring" }

// GoString is String.
func (r *Keyring) GoString() string { return "keyring" }

// Can reports whether there are keys to seal with.
func (r *Keyring) Can() bool { return r != nil }

// Seal seals a value with the current data key of the use's namespace, and makes the first one. Errors: [ErrAway], [ErrNoKey].
func (r *Keyring) Seal(ctx context.Context, use Use, plain []byte) ([]byte, error) {
	s, err := r.Sealer(ctx, use.Namespace)
	if err != nil {
		return nil, err
	}
	return s.Seal(use.Kind, plain), nil
}

// Open opens what was sealed for the use. Errors: [ErrAway], [ErrNoKey], [ErrChanged].
func (r *Keyring) Open(ctx context.Context, use Use, envelope []byte) ([]byte, error) {
	number, err := Number(envelope)
	if err != nil {
		return nil, err
	}
	k, err := r.numbered(ctx, number)
	if err != nil {
		return nil, err
	}
	if k.namespace != use.Namespace {
		return nil, fmt.Errorf("data key %d is another namespace's: %w", number, ErrChanged)
	}
	plain, err := k.aead.Open(nil, nil, envelope[headBytes:], bound(use, envelope[:headBytes]))
	if err != nil {
		return nil, fmt.Errorf("%s sealed with data key %d: %w", use.Kind, number, ErrChanged)
	}
	return plain, nil
}

// Number is that of the data key that sealed a value. The error is [ErrChanged] when it is no sealed value.
func Number(envelope []byte) (int32, error) {
	if len(envelope) < extraBytes || envelope[0] != enveloped {
		return 0, fmt.Errorf("no sealed value: %w", ErrChanged)
	}
	return int32(binary.BigEndian.Uint32(envelope[1:])), nil
}

// Head is what each value begins with that the data key of the number seals.
func Head(number int32) []byte {
	return binary.BigEndian.AppendUint32([]byte{enveloped}, uint32(number))
}

// bound is what a value is bound to.
func bound(use Use, head []byte) []byte {
	out := append(make([]byte, 0, len(head)+4+len(use.Kind)), head...)
	out = binary.BigEndian.AppendUint32(out, uint32(use.Namespace))
	return append(out, use.Kind...)
}

// Derived is the cluster's key for another use, of 32 bytes, and its number: the current one, to seal with.
// The caller keeps it in memory only. Errors: [ErrAway], [ErrNoKey].
func (r *Keyring) Derived(ctx context.Context, label string) (number int32, raw []byte, err error) {
	k, err := r.now(ctx, Cluster)
	if err != nil {
		return 0, nil, err
	}
	raw, err = derive(k.raw.bytes[:], label)
	return k.number, raw, err
}

// DerivedAt is the cluster's key of that number, to open with.
func (r *Keyring) DerivedAt(ctx context.Context, number int32, label string) ([]byte, error) {
	k, err := r.numbered(ctx, number)
	if err != nil {
		return nil, err
	}
	if k.namespace != Cluster {
		return nil, fmt.Errorf("data key %d is a namespace's: %w", number, ErrChanged)
	}
	return derive(k.raw.bytes[:], label)
}

// Forget has the current keys looked up again: one may have been rotated.
func (r *Keyring) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.current)
}

// now is the current key of a namespace.
func (r *Keyring) now(ctx context.Context, namespace int32) (*opened, error) {
	if k := r.knownNow(namespace); k != nil {
		return k, nil
	}
	defer r.lock("namespace", namespace)()
	if k := r.knownNow(namespace); k != nil {
		return k, nil
	}
	asked := time.Now()
	stored, err := r.store.CurrentKey(ctx, namespace)
	if err == nil && stored == nil {
		stored, err = r.add(ctx, namespace, 0)
	}
	if err != nil {
		return nil, away(err)
	}
	k, err := r.open(ctx, stored)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current[namespace] = currentKey{k.number, asked.Add(freshFor)}
	return k, nil
}

func (r *Keyring) knownNow(namespace int32) *opened {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.current[namespace]; ok && time.Now().Before(c.until) {
		return r.keys[c.number]
	}
	return nil
}

// numbered is the key of that number.
func (r *Keyring) numbered(ctx context.Context, number int32) (*opened, error) {
	if k := r.known(number); k != nil {
		return k, nil
	}
	defer r.lock("number", number)()
	if k := r.known(number); k != nil {
		return k, nil
	}
	stored, err := r.store.KeyNumbered(ctx, number)
	if err != nil {
		return nil, away(err)
	}
	if stored == nil {
		return nil, fmt.Errorf("there is no data key %d: %w", number, ErrNoKey)
	}
	return r.open(ctx, stored)
}

func (r *Keyring) known(number int32) *opened {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[number]
}

// lock lets one of those who need the same answer ask for it.
func (r *Keyring) lock(what string, id int32) func() {
	type question struct {
		what string
		id   int32
	}
	mu, _ := r.asking.LoadOrStore(question{what, id}, &sync.Mutex{})
	mu.(*sync.Mutex).Lock()
	return mu.(*sync.Mutex).Unlock
}

// add makes a key and has it stored in place of another.
func (r *Keyring) add(ctx context.Context, namespace, instead int32) (*DataKey, error) {
	raw := newRaw()
	master := r.kms.Name()
	wrapped, err := r.ask(ctx, func(ctx context.Context) ([]byte, error) {
		return r.kms.Wrap(ctx, raw.bytes[:], keyContext(namespace))
	})
	if err != nil {
		return nil, fmt.Errorf("wrap a data key: %w", err)
	}
	return r.store.AddKey(ctx, DataKey{Namespace: namespace, Wrapped: wrapped, Master: master, Check: checkValue(raw.bytes[:])}, instead)
}

// open unwraps a key and keeps it.
func (r *Keyring) open(ctx context.Context, stored *DataKey) (*opened, error) {
	if k := r.known(stored.Number); k != nil {
		return k, nil
	}
	raw, err := r.unwrap(ctx, stored)
	if err != nil {
		return nil, err
	}
	k := &opened{number: stored.Number, namespace: stored.Namespace, raw: secret{new([KeyBytes]byte)}}
	copy(k.raw.bytes[:], raw)
	clear(raw)
	if k.aead, err = gcm(k.raw.bytes[:]); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for number := range r.keys {
		if len(r.keys) < keepKeys {
			break
		}
		delete(r.keys, number)
	}
	r.keys[k.number] = k
	return k, nil
}

func (r *Keyring) unwrap(ctx context.Context, stored *DataKey) ([]byte, error) {
	raw, err := r.ask(ctx, func(ctx context.Context) ([]byte, error) {
		return r.kms.Unwrap(ctx, stored.Master, stored.Wrapped, keyContext(stored.Namespace))
	})
	if err != nil {
		return nil, fmt.Errorf("unwrap data key %d: %w", stored.Number, err)
	}
	if len(raw) != KeyBytes || !bytes.Equal(checkValue(raw), stored.Check) {
		return nil, fmt.Errorf("unwrap data key %d: master key %s gave another key: %w", stored.Number, stored.Master, ErrNoKey)
	}
	return raw, nil
}

// ask asks the KMS, several times while it is away.
func (r *Keyring) ask(ctx context.Context, question func(context.Context) ([]byte, error)) ([]byte, error) {
	pause := retryFirst
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, askFor)
		out, err := question(once)
		cancel()
		if err == nil || errors.Is(err, ErrNoKey) {
			return out, err
		}
		if try == retryTimes || ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", ErrAway, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// away marks what is worth another try.
func away(err error) error {
	if errors.Is(err, ErrNoKey) || errors.Is(err, ErrAway) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// Sealer seals values of one namespace, with a key that is in memory: it asks nobody. Use it within 10 s. Safe for concurrent use.
type Sealer struct{ key *opened }

// Sealer is that of a namespace's current key. Errors: as [Keyring.Seal].
func (r *Keyring) Sealer(ctx context.Context, namespace int32) (*Sealer, error) {
	k, err := r.now(ctx, namespace)
	if err != nil {
		return nil, err
	}
	return &Sealer{k}, nil
}

// Seal seals a value of a kind.
func (s *Sealer) Seal(kind string, plain []byte) []byte {
	out := make([]byte, headBytes, extraBytes+len(plain))
	out[0] = enveloped
	binary.BigEndian.PutUint32(out[1:], uint32(s.key.number))
	return s.key.aead.Seal(out, nil, plain, bound(Use{s.key.namespace, kind}, out))
}
