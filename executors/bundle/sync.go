package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/internal/failpoint"
)

const (
	keptVersions = 3                // of a bundle, in a directory of syncs
	keptFor      = 10 * time.Minute // and all versions that were the latest at some time since then
)

// Request is a sync.
type Request struct {
	Spec       *Spec
	Root       string                                    // the directory of all bundles; that of this one is below it, by its id
	Open       func(ctx context.Context) (Source, error) // the source, if it is needed
	AllowStale bool                                      // if the source fails, the latest version that was fetched counts
}

// Result is what a sync has come to.
type Result struct {
	Changed     bool
	Fingerprint string
	Digest      string   // the fingerprint by the content of all files
	Fetched     []string // paths of files that were read from the source
	Stale       bool     // the source failed
	Reason      string   // why, of a stale one
	Root        string   // the directory with all files, which never changes
	Cache       string   // with contents by their SHA-256
	Records     string   // with what is known of versions
	Files       []File   // all with size and digest, by path
}

// snapshot is fingerprints/FINGERPRINT.json.
type snapshot struct {
	Version     int            `json:"version"`
	ID          string         `json:"bundle_id"`
	Fingerprint string         `json:"fingerprint"`
	Digest      string         `json:"digest"`
	Created     time.Time      `json:"created_at"`
	Source      snapshotSource `json:"source"`
	Strict      bool           `json:"strict_fingerprint"`
	Files       []snapshotFile `json:"files"`
}

// snapshotSource tells sources apart.
type snapshotSource struct {
	Type     string `json:"type"`
	BasePath string `json:"base_path,omitempty"`
	Bundle   string `json:"bundle,omitempty"`
	URL      string `json:"url,omitempty"`
	Ref      string `json:"ref,omitempty"`
	Subdir   string `json:"subdir,omitempty"`
	Resource string `json:"resource,omitempty"`
}

type snapshotFile struct {
	Path     string     `json:"path"`
	SHA256   string     `json:"sha256"`
	Size     int64      `json:"size"`
	Modified *time.Time `json:"mtime,omitempty"`
}

// latest is fingerprints/latest.json.
type latest struct {
	Fingerprint string    `json:"fingerprint"`
	Snapshot    string    `json:"snapshot"`
	Updated     time.Time `json:"updated_at"`
}

// LastError is last_error.json.
type LastError struct {
	At          time.Time `json:"at"`
	Fingerprint string    `json:"fingerprint,omitempty"` // of the version that could not be had, if it was known
	Error       string    `json:"error"`
}

func sourceOf(s *Spec) snapshotSource {
	o := &s.Origin
	out := snapshotSource{Type: o.Type, BasePath: o.BasePath, URL: o.URL, Ref: o.Ref, Subdir: o.Subdir, Resource: o.Resource}
	if o.Type == Database || o.Type == REST {
		out.Bundle = o.Bundle
	}
	return out
}

// place is the directory of a bundle.
type place struct {
	dir                                      string
	active, cache, records, staged, versions string
}

func placeOf(root, id string) (place, error) {
	dir, err := filepath.Abs(filepath.Join(root, id))
	return place{dir, filepath.Join(dir, "active"), filepath.Join(dir, "cache"), filepath.Join(dir, "fingerprints"), filepath.Join(dir, "staged"), filepath.Join(dir, "versions")}, err
}

