package client

import (
	"context"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// BundleApply is a version of a bundle that is to be kept.
type BundleApply struct {
	ID           string
	Fingerprint  string // of the list of files, in hex
	Source       string // where it was fetched, for people
	Files        []BundleFile
	UserID       string // whose it is to be, if it is new; empty: the caller's
	EntryFlow    string // path
	ProfilesFile string // path
	Enterprise   bool
	ZipDrivers   []string
	Secrets      []string // names of the environment
	Public       []string // likewise
	PluginsDir   string   // path; empty: there is none
}

// BundleFile is a file of a bundle.
type BundleFile struct {
	Path   string
	SHA256 string // in hex
	Size   int64  // bytes, at most 32 MiB
}

// Bundle is a version of a bundle.
type Bundle struct {
	ID          string    `json:"id"`
	Fingerprint string    `json:"fingerprint"`
	Digest      string    `json:"digest"` // of the content of all files
	Source      string    `json:"source,omitempty"`
	EntryFlow   string    `json:"entry_flow"`
	UserID      string    `json:"user_id,omitempty"`
	Files       int       `json:"files"`
	Bytes       int64     `json:"bytes"`
	CreatedBy   string    `json:"created_by,omitempty"`
	CreatedAt   time.Time `json:"created_at,omitzero"`
	AppliedAt   time.Time `json:"applied_at,omitzero"` // the latest counts
	Fresh       bool      `json:"fresh,omitempty"`     // it was stored just now
	Missing     []string  `json:"missing,omitempty"`   // the SHA-256 of contents that are to be put first: nothing was stored
}

// BundleFilter selects versions of bundles.
type BundleFilter struct {
	ID     string // of this bundle only
	UserID string
	Limit  int // of one page; default 100, at most 1000
	Cursor string
}

// RunBundle is the bundle of a run.
type RunBundle struct {
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint,omitempty"` // of the version; empty: the latest
	Digest      string `json:"digest,omitempty"`      // likewise
	Stale       bool   `json:"stale,omitempty"`       // its source had failed
	Flow        string `json:"flow,omitempty"`        // of a run that is to begin: the path of the flow in it; empty: the entry flow
}

// ApplyBundle stores a version of a bundle, the latest then, unless contents are missing, which it tells; the same one stays as it is. [ErrInvalid]; [ErrConflict].
func (c *Client) ApplyBundle(ctx context.Context, b BundleApply) (*Bundle, error) {
	request := &pb.ApplyBundleRequest{Id: b.ID, Fingerprint: b.Fingerprint, Source: b.Source, UserId: b.UserID, EntryFlow: b.EntryFlow, ProfilesFile: b.ProfilesFile, Enterprise: b.Enterprise,
		ZipDrivers: b.ZipDrivers, Secrets: b.Secrets, PublicEnv: b.Public, PluginsDir: b.PluginsDir}
	for _, f := range b.Files {
		request.Files = append(request.Files, &pb.BundleFile{Path: f.Path, Sha256: f.SHA256, Size: f.Size})
	}
	got, err := c.flows().ApplyBundle(ctx, request)
	if err != nil {
		return nil, wrap(ctx, err, "apply a bundle")
	}
	return bundleOf(got), nil
}

// PutBundleFile stores the content of a file, for an hour if no version comes to have it, and gives its SHA-256. [ErrConflict]: there is no room.
func (c *Client) PutBundleFile(ctx context.Context, data []byte) (digest string, err error) {
	got, err := c.flows().PutBundleFile(ctx, &pb.PutBundleFileRequest{Data: data})
	if err != nil {
		return "", wrap(ctx, err, "put a file of a bundle")
	}
	return got.Sha256, nil
}

// BundlesPage lists one page of versions by the ids of their bundles, the latest of each first.
func (c *Client) BundlesPage(ctx context.Context, f BundleFilter) (*Page[*Bundle], error) {
	got, err := c.flows().ListBundles(ctx, &pb.ListBundlesRequest{Id: f.ID, UserId: f.UserID, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list bundles")
	}
	page := &Page[*Bundle]{Next: got.Cursor}
	for _, one := range got.Bundles {
		page.Items = append(page.Items, bundleOf(one))
	}
	return page, nil
}

// Bundles lists versions by the ids of their bundles, the latest of each first, asking for pages as they are needed.
func (c *Client) Bundles(ctx context.Context, f BundleFilter) iter.Seq2[*Bundle, error] {
	return all(func(cursor string) (*Page[*Bundle], error) {
		f.Cursor = cursor
		return c.BundlesPage(ctx, f)
	}, f.Cursor)
}

// DeleteBundle deletes a bundle with all its versions: those that runs pin go with the last of these. [ErrNotFound]; [ErrConflict]: a registered flow names it.
func (c *Client) DeleteBundle(ctx context.Context, id string) error {
	_, err := c.flows().DeleteBundle(ctx, &pb.DeleteBundleRequest{Id: id})
	return wrap(ctx, err, "delete a bundle")
}

func bundleOf(b *pb.Bundle) *Bundle {
	return &Bundle{ID: b.Id, Fingerprint: b.Fingerprint, Digest: b.Digest, Source: b.Source, EntryFlow: b.EntryFlow, UserID: b.UserId, Files: int(b.Files), Bytes: b.Bytes, CreatedBy: b.CreatedBy,
		CreatedAt: at(b.CreatedAt), AppliedAt: at(b.AppliedAt), Fresh: b.Fresh, Missing: b.Missing}
}

func runBundleOf(b *pb.RunBundle) *RunBundle {
	if b == nil {
		return nil
	}
	return &RunBundle{ID: b.Id, Fingerprint: b.Fingerprint, Digest: b.Digest, Stale: b.Stale}
}

func (b *RunBundle) message() *pb.RunBundle {
	if b == nil {
		return nil
	}
	return &pb.RunBundle{Id: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Stale: b.Stale, Flow: b.Flow}
}
