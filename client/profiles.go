package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// ProfilesApply is a file of profiles that are to be registered.
type ProfilesApply struct {
	Name    string // what faults call the file; empty: profiles
	Text    []byte // in YAML: a map by name
	UserID  string // whose new ones are to be; empty: the caller's
	Preview bool   // nothing is stored
}

// ProfilesApplied are the profiles of a file as they are registered, by name.
type ProfilesApplied struct {
	Profiles []*Profile `json:"profiles"`
}

// Profile is a version of a registered profile, which resources of flows name.
type Profile struct {
	Name      string          `json:"name"`
	Version   int             `json:"version"`          // from 1; 0: of a preview
	SHA256    string          `json:"sha256,omitempty"` // of the body; empty: of a preview
	Body      json.RawMessage `json:"body,omitempty"`   // config, options and decode, with names in the place of secrets; nil: not asked for
	UserID    string          `json:"user_id,omitempty"`
	CreatedBy string          `json:"created_by,omitempty"`
	CreatedAt time.Time       `json:"created_at,omitzero"`
	Fresh     bool            `json:"fresh,omitempty"`    // it was stored just now
	Versions  int             `json:"versions,omitempty"` // that are kept; 0: not asked for
}

// ProfileFilter selects profiles.
type ProfileFilter struct {
	UserID string
	Limit  int // of one page; default 100, at most 1000
	Cursor string
}

// ApplyProfiles registers the profiles of a file: a new version of each, unless it is as the newest is; all of them or none. [ErrInvalid] tells all that is wrong with the file;
// [ErrConflict]: there would be more than 1000.
func (c *Client) ApplyProfiles(ctx context.Context, a ProfilesApply) (*ProfilesApplied, error) {
	got, err := c.flows().ApplyProfiles(ctx, &pb.ApplyProfilesRequest{Name: a.Name, Text: string(a.Text), UserId: a.UserID, Preview: a.Preview})
	if err != nil {
		return nil, wrap(ctx, err, "apply profiles")
	}
	out := &ProfilesApplied{}
	for _, one := range got.Profiles {
		out.Profiles = append(out.Profiles, profileOf(one))
	}
	return out, nil
}

// Profile shows a version of a profile with its body; 0: the newest. [ErrNotFound].
func (c *Client) Profile(ctx context.Context, name string, version int) (*Profile, error) {
	got, err := c.flows().GetProfile(ctx, &pb.GetProfileRequest{Name: name, Version: int32(version)})
	if err != nil {
		return nil, wrap(ctx, err, "get a profile")
	}
	return profileOf(got), nil
}

// ProfilesPage lists one page of the newest versions of profiles by name, without bodies.
func (c *Client) ProfilesPage(ctx context.Context, f ProfileFilter) (*Page[*Profile], error) {
	got, err := c.flows().ListProfiles(ctx, &pb.ListProfilesRequest{UserId: f.UserID, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list profiles")
	}
	page := &Page[*Profile]{Next: got.Cursor}
	for _, one := range got.Profiles {
		page.Items = append(page.Items, profileOf(one))
	}
	return page, nil
}

// Profiles lists the newest versions of profiles by name, without bodies, asking for pages as they are needed.
func (c *Client) Profiles(ctx context.Context, f ProfileFilter) iter.Seq2[*Profile, error] {
	return all(func(cursor string) (*Page[*Profile], error) {
		f.Cursor = cursor
		return c.ProfilesPage(ctx, f)
	}, f.Cursor)
}

// DeleteProfile deletes a profile with all its versions. Runs keep what they have of it. [ErrNotFound].
func (c *Client) DeleteProfile(ctx context.Context, name string) error {
	_, err := c.flows().DeleteProfile(ctx, &pb.DeleteProfileRequest{Name: name})
	return wrap(ctx, err, "delete a profile")
}

func profileOf(p *pb.Profile) *Profile {
	return &Profile{Name: p.Name, Version: int(p.Version), SHA256: hex.EncodeToString(p.Sha256), Body: p.Body, UserID: p.UserId, CreatedBy: p.CreatedBy, CreatedAt: at(p.CreatedAt), Fresh: p.Fresh,
		Versions: int(p.Versions)}
}
