package coordinator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// Keys that users have stored lie sealed in Postgres where there is a master key; see modelkeystore.go. Else they are in the memory of
// coordinators only (spec 5.7). Each tells the others of what changes, and its whole knowledge
// to one that asks, which each does at its start and when its connection is back, and of itself every so often, as messages may be lost.
const (
	keysTopic      = "keys"
	keysAgainEvery = time.Minute
	keysPerMessage = 64 << 10 // bytes of keys
)

// storedWait is how long a coordinator that knows only of stored keys waits before it answers a worker: a key that came with the request, which
// another may have, goes first.
const storedWait = 250 * time.Millisecond

// SetModelKey keeps a key of a user; see [KeyKeeper].
func (c *Coordinator) SetModelKey(ctx context.Context, userID string, key ModelKeyOf) error {
	switch {
	case userID == "" || !isUser(userID):
		return &InvalidArgumentError{Field: "user_id", Reason: "must be 1 to 255 characters of UTF-8 without NUL"}
	case !key.Key.Given():
		return &InvalidArgumentError{Field: "api_key", Reason: "is required"}
	case len(key.Provider) > 64 || strings.ContainsFunc(key.Provider, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }):
		return &InvalidArgumentError{Field: "provider", Reason: "must be at most 64 visible ASCII characters without colons"}
	}
	if _, err := c.here(ctx); err != nil {
		return err
	}
	change, err := c.userKeys.Next(c.keeperOf(userID), providerOf(key.Provider), key.Key)
	if err != nil {
		return &InvalidArgumentError{Field: "api_key", Reason: err.Error()}
	}
	if err := c.storeModelKey(ctx, &change); err != nil {
		return c.internal("store a key of a model", err)
	}
	c.userKeys.Apply(change)
	return c.tellKeys(modelkey.Message{Changes: []modelkey.Change{change}})
}

// providerOf is a provider as keys have it: none for all.
func providerOf(name string) string {
	if name == AnyProvider {
		return ""
	}
	return name
}

// ModelKeys are the providers that a user has keys for; see [KeyKeeper].
func (c *Coordinator) ModelKeys(ctx context.Context, userID string) ([]string, error) {
	if _, err := c.here(ctx); err != nil {
		return nil, err
	}
	names := c.userKeys.Providers(c.keeperOf(userID))
	for i, name := range names {
		if name == "" {
			names[i] = AnyProvider
		}
	}
	slices.Sort(names)
	return names, nil
}

// DeleteModelKey forgets a key of a user; see [KeyKeeper].
func (c *Coordinator) DeleteModelKey(ctx context.Context, userID, provider string) (bool, error) {
	if _, err := c.here(ctx); err != nil {
		return false, err
	}
	stored, err := c.dropModelKeys(ctx, userID, providerOf(provider), provider == "")
	if err != nil {
		return false, c.internal("delete keys of models", err)
	}
	changes := c.userKeys.Delete(c.keeperOf(userID), providerOf(provider), provider == "")
	if len(changes) == 0 {
		return stored, nil
	}
	return true, c.tellKeys(modelkey.Message{Changes: changes})
}

// tellKeys tells all coordinators.
func (c *Coordinator) tellKeys(m modelkey.Message) error {
	m.From = c.instance
	sealed, err := c.circle().Seal(m)
	if err != nil {
		return fmt.Errorf("seal keys of users: %w", err)
	}
	if err := c.queue.PublishEvent(keysTopic, sealed); err != nil {
		return unavailable(err)
	}
	return nil
}

// tellAllKeys tells all coordinators of all keys, in messages of bounded size.
func (c *Coordinator) tellAllKeys() {
	var part []modelkey.Change
	size := 0
	flush := func() {
		if len(part) > 0 {
			if err := c.tellKeys(modelkey.Message{Changes: part}); err != nil {
				c.log.Warn("other coordinators could not be told of keys that users have stored", "error", err)
			}
			part, size = nil, 0
		}
	}
	for _, change := range c.userKeys.All() {
		if size > keysPerMessage {
			flush()
		}
		part, size = append(part, change), size+len(change.User)+len(change.Provider)+len(change.Secret)
	}
	flush()
}

// runStoredKeys keeps the stored keys of all coordinators alike.
func (c *Coordinator) runStoredKeys(ctx context.Context) error {
	heard, err := c.queue.SubscribeEvents(ctx, keysTopic, 1024)
	if err != nil {
		return err
	}
	ask := func() { _ = c.tellKeys(modelkey.Message{Asks: true}) } // asked again on a reconnect, and told every so often
	ask()
	again := time.NewTicker(keysAgainEvery + rand.N(keysAgainEvery/4))
	defer again.Stop()
	var look <-chan time.Time // none without a master key
	if c.keyring.Can() {
		ticker := time.NewTicker(keysLookEvery)
		defer ticker.Stop()
		look = ticker.C
	}
	answered := time.Time{}
	for {
		select {
		case data, ok := <-heard:
			if !ok {
				return ctx.Err()
			}
			m, err := c.openShared(ctx, data)
			if err != nil {
				c.log.Warn("a message of stored keys was not believed", "reason", err)
				continue
			}
			if m.From == c.instance {
				continue
			}
			c.hearKeys(ctx, m.Changes)
			if m.Asks && time.Since(answered) > time.Second {
				answered = time.Now()
				c.tellAllKeys()
			}
		case <-again.C:
			c.tellAllKeys()
		case <-look:
			if err := c.loadModelKeys(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("stored keys of models could not be read", "error", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
