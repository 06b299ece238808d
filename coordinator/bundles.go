package coordinator

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// BundleKeeper keeps bundles: versions of directories that runs of flows pin. Whoever fetches one puts the contents that are missing, and then the version.
type BundleKeeper interface {
	// ApplyBundle stores a version of a bundle, the latest then; the same one stays as it is. Where contents are missing, they are told, and nothing is stored. [ErrConflict]: there are as many
	// versions as may be.
	ApplyBundle(ctx context.Context, spec BundleSpec) (*BundleInfo, error)
	// PutBundleFile stores the content of a file, for an hour if no version comes to have it, and gives its SHA-256 in hex. A repetition changes nothing. [ErrConflict]: there is no room.
	PutBundleFile(ctx context.Context, file BundleFile) (digest string, err error)
	// Bundles lists versions by the ids of their bundles, the latest of each first, without files.
	Bundles(ctx context.Context, f BundleFilter) (Page[*BundleInfo], error)
	// DeleteBundle deletes a bundle with all its versions: those that runs pin go with the last of these. [ErrNotFound]; [ErrConflict]: a registered flow names it.
	DeleteBundle(ctx context.Context, id string) error
}

// MaxBundleFile is how many bytes a file of a bundle may have in the cluster.
const MaxBundleFile = 32 << 20

// BundleSpec is a version that is to be kept.
type BundleSpec struct {
	ID          string
	Fingerprint string // of the list of files, in hex
	Source      string // where it was fetched, for people
	Files       []bundle.File
	UserID      string // whose it is to be, if it is new; empty: the caller's
	BundleRules
}

// BundleRules are what the manifest says that holds for runs.
type BundleRules struct {
	EntryFlow    string   `json:"entry_flow"`    // path
	ProfilesFile string   `json:"profiles_file"` // path
	Enterprise   bool     `json:"enterprise,omitempty"`
	ZipDrivers   []string `json:"zip_drivers,omitempty"`
	Secrets      []string `json:"secrets,omitempty"`    // names of the environment
	Public       []string `json:"public_env,omitempty"` // likewise
	PluginsDir   string   `json:"plugins_dir,omitempty"`
}

// pluginsDir is the directory whose plugins count; empty: there is none.
func (r *BundleRules) pluginsDir() string {
	if r.Enterprise {
		return ""
	}
	return r.PluginsDir
}

// BundleFile is a content.
type BundleFile struct {
	Data []byte
}

// BundleInfo is a version of a bundle.
type BundleInfo struct {
	ID, Fingerprint string
	Digest          string // of the content of all files
	Source          string
	UserID          string
	Files           int
	Bytes           int64
	CreatedBy       string
	CreatedAt       time.Time
	AppliedAt       time.Time // the latest counts
	Fresh           bool      // it was stored just now
	Missing         []string  // digests of contents that are to be put first: nothing was stored
	Rules           BundleRules

	key  int64
	list listRef

	plugins []pluginFile
}

// BundleFilter selects versions.
type BundleFilter struct {
	ID     string // of this bundle only
	UserID string // of this owner only; empty: of all
	Limit  int    // default 100, at most 1000
	Cursor string
}

// listRef names the list of a version's files.
type listRef struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// bundleBody is what is stored of a version.
type bundleBody struct {
	Source string  `json:"source,omitempty"`
	List   listRef `json:"list"`
	// Plugins are the files that say which plugins there are, and their programs.
	Plugins []pluginFile `json:"plugins,omitempty"`
	BundleRules
}

type pluginFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// RunBundle names the bundle of a run.
type RunBundle struct {
	ID          string
	Fingerprint string // empty: that of the latest version
	Digest      string // likewise
	Stale       bool   // its source had failed
	Flow        string // path of the flow in it; empty: the entry flow. It counts where neither a flow nor a text is given
}

// The calls.

func (g *guarded) ApplyBundle(ctx context.Context, spec BundleSpec) (*BundleInfo, error) {
	call := Call{Method: "ApplyBundle", Bundle: spec.ID, UserID: cmp.Or(spec.UserID, g.caller.User), Details: detail("fingerprint", spec.Fingerprint)}
	return askNamed(ctx, g, call, func(ctx context.Context, owner string) (*BundleInfo, error) {
		spec.UserID = cmp.Or(spec.UserID, owner)
		return g.next.ApplyBundle(ctx, spec)
	})
}