// Sync brings a bundle up to date. Syncs of a bundle go one after the other, those of other processes, too. A version is a directory that is there whole or not at all, and
// never changes. An error that is [ErrSource] may be gone later.
func Sync(ctx context.Context, r Request) (*Result, error) {
	p, err := placeOf(r.Root, r.Spec.ID)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{p.cache, p.records, p.staged, p.versions} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	unlock, err := hold(ctx, filepath.Join(p.dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clear(p.staged); err != nil { // of who was killed
		return nil, err
	}
	s := &syncer{Request: r, place: p, blobs: Blobs{Dir: p.cache, Temp: p.staged}}
	s.before = s.latest()
	out, err := s.do(ctx)
	if err == nil {
		if err := os.Remove(s.lastError()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return out, s.prune()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if noted := writeJSON(p.staged, s.lastError(), LastError{time.Now().UTC(), s.fingerprint, err.Error()}); noted != nil {
		return nil, errors.Join(err, noted)
	}
	if !r.AllowStale || s.before == nil {
		return nil, err
	}
	out, stale := s.result(ctx, s.before)
	if stale == nil && !slices.ContainsFunc(out.Files, func(f File) bool { return f.Path == r.Spec.EntryFlow }) {
		stale = noEntry(r.Spec)
	}
	if stale != nil {
		return nil, errors.Join(err, fmt.Errorf("and the version that was fetched before can't be used: %w", stale))
	}
	out.Stale, out.Reason = true, err.Error()
	return out, nil
}

func noEntry(s *Spec) error {
	return fmt.Errorf("entry_flow: there is no %s in the bundle", s.EntryFlow)
}

// clear removes all that is in a directory.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// hold takes a lock that the process loses when it ends. A wait ends with ctx.
func hold(ctx context.Context, name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return func() { _ = f.Close() }, nil
	}
	got := make(chan error, 1)
	go func() { got <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	select {
	case err := <-got:
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		return func() { _ = f.Close() }, nil
	case <-ctx.Done():
		go func() {
			<-got
			_ = f.Close()
		}()
		return nil, context.Cause(ctx)
	}
}

type syncer struct {
	Request
	place
	blobs       Blobs
	before      *snapshot // the latest version; nil: none of this source
	fingerprint string
	fetched     []string
}

func (s *syncer) lastError() string { return filepath.Join(s.dir, "last_error.json") }

// latest reads what is known of the latest version of the same source. What can't be read is fetched anew.
func (s *syncer) latest() *snapshot {
	l, err := readLatest(s.records)
	if err != nil || l == nil {
		return nil
	}
	snap, err := readSnapshot(s.records, l.Fingerprint)
	if err != nil || snap.ID != s.Spec.ID || snap.Source != sourceOf(s.Spec) {
		return nil
	}
	return snap
}

func readLatest(dir string) (*latest, error) {
	l := &latest{}
	err := readJSON(filepath.Join(dir, "latest.json"), l)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !isDigest(l.Fingerprint) {
		err = errors.New("latest.json has no fingerprint")
	}
	return l, err
}

func readSnapshot(dir, fingerprint string) (*snapshot, error) {
	snap := &snapshot{}
	if err := readJSON(filepath.Join(dir, fingerprint+".json"), snap); err != nil {
		return nil, err
	}
	files := snap.files()
	if err := Check(files); err != nil {
		return nil, err
	}
	if snap.Version != 1 || snap.Fingerprint != fingerprint || Fingerprint(files) != snap.Digest {
		return nil, fmt.Errorf("%s.json is not what a sync has written", fingerprint)
	}
	return snap, nil
}

func (s *snapshot) files() []File {
	out := make([]File, len(s.Files))
	for i, f := range s.Files {
		out[i] = File{Path: f.Path, SHA256: f.SHA256, Size: f.Size}
		if f.Modified != nil {
			out[i].Modified = *f.Modified
		}
	}
	return out
}

// do fetches what is new.
func (s *syncer) do(ctx context.Context) (*Result, error) {
	source, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer source.Close() //nolint:errcheck // it was only read
	files, err := source.List(ctx)
	if err != nil {
		return nil, err
	}
	files = slices.Clone(files)
	if err := Check(files); err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	if s.Spec.Origin.StrictFingerprint {
		for i := range files {
			if files[i].SHA256 == "" {
				if err := s.fetch(ctx, source, &files[i]); err != nil {
					return nil, err
				}
			}
		}
	}
	s.fingerprint = Fingerprint(files)
	if !slices.ContainsFunc(files, func(f File) bool { return f.Path == s.Spec.EntryFlow }) {
		return nil, noEntry(s.Spec)
	}
	if !s.Spec.Always && s.before != nil && s.before.Fingerprint == s.fingerprint {
		if out, err := s.result(ctx, s.before); !errors.Is(err, errLost) {
			return out, err
		}
	}
	if err := s.fetchAll(ctx, source, files); err != nil {
		return nil, err
	}
	snap := &snapshot{Version: 1, ID: s.Spec.ID, Fingerprint: s.fingerprint, Digest: Fingerprint(files), Created: time.Now().UTC(), Source: sourceOf(s.Spec), Strict: s.Spec.Origin.StrictFingerprint}
	for _, f := range files {
		one := snapshotFile{Path: f.Path, SHA256: f.SHA256, Size: f.Size}
		if !f.Modified.IsZero() {
			at := f.Modified.UTC()
			one.Modified = &at
		}
		snap.Files = append(snap.Files, one)
	}
	changed := s.before == nil || s.before.Fingerprint != snap.Fingerprint || s.before.Digest != snap.Digest
	out, err := s.result(ctx, snap)
	if err != nil {
		return nil, err
	}
	out.Changed = changed
	failpoint.Hit("bundle.before-record")
	if err := writeJSON(s.staged, filepath.Join(s.records, s.fingerprint+".json"), snap); err != nil {
		return nil, err
	}
	failpoint.Hit("bundle.before-latest")
	if err := writeJSON(s.staged, filepath.Join(s.records, "latest.json"), latest{s.fingerprint, s.fingerprint + ".json", time.Now().UTC()}); err != nil {
		return nil, err
	}
	return out, s.activate(out.Root)
}

// fetchAll has the contents of all files in the cache: those of the snapshot before, and by their digests, are not read again, unless all are to be.
func (s *syncer) fetchAll(ctx context.Context, source Source, files []File) error {
	before := map[string]File{}
	if s.before != nil && !s.Spec.Always {
		for _, f := range s.before.files() {
			before[f.Path] = f
		}
	}
	total := int64(0)
	for i := range files {
		f := &files[i]
		was := before[f.Path]
		told := f.SHA256 != ""
		if !told && was.Size == f.Size && !f.Modified.IsZero() && was.Modified.UnixMilli() == f.Modified.UnixMilli() {
			f.SHA256 = was.SHA256
		}
		has := false
		if !s.Spec.Always || slices.Contains(s.fetched, f.Path) {
			var err error
			if has, err = s.blobs.Has(f); err != nil {
				return err
			}
		}
		if !has {
			if !told {
				f.SHA256 = ""
			}
			if err := s.fetch(ctx, source, f); err != nil {
				return err
			}
		}
		if total += f.Size; total > MaxBytes {
			return fmt.Errorf("all files have more than %d bytes together", int64(MaxBytes))
		}
	}
	return nil
}

// fetch reads a file from the source.
func (s *syncer) fetch(ctx context.Context, source Source, f *File) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	content, err := source.Open(ctx, *f)
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // it was only read
	if err := s.blobs.Put(f, content); err != nil {
		if _, local := errors.AsType[*fs.PathError](err); !local && !errors.Is(err, io.ErrShortWrite) {
			err = fmt.Errorf("%w: %w", ErrSource, err)
		}
		return err
	}
	s.fetched = append(s.fetched, f.Path)
	failpoint.Hit("bundle.after-fetch")
	return nil
}

// result is that of a version whose contents are there: its directory is made, if it is not.
func (s *syncer) result(ctx context.Context, snap *snapshot) (*Result, error) {
	out := &Result{Fingerprint: snap.Fingerprint, Digest: snap.Digest, Fetched: s.fetched, Root: filepath.Join(s.versions, snap.Digest), Cache: s.cache, Records: s.records, Files: snap.files()}
	if out.Fetched == nil {
		out.Fetched = []string{}
	}
	return out, s.blobs.Build(ctx, out.Files, out.Root)
}

// activate has active lead to a version.
func (s *syncer) activate(dir string) error {
	to, err := filepath.Rel(s.dir, dir)
	if err != nil {
		return err
	}
	if now, err := os.Readlink(s.active); err == nil && now == to {
		return nil
	}
	temp := filepath.Join(s.staged, "active")
	if err := os.Symlink(to, temp); err != nil {
		return err
	}
	return os.Rename(temp, s.active)
}

// prune removes versions and contents that nothing names any more.
func (s *syncer) prune() error {
	entries, err := os.ReadDir(s.records)
	if err != nil {
		return err
	}
	type record struct {
		*snapshot
		at time.Time
	}
	var all []record
	now, err := readLatest(s.records)
	if err != nil || now == nil {
		return err
	}
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), ".json")
		if !is || name == "latest" {
			continue
		}
		info, err := e.Info()
		snap, bad := readSnapshot(s.records, name)
		if err != nil || bad != nil {
			if bad := os.Remove(filepath.Join(s.records, e.Name())); bad != nil {
				return bad
			}
			continue
		}
		all = append(all, record{snap, info.ModTime()})
	}
	slices.SortFunc(all, func(a, b record) int { return b.at.Compare(a.at) })
	blobs, trees := map[string]bool{}, map[string]bool{}
	for i, r := range all {
		if i >= keptVersions && time.Since(r.at) > keptFor && r.Fingerprint != now.Fingerprint {
			if err := os.Remove(filepath.Join(s.records, r.Fingerprint+".json")); err != nil {
				return err
			}
			continue
		}
		trees[r.Digest] = true
		for _, f := range r.Files {
			blobs[f.SHA256] = true
		}
	}
	dirs, err := os.ReadDir(s.versions)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if trees[d.Name()] {
			continue
		}
		aside := filepath.Join(s.staged, "gone-"+d.Name()) // it is never half there
		if err := os.Rename(filepath.Join(s.versions, d.Name()), aside); err != nil {
			return err
		}
		if err := os.RemoveAll(aside); err != nil {
			return err
		}
	}
	return s.blobs.Keep(func(digest string) bool { return blobs[digest] })
}

