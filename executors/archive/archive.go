// Package archive unpacks archives that nobody vouches for.
//
// It owns what an archive may hold and where its files may go: only plain files and directories, only below the directory given, no more of
// them and no larger than the bounds say. It must not know where an archive comes from or what it is for.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Limits bound what an archive unpacks to. Zero fields get their defaults.
type Limits struct {
	Entries int   // files and directories; default 10 000
	Bytes   int64 // of all files together; default 1 GiB
}

func (l *Limits) setDefaults() {
	if l.Entries == 0 {
		l.Entries = 10_000
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 30
	}
}

// Summary says what was unpacked.
type Summary struct {
	Files int
	Bytes int64
}

// Error reports an archive that can't be unpacked because of what it holds. Another attempt can't mend it. Its text is safe to show.
type Error struct {
	Entry  string // name within the archive; empty: the archive itself
	Reason string
}

// Error names the entry and the reason.
func (e *Error) Error() string {
	if e.Entry == "" {
		return "archive " + e.Reason
	}
	return fmt.Sprintf("archive entry %.200q %s", e.Entry, e.Reason)
}

// Unpack unpacks a zip file, or a tar file, which may be compressed by gzip, into a directory that exists. What it is, its first bytes say.
// Files get the mode 0644, or 0755 if their owner may execute them. Files that exist already are refused, and so are entries that are
// neither files nor directories, and names that lead elsewhere. After an error some files may be there.
func Unpack(ctx context.Context, r io.ReaderAt, size int64, dir string, limits Limits) (Summary, error) {
	limits.setDefaults()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Summary{}, err
	}
	defer root.Close()
	u := &unpacker{ctx: ctx, root: root, limits: limits}
	head := make([]byte, 4)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Summary{}, err
	}
	whole := io.NewSectionReader(r, 0, size)
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		err = u.zip(r, size)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		var plain *gzip.Reader
		if plain, err = gzip.NewReader(whole); err == nil {
			err = u.tar(plain)
		}
	default:
		err = u.tar(whole)
	}
	return u.done, broken(err)
}

// broken turns what the decoders say of bad data into an [Error].
func broken(err error) error {
	for _, bad := range []error{tar.ErrHeader, tar.ErrInsecurePath, zip.ErrFormat, zip.ErrAlgorithm, zip.ErrChecksum, gzip.ErrHeader, gzip.ErrChecksum, io.ErrUnexpectedEOF} {
		if errors.Is(err, bad) {
			return &Error{Reason: "is broken, or of a kind that is not supported: " + bad.Error()}
		}
	}
	return err
}

type unpacker struct {
	ctx     context.Context
	root    *os.Root
	limits  Limits
	entries int
	done    Summary
}

func (u *unpacker) tar(r io.Reader) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg:
			err = u.file(h.Name, h.FileInfo().Mode(), t)
		case tar.TypeDir:
			err = u.dir(h.Name)
		case tar.TypeXGlobalHeader:
		default:
			err = &Error{h.Name, fmt.Sprintf("is neither a file nor a directory (type %q)", h.Typeflag)}
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(r io.ReaderAt, size int64) error {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are checked here
		return err
	}
	for _, f := range z.File {
		if err := u.zipped(f); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(f *zip.File) error {
	switch mode := f.Mode(); {
	case mode.IsDir():
		return u.dir(f.Name)
	case !mode.IsRegular():
		return &Error{f.Name, "is neither a file nor a directory"}
	case f.Flags&1 != 0:
		return &Error{f.Name, "is encrypted"}
	}
	content, err := f.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	return u.file(f.Name, f.Mode(), content)
}

// local is a name as a path below the root.
func (u *unpacker) local(name string) (string, error) {
	if u.ctx.Err() != nil {
		return "", context.Cause(u.ctx)
	}
	if u.entries++; u.entries > u.limits.Entries {
		return "", &Error{"", fmt.Sprintf("has more than %d entries", u.limits.Entries)}
	}
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if name == "" || strings.ContainsAny(name, "\\\x00") || !utf8.ValidString(name) || !filepath.IsLocal(clean) || len(name) > 4096 {
		return "", &Error{name, "has a name that is not allowed"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", &Error{name, "has a name that is not allowed"}
		}
	}
	return filepath.FromSlash(clean), nil
}

func (u *unpacker) dir(name string) error {
	at, err := u.local(name)
	if err != nil || at == "." {
		return err
	}
	return refused(name, u.root.MkdirAll(at, 0o755))
}

func (u *unpacker) file(name string, mode fs.FileMode, content io.Reader) error {
	at, err := u.local(name)
	if err != nil {
		return err
	}
	if parent := filepath.Dir(at); parent != "." {
		if err := u.root.MkdirAll(parent, 0o755); err != nil {
			return refused(name, err)
		}
	}
	to, err := u.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|mode.Perm()&0o100|mode.Perm()&0o100>>3|mode.Perm()&0o100>>6)
	if err != nil {
		return refused(name, err)
	}
	n, err := io.Copy(to, &bounded{u, content})
	u.done.Files++
	u.done.Bytes += n
	return errors.Join(err, to.Close())
}

// refused is why an entry can't be made: a file that is there already, or a file where a directory must be.
func refused(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return &Error{name, "is there twice"}
	}
	return err
}

// bounded reads a file as far as the bounds go.
type bounded struct {
	u *unpacker
	r io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.u.ctx.Err() != nil {
		return 0, context.Cause(b.u.ctx)
	}
	n, err := b.r.Read(p)
	if b.u.limits.Bytes -= int64(n); b.u.limits.Bytes < 0 {
		return 0, &Error{Reason: "unpacks to more than is allowed"}
	}
	return n, err
}
