package coordinator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// ProfileKeeper keeps profiles, which resources of flows name. Names are the namespace's. What is stored needs [dag.RegistryLevel]: a *[dag.LevelError] while a live coordinator is below it.
type ProfileKeeper interface {
	// ApplyProfiles registers the profiles of a file: a new version of each, unless it is as the newest is. All of them or none. *[FlowFaultsError]: all that is wrong with the file.
	// [ErrConflict]: there are as many as may be. A preview stores nothing.
	ApplyProfiles(ctx context.Context, spec ProfilesSpec) (*ProfilesApplied, error)
	// Profile shows a version of a profile with its body; 0: the newest. [ErrNotFound].
	Profile(ctx context.Context, name string, version int) (*ProfileInfo, error)
	// Profiles lists the newest versions of profiles by name, without bodies.
	Profiles(ctx context.Context, f ProfileFilter) (Page[*ProfileInfo], error)
	// DeleteProfile deletes a profile with all its versions. Runs keep what they have of it. [ErrNotFound].
	DeleteProfile(ctx context.Context, name string) error
}

// ProfilesSpec is a file of profiles that are to be kept.
type ProfilesSpec struct {
	Name    string // what faults call the file; empty: profiles
	Text    []byte // in YAML: a map by name
	UserID  string // whose new ones are to be; empty: the caller's
	Preview bool   // nothing is stored
}

// ProfileInfo is a version of a registered profile.
type ProfileInfo struct {
	Name      string
	Version   int             // from 1; 0: of a preview
	SHA256    []byte          // of the body; nil: of a preview
	Body      json.RawMessage // config, options and decode, unrendered; nil: not asked for
	UserID    string
	CreatedBy string
	CreatedAt time.Time
	Fresh     bool // it was stored just now
	Versions  int  // that are kept; 0: not asked for
}

// ProfilesApplied are the profiles of a file as they are kept, by name.
type ProfilesApplied struct{ Profiles []*ProfileInfo }

// ProfileFilter selects profiles.
type ProfileFilter struct {
	UserID string // of this owner only; empty: of all
	Limit  int    // default 100, at most 1000
	Cursor string
}

// The calls.

func (g *guarded) ApplyProfiles(ctx context.Context, spec ProfilesSpec) (*ProfilesApplied, error) {
	call := Call{Method: "ApplyProfiles", UserID: spec.UserID, Details: detail("preview", spec.Preview)}
	return askNamed(ctx, g, call, func(ctx context.Context, owner string) (*ProfilesApplied, error) {
		spec.UserID = cmp.Or(spec.UserID, owner)
		return g.next.ApplyProfiles(ctx, spec)
	})
}

func (a *ProfilesApplied) made() Details {
	var names []string
	for _, p := range a.Profiles {
		if p.Fresh {
			names = append(names, profileVersion(p.Name, p.Version))
		}
	}
	return detail("profiles", names)
}

func (g *guarded) Profile(ctx context.Context, name string, version int) (*ProfileInfo, error) {
	return ask(ctx, g, Call{Method: "Profile", Profile: name}, func() (*ProfileInfo, error) { return g.next.Profile(ctx, name, version) })
}

func (g *guarded) Profiles(ctx context.Context, f ProfileFilter) (Page[*ProfileInfo], error) {
	return askFor(ctx, g, Call{Method: "Profiles", UserID: f.UserID}, func(owner string) (Page[*ProfileInfo], error) {
		f.UserID = owner
		return g.next.Profiles(ctx, f)
	})
}

// DeleteProfile has the record name the version that was the newest when it was called.
func (g *guarded) DeleteProfile(ctx context.Context, name string) error {
	_, err := askNamed(ctx, g, Call{Method: "DeleteProfile", Profile: name}, func(ctx context.Context, _ string) (*profileGone, error) {
		was, err := g.next.Profile(ctx, name, 0)
		if err != nil { // the delete says why
			was = nil
		}
		return &profileGone{was}, g.next.DeleteProfile(ctx, name)
	})
	return err
}

// profileGone is a profile that was deleted; nil: it could not be read.
type profileGone struct{ *ProfileInfo }

func (p *profileGone) made() Details {
	if p.ProfileInfo == nil {
		return nil
	}
	return detail("version", p.Version, "versions", p.Versions)
}