// Status is what is known of a bundle in a directory of syncs.
type Status struct {
	ID          string     `json:"id"`
	Fingerprint string     `json:"fingerprint,omitempty"` // of the latest version; empty: none was fetched
	Digest      string     `json:"digest,omitempty"`
	Updated     *time.Time `json:"updated_at,omitempty"`
	Files       int        `json:"files"`
	Bytes       int64      `json:"bytes"`
	Root        string     `json:"local_root,omitempty"`
	LastError   *LastError `json:"last_error,omitempty"` // of a sync since then
}

// Statuses are those of all bundles in a directory of syncs, or of one, by id. A bundle that is not there has none.
func Statuses(root, id string) ([]Status, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return []Status{}, nil
	} else if err != nil {
		return nil, err
	}
	out := []Status{}
	for _, e := range entries {
		if !e.IsDir() || id != "" && e.Name() != id {
			continue
		}
		p, err := placeOf(root, e.Name())
		if err != nil {
			return nil, err
		}
		one := Status{ID: e.Name()}
		now, err := readLatest(p.records)
		if err != nil {
			return nil, err
		}
		if now != nil {
			snap, err := readSnapshot(p.records, now.Fingerprint)
			if err != nil {
				return nil, err
			}
			one.Fingerprint, one.Digest, one.Updated, one.Files, one.Root = snap.Fingerprint, snap.Digest, &now.Updated, len(snap.Files), filepath.Join(p.versions, snap.Digest)
			for _, f := range snap.Files {
				one.Bytes += f.Size
			}
		}
		last := &LastError{}
		if err := readJSON(filepath.Join(p.dir, "last_error.json"), last); err == nil {
			one.LastError = last
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if now == nil && one.LastError == nil {
			continue // no bundle, or one that nobody has fetched
		}
		out = append(out, one)
	}
	return out, nil
}

const maxRecord = 64 << 20

func readJSON(name string, into any) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if err := json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// writeJSON writes a file that is there whole or as it was.
func writeJSON(staged, name string, value any) error {
	out, err := os.CreateTemp(staged, "json-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) //nolint:errcheck // it has moved
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	err = e.Encode(value)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), name)
}
