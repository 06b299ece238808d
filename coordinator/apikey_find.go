package coordinator

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// KeyFresh is for how long a coordinator believes what it read of a key: so a revocation, which others are told of at once, holds after that even if
// the news was lost.
const KeyFresh = 10 * time.Second

// Bounds of finding keys. Who guesses costs the store one statement each [findPause] at most, for all guesses together.
const (
	keysTold    = "apikeys" // topic
	findAtOnce  = 1000      // keys in one statement
	findWaiting = 4096      // that wait; beyond it, callers are told to try again
	findPause   = 20 * time.Millisecond
	findTime    = 5 * time.Second
	foundKept   = 20_000 // keys in memory
	unknownKept = 20_000 // hashes of texts that are no keys
	useWritten  = 30 * time.Second
	useKept     = 20_000 // keys that were used, until it is written down
)

type hashOf = [sha256.Size]byte

// keyFinder finds keys by their hashes. What is asked for meanwhile is looked up together.
type keyFinder struct {
	store apiKeyStore
	wake  chan struct{}

	mu      sync.Mutex
	found   map[hashOf]foundKey
	unknown map[hashOf]time.Time
	waiting map[hashOf]*keyWait
	used    map[int64]time.Time // since it was written down
}

type apiKeyStore interface {
	APIKeysByHash(ctx context.Context, hashes [][]byte) ([]*pg.APIKey, error)
	UseAPIKeys(ctx context.Context, used map[int64]time.Time) error
}

// foundKey is a key as it was read. Readers must not change it.
type foundKey struct {
	*pg.APIKey
	at time.Time
}

// keyWait is somebody's wait for a key.
type keyWait struct {
	done chan struct{}
	key  *pg.APIKey // nil: there is none
	at   time.Time
	err  error
}

func newKeyFinder(store apiKeyStore) *keyFinder {
	return &keyFinder{store: store, wake: make(chan struct{}, 1), found: map[hashOf]foundKey{}, unknown: map[hashOf]time.Time{}, waiting: map[hashOf]*keyWait{}, used: map[int64]time.Time{}}
}

// CallerOfKey is who calls with a key, or a session: [ErrNotFound], [ErrRevoked], [ErrExpired], [ErrUnavailable].
func (c *Coordinator) CallerOfKey(ctx context.Context, text string) (who Caller, err error) {
	k, err := c.keyFinder.find(ctx, keyHash(text))
	switch {
	case err != nil:
		return who, err
	case k.APIKey == nil:
		return who, ErrNotFound
	case k.Revoked:
		return who, ErrRevoked
	case time.Since(k.at) >= k.Remaining:
		return who, ErrExpired
	}
	c.keyFinder.use(k.Key)
	who = Caller{Name: k.Owner, User: k.Owner, Kind: KeyCaller, KeyID: k.ID, Namespace: k.Namespace, Issuer: k.Issuer, Groups: k.Groups, Roles: rolesAt(k.Roles, k.Namespace)}
	if k.Session {
		who.Kind, who.KeyID = UserCaller, ""
	}
	if k.Scopes != nil {
		who.Scopes = []Permission{}
		for _, s := range k.Scopes {
			who.Scopes = append(who.Scopes, Permission(s))
		}
	}
	return who, nil
}

