package jsonrpc

import (
	"context"
	"encoding/hex"
	"encoding/json"

	"github.com/taskgrove/taskgrove/coordinator"
)

type profilesApplyParams struct {
	Text    string `json:"text" required:"true" description:"the profiles, in YAML: a map by name"`
	Name    string `json:"name,omitempty" description:"what faults call the text; default profiles"`
	UserID  string `json:"user_id,omitempty" description:"whose new ones are to be; default the caller's"`
	Preview bool   `json:"preview,omitempty" description:"nothing is stored"`
}

type profileGetParams struct {
	Name    string `json:"name" required:"true"`
	Version int    `json:"version,omitempty" description:"default: the newest"`
}

type profileNameParams struct {
	Name string `json:"name" required:"true"`
}

type profilesListParams struct {
	UserID string `json:"user_id,omitempty" description:"of this owner only"`
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// profileObject is a version of a profile as shown.
type profileObject struct {
	Name      string          `json:"name"`
	Version   int             `json:"version" description:"from 1; 0: of a preview"`
	SHA256    string          `json:"sha256,omitempty" description:"of the body"`
	Body      json.RawMessage `json:"body,omitempty" description:"of profiles.get: config, options and decode, with names in the place of secrets"`
	UserID    string          `json:"user_id,omitempty"`
	CreatedBy string          `json:"created_by,omitempty"`
	CreatedAt *isoTime        `json:"created_at,omitempty"`
	Fresh     bool            `json:"fresh,omitempty" description:"of profiles.apply: it was stored just now"`
	Versions  int             `json:"versions,omitempty" description:"of profiles.get: that are kept"`
}

type profilesApplied struct {
	Profiles []profileObject `json:"profiles" description:"those of the text, by name"`
}

type profilePage struct {
	Profiles   []profileObject `json:"profiles"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

// profileMethods are those of /system that keep profiles; all are ours.
func profileMethods() []Method {
	none := []string{"Profile <name> not found"}
	return []Method{
		{Name: "profiles.apply", Path: "/system", Ours: true, Params: profilesApplyParams{}, Result: profilesApplied{},
			Summary: "Registers profiles, which resources of flows name: a new version of each, unless it is as the newest is; all of them or none. All that is wrong with them is told at once, and nothing is stored then."},
		{Name: "profiles.get", Path: "/system", Ours: true, Params: profileGetParams{}, Result: profileObject{}, Errors: none, Summary: "Shows a version of a profile with its body."},
		{Name: "profiles.list", Path: "/system", Ours: true, Params: profilesListParams{}, Result: profilePage{}, Summary: "Lists the newest versions of profiles by name, without bodies."},
		{Name: "profiles.delete", Path: "/system", Ours: true, Params: profileNameParams{}, Result: taken{}, Errors: none, Summary: "Deletes a profile with all its versions. Runs keep what they have of it."},
	}
}

func (h *Handler) profileAnswers() map[string]method {
	return map[string]method{"profiles.apply": h.profilesApply, "profiles.get": h.profileGet, "profiles.list": h.profilesList, "profiles.delete": h.profileDelete}
}

func (h *Handler) profilesApply(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.ProfilesSpec{Text: p.file("text"), Name: p.text("name"), UserID: p.text("user_id"), Preview: p.flag("preview", false)}
	if len(spec.Text) == 0 {
		p.refuse("text", "the text of profiles")
	}
	p.only(profilesApplyParams{})
	if p.err != nil {
		return nil, p.err
	}
	got, err := x.svc.ApplyProfiles(ctx, spec)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, profilesApplied{profilesShown(got.Profiles)}), nil
}

func (h *Handler) profileGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	version := 0
	name, err := ofNamed(raw, "name", "the name of a profile", profileGetParams{}, func(p *params) { version = p.number("version", 0, 0, maxVersion) })
	if err != nil {
		return nil, err
	}
	got, err := x.svc.Profile(ctx, name, version)
	if err != nil {
		return nil, named404(err, "Profile "+name+" not found")
	}
	return appendJSON(nil, profileShown(got)), nil
}

func (h *Handler) profilesList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.ProfileFilter{UserID: p.text("user_id"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(profilesListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Profiles(ctx, f)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, profilePage{profilesShown(page.Items), page.Next}), nil
}

func (h *Handler) profileDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	name, err := ofNamed(raw, "name", "the name of a profile", profileNameParams{}, nil)
	if err != nil {
		return nil, err
	}
	if err := x.svc.DeleteProfile(ctx, name); err != nil {
		return nil, named404(err, "Profile "+name+" not found")
	}
	return appendJSON(nil, taken{true}), nil
}

func profilesShown(list []*coordinator.ProfileInfo) []profileObject {
	out := []profileObject{}
	for _, one := range list {
		out = append(out, profileShown(one))
	}
	return out
}

func profileShown(p *coordinator.ProfileInfo) profileObject {
	out := profileObject{Name: p.Name, Version: p.Version, SHA256: hex.EncodeToString(p.SHA256), Body: p.Body, UserID: p.UserID, CreatedBy: p.CreatedBy, Fresh: p.Fresh, Versions: p.Versions}
	if !p.CreatedAt.IsZero() {
		out.CreatedAt = timeOf(&p.CreatedAt)
	}
	return out
}
