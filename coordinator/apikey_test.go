package coordinator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestAPIKeysAreBelieved by every coordinator, until they are revoked, replaced or expired.
func TestAPIKeysAreBelieved(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 1})
	one, two := c.Coordinators[0].P, c.Coordinators[1].P
	made := func(spec coordinator.APIKeySpec) *coordinator.NewAPIKey {
		t.Helper()
		k, err := one.CreateAPIKey(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ask := func(key string) error { _, err := two.CallerOfKey(t.Context(), key); return err }
	k := made(coordinator.APIKeySpec{UserID: "amy", Roles: []string{"operator", "*:admin"}, Scopes: []coordinator.Permission{"trees.read"}})
	if !coordinator.KeyShaped(k.Secret) {
		t.Errorf("a key has another shape than keys: %s", k.Secret)
	}
	who, err := two.CallerOfKey(t.Context(), k.Secret)
	if err != nil || who.User != "amy" || who.Kind != coordinator.KeyCaller || who.KeyID != k.ID || who.Namespace != coordinator.DefaultNamespace ||
		!slices.Equal(who.Roles, []coordinator.RoleIn{{Role: "operator", Namespace: "default"}, {Role: "admin", Namespace: "*"}}) || !slices.Equal(who.Scopes, []coordinator.Permission{"trees.read"}) {
		t.Errorf("got %+v, %v", who, err)
	}
	replaced, err := one.RotateAPIKey(t.Context(), k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ask(k.Secret), ask(replaced.Secret)); err != nil {
		t.Errorf("both during the grace: %v", err)
	}
	last, err := one.RotateAPIKey(t.Context(), k.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("the replaced one no longer counts", func() error { return want(ask(replaced.Secret), coordinator.ErrNotFound) })
	if err := ask(last.Secret); err != nil {
		t.Errorf("the new one: %v", err)
	}
	if _, err := one.RevokeAPIKey(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.Eventually("the revoked one does not count", func() error { return want(ask(last.Secret), coordinator.ErrRevoked) })
	if took := time.Since(began); took > coordinator.KeyFresh+20*time.Second { // what is remembered for longer is another bug than a slow machine
		t.Errorf("a revocation took %s", took)
	}
	short := made(coordinator.APIKeySpec{UserID: "bob", Expires: time.Minute})
	db, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	if _, err := db.Exec(t.Context(), "update api_key set expires_at = now() where id = $1", short.ID); err != nil {
		t.Fatal(err)
	}
	if err := want(ask(short.Secret), coordinator.ErrExpired); err != nil {
		t.Errorf("the expired one: %v", err)
	}
	if _, err := db.Exec(t.Context(), "insert into namespace (name) values ('team-a')"); err != nil {
		t.Fatal(err)
	}
	theirs, err := one.In("team-a").CreateAPIKey(t.Context(), coordinator.APIKeySpec{UserID: "amy", Roles: []string{"viewer"}})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := one.CallerOfKey(t.Context(), theirs.Secret); err != nil || who.Namespace != "team-a" || !slices.Equal(theirs.Roles, []string{"team-a:viewer"}) {
		t.Errorf("a key of another namespace: got %+v, %v", who, err)
	}
	if _, err := db.Exec(t.Context(), "update namespace set created_at = now() + interval '1 hour' where name = 'team-a'"); err != nil {
		t.Fatal(err)
	}
	if err := want(ask(theirs.Secret), coordinator.ErrNotFound); err != nil {
		t.Errorf("a key of a namespace that was made anew: %v", err)
	}
	if _, err := one.In("nowhere").CreateAPIKey(t.Context(), coordinator.APIKeySpec{UserID: "amy"}); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a key of a namespace that is not there: %v", err)
	}
	var dump string
	if err := db.QueryRow(t.Context(), "select string_agg(k::text, ' ') from api_key k").Scan(&dump); err != nil || strings.Contains(dump, k.Secret[4:40]) {
		t.Errorf("the key itself is stored: %v %s", err, dump)
	}
	c.Coordinators[1].Stop() //nolint:errcheck // it writes down what was used
	listed, err := one.APIKeys(t.Context(), coordinator.APIKeyFilter{UserID: "amy", Ended: true})
	if err != nil || len(listed.Items) != 1 || time.Since(listed.Items[0].UsedAt) > time.Minute {
		t.Errorf("when it was used: got %+v, %v", listed.Items, err)
	}
}

// want is an error unless err is the one that is wanted.
func want(err, wanted error) error {
	if errors.Is(err, wanted) {
		return nil
	}
	return errors.Join(errors.New("got"), err)
}

// keyMaker makes keys as they are asked for; its other methods panic.
type keyMaker struct{ coordinator.Service }

func (keyMaker) CreateAPIKey(_ context.Context, spec coordinator.APIKeySpec) (*coordinator.NewAPIKey, error) {
	return &coordinator.NewAPIKey{APIKey: coordinator.APIKey{UserID: spec.UserID, Roles: spec.Roles, Scopes: spec.Scopes}}, nil
}

// TestWhatAKeyMayGet: no more than its maker has.
func TestWhatAKeyMayGet(t *testing.T) {
	t.Parallel()
	access := coordinator.NewAccess(keyMaker{}, byRoles(owners{}))
	in := func(list ...string) (out []coordinator.RoleIn) {
		for _, one := range list {
			namespace, role, _ := strings.Cut(one, ":")
			out = append(out, coordinator.RoleIn{Role: role, Namespace: namespace})
		}
		return out
	}
	type scopes = []coordinator.Permission
	for fact, tt := range map[string]struct {
		maker coordinator.Caller
		spec  coordinator.APIKeySpec
		roles string // of the key; "-": refused
		owner string
	}{
		"its maker's roles":             {coordinator.Caller{User: "amy", Roles: in("default:operator", "other:admin")}, coordinator.APIKeySpec{}, "default:operator", "amy"},
		"one of them":                   {coordinator.Caller{User: "amy", Roles: in("default:operator", "default:viewer")}, coordinator.APIKeySpec{Roles: []string{"viewer"}}, "default:viewer", "amy"},
		"one that its maker lacks":      {coordinator.Caller{User: "amy", Roles: in("default:viewer")}, coordinator.APIKeySpec{Roles: []string{"operator"}}, "-", ""},
		"one of another namespace":      {coordinator.Caller{User: "amy", Roles: in("default:operator")}, coordinator.APIKeySpec{Roles: []string{"other:operator"}}, "-", ""},
		"everywhere":                    {coordinator.Caller{User: "amy", Roles: in("default:admin")}, coordinator.APIKeySpec{Roles: []string{"*:viewer"}}, "-", ""},
		"below an admin's":              {coordinator.Caller{User: "amy", Roles: in("default:admin")}, coordinator.APIKeySpec{Roles: []string{"submitter"}}, "default:submitter", "amy"},
		"of an admin, in the namespace": {root, coordinator.APIKeySpec{}, "default:admin", "root"},
		"of another user, by an admin":  {root, coordinator.APIKeySpec{UserID: "amy", Roles: []string{"*:admin"}}, "*:admin", "amy"},
		"of another user, by a user":    {coordinator.Caller{User: "bob"}, coordinator.APIKeySpec{UserID: "amy"}, "-", ""},
		"by a key":                      {coordinator.Caller{User: "amy", Kind: coordinator.KeyCaller, Roles: in("default:operator")}, coordinator.APIKeySpec{}, "-", ""},
		"by a key with that scope":      {coordinator.Caller{User: "amy", Kind: coordinator.KeyCaller, Roles: in("default:operator"), Scopes: scopes{"keys.write"}}, coordinator.APIKeySpec{}, "default:operator keys.write", "amy"},
		"by a key, with a scope that it lacks": {coordinator.Caller{User: "amy", Kind: coordinator.KeyCaller, Scopes: scopes{"keys.write"}},
			coordinator.APIKeySpec{Scopes: scopes{"trees.read"}}, "-", ""},
	} {
		k, err := access.For(tt.maker).CreateAPIKey(t.Context(), tt.spec)
		if tt.roles == "-" {
			if !errors.Is(err, coordinator.ErrDenied) {
				t.Errorf("%s: got %+v, %v", fact, k, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", fact, err)
			continue
		}
		got := strings.Join(k.Roles, ",")
		for _, s := range k.Scopes {
			got += " " + string(s)
		}
		if got != tt.roles || k.UserID != tt.owner {
			t.Errorf("%s: got %s of %s, want %s of %s", fact, got, k.UserID, tt.roles, tt.owner)
		}
	}
}
