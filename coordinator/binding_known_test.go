package coordinator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// bindingsInMemory is a store of bindings that may be away.
type bindingsInMemory struct {
	mu      sync.Mutex
	list    []*pg.Binding
	version int64
	away    bool
	whole   int // how often all were read
}

func (s *bindingsInMemory) BindingsSince(_ context.Context, known int64) ([]*pg.Binding, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.away:
		return nil, 0, errors.New("it is away")
	case s.version == known:
		return nil, known, nil
	}
	s.whole++
	return s.list, s.version, nil
}

func (s *bindingsInMemory) set(list ...*pg.Binding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
	s.version++
}

func (s *bindingsInMemory) goAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *bindingsInMemory) readWhole() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

// TestRolesThatAreStored: a binding counts and ends within the bound though no news of it comes, and what is too old counts for nothing.
func TestRolesThatAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &bindingsInMemory{}
		b := &bindings{store: store}
		roles := storedRoles{RoleSettings{Default: DefaultRole, Admins: []string{"root"}}, b}
		amy := Caller{User: "amy", Kind: UserCaller, Issuer: "us", Groups: []string{"devs"}}
		check := func(fact string, of Caller, complete bool, want ...string) {
			t.Helper()
			held, known := roles.Of(of)
			var got []string
			for _, h := range held {
				got = append(got, h.String())
			}
			if slices.Sort(got); known != complete || !slices.Equal(got, want) {
				t.Errorf("%s: got %q, %v, want %q, %v", fact, got, known, want, complete)
			}
		}
		check("before the first look", amy, false)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		told := make(chan []byte)
		done := make(chan error, 1)
		go func() { done <- b.follow(ctx, told, func(error) {}) }()
		synctest.Wait()
		check("nothing is stored", amy, true, "submitter@default")

		store.set(&pg.Binding{Namespace: "default", Kind: "user", Subject: "amy", Role: "viewer"}, &pg.Binding{Namespace: "team-a", Kind: "group", Subject: "devs", Role: "operator"},
			&pg.Binding{Namespace: "team-b", Kind: "user", Subject: "amy", Issuer: "them", Role: "admin"}, &pg.Binding{Namespace: "*", Kind: "machine", Subject: "amy", Role: "worker"})
		told <- nil
		synctest.Wait()
		check("a user and its group", amy, true, "operator@team-a", "viewer@default")
		check("another issuer's", Caller{User: "amy", Kind: UserCaller, Issuer: "them"}, true, "admin@team-b", "viewer@default")
		check("a machine of that name", Caller{User: "amy", Kind: MachineCaller}, true, "worker@*")
		check("another user", Caller{User: "bob", Kind: UserCaller}, true, "submitter@default")

		read := store.readWhole()
		time.Sleep(time.Minute)
		synctest.Wait()
		if again := store.readWhole(); again != read {
			t.Errorf("all bindings were read %d times though nothing changed", again-read)
		}
		store.set()
		time.Sleep(bindingsEvery)
		synctest.Wait()
		check("taken, without news", amy, true, "submitter@default")

		store.set(&pg.Binding{Namespace: "default", Kind: "user", Subject: "amy", Role: "viewer"})
		told <- nil
		synctest.Wait()
		store.goAway(true)
		time.Sleep(BindingsFresh - time.Second)
		check("Postgres is away", amy, true, "viewer@default")
		time.Sleep(time.Second)
		check("Postgres is away for longer", amy, false)
		check("what credentials give", Caller{User: "root", Kind: UserCaller}, false, "admin@*")
		store.goAway(false)
		time.Sleep(bindingsEvery)
		synctest.Wait()
		check("Postgres is back", amy, true, "viewer@default")
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}
