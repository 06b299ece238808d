package modelkey

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of [Users].
const (
	MaxUsers      = 10_000
	MaxOfUser     = 32        // keys of one user
	MaxUsersBytes = 16 << 20  // of all keys
	forgetDeleted = time.Hour // for which a deletion is known, so that what was sent before it stays without effect
	aheadAtMost   = 5 * time.Minute
)

// Change is a key that a user was given, or that was taken away. Of several of one user and provider the latest counts, whatever the order in
// which they come.
type Change struct {
	User     string `json:"u"`
	Provider string `json:"p"` // empty: all providers that have no key of their own
	Secret   string `json:"k"` // empty: deleted
	At       int64  `json:"t"` // nanoseconds since 1970; later than those of all changes that were known to who made it
	By       string `json:"b"` // who made it, for changes of one moment
}

func (c Change) after(other Change) bool {
	return cmp.Or(cmp.Compare(c.At, other.At), cmp.Compare(c.By, other.By)) > 0
}

// Users keeps keys of users in memory. Safe for concurrent use.
type Users struct {
	by string

	mu    sync.Mutex
	users map[string]map[string]Change // by user and provider
	last  int64                        // the latest At
	bytes int
}

// NewUsers makes one; by tells it apart from others.
func NewUsers(by string) *Users { return &Users{by: by, users: map[string]map[string]Change{}} }

// Set keeps a key of a user, in place of that for the same provider.
func (u *Users) Set(user, provider string, key Key) (Change, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	provider = strings.ToLower(cmp.Or(provider, key.provider))
	if err := u.room(user, provider, len(key.secret)); err != nil {
		return Change{}, err
	}
	change := u.stamped(user, provider, key.secret)
	u.put(change)
	return change, nil
}

// Next is the change that keeps a key of a user, in place of that for the same provider. It is not made yet: see [Users.Apply].
func (u *Users) Next(user, provider string, key Key) (Change, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	provider = strings.ToLower(cmp.Or(provider, key.provider))
	if err := u.room(user, provider, len(key.secret)); err != nil {
		return Change{}, err
	}
	return u.stamped(user, provider, key.secret), nil
}

// Become has the keys be those given, and what was changed since a time. It reports whether there was any of the latter.
func (u *Users) Become(all []Change, since time.Time) (young bool) {
	u.mu.Lock()
	recent := since.UnixNano()
	kept := map[string]map[string]Change{}
	u.bytes = 0
	for user, of := range u.users {
		for provider, change := range of {
			if change.At <= recent {
				continue
			}
			if kept[user] == nil {
				kept[user] = map[string]Change{}
			}
			kept[user][provider] = change
			u.bytes += len(change.Secret)
			young = true
		}
	}
	u.users = kept
	u.mu.Unlock()
	for _, change := range all {
		u.Apply(change)
	}
	return young
}

// room says why a key can't be kept. The caller holds mu.
func (u *Users) room(user, provider string, size int) error {
	of, known := u.users[user]
	if _, replaced := of[provider]; !replaced && len(of) >= MaxOfUser {
		return fmt.Errorf("a user may have %d keys at most", MaxOfUser)
	}
	if !known && len(u.users) >= MaxUsers || u.bytes+size > MaxUsersBytes {
		return errors.New("too many keys are kept already")
	}
	return nil
}

// stamped is a change that is later than all that are known. The caller holds mu.
func (u *Users) stamped(user, provider, secret string) Change {
	u.last = max(u.last+1, time.Now().UnixNano())
	return Change{User: user, Provider: provider, Secret: secret, At: u.last, By: u.by}
}

// put notes a change. The caller holds mu.
func (u *Users) put(change Change) {
	if u.users[change.User] == nil {
		u.users[change.User] = map[string]Change{}
	}
	u.bytes += len(change.Secret) - len(u.users[change.User][change.Provider].Secret)
	u.users[change.User][change.Provider] = change
}

// Delete takes away the user's key for a provider, or all with any, and says what changed.
func (u *Users) Delete(user, provider string, any bool) (changes []Change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, have := range u.users[user] {
		if have.Secret != "" && (any || name == strings.ToLower(provider)) {
			change := u.stamped(user, name, "")
			u.put(change)
			changes = append(changes, change)
		}
	}
	return changes
}

// Apply notes a change that was made elsewhere, unless a later one is known. What does not fit is left out.
func (u *Users) Apply(change Change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	have, known := u.users[change.User][change.Provider]
	now := time.Now()
	switch {
	case known && !change.after(have), change.At > now.Add(aheadAtMost).UnixNano(), change.Secret == "" && change.At < now.Add(-forgetDeleted).UnixNano():
		return
	case !known && u.room(change.User, change.Provider, len(change.Secret)) != nil, len(change.User) > 4*255+16, len(change.Provider)+len(change.Secret) > MaxBytes:
		return
	}
	u.last = max(u.last, change.At)
	u.put(change)
}

// All are all changes that are known, as far as they matter.
func (u *Users) All() (all []Change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := time.Now().Add(-forgetDeleted).UnixNano()
	for user, of := range u.users {
		maps.DeleteFunc(of, func(_ string, c Change) bool { return c.Secret == "" && c.At < old })
		if len(of) == 0 {
			delete(u.users, user)
		}
		all = slices.AppendSeq(all, maps.Values(of))
	}
	return all
}

// Of are the keys of a user: those of one provider each first, then the one for all others.
func (u *Users) Of(user string) (keys []Key) {
	for _, provider := range u.Providers(user) {
		u.mu.Lock()
		have := u.users[user][provider]
		u.mu.Unlock()
		if have.Secret != "" {
			keys = append(keys, Key{provider, have.Secret})
		}
	}
	return keys
}

// Providers are those that a user has keys for, sorted, but the empty one for all others last.
func (u *Users) Providers(user string) (names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, have := range u.users[user] {
		if have.Secret != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if a == "" || b == "" {
			return cmp.Compare(b, a)
		}
		return cmp.Compare(a, b)
	})
	return names
}

// Has reports whether a user has any key.
func (u *Users) Has(user string) bool { return user != "" && len(u.Providers(user)) > 0 }

// Empty reports whether nobody has a key.
func (u *Users) Empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes == 0
}