// find is a key, its APIKey nil if there is none.
func (f *keyFinder) find(ctx context.Context, hash hashOf) (foundKey, error) {
	f.mu.Lock()
	if k, ok := f.found[hash]; ok && time.Since(k.at) < KeyFresh {
		f.mu.Unlock()
		return k, nil
	}
	if at, ok := f.unknown[hash]; ok && time.Since(at) < KeyFresh {
		f.mu.Unlock()
		return foundKey{at: at}, nil
	}
	w := f.waiting[hash]
	if w == nil {
		if len(f.waiting) >= findWaiting {
			f.mu.Unlock()
			return foundKey{}, fmt.Errorf("%w: too many unknown keys at once", ErrUnavailable)
		}
		w = &keyWait{done: make(chan struct{})}
		f.waiting[hash] = w
		select {
		case f.wake <- struct{}{}:
		default: // it will look
		}
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	select {
	case <-w.done:
		return foundKey{w.key, w.at}, w.err
	case <-ctx.Done():
		return foundKey{}, fmt.Errorf("%w: look for a key: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// use notes that a key was used.
func (f *keyFinder) use(key int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.used[key]; known || len(f.used) < useKept {
		f.used[key] = time.Now()
	}
}

// look looks for all that wait, in one statement.
func (f *keyFinder) look(ctx context.Context) (more bool) {
	f.mu.Lock()
	var hashes [][]byte
	for hash := range f.waiting {
		if hashes = append(hashes, hash[:]); len(hashes) == findAtOnce {
			break
		}
	}
	f.mu.Unlock()
	if len(hashes) == 0 {
		return false
	}
	at := time.Now()
	list, err := f.store.APIKeysByHash(ctx, hashes)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.keep(list, at)
	}
	for _, hash := range hashes {
		w := f.waiting[hashOf(hash)]
		delete(f.waiting, hashOf(hash))
		switch k, ok := f.found[hashOf(hash)]; {
		case err != nil:
			w.err = fmt.Errorf("%w: look for a key: %w", ErrUnavailable, err)
		case ok && k.at.Equal(at):
			w.key, w.at = k.APIKey, at
		default:
			delete(f.found, hashOf(hash))
			if len(f.unknown) >= unknownKept {
				clear(f.unknown)
			}
			f.unknown[hashOf(hash)], w.at = at, at
		}
		close(w.done)
	}
	return len(f.waiting) > 0
}

// keep notes keys as they were read. The caller holds mu.
func (f *keyFinder) keep(list []*pg.APIKey, at time.Time) {
	if len(f.found)+len(list) > foundKept {
		for hash, k := range f.found {
			if time.Since(k.at) >= KeyFresh {
				delete(f.found, hash)
			}
		}
		if len(f.found)+len(list) > foundKept {
			clear(f.found)
		}
	}
	for _, k := range list {
		f.found[hashOf(k.Hash)] = foundKey{k, at}
	}
}

// forget drops what is known of a key that has changed, and of texts that were no keys.
func (f *keyFinder) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.unknown)
	for hash, k := range f.found {
		if k.ID == id {
			delete(f.found, hash)
		}
	}
}

// write writes down which keys were used.
func (f *keyFinder) write(ctx context.Context) error {
	f.mu.Lock()
	used := f.used
	f.used = map[int64]time.Time{}
	f.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	return f.store.UseAPIKeys(ctx, used)
}

// tellKey forgets a key here, and lets all coordinators do so.
func (c *Coordinator) tellKey(id string) {
	c.keyFinder.forget(id)
	if err := c.queue.PublishEvent(keysTold, []byte(id)); err != nil {
		c.log.Warn("other coordinators could not be told that a key has changed; they know it in time", "key", id, "after", KeyFresh.String(), "error", err)
	}
}

// runAPIKeys finds keys, hears of changes, and writes down which were used.
func (c *Coordinator) runAPIKeys(ctx context.Context) error {
	told, err := c.queue.SubscribeEvents(ctx, keysTold, 1024)
	if err != nil {
		return err
	}
	write := time.NewTicker(useWritten)
	defer write.Stop()
	for {
		select {
		case id, ok := <-told:
			if !ok {
				return ctx.Err()
			}
			c.keyFinder.forget(string(id))
		case <-c.keyFinder.wake:
			for more := true; more; {
				more = c.keyFinder.look(ctx)
				if !sleep(ctx, findPause) {
					break
				}
			}
		case <-write.C:
			if err := c.keyFinder.write(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("which API keys were used could not be written down", "error", err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), findTime)
			defer cancel()
			if err := c.keyFinder.write(last); err != nil {
				c.log.Warn("which API keys were used could not be written down", "error", err)
			}
			return ctx.Err()
		}
	}
}