func (i *BundleInfo) made() Details {
	return detail("bundle", i.ID, "fingerprint", i.Fingerprint, "missing", len(i.Missing))
}

func (g *guarded) PutBundleFile(ctx context.Context, file BundleFile) (string, error) {
	return askNamed(ctx, g, Call{Method: "PutBundleFile", UserID: g.caller.User}, func(ctx context.Context, _ string) (string, error) { return g.next.PutBundleFile(ctx, file) })
}

func (g *guarded) Bundles(ctx context.Context, f BundleFilter) (Page[*BundleInfo], error) {
	return askFor(ctx, g, Call{Method: "Bundles", UserID: f.UserID}, func(owner string) (Page[*BundleInfo], error) {
		f.UserID = owner
		return g.next.Bundles(ctx, f)
	})
}

func (g *guarded) DeleteBundle(ctx context.Context, id string) error {
	_, err := askNamed(ctx, g, Call{Method: "DeleteBundle", Bundle: id}, func(ctx context.Context, _ string) (struct{}, error) { return struct{}{}, g.next.DeleteBundle(ctx, id) })
	return err
}

// Check says all that is wrong with a version.
func (s *BundleSpec) Check() error {
	var faults faultList
	if !flows.ValidID(s.ID) {
		faults.add("id", "must be 1 to 64 letters, digits, '.', '_' and '-', and neither . nor ..")
	}
	if len(s.Fingerprint) != 64 || strings.Trim(s.Fingerprint, "0123456789abcdef") != "" {
		faults.add("fingerprint", "must be 64 hexadecimal digits in lower case")
	}
	if !isUser(s.UserID) {
		faults.add("user_id", "must be at most 255 characters of UTF-8 without NUL")
	}
	if !text(s.Source) || len(s.Source) > 1000 {
		faults.add("source", "must be at most 1000 bytes of UTF-8 without NUL")
	}
	if err := bundle.Check(s.Files); err != nil {
		faults.add("files", "%v", err)
	}
	if s.PluginsDir != "" && bundle.BadPath(s.PluginsDir) != "" {
		faults.add("plugins_dir", "must be a path in the bundle")
	}
	if n := len(flows.PluginFiles(s.pluginsDir(), s.Files)); n > 2*flows.MaxPlugins {
		faults.add("plugins_dir", "has more than %d plugins with their descriptions", flows.MaxPlugins)
	}
	for i, f := range s.Files {
		if f.SHA256 == "" || f.Size < 0 || f.Size > MaxBundleFile {
			faults.add(fmt.Sprintf("files[%d]", i), "%.200q must have its sha256, and a size of at most %d bytes", f.Path, MaxBundleFile)
			break
		}
	}
	for _, one := range []struct{ field, path string }{{"entry_flow", s.EntryFlow}, {"profiles_file", s.ProfilesFile}} {
		if !slices.ContainsFunc(s.Files, func(f bundle.File) bool { return f.Path == one.path }) {
			faults.add(one.field, "there is no %.200q in the bundle", one.path)
		}
	}
	for _, one := range []struct {
		field string
		names []string
	}{{"secrets", s.Secrets}, {"public_env", s.Public}, {"zip_drivers", s.ZipDrivers}} {
		if len(one.names) > 1000 || slices.ContainsFunc(one.names, func(n string) bool { return !text(n) || len(n) > 256 }) {
			faults.add(one.field, "must be at most 1000 names of at most 256 bytes")
		}
	}
	return faults.err()
}

