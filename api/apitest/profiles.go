package apitest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows"
)

// ApplyProfiles keeps profiles.
func (s *Service) ApplyProfiles(_ context.Context, spec coordinator.ProfilesSpec) (*coordinator.ProfilesApplied, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("ApplyProfiles"); err != nil {
		return nil, err
	}
	bodies, report := flows.RegisterProfiles(cmp.Or(spec.Name, "profiles"), spec.Text)
	if !report.OK {
		return nil, &coordinator.FlowFaultsError{Report: report, Whole: "profiles"}
	}
	out := &coordinator.ProfilesApplied{}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		if spec.Preview {
			out.Profiles = append(out.Profiles, &coordinator.ProfileInfo{Name: name, UserID: spec.UserID, CreatedBy: coordinator.AnonymousName})
			continue
		}
		sum := sha256.Sum256(bodies[name])
		made := &coordinator.ProfileInfo{Name: name, SHA256: sum[:], Body: bodies[name], UserID: spec.UserID, CreatedBy: coordinator.AnonymousName, CreatedAt: time.Now().Truncate(time.Microsecond)}
		versions := s.profiles[name]
		if n := len(versions); n > 0 {
			if made.UserID = versions[0].UserID; string(versions[n-1].SHA256) == string(made.SHA256) {
				out.Profiles = append(out.Profiles, withoutBody(versions[n-1]))
				continue
			}
		}
		if made.Version = len(versions) + 1; s.profiles == nil {
			s.profiles = map[string][]*coordinator.ProfileInfo{}
		}
		s.profiles[name] = append(versions, made)
		shown := withoutBody(made)
		shown.Fresh = true
		out.Profiles = append(out.Profiles, shown)
	}
	return out, nil
}

func withoutBody(p *coordinator.ProfileInfo) *coordinator.ProfileInfo {
	one := *p
	one.Body = nil
	return &one
}

// Profile shows a profile.
func (s *Service) Profile(_ context.Context, name string, version int) (*coordinator.ProfileInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Profile"); err != nil {
		return nil, err
	}
	versions := s.profiles[name]
	if version = cmp.Or(version, len(versions)); version < 1 || version > len(versions) {
		return nil, coordinator.ErrNotFound
	}
	one := *versions[version-1]
	one.Versions = len(versions)
	return &one, nil
}