// ApplyProfiles registers profiles; see [ProfileKeeper].
func (c *Coordinator) ApplyProfiles(ctx context.Context, spec ProfilesSpec) (*ProfilesApplied, error) {
	if !isUser(spec.UserID) {
		return nil, &InvalidArgumentError{Field: "user_id", Reason: "must be at most 255 characters of UTF-8 without NUL"}
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	bodies, report := flows.RegisterProfiles(cmp.Or(clean(spec.Name), "profiles"), spec.Text)
	if !report.OK {
		return nil, &FlowFaultsError{Report: report, Whole: "profiles"}
	}
	if len(bodies) > pg.MaxProfiles {
		return nil, fmt.Errorf("%w: %w", ErrConflict, pg.ErrTooManyProfiles)
	}
	var list []*pg.Profile
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		list = append(list, &pg.Profile{Name: name, UserID: spec.UserID, Body: bodies[name], CreatedBy: caller(ctx)})
	}
	if !spec.Preview {
		failpoint.Hit("coordinator.before-profiles-commit")
		if err = c.store.ApplyProfiles(ctx, here, list, only(ctx)); err == nil {
			failpoint.Hit("coordinator.after-profiles-commit")
		}
	}
	switch level, below := errors.AsType[*dag.LevelError](err); {
	case below:
		return nil, level
	case errors.Is(err, pg.ErrTooManyProfiles):
		return nil, fmt.Errorf("%w: %w", ErrConflict, pg.ErrTooManyProfiles)
	case errors.Is(err, pg.ErrOthers):
		return nil, err
	case err != nil:
		return nil, c.internal("keep profiles", err)
	}
	out := &ProfilesApplied{}
	for _, p := range list {
		p.Body = nil
		out.Profiles = append(out.Profiles, showProfile(p))
	}
	return out, nil
}

func showProfile(p *pg.Profile) *ProfileInfo {
	return &ProfileInfo{Name: p.Name, Version: int(p.Version), SHA256: p.SHA256, Body: p.Body, UserID: p.UserID, CreatedBy: p.CreatedBy, CreatedAt: p.CreatedAt, Fresh: p.Fresh, Versions: p.Versions}
}

// profileVersion names a version of a profile.
func profileVersion(name string, version int) string { return fmt.Sprintf("%s@%d", name, version) }

// Profile shows a profile; see [ProfileKeeper].
func (c *Coordinator) Profile(ctx context.Context, name string, version int) (*ProfileInfo, error) {
	if version < 0 {
		return nil, &InvalidArgumentError{Field: "version", Reason: "must not be negative"}
	}
	if !text(name) {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	p, err := c.store.Profile(ctx, here, name, int32(min(version, 1<<31-1)))
	if err != nil {
		return nil, c.internal("read a profile", err)
	}
	return showProfile(p), nil
}

// Profiles lists profiles; see [ProfileKeeper].
func (c *Coordinator) Profiles(ctx context.Context, f ProfileFilter) (Page[*ProfileInfo], error) {
	return pageByName(ctx, c, "list profiles", f.Cursor, f.UserID, f.Limit, func(here dag.NamespaceKey, after string, limit int) ([]*pg.Profile, error) {
		return c.store.Profiles(ctx, here, after, f.UserID, limit)
	}, func(one *pg.Profile) string { return one.Name }, showProfile)
}

// DeleteProfile deletes a profile; see [ProfileKeeper].
func (c *Coordinator) DeleteProfile(ctx context.Context, name string) error {
	if !text(name) {
		return ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	if err := c.store.DeleteProfile(ctx, here, name, only(ctx)); err != nil {
		return c.internal("delete a profile", err)
	}
	return nil
}

// maxRunProfiles is how many bytes the registered profiles of a run may have together.
const maxRunProfiles = 1 << 20

// runProfile is a registered profile as a run has it.
type runProfile struct {
	Name    string          `json:"name"`
	Version int32           `json:"version"`
	Body    json.RawMessage `json:"body"`
}

// usedProfiles are the registered profiles that resources of one flow have: those that its run has already, else the newest, of its user or nobody's.
type usedProfiles struct {
	c    *Coordinator
	ctx  context.Context
	here dag.NamespaceKey
	user string
	has  []runProfile // what the run has from a revision before; nil: nothing
	used []runProfile // by name
	err  error        // why what was told of the flow counts for nothing; nil: it does count
}

func (u *usedProfiles) find(names []string) map[string]resource.Part {
	if see, asked := u.ctx.Value(flowsSeen{}).(func() error); asked {
		if u.err = see(); u.err != nil {
			return nil
		}
	}
	var others []string
	for _, name := range names {
		if i := slices.IndexFunc(u.has, func(p runProfile) bool { return p.Name == name }); i >= 0 {
			u.used = append(u.used, u.has[i])
		} else {
			others = append(others, name)
		}
	}
	if len(others) > 0 && text(u.user) {
		list, err := u.c.store.ProfilesToRun(u.ctx, u.here, others, u.user)
		if err != nil {
			u.err = u.c.internal("read profiles", err)
			return nil
		}
		for _, p := range list {
			u.used = append(u.used, runProfile{p.Name, p.Version, p.Body})
		}
	}
	slices.SortFunc(u.used, func(a, b runProfile) int { return cmp.Compare(a.Name, b.Name) })
	out, size := make(map[string]resource.Part, len(u.used)), 0
	for _, p := range u.used {
		if size += len(p.Body); size > maxRunProfiles {
			u.err = &InvalidArgumentError{Field: "resources", Reason: fmt.Sprintf("name registered profiles of more than %d bytes together", maxRunProfiles)}
			return nil
		}
		part, err := flows.RegisteredProfile(p.Body)
		if err != nil {
			u.err = fmt.Errorf("read profile %s: %w", profileVersion(p.Name, int(p.Version)), err)
			return nil
		}
		out[p.Name] = part
	}
	return out
}
