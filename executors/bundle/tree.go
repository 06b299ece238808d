package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/internal/failpoint"
)

// Fingerprint stands for a list of files, whatever their order: by their digests, or by size and time where one is not known.
func Fingerprint(files []File) string {
	list := make([][2]string, 0, len(files))
	for _, f := range files {
		signature := "sha256:" + f.SHA256
		if f.SHA256 == "" {
			ms := int64(0)
			if !f.Modified.IsZero() {
				ms = f.Modified.UnixMilli()
			}
			signature = fmt.Sprintf("sz:%d|mt_ms:%d", max(f.Size, 0), ms)
		}
		list = append(list, [2]string{f.Path, signature})
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	sum := sha256.New()
	e := json.NewEncoder(&untilNewline{sum})
	e.SetEscapeHTML(false)
	_ = e.Encode(list) // texts to a hash
	return hex.EncodeToString(sum.Sum(nil))
}

// untilNewline leaves out the end of line that a JSON encoder writes.
type untilNewline struct{ io.Writer }

func (u *untilNewline) Write(p []byte) (int, error) {
	if _, err := u.Writer.Write([]byte(strings.TrimSuffix(string(p), "\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// FaultsError is all that is wrong with the files of a source.
type FaultsError struct{ Faults []string }

const maxFaults = 20

// Error has a line for each.
func (e *FaultsError) Error() string {
	list, rest := e.Faults, ""
	if more := len(list) - maxFaults; more > 0 {
		list, rest = list[:maxFaults], fmt.Sprintf("\n  and %d more", more)
	}
	return "the files of the bundle are refused:\n  " + strings.Join(list, "\n  ") + rest
}

// Check says what is wrong with a list of files: their paths, their number, their sizes.
func Check(files []File) error {
	var faults []string
	tell := func(p, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%.200q ", p)+fmt.Sprintf(format, args...))
	}
	if len(files) > MaxFiles {
		return &FaultsError{[]string{fmt.Sprintf("there are more than %d files", MaxFiles)}}
	}
	seen := map[string]bool{}
	dirs := map[string]string{} // and a file in each
	total := int64(0)
	for _, f := range files {
		bad := BadPath(f.Path)
		switch {
		case bad != "":
			tell(f.Path, "%s", bad)
		case f.Link:
			tell(f.Path, "is a link, or no plain file")
		case seen[f.Path]:
			tell(f.Path, "is there twice")
		case f.Size > MaxFileBytes:
			tell(f.Path, "has %d bytes: at most %d", f.Size, MaxFileBytes)
		case f.SHA256 != "" && !isDigest(f.SHA256):
			tell(f.Path, "has a sha256 that is not 64 hexadecimal digits in lower case")
		}
		if bad == "" {
			seen[f.Path] = true
			for at := strings.IndexByte(f.Path, '/'); at > 0; {
				dirs[f.Path[:at]] = f.Path
				next := strings.IndexByte(f.Path[at+1:], '/')
				if next < 0 {
					break
				}
				at += 1 + next
			}
		}
		total += max(f.Size, 0)
	}
	for _, f := range files {
		if below, is := dirs[f.Path]; is && seen[f.Path] {
			tell(f.Path, "is a file, and a directory with %.200q in it", below)
		}
	}
	if total > MaxBytes {
		faults = append(faults, fmt.Sprintf("all files have %d bytes together: at most %d", total, int64(MaxBytes)))
	}
	if len(faults) > 0 {
		return &FaultsError{faults}
	}
	return nil
}

func isDigest(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}

// Blobs are files by the SHA-256 of their content, in a directory. What is there is whole.
type Blobs struct {
	Dir  string
	Temp string // for what is not whole yet, on the same file system

	mu   sync.Mutex
	seen map[string]fs.FileInfo // contents that this process has read or written
}

// errLost is why a directory can't be made: a content is not there, or is another one.
var errLost = errors.New("a content of the bundle is lost")

func (b *Blobs) at(digest string) string { return filepath.Join(b.Dir, digest) }

// Has reports whether a content is there, and sets the size of the file. It reads it, unless it did so before and nothing has touched it since: what has changed is removed.
func (b *Blobs) Has(f *File) (bool, error) {
	if f.SHA256 == "" {
		return false, nil
	}
	in, err := os.Open(b.at(f.SHA256))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer in.Close() //nolint:errcheck // it was only read
	info, err := in.Stat()
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	was, known := b.seen[f.SHA256]
	b.mu.Unlock()
	if known && os.SameFile(was, info) && was.Size() == info.Size() && was.ModTime().Equal(info.ModTime()) && was.Mode() == info.Mode() {
		f.Size = info.Size()
		return true, nil
	}
	sum := sha256.New()
	n, err := io.Copy(sum, in)
	if err != nil {
		return false, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return false, os.Remove(b.at(f.SHA256))
	}
	b.note(f.SHA256, info)
	f.Size = n
	return true, nil
}

func (b *Blobs) note(digest string, info fs.FileInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen == nil {
		b.seen = map[string]fs.FileInfo{}
	}
	b.seen[digest] = info
}

// Put keeps the content of a file, whose digest and size it sets. It fails where these were known, and the content has others.
func (b *Blobs) Put(f *File, content io.Reader) error {
	out, err := os.CreateTemp(b.Temp, "blob-")
	if err != nil {
		return err
	}
	name := out.Name()
	defer os.Remove(name) //nolint:errcheck // it has moved
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(content, MaxFileBytes+1))
	if err == nil {
		err = out.Sync()
	}
	if err == nil {
		err = out.Chmod(0o444)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	switch {
	case n > MaxFileBytes:
		return fmt.Errorf("%.200q has more than %d bytes", f.Path, MaxFileBytes)
	case f.Size >= 0 && n != f.Size:
		return fmt.Errorf("%.200q has %d bytes, and the list says %d: it has changed meanwhile", f.Path, n, f.Size)
	case f.SHA256 != "" && digest != f.SHA256:
		return fmt.Errorf("%.200q has the sha256 %s, and the list says %s", f.Path, digest, f.SHA256)
	}
	f.SHA256, f.Size = digest, n
	failpoint.Hit("bundle.before-blob")
	if err := os.Rename(name, b.at(digest)); err != nil {
		return err
	}
	info, err := os.Lstat(b.at(digest))
	if err == nil {
		b.note(digest, info)
	}
	return err
}

// Keep removes all contents but those that are wanted.
func (b *Blobs) Keep(wanted func(digest string) bool) error {
	entries, err := os.ReadDir(b.Dir)
	for _, e := range entries {
		if !wanted(e.Name()) {
			err = errors.Join(err, os.Remove(b.at(e.Name())))
		}
	}
	return err
}

// Build makes a directory of files whose contents are all there, whole or not at all: it is renamed into its place. One that is there already stays, if nobody has touched it.
func (b *Blobs) Build(ctx context.Context, files []File, dir string) error {
	for _, f := range files {
		if has, err := b.Has(&f); err != nil {
			return err
		} else if !has {
			return fmt.Errorf("%w: %.200q", errLost, f.Path)
		}
	}
	if b.whole(files, dir) {
		return nil
	}
	temp, err := os.MkdirTemp(b.Temp, "tree-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // what is in use has moved
	made := map[string]bool{}
	tree := filepath.Join(temp, "new")
	for i := range files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		at := filepath.Join(tree, filepath.FromSlash(files[i].Path))
		if above := filepath.Dir(at); !made[above] {
			if err := os.MkdirAll(above, 0o700); err != nil {
				return err
			}
			made[above] = true
		}
		if err := os.Link(b.at(files[i].SHA256), at); err != nil {
			return err
		}
		failpoint.Hit("bundle.mid-tree")
	}
	failpoint.Hit("bundle.before-tree")
	if err := os.Rename(dir, filepath.Join(temp, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(tree, dir)
}

// whole reports whether a directory has the files, and nothing else.
func (b *Blobs) whole(files []File, dir string) bool {
	left := map[string]string{}
	for _, f := range files {
		left[f.Path] = f.SHA256
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.Lstat(b.at(left[name]))
		if err != nil || left[name] == "" || !os.SameFile(info, content) {
			return errLost
		}
		delete(left, name)
		return nil
	})
	return err == nil && len(left) == 0
}
