package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/taskgrove/taskgrove/executors/archive"
	"github.com/taskgrove/taskgrove/executors/bundle"
)

// unpacked is an archive behind a URL: a zip file, or a tar file that may be compressed. It is fetched once, into a directory that goes with the source.
type unpacked struct {
	web   *web
	url   *url.URL
	want  string // SHA-256; empty: nobody said it
	sub   string
	dir   string
	files *os.Root
	list  []bundle.File
}

// Bounds of an archive: of how many bytes it is, and how many times as much it may unpack to, beyond a MiB.
const (
	maxArchive = bundle.MaxBytes
	maxRatio   = 200
)

func openArchive(at *bundle.Place) (*unpacked, error) {
	o := &at.Spec.Origin
	w, err := openWeb(at, false)
	if err != nil {
		return nil, err
	}
	u, err := w.resolve(o.URL)
	if err != nil {
		return nil, fmt.Errorf("bundle.source.url: %w", err)
	}
	w.first = u
	if o.Subdir != "" && o.Subdir != "." && !fs.ValidPath(o.Subdir) {
		return nil, errors.New("bundle.source.subdir: must be a path of the archive")
	}
	return &unpacked{web: w, url: u, want: strings.ToLower(o.SHA256), sub: strings.TrimPrefix(o.Subdir, ".")}, nil
}

// List implements [bundle.Source].
func (u *unpacked) List(ctx context.Context) ([]bundle.File, error) {
	if u.files != nil {
		return u.list, nil
	}
	if err := u.fetch(ctx); err != nil {
		return nil, failed(err)
	}
	return u.list, nil
}

func (u *unpacked) fetch(ctx context.Context) (err error) {
	if u.dir == "" {
		if u.dir, err = os.MkdirTemp("", "bundle-"); err != nil {
			return err
		}
	}
	whole, err := os.CreateTemp(u.dir, "archive-")
	if err != nil {
		return err
	}
	defer func() { _, _ = whole.Close(), os.Remove(whole.Name()) }()
	body, _, err := u.web.get(ctx, u.url)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(whole, sum), io.LimitReader(body, maxArchive+1))
	switch got := hex.EncodeToString(sum.Sum(nil)); {
	case err != nil:
		return fmt.Errorf("fetch the archive: %w", err)
	case size > maxArchive:
		return fmt.Errorf("the archive is larger than %d bytes", int64(maxArchive))
	case u.want != "" && got != u.want:
		return fmt.Errorf("the archive's SHA-256 is %s, and must be %s", got, u.want)
	}
	to, err := os.MkdirTemp(u.dir, "files-")
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	s := &unpacking{Sink: archive.Below(root), sub: u.sub}
	_, err = archive.Walk(ctx, whole, size, archive.Limits{Entries: maxLooked, Bytes: bundle.MaxBytes, Ratio: maxRatio, Name: bundle.MaxPathBytes}, s)
	if err == nil && u.sub != "" && !s.found {
		err = fmt.Errorf("bundle.source.subdir: the archive has no directory %q", u.sub)
	}
	if err != nil {
		_ = root.Close()
		return err
	}
	u.files, u.list = root, s.list
	return nil
}

// unpacking takes what is below a directory of an archive.
type unpacking struct {
	archive.Sink
	sub   string
	found bool
	list  []bundle.File
}

// below is a name as it is in the bundle, if it is in it.
func (s *unpacking) below(name string) (string, bool) {
	if s.sub == "" {
		return name, true
	}
	rest, in := strings.CutPrefix(name, s.sub+"/")
	s.found = s.found || in || name == s.sub
	return rest, in
}

// Dir implements [archive.Sink].
func (s *unpacking) Dir(name string) error {
	s.below(name)
	return nil // files bring theirs
}

// File implements [archive.Sink].
func (s *unpacking) File(name string, _ fs.FileMode, content io.Reader) error {
	at, in := s.below(name)
	if !in {
		_, err := io.Copy(io.Discard, content)
		return err
	}
	if bad := bundle.BadPath(at); bad != "" {
		return &archive.Error{Entry: name, Reason: bad}
	}
	if len(s.list) > bundle.MaxFiles {
		return &archive.Error{Reason: fmt.Sprintf("has more than %d files", bundle.MaxFiles)}
	}
	sum, n := sha256.New(), new(counter)
	if err := s.Sink.File(at, 0o600, io.TeeReader(content, io.MultiWriter(sum, n))); err != nil {
		return err
	}
	s.list = append(s.list, bundle.File{Path: at, Size: int64(*n), SHA256: hex.EncodeToString(sum.Sum(nil))})
	return nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// Open implements [bundle.Source].
func (u *unpacked) Open(ctx context.Context, f bundle.File) (io.ReadCloser, error) {
	if _, err := u.List(ctx); err != nil {
		return nil, err
	}
	in, err := u.files.Open(path.Clean(f.Path))
	if err != nil {
		return nil, failed(err)
	}
	return in, nil
}

// Close implements [bundle.Source].
func (u *unpacked) Close() error {
	if u.files != nil {
		_ = u.files.Close()
	}
	u.web.close()
	if u.dir == "" {
		return nil
	}
	return os.RemoveAll(u.dir)
}
