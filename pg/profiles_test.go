package pg

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestProfilesHaveVersions: each other body is a version of its own, however many store one at once; all profiles that are given are stored or none, and old versions and too many profiles are not kept.
func TestProfilesHaveVersions(t *testing.T) {
	t.Parallel()
	s, _ := openTree(t)
	ctx, here := t.Context(), dag.DefaultNamespaceKey
	one := func(name, user, body string) *Profile {
		return &Profile{Name: name, UserID: user, Body: []byte(body), CreatedBy: "a"}
	}
	for _, want := range []struct {
		body    string
		version int32
		fresh   bool
	}{{`{"config":{"n":1}}`, 1, true}, {`{"config":{"n":1}}`, 1, false}, {`{"config":{"n":2}}`, 2, true}, {`{"config":{"n":1}}`, 3, true}} {
		p := one("a", "amy", want.body)
		if err := s.ApplyProfiles(ctx, here, []*Profile{p}, ""); err != nil || p.Version != want.version || p.Fresh != want.fresh || p.UserID != "amy" || p.CreatedAt.IsZero() {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if err := s.ApplyProfiles(ctx, here, []*Profile{one("b", "bob", `{}`), one("a", "bob", `{}`)}, "bob"); !errors.Is(err, ErrOthers) {
		t.Fatal(err)
	}
	if _, err := s.Profile(ctx, here, "b", 0); !errors.Is(err, ErrNotFound) {
		t.Error("a part was stored:", err)
	}
	for user, want := range map[string]int{"amy": 1, "bob": 0, "": 0} {
		if list, err := s.ProfilesToRun(ctx, here, []string{"a", "none"}, user); err != nil || len(list) != want || want == 1 && (list[0].Version != 3 || string(list[0].Body) != `{"config":{"n":1}}`) {
			t.Errorf("%s: %+v, %v", user, list, err)
		}
	}
	var all sync.WaitGroup
	for i := range MaxProfileVersions + 5 {
		all.Go(func() {
			if err := s.ApplyProfiles(ctx, here, []*Profile{one("c", "", fmt.Sprintf(`{"options":{"n":%d}}`, i))}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p, err := s.Profile(ctx, here, "c", 0); err != nil || p.Version != MaxProfileVersions+5 || p.Versions != MaxProfileVersions {
		t.Errorf("%+v, %v", p, err)
	}
	var many []*Profile
	for i := range MaxProfiles - 2 {
		many = append(many, one(fmt.Sprint("m", i), "", `{}`))
	}
	if err := s.ApplyProfiles(ctx, here, append(many, one("z", "", `{}`)), ""); !errors.Is(err, ErrTooManyProfiles) {
		t.Error(err)
	}
	if err := s.ApplyProfiles(ctx, here, many, ""); err != nil {
		t.Error(err)
	}
	if list, err := s.Profiles(ctx, here, "a", "", 3); err != nil || len(list) != 3 || list[0].Name != "c" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := errors.Join(s.DeleteProfile(ctx, here, "a", "amy"), s.DeleteProfile(ctx, here, "c", "")); err != nil {
		t.Error(err)
	}
	if err := s.DeleteProfile(ctx, here, "a", ""); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
