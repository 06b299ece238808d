package grpcserver_test

import (
	"context"
	"encoding/hex"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

func profileInfo(p *client.Profile) *coordinator.ProfileInfo {
	sum, _ := hex.DecodeString(p.SHA256) // the client has made it of bytes
	return &coordinator.ProfileInfo{Name: p.Name, Version: p.Version, SHA256: sum, Body: p.Body, UserID: p.UserID, CreatedBy: p.CreatedBy, CreatedAt: p.CreatedAt, Fresh: p.Fresh, Versions: p.Versions}
}

func (r *remote) ApplyProfiles(ctx context.Context, spec coordinator.ProfilesSpec) (*coordinator.ProfilesApplied, error) {
	got, err := r.c.ApplyProfiles(ctx, client.ProfilesApply(spec))
	if err != nil {
		return nil, err
	}
	out := &coordinator.ProfilesApplied{}
	for _, p := range got.Profiles {
		out.Profiles = append(out.Profiles, profileInfo(p))
	}
	return out, nil
}

func (r *remote) Profile(ctx context.Context, name string, version int) (*coordinator.ProfileInfo, error) {
	got, err := r.c.Profile(ctx, name, version)
	if err != nil {
		return nil, err
	}
	return profileInfo(got), nil
}

func (r *remote) Profiles(ctx context.Context, f coordinator.ProfileFilter) (page coordinator.Page[*coordinator.ProfileInfo], err error) {
	got, err := r.c.ProfilesPage(ctx, client.ProfileFilter(f))
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, p := range got.Items {
		page.Items = append(page.Items, profileInfo(p))
	}
	return page, nil
}

func (r *remote) DeleteProfile(ctx context.Context, name string) error {
	return r.c.DeleteProfile(ctx, name)
}
