package jsonrpc

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/executors/bundle"
)

type bundleApplyParams struct {
	ID           string       `json:"id" required:"true" description:"letters, digits, ., _ and -"`
	Fingerprint  string       `json:"fingerprint" required:"true" description:"of the list of files, in hex"`
	Files        []bundleFile `json:"files" required:"true"`
	EntryFlow    string       `json:"entry_flow" required:"true" description:"path"`
	ProfilesFile string       `json:"profiles_file" required:"true" description:"path"`
	Source       string       `json:"source,omitempty" description:"where it was fetched, for people"`
	UserID       string       `json:"user_id,omitempty" description:"whose it is to be, if it is new; default the caller's"`
	Enterprise   bool         `json:"enterprise,omitempty"`
	ZipDrivers   []string     `json:"zip_drivers,omitempty"`
	Secrets      []string     `json:"secrets,omitempty" description:"names of the environment"`
	Public       []string     `json:"public_env,omitempty" description:"likewise"`
	PluginsDir   string       `json:"plugins_dir,omitempty" description:"path"`
}

type bundleFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256" description:"in hex"`
	Size   int64  `json:"size" description:"bytes, at most 32 MiB"`
}

type bundlePutParams struct {
	Data string `json:"data" required:"true" description:"the content, in base64"`
}

type bundlePut struct {
	SHA256 string `json:"sha256"`
}

type bundlesListParams struct {
	ID     string `json:"id,omitempty" description:"of this bundle only"`
	UserID string `json:"user_id,omitempty" description:"of this owner only"`
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

type bundleIDParams struct {
	ID string `json:"id" required:"true"`
}

// bundleObject is a version of a bundle as shown.
type bundleObject struct {
	ID          string   `json:"id"`
	Fingerprint string   `json:"fingerprint"`
	Digest      string   `json:"digest" description:"of the content of all files"`
	Source      string   `json:"source,omitempty"`
	EntryFlow   string   `json:"entry_flow"`
	UserID      string   `json:"user_id,omitempty"`
	Files       int      `json:"files"`
	Bytes       int64    `json:"bytes"`
	CreatedBy   string   `json:"created_by,omitempty"`
	CreatedAt   *isoTime `json:"created_at,omitempty"`
	AppliedAt   *isoTime `json:"applied_at,omitempty" description:"the latest counts"`
	Fresh       bool     `json:"fresh,omitempty" description:"of bundles.apply: it was stored just now"`
	Missing     []string `json:"missing,omitempty" description:"of bundles.apply: the SHA-256 of contents that are to be put first; nothing was stored"`
}

type bundlePage struct {
	Bundles    []bundleObject `json:"bundles"`
	NextCursor string         `json:"next_cursor,omitempty"`
}

// runBundleObject is the bundle of a run.
type runBundleObject struct {
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint,omitempty" description:"of the version; default: the latest"`
	Digest      string `json:"digest,omitempty" description:"likewise"`
	Stale       bool   `json:"stale,omitempty" description:"its source had failed"`
	Flow        string `json:"flow,omitempty" description:"of flows.run: the path of the flow in it; default: the entry flow"`
}

// bundleMethods are those of /system that keep bundles; all are ours.
func bundleMethods() []Method {
	return []Method{
		{Name: "bundles.apply", Path: "/system", Ours: true, Params: bundleApplyParams{}, Result: bundleObject{},
			Summary: "Stores a version of a bundle, the latest then; the same one stays as it is. Where contents are missing, they are told, and nothing is stored."},
		{Name: "bundles.put_file", Path: "/system", Ours: true, Params: bundlePutParams{}, Result: bundlePut{}, Summary: "Stores the content of a file of a bundle, for an hour if no version comes to have it."},
		{Name: "bundles.list", Path: "/system", Ours: true, Params: bundlesListParams{}, Result: bundlePage{}, Summary: "Lists versions by the ids of their bundles, the latest of each first."},
		{Name: "bundles.delete", Path: "/system", Ours: true, Params: bundleIDParams{}, Result: taken{}, Errors: []string{"Bundle <id> not found"},
			Summary: "Deletes a bundle with all its versions: those that runs pin go with the last of these. It is refused while a registered flow names it."},
	}
}

func (h *Handler) bundleAnswers() map[string]method {
	return map[string]method{"bundles.apply": h.bundleApply, "bundles.put_file": h.bundlePut, "bundles.list": h.bundlesList, "bundles.delete": h.bundleDelete}
}

func (h *Handler) bundleApply(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	spec := coordinator.BundleSpec{}
	id, err := ofNamed(raw, "id", "the id of a bundle", bundleApplyParams{}, func(p *params) {
		spec.Fingerprint, spec.Source, spec.UserID = p.text("fingerprint"), p.text("source"), p.text("user_id")
		spec.BundleRules = coordinator.BundleRules{EntryFlow: p.text("entry_flow"), ProfilesFile: p.text("profiles_file"), Enterprise: p.flag("enterprise", false), ZipDrivers: p.strings("zip_drivers"),
			Secrets: p.strings("secrets"), Public: p.strings("public_env"), PluginsDir: p.text("plugins_dir")}
		var files []bundleFile
		if p.given("files") && (json.Unmarshal(p.values["files"], &files) != nil || len(files) > bundle.MaxFiles) {
			p.refuse("files", "an array of objects with path, sha256 and size")
		}
		for _, f := range files {
			spec.Files = append(spec.Files, bundle.File{Path: f.Path, SHA256: f.SHA256, Size: f.Size})
		}
	})
	if err != nil {
		return nil, err
	}
	spec.ID = id
	b, err := x.svc.ApplyBundle(ctx, spec)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, bundleShown(b)), nil
}