// Profiles lists profiles.
func (s *Service) Profiles(_ context.Context, f coordinator.ProfileFilter) (page coordinator.Page[*coordinator.ProfileInfo], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Profiles"); err != nil {
		return page, err
	}
	var all []*coordinator.ProfileInfo
	for _, name := range slices.Sorted(maps.Keys(s.profiles)) {
		if of := s.profiles[name][len(s.profiles[name])-1]; f.UserID == "" || f.UserID == of.UserID {
			all = append(all, withoutBody(of))
		}
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// DeleteProfile deletes a profile.
func (s *Service) DeleteProfile(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("DeleteProfile"); err != nil {
		return err
	}
	if s.profiles[name] == nil {
		return coordinator.ErrNotFound
	}
	delete(s.profiles, name)
	return nil
}

// profiling are the scenarios of [coordinator.ProfileKeeper].
var profiling = map[string]func(*site){
	"profiles are registered in versions, listed, shown and deleted": func(s *site) {
		s.has("ApplyProfiles", "Profile", "Profiles", "DeleteProfile")
		one, other, user := s.id("one"), s.id("other"), s.id("amy")
		apply := func(what, want string, spec coordinator.ProfilesSpec) {
			s.Helper()
			got, err := s.svc.ApplyProfiles(s.Context(), spec)
			var told []string
			for _, p := range must(s, got, err).Profiles {
				told = append(told, fmt.Sprintf("%s %d %v %s", strings.TrimPrefix(p.Name, s.prefix), p.Version, p.Fresh, strings.TrimPrefix(p.UserID, s.prefix)))
				if p.Body != nil || (len(p.SHA256) == 0 || p.CreatedAt.IsZero()) != spec.Preview {
					s.Errorf("%s: %+v", what, p)
				}
			}
			if is := strings.Join(told, ", "); is != want {
				s.Errorf("%s: got %q, want %q", what, is, want)
			}
		}
		both := fmt.Appendf(nil, "%s: {config: {host: '{{env.HOST}}', port: 5432}}\n%s: {options: {connect_args: {sslmode: require}}, decode: {config_paths: [password]}}\n", one, other)
		apply("a preview", "one 0 false amy, other 0 false amy", coordinator.ProfilesSpec{Text: both, UserID: user, Preview: true})
		_, err := s.svc.Profile(s.Context(), one, 0)
		s.wantFault("what was only looked at", err, api.NotFound)
		apply("both", "one 1 true amy, other 1 true amy", coordinator.ProfilesSpec{Text: both, UserID: user})
		apply("again", "one 1 false amy, other 1 false amy", coordinator.ProfilesSpec{Text: both})
		apply("one otherwise", "one 2 true amy", coordinator.ProfilesSpec{Text: fmt.Appendf(nil, "%s: {config: {host: b}}\n", one)})
		for version, want := range map[int]string{0: `{"config":{"host":"b"}}`, 1: `{"config":{"host":"{{env.HOST}}","port":5432}}`, 2: `{"config":{"host":"b"}}`} {
			got, err := s.svc.Profile(s.Context(), one, version)
			if got = must(s, got, err); !sameJSON(got.Body, []byte(want)) || got.Version != cmp.Or(version, 2) || got.Versions != 2 || got.UserID != user || got.CreatedBy != coordinator.AnonymousName {
				s.Errorf("version %d: %+v, %s", version, got, got.Body)
			}
		}
		_, err = s.svc.Profile(s.Context(), one, 3)
		s.wantFault("a version that is not there", err, api.NotFound)
		var names []string
		for f := (coordinator.ProfileFilter{UserID: user, Limit: 1}); ; {
			page, err := s.svc.Profiles(s.Context(), f)
			for _, p := range must(s, page, err).Items {
				names = append(names, fmt.Sprintf("%s %d %d", strings.TrimPrefix(p.Name, s.prefix), p.Version, len(p.Body)))
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		if !slices.Equal(names, []string{"one 2 0", "other 1 0"}) {
			s.Errorf("listed: %q", names)
		}
		for _, name := range []string{one, other} {
			must(s, 0, s.svc.DeleteProfile(s.Context(), name))
			s.wantFault("delete it again", s.svc.DeleteProfile(s.Context(), name), api.NotFound)
			_, err := s.svc.Profile(s.Context(), name, 1)
			s.wantFault("what is deleted", err, api.NotFound)
		}
	},
	"profiles that can't be are refused with all their faults, and none is stored": func(s *site) {
		s.has("ApplyProfiles", "Profiles")
		good := s.id("good")
		_, err := s.svc.ApplyProfiles(s.Context(), coordinator.ProfilesSpec{Name: "p.yaml", Text: fmt.Appendf(nil,
			"%s: {config: {host: a}}\n\"a\\u0001b\": {}\n%s: {config: {password: hunter2}}\n%s: {confg: {}}\n", good, s.id("clear"), s.id("typo"))})
		fault := s.wantFault("four, three of them with faults", err, api.Invalid)
		told := fault.Text
		for _, p := range fault.Problems {
			told += " " + p.Field + " " + p.Reason
		}
		for _, want := range []string{"2:", "spec.", s.id("clear") + ".config.password", "secret.literal", s.id("typo"), "spec.unknown_key"} {
			if !strings.Contains(told, want) {
				s.Errorf("got %q, want %s in it", told, want)
			}
		}
		if strings.Contains(told, "hunter2") || strings.Contains(fault.Text, "\x01") {
			s.Errorf("got %q", told)
		}
		_, err = s.svc.ApplyProfiles(s.Context(), coordinator.ProfilesSpec{Text: []byte("{}")})
		s.wantFault("none at all", err, api.Invalid)
		_, err = s.svc.ApplyProfiles(s.Context(), coordinator.ProfilesSpec{Text: fmt.Appendf(nil, "%s: {config: {host: %s}}\n", s.id("large"), strings.Repeat("x", flows.MaxProfileBytes))})
		s.wantFault("a large one", err, api.Invalid)
		page, err := s.svc.Profiles(s.Context(), coordinator.ProfileFilter{Limit: 1000})
		for _, p := range must(s, page, err).Items {
			if strings.HasPrefix(p.Name, s.prefix) {
				s.Errorf("stored: %+v", p)
			}
		}
		_, err = s.svc.Profiles(s.Context(), coordinator.ProfileFilter{Cursor: "!"})
		s.wantFault("a cursor that is none", err, api.Invalid)
		_, err = s.svc.Profile(s.Context(), "a\x01b", 0)
		s.wantFault("a name that can't be", err, api.NotFound)
		s.wantFault("delete what can't be", s.svc.DeleteProfile(s.Context(), strings.Repeat("x", 4000)), api.NotFound)
	},
}
