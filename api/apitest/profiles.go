package apitest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

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
		return nil, &coordinator.FlowFaultsError{Report: report}
	}
	out := &coordinator.ProfilesApplied{}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		sum := sha256.Sum256(bodies[name])
		made := &coordinator.ProfileInfo{Name: name, SHA256: sum[:], Body: bodies[name], UserID: spec.UserID, CreatedBy: coordinator.AnonymousName, CreatedAt: time.Now().Truncate(time.Microsecond)}
		versions := s.profiles[name]
		if n := len(versions); n > 0 {
			if made.UserID = versions[0].UserID; string(versions[n-1].SHA256) == string(made.SHA256) {
				out.Profiles = append(out.Profiles, withoutBody(versions[n-1]))
				continue
			}
		}
		if spec.Preview {
			out.Profiles = append(out.Profiles, &coordinator.ProfileInfo{Name: name, UserID: made.UserID, CreatedBy: made.CreatedBy})
			continue
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
	for _, name := range slices.Sorted(maps.Keys(s.profiles)) {
		if of := s.profiles[name][len(s.profiles[name])-1]; name > f.Cursor && (f.UserID == "" || f.UserID == of.UserID) {
			page.Items = append(page.Items, withoutBody(of))
		}
	}
	if limit := cmp.Or(f.Limit, 100); len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = page.Items[limit-1].Name
	}
	return page, nil
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
