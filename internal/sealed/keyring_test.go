package sealed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/sealed"
)

// keys is a store of keys in memory.
type keys struct {
	mu  sync.Mutex
	all []sealed.DataKey
}

func (s *keys) CurrentKey(_ context.Context, namespace int32) (*sealed.DataKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.all {
		if k.Namespace == namespace && k.Retired == nil {
			return &k, nil
		}
	}
	return nil, nil
}

func (s *keys) KeyNumbered(_ context.Context, number int32) (*sealed.DataKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < 1 || int(number) > len(s.all) {
		return nil, nil
	}
	k := s.all[number-1]
	return &k, nil
}

func (s *keys) AddKey(ctx context.Context, fresh sealed.DataKey, instead int32) (*sealed.DataKey, error) {
	s.mu.Lock()
	now := time.Now()
	taken := false
	for i := range s.all {
		if s.all[i].Namespace != fresh.Namespace || s.all[i].Retired != nil {
			continue
		}
		if s.all[i].Number == instead {
			s.all[i].Retired = &now
		} else {
			taken = true
		}
	}
	if !taken {
		fresh.Number = int32(len(s.all) + 1)
		s.all = append(s.all, fresh)
	}
	s.mu.Unlock()
	return s.CurrentKey(ctx, fresh.Namespace)
}

func (s *keys) AllKeys(context.Context) ([]sealed.DataKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sealed.DataKey(nil), s.all...), nil
}

func (s *keys) RewrapKey(_ context.Context, number int32, old, wrapped []byte, master string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := &s.all[number-1]; bytes.Equal(k.Wrapped, old) {
		k.Wrapped, k.Master = wrapped, master
	}
	return nil
}

// flaky is a KMS that is away for the next calls.
type flaky struct {
	*sealed.Box
	mu   sync.Mutex
	away int
}

var errDown = errors.New("connection refused")

func (f *flaky) down() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away--
	return f.away >= 0
}

func (f *flaky) Wrap(ctx context.Context, plain, bound []byte) ([]byte, error) {
	if f.down() {
		return nil, errDown
	}
	return f.Box.Wrap(ctx, plain, bound)
}

func (f *flaky) Unwrap(ctx context.Context, name string, wrapped, bound []byte) ([]byte, error) {
	if f.down() {
		return nil, errDown
	}
	return f.Box.Unwrap(ctx, name, wrapped, bound)
}

var payloads = sealed.Use{Namespace: 0, Kind: "payload"}

func TestAValueOpensWhereItBelongs(t *testing.T) {
	t.Parallel()
	master, store := sealed.NewKey(), &keys{}
	ring := sealed.NewKeyring(box(t, master), store)
	text, err := ring.Seal(t.Context(), payloads, []byte("canary"))
	if err != nil || bytes.Contains(text, []byte("canary")) {
		t.Fatalf("sealed it is %q, %v", text, err)
	}
	other := sealed.NewKeyring(box(t, master), store) // of another process
	if got, err := other.Open(t.Context(), payloads, text); err != nil || string(got) != "canary" {
		t.Errorf("another process: got %q, %v", got, err)
	}
	if _, err := ring.Seal(t.Context(), sealed.Use{Namespace: 1, Kind: "payload"}, nil); err != nil {
		t.Fatal(err)
	}
	for _, use := range []sealed.Use{{Namespace: 0, Kind: "attempt"}, {Namespace: 1, Kind: "payload"}} {
		if _, err := ring.Open(t.Context(), use, text); !errors.Is(err, sealed.ErrChanged) {
			t.Errorf("as %+v: got %v", use, err)
		}
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if _, err := ring.Open(t.Context(), payloads, bad); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, err := ring.Open(t.Context(), payloads, text[:i]); err == nil {
			t.Errorf("opened when cut to %d bytes", i)
		}
	}
}

func TestAWrongMasterKeyIsFound(t *testing.T) {
	t.Parallel()
	store := &keys{}
	if err := sealed.NewKeyring(box(t, sealed.NewKey()), store).Verify(t.Context()); err != nil {
		t.Errorf("nothing is stored: %v", err)
	}
	right := box(t, sealed.NewKey())
	if _, err := sealed.NewKeyring(right, store).Seal(t.Context(), payloads, nil); err != nil {
		t.Fatal(err)
	}
	err := sealed.NewKeyring(box(t, sealed.NewKey()), store).Verify(t.Context())
	if !errors.Is(err, sealed.ErrNoKey) || !strings.Contains(err.Error(), right.Name()) {
		t.Errorf("another key: got %v", err)
	}
	store.all[0].Check = []byte("12345678") // as if the KMS gave another key than it was given
	if err := sealed.NewKeyring(right, store).Verify(t.Context()); !errors.Is(err, sealed.ErrNoKey) {
		t.Errorf("a KMS that gives another key: got %v", err)
	}
}

func TestAKMSThatIsAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	store := &keys{}
	kms := &flaky{Box: box(t, sealed.NewKey()), away: 2}
	ring := sealed.NewKeyring(kms, store)
	text, err := ring.Seal(t.Context(), payloads, []byte("canary"))
	if err != nil {
		t.Fatalf("away for two calls: %v", err)
	}
	kms = &flaky{Box: kms.Box, away: 1000}
	ring = sealed.NewKeyring(kms, store)
	if _, err := ring.Open(t.Context(), payloads, text); !errors.Is(err, sealed.ErrAway) || !errors.Is(err, errDown) {
		t.Errorf("away for long: got %v", err)
	}
	if _, err := ring.Seal(t.Context(), sealed.Use{Namespace: 7, Kind: "payload"}, nil); !errors.Is(err, sealed.ErrAway) {
		t.Errorf("the first key of a namespace: got %v", err)
	}
	if len(store.all) != 1 {
		t.Errorf("%d keys are stored", len(store.all))
	}
	kms.away = 0
	if got, err := ring.Open(t.Context(), payloads, text); err != nil || string(got) != "canary" {
		t.Errorf("back: got %q, %v", got, err)
	}
}

func TestRotationKeepsWhatIsSealed(t *testing.T) {
	t.Parallel()
	old, fresh, store := sealed.NewKey(), sealed.NewKey(), &keys{}
	ring := sealed.NewKeyring(box(t, old), store)
	before, _ := ring.Seal(t.Context(), payloads, []byte("before"))
	k, err := ring.Rotate(t.Context(), 0)
	if err != nil || k.Number != 2 {
		t.Fatalf("got %+v, %v", k, err)
	}
	after, _ := ring.Seal(t.Context(), payloads, []byte("after"))
	if n, err := sealed.Number(after); n != 2 || err != nil {
		t.Errorf("sealed with key %d, %v", n, err)
	}
	ring = sealed.NewKeyring(box(t, fresh, old), store)
	if n, err := ring.Rewrap(t.Context()); n != 2 || err != nil {
		t.Errorf("rewrapped %d, %v", n, err)
	}
	ring = sealed.NewKeyring(box(t, fresh), store)
	for want, text := range map[string][]byte{"before": before, "after": after} {
		if got, err := ring.Open(t.Context(), payloads, text); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", want, got, err)
		}
	}
}

func TestDerivedKeysAreOfTheirUse(t *testing.T) {
	t.Parallel()
	ring := sealed.NewKeyring(box(t, sealed.NewKey()), &keys{})
	number, messages, err := ring.Derived(t.Context(), sealed.LabelMessages)
	_, models, err2 := ring.Derived(t.Context(), sealed.LabelModelKeys)
	if err != nil || err2 != nil || len(messages) != sealed.KeyBytes || bytes.Equal(messages, models) {
		t.Fatalf("of %d and %d bytes: %v, %v", len(messages), len(models), err, err2)
	}
	if again, err := ring.DerivedAt(t.Context(), number, sealed.LabelMessages); err != nil || !bytes.Equal(again, messages) {
		t.Errorf("by number: %v", err)
	}
	text, _ := ring.Seal(t.Context(), payloads, nil)
	of, _ := sealed.Number(text)
	if _, err := ring.DerivedAt(t.Context(), of, sealed.LabelMessages); err == nil {
		t.Error("a namespace's key gave one of the cluster")
	}
}

func TestAKeyringShowsNothing(t *testing.T) {
	t.Parallel()
	master := sealed.NewKey()
	ring := sealed.NewKeyring(box(t, master), &keys{})
	_, derived, err := ring.Derived(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("keys", "ring", ring, "box", box(t, master))
	asJSON, _ := json.Marshal(map[string]any{"ring": ring})
	for _, shown := range []string{fmt.Sprint(ring), fmt.Sprintf("%+v %#v %s %x", ring, ring, ring, ring), string(asJSON), log.String(), fmt.Sprintf("%+v %#v", box(t, master), box(t, master))} {
		if len(shown) > 200 || strings.Contains(shown, master) || strings.Contains(shown, fmt.Sprintf("%x", derived)) {
			t.Errorf("it shows %s", shown)
		}
	}
}

// FuzzEnvelope opens what anybody may have put in the place of a sealed value.
func FuzzEnvelope(f *testing.F) {
	ring := sealed.NewKeyring(box(f, sealed.NewKey()), &keys{})
	text, err := ring.Seal(f.Context(), payloads, []byte("canary"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:20])
	f.Add([]byte{})
	f.Add(append([]byte{2, 0, 0, 0, 9}, text[5:]...))
	f.Fuzz(func(t *testing.T, bad []byte) {
		if got, err := ring.Open(t.Context(), payloads, bad); err == nil && !bytes.Equal(bad, text) {
			t.Errorf("it opened as %q", got)
		}
	})
}
