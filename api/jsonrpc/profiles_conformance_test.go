package jsonrpc_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// shownProfile is a profile of the wire.
type shownProfile struct {
	Name, SHA256      string
	Version, Versions int
	Body              json.RawMessage
	UserID            string    `json:"user_id"`
	CreatedBy         string    `json:"created_by"`
	CreatedAt         time.Time `json:"created_at"`
	Fresh             bool
}

func (p *shownProfile) info() *coordinator.ProfileInfo {
	sum, _ := hex.DecodeString(p.SHA256) // one that is none is found to be empty
	return &coordinator.ProfileInfo{Name: p.Name, Version: p.Version, SHA256: sum, Body: p.Body, UserID: p.UserID, CreatedBy: p.CreatedBy, CreatedAt: p.CreatedAt, Fresh: p.Fresh, Versions: p.Versions}
}

type shownProfiles struct {
	Profiles []*shownProfile
	Next     string `json:"next_cursor"`
}

func (l *shownProfiles) infos() (out []*coordinator.ProfileInfo) {
	for _, p := range l.Profiles {
		out = append(out, p.info())
	}
	return out
}

func (r *remote) ApplyProfiles(ctx context.Context, spec coordinator.ProfilesSpec) (*coordinator.ProfilesApplied, error) {
	var got shownProfiles
	if _, err := r.postTo(ctx, "/system", "profiles.apply", map[string]any{"name": spec.Name, "text": string(spec.Text), "user_id": spec.UserID, "preview": spec.Preview}, &got); err != nil {
		return nil, err
	}
	return &coordinator.ProfilesApplied{Profiles: got.infos()}, nil
}

func (r *remote) Profile(ctx context.Context, name string, version int) (*coordinator.ProfileInfo, error) {
	var got shownProfile
	if _, err := r.postTo(ctx, "/system", "profiles.get", map[string]any{"name": name, "version": version}, &got); err != nil {
		return nil, err
	}
	return got.info(), nil
}

func (r *remote) Profiles(ctx context.Context, f coordinator.ProfileFilter) (page coordinator.Page[*coordinator.ProfileInfo], err error) {
	var got shownProfiles
	if _, err := r.postTo(ctx, "/system", "profiles.list", map[string]any{"user_id": f.UserID, "limit": f.Limit, "cursor": f.Cursor}, &got); err != nil {
		return page, err
	}
	page.Items, page.Next = got.infos(), got.Next
	return page, nil
}

func (r *remote) DeleteProfile(ctx context.Context, name string) error {
	_, err := r.postTo(ctx, "/system", "profiles.delete", map[string]any{"name": name}, &struct{}{})
	return err
}