// ApplyBundle stores a version; see [BundleKeeper].
func (c *Coordinator) ApplyBundle(ctx context.Context, spec BundleSpec) (*BundleInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	list := bundle.ListText(spec.Files)
	sum := sha256.Sum256(list)
	row := &pg.Bundle{ID: spec.ID, Fingerprint: spec.Fingerprint, Digest: bundle.Fingerprint(spec.Files), UserID: spec.UserID, Files: int32(len(spec.Files)), CreatedBy: caller(ctx)}
	files := []pg.BundleFile{{SHA256: sum[:], Size: int64(len(list))}}
	for _, f := range spec.Files {
		digest, _ := hex.DecodeString(f.SHA256) // it was checked
		files = append(files, pg.BundleFile{Path: f.Path, SHA256: digest, Size: f.Size})
		row.Bytes += f.Size
	}
	body := bundleBody{Source: spec.Source, List: listRef{hex.EncodeToString(sum[:]), int64(len(list))}, BundleRules: spec.BundleRules}
	for _, f := range flows.PluginFiles(spec.pluginsDir(), spec.Files) {
		body.Plugins = append(body.Plugins, pluginFile{f.Path, f.SHA256})
	}
	if row.Body, err = json.Marshal(body); err != nil {
		return nil, err
	}
	if err := c.putBundleData(ctx, here, list); err != nil {
		return nil, c.internal("keep the list of a bundle's files", err)
	}
	fresh, missing, err := c.store.ApplyBundle(ctx, here, row, files, only(ctx))
	failpoint.Hit("coordinator.after-bundle")
	switch level, below := errors.AsType[*dag.LevelError](err); {
	case below:
		return nil, level
	case errors.Is(err, pg.ErrTooManyBundles):
		return nil, fmt.Errorf("%w: %w", ErrConflict, pg.ErrTooManyBundles)
	case errors.Is(err, pg.ErrOthers):
		return nil, err
	case err != nil:
		return nil, c.internal("keep a bundle", err)
	case len(missing) > 0:
		out := &BundleInfo{ID: row.ID, Fingerprint: row.Fingerprint, Digest: row.Digest, Source: spec.Source, Files: int(row.Files), Bytes: row.Bytes, Rules: spec.BundleRules}
		for _, i := range missing {
			if digest := hex.EncodeToString(files[i].SHA256); !slices.Contains(out.Missing, digest) {
				out.Missing = append(out.Missing, digest)
			}
		}
		return out, nil
	}
	stored, err := c.store.Bundle(ctx, row.Key)
	if err != nil {
		return nil, c.internal("read a bundle", err)
	}
	out, err := showBundle(stored)
	if err == nil {
		out.Fresh = fresh
	}
	return out, err
}

func showBundle(b *pg.Bundle) (*BundleInfo, error) {
	var body bundleBody
	if err := json.Unmarshal(b.Body, &body); err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", b.ID, err)
	}
	return &BundleInfo{ID: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Source: body.Source, UserID: b.UserID, Files: int(b.Files), Bytes: b.Bytes, CreatedBy: b.CreatedBy, CreatedAt: b.CreatedAt,
		AppliedAt: b.AppliedAt, Rules: body.BundleRules, key: b.Key, list: body.List, plugins: body.Plugins}, nil
}

