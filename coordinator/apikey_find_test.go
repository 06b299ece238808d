package coordinator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// keysInMemory is a store of keys that counts statements.
type keysInMemory struct {
	asked atomic.Int32
	mu    sync.Mutex
	keys  []*pg.APIKey
	away  bool
}

func (s *keysInMemory) APIKeysByHash(_ context.Context, hashes [][]byte) (out []*pg.APIKey, err error) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errors.New("it is away")
	}
	for _, k := range s.keys {
		if slices.ContainsFunc(hashes, func(h []byte) bool { return string(h) == string(k.Hash) }) {
			out = append(out, k)
		}
	}
	return out, nil
}

func (s *keysInMemory) UseAPIKeys(context.Context, map[int64]time.Time) error { return nil }

// finding is a finder that looks whenever it is woken.
func finding(t *testing.T) (*keysInMemory, *keyFinder) {
	store := &keysInMemory{}
	f := newKeyFinder(store)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for wait(ctx, f.wake, time.Hour) {
			for f.look(ctx) && sleep(ctx, findPause) {
			}
			sleep(ctx, findPause)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return store, f
}

// TestGuessingKeysIsCheap: what can be no key is not looked for, and many guesses share a statement.
func TestGuessingKeysIsCheap(t *testing.T) {
	t.Parallel()
	good := newKeyText(KeyPrefix)
	last := good[len(good)-1:]
	other := map[bool]string{true: "1", false: "0"}[last == "0"]
	for _, bad := range []string{"", "tgk_", "tgk_" + strings.Repeat("0", 49), "tgx_" + good[4:], "tgk_" + strings.Repeat("-", 49), good[:52], good + "0", good[:52] + other,
		SessionPrefix + good[4:], strings.ToUpper(good), "tgk_" + strings.Repeat("é", 24) + "0"} {
		if KeyShaped(bad) {
			t.Errorf("%q could be a key", bad)
		}
	}
	if !KeyShaped(good) || !KeyShaped(newKeyText(SessionPrefix)) || newKeyText(KeyPrefix) == good {
		t.Error("a key has another shape than keys")
	}
	store, f := finding(t)
	const guesses = 3000
	errs := make(chan error, guesses)
	for i := range guesses {
		go func() {
			k, err := f.find(t.Context(), hashOf{byte(i), byte(i >> 8)})
			if k.APIKey != nil {
				err = errors.New("a guess was right")
			}
			errs <- err
		}()
	}
	for range guesses {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := store.asked.Load(); n > guesses/10 {
		t.Errorf("%d guesses took %d statements", guesses, n)
	}
	before := store.asked.Load()
	for range 100 {
		if _, err := f.find(t.Context(), hashOf{1}); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.asked.Load() - before; n != 0 {
		t.Errorf("the same guess again took %d statements", n)
	}
}

// TestWhatIsKnownOfKeysIsBounded, and what has changed is read again.
func TestWhatIsKnownOfKeysIsBounded(t *testing.T) {
	t.Parallel()
	store, f := finding(t)
	hash := hashOf{1}
	store.keys = []*pg.APIKey{{Hash: hash[:], ID: "one", Remaining: time.Hour}}
	for range 3 {
		if k, err := f.find(t.Context(), hash); err != nil || k.APIKey == nil {
			t.Fatalf("got %+v, %v", k, err)
		}
	}
	if n := store.asked.Load(); n != 1 {
		t.Errorf("a key that is known took %d statements", n)
	}
	f.forget("one")
	store.mu.Lock()
	store.away = true
	store.mu.Unlock()
	if _, err := f.find(t.Context(), hash); !errors.Is(err, ErrUnavailable) {
		t.Errorf("while the store is away: got %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*pg.APIKey, foundKept)
	for i := range list {
		h := hashOf{byte(i), byte(i >> 8), byte(i >> 16)}
		list[i] = &pg.APIKey{Hash: h[:]}
	}
	f.keep(list, time.Now())
	f.keep(list[:1], time.Now())
	if len(f.found) > foundKept {
		t.Errorf("%d keys are kept", len(f.found))
	}
	for i := range 2 * useKept {
		f.mu.Unlock()
		f.use(int64(i))
		f.mu.Lock()
	}
	if len(f.used) > useKept {
		t.Errorf("the use of %d keys is kept", len(f.used))
	}
}

// TestWhatNoAPIKeyCanBe is refused by the name of its field.
func TestWhatNoAPIKeyCanBe(t *testing.T) {
	t.Parallel()
	for field, spec := range map[string]APIKeySpec{
		"user_id": {UserID: "a\nb"}, "name": {UserID: "amy", Name: strings.Repeat("x", 256)}, "roles": {UserID: "amy", Roles: []string{":"}},
		"scopes": {UserID: "amy", Scopes: []Permission{"everything"}}, "expires": {UserID: "amy", Expires: 1000 * 24 * time.Hour},
	} {
		if bad, ok := errors.AsType[*InvalidArgumentError](spec.check()); !ok || bad.Field != field {
			t.Errorf("%s: got %v", field, spec.check())
		}
	}
	if err := (&APIKeySpec{UserID: "amy", Roles: []string{"operator", "team-a:viewer"}, Scopes: []Permission{"trees.read"}, Expires: time.Hour}).check(); err != nil {
		t.Error(err)
	}
}