func bundleShown(b *coordinator.BundleInfo) bundleObject {
	out := bundleObject{ID: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Source: b.Source, EntryFlow: b.Rules.EntryFlow, UserID: b.UserID, Files: b.Files, Bytes: b.Bytes, CreatedBy: b.CreatedBy, Fresh: b.Fresh, Missing: b.Missing}
	if !b.CreatedAt.IsZero() {
		out.CreatedAt, out.AppliedAt = timeOf(&b.CreatedAt), timeOf(&b.AppliedAt)
	}
	return out
}

func (h *Handler) bundlePut(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(p.text("data"))
	if err != nil || !p.given("data") {
		p.refuse("data", "the content of a file, in base64")
	}
	p.only(bundlePutParams{})
	if p.err != nil {
		return nil, p.err
	}
	digest, err := x.svc.PutBundleFile(ctx, coordinator.BundleFile{Data: data})
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, bundlePut{digest}), nil
}

func (h *Handler) bundlesList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.BundleFilter{ID: p.text("id"), UserID: p.text("user_id"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(bundlesListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Bundles(ctx, f)
	if err != nil {
		return nil, err
	}
	out := bundlePage{Bundles: []bundleObject{}, NextCursor: page.Next}
	for _, one := range page.Items {
		out.Bundles = append(out.Bundles, bundleShown(one))
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) bundleDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, err := ofNamed(raw, "id", "the id of a bundle", bundleIDParams{}, nil)
	if err != nil {
		return nil, err
	}
	if err := x.svc.DeleteBundle(ctx, id); err != nil {
		return nil, named404(err, "Bundle "+id+" not found")
	}
	return appendJSON(nil, taken{true}), nil
}

// runBundle is the parameter that names the bundle of a run; nil: none.
func (p *params) runBundle(name string) *coordinator.RunBundle {
	if !p.given(name) {
		return nil
	}
	var b runBundleObject
	if json.Unmarshal(p.values[name], &b) != nil || b.ID == "" {
		p.refuse(name, "an object with the id of a bundle")
		return nil
	}
	return &coordinator.RunBundle{ID: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Stale: b.Stale, Flow: b.Flow}
}

func runBundleShown(b *coordinator.RunBundle) *runBundleObject {
	if b == nil {
		return nil
	}
	return &runBundleObject{ID: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Stale: b.Stale}
}