// PutBundleFile stores a content; see [BundleKeeper].
func (c *Coordinator) PutBundleFile(ctx context.Context, file BundleFile) (string, error) {
	if len(file.Data) > MaxBundleFile {
		return "", &InvalidArgumentError{Field: "data", Reason: fmt.Sprintf("has %d bytes, the most is %d", len(file.Data), MaxBundleFile)}
	}
	here, err := c.here(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(file.Data)
	err = c.putBundleData(ctx, here, file.Data)
	switch {
	case errors.Is(err, pg.ErrBundlesFull), errors.Is(err, artifact.ErrFull):
		return "", fmt.Errorf("%w: %w", ErrConflict, err)
	case err != nil:
		return "", c.internal("keep a file of a bundle", err)
	}
	return hex.EncodeToString(sum[:]), nil
}

// putBundleData keeps a content of the caller: a small one in the database, a larger one in the store of artifacts.
func (c *Coordinator) putBundleData(ctx context.Context, here dag.NamespaceKey, data []byte) error {
	sum := sha256.Sum256(data)
	if has, err := c.store.HasBundleFile(ctx, here, only(ctx), sum); has || err != nil {
		return err
	}
	if err := c.store.BundleRoom(ctx, here, int64(len(data))); err != nil {
		return err
	}
	if len(data) <= inlineBytes {
		return c.store.PutBundleData(ctx, here, only(ctx), data)
	}
	var key []byte
	if c.store.SealsValues() {
		key = make([]byte, 32)
		_, _ = rand.Read(key)
	}
	content, err := c.store.OpenBundleContent(ctx, here, artifact.NewID(), int64(len(data)), artifact.BlockBytes, key)
	if err != nil {
		return err
	}
	var digests []artifact.Digest
	var flat []byte
	for i := range artifact.Blocks(content.Size, content.Block) {
		from := i * content.Block
		block, err := sealBlock(content, i, data[from:from+artifact.LengthOf(content.Size, content.Block, i)])
		if err == nil {
			err = c.artifacts.Put(ctx, content.ID, i, block)
		}
		if err != nil {
			return err
		}
		failpoint.Hit("coordinator.after-bundle-block")
		digest := artifact.Sum(block)
		digests, flat = append(digests, digest), append(flat, digest[:]...)
	}
	root := artifact.Root(content.Size, content.Block, digests)
	return c.store.PutBundleContent(ctx, here, only(ctx), content, sum, root[:], flat)
}

// Bundles lists versions; see [BundleKeeper].
func (c *Coordinator) Bundles(ctx context.Context, f BundleFilter) (page Page[*BundleInfo], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	after := &pg.Bundle{}
	if f.Cursor != "" {
		var at int64
		id, rest, _ := strings.Cut(f.Cursor, ":")
		if err := cursorFrom("bundle", rest, &at, &after.Key); err != nil || !flows.ValidID(id) {
			return page, &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
		}
		after.ID, after.AppliedAt = id, time.UnixMicro(at)
	}
	if !text(f.UserID) || !text(f.ID) {
		return page, nil
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	list, err := c.store.Bundles(ctx, here, after, f.ID, f.UserID, limit+1)
	if err != nil {
		return page, c.internal("list bundles", err)
	}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		page.Next = last.ID + ":" + cursorTo("bundle", last.AppliedAt.UnixMicro(), last.Key)
	}
	for _, one := range list {
		shown, err := showBundle(one)
		if err != nil {
			return page, c.internal("list bundles", err)
		}
		page.Items = append(page.Items, shown)
	}
	return page, nil
}

// DeleteBundle deletes a bundle; see [BundleKeeper].
func (c *Coordinator) DeleteBundle(ctx context.Context, id string) error {
	if !text(id) {
		return ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	flow, err := c.store.FlowOfBundle(ctx, here, id)
	if err == nil && flow != "" {
		return fmt.Errorf("%w: the flow %s names the bundle: delete it first, or register it without", ErrConflict, flow)
	}
	if err == nil {
		err = c.store.DeleteBundle(ctx, here, id, only(ctx))
	}
	if err != nil {
		return c.internal("delete a bundle", err)
	}
	return nil
}

// forgetBundles deletes versions and contents that nothing needs.
func (c *Coordinator) forgetBundles(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := c.store.ForgetBundles(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("bundles that nothing needs could not be deleted", "error", err)
		}
		if !more || err != nil {
			return
		}
	}
}

// pinned is the bundle of a run, with what of it a flow is compiled with.
type pinned struct {
	*BundleInfo
	profiles map[string]resource.Part
	plugins  map[string]*flows.Plugin
	stale    bool
}

// options adds to what a flow is compiled with.
func (p *pinned) options(opts *flows.Options) {
	if p == nil {
		return
	}
	opts.Bundle = &bundle.Pinned{ID: p.ID, Fingerprint: p.Fingerprint, SHA256: p.list.SHA256, Size: p.list.Size, Stale: p.stale}
	opts.Secrets, opts.Public, opts.Profiles, opts.Plugins = p.Rules.Secrets, p.Rules.Public, p.profiles, p.plugins
	if p.Rules.Enterprise {
		opts.Archives = append([]string{}, p.Rules.ZipDrivers...)
	}
}

// row is the key of the version; 0: there is none.
func (p *pinned) row() int64 {
	if p == nil {
		return 0
	}
	return p.key
}

// pin finds the bundle that a run is to have. nil: none.
func (c *Coordinator) pin(ctx context.Context, here dag.NamespaceKey, named *RunBundle) (*pinned, error) {
	return c.pinOwned(ctx, here, named, func(string) bool { return true })
}

// pinOwned is pin, where a bundle whose owner may not be it is not there.
func (c *Coordinator) pinOwned(ctx context.Context, here dag.NamespaceKey, named *RunBundle, may func(owner string) bool) (*pinned, error) {
	if named == nil {
		return nil, nil
	}
	if !text(named.ID) || !text(named.Digest) || !text(named.Fingerprint) {
		return nil, ErrNotFound
	}
	row, err := c.store.HoldBundle(ctx, here, named.ID, named.Digest, named.Fingerprint)
	if errors.Is(err, pg.ErrNotFound) || err == nil && !may(row.UserID) {
		return nil, fmt.Errorf("bundle %s: %w", cut(clean(named.ID)), ErrNotFound)
	} else if err != nil {
		return nil, c.internal("look for a bundle", err)
	}
	return c.pinRow(ctx, row, named.Stale)
}

// pinFor finds the bundle that a registered flow names: one of nobody, or of one of the users. One that somebody else has pushed since, by the name of one that was deleted, is not the one
// that the flow names: it is not there.
func (c *Coordinator) pinFor(ctx context.Context, here dag.NamespaceKey, id string, users ...string) (*pinned, error) {
	return c.pinOwned(ctx, here, &RunBundle{ID: id}, func(owner string) bool { return owner == "" || slices.Contains(users, owner) })
}

// pinKey is the bundle that a run has already. nil: none.
func (c *Coordinator) pinKey(ctx context.Context, key int64, stale bool) (*pinned, error) {
	if key == 0 {
		return nil, nil
	}
	row, err := c.store.Bundle(ctx, key)
	if err != nil {
		return nil, c.internal("look for the bundle of a run", err)
	}
	return c.pinRow(ctx, row, stale)
}

func (c *Coordinator) pinRow(ctx context.Context, row *pg.Bundle, stale bool) (*pinned, error) {
	shown, err := showBundle(row)
	if err != nil {
		return nil, err
	}
	p := &pinned{BundleInfo: shown, stale: stale}
	text, err := c.bundleText(ctx, p, shown.Rules.ProfilesFile)
	if err != nil {
		return nil, err
	}
	var report *flows.Report
	if p.profiles, report = flows.ReadProfiles(shown.Rules.ProfilesFile, text); !report.OK {
		return nil, &FlowFaultsError{Report: report}
	}
	return p, c.readPlugins(ctx, p)
}

// readPlugins reads what the bundle says of its plugins.
func (c *Coordinator) readPlugins(ctx context.Context, p *pinned) error {
	if len(p.BundleInfo.plugins) == 0 {
		return nil
	}
	var files []bundle.File
	for _, f := range p.BundleInfo.plugins {
		files = append(files, bundle.File{Path: f.Path, SHA256: f.SHA256})
	}
	opts, _ := c.flowOptions(ctx)
	if opts.Describe == nil {
		return nil
	}
	var failed error
	all, reports := flows.ReadPlugins(p.Rules.pluginsDir(), files, func(path string) ([]byte, *flows.Report) {
		text, err := c.bundleText(ctx, p, path)
		if told, is := errors.AsType[*FlowFaultsError](err); is {
			return nil, told.Report
		} else if err != nil {
			failed = err
		}
		return text, nil
	}, opts)
	if failed != nil {
		return failed
	}
	for _, report := range reports {
		if !report.OK {
			return &FlowFaultsError{Report: report}
		}
	}
	p.plugins = all
	return nil
}

// bundleText is a file of a bundle that a flow is compiled of.
func (c *Coordinator) bundleText(ctx context.Context, p *pinned, path string) ([]byte, error) {
	missing := func(reason string) error { return &FlowFaultsError{Report: flows.Unreadable(path, "bundle", reason)} }
	if bad := bundle.BadPath(path); bad != "" {
		return nil, missing(bad)
	}
	file, err := c.store.BundleFile(ctx, p.key, path)
	switch {
	case errors.Is(err, pg.ErrNotFound):
		return nil, missing("is not in the bundle")
	case err != nil:
		return nil, c.internal("read a file of a bundle", err)
	case file.Size > flows.MaxBytes:
		return nil, missing(fmt.Sprintf("is larger than %d bytes", flows.MaxBytes))
	case file.Content == nil:
		return file.Data, nil
	}
	text, err := io.ReadAll(artifact.NewReader(ctx, file.Size, file.Content.Block, 0, func(ctx context.Context, index int) ([]byte, error) { return c.blockOf(ctx, file.Content, index) }))
	if err != nil {
		return nil, c.internal("read a file of a bundle", err)
	}
	return text, nil
}

// shown is what is told of the bundle of a run; nil: none.
func (p *pinned) shown() *RunBundle {
	if p == nil {
		return nil
	}
	return &RunBundle{ID: p.ID, Fingerprint: p.Fingerprint, Digest: p.Digest, Stale: p.stale}
}

// bundleOf is the bundle of a run; nil: none.
func (c *Coordinator) bundleOf(ctx context.Context, r *pg.FlowRun) (*RunBundle, error) {
	if r.Bundle == 0 {
		return nil, nil
	}
	b, err := c.store.Bundle(ctx, r.Bundle)
	if err != nil {
		return nil, c.internal("look for the bundle of a run", err)
	}
	return &RunBundle{ID: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Stale: r.Stale}, nil
}
