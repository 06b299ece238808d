// Package archive unpacks archives that nobody vouches for.
//
// It owns what an archive may hold and where its files may go: only plain files and directories, only below the directory given, no more of
// them and no larger than the bounds say. It must not know where an archive comes from or what it is for.
//
// Archives within archives are files like any other: nothing is unpacked twice.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
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

	"github.com/klauspost/compress/zstd"
)

// Limits bound what an archive unpacks to. Zero fields get their defaults.
type Limits struct {
	Entries int   // files and directories; default 10 000
	Bytes   int64 // of all files together; default 1 GiB
	// Ratio is how many times as large as the archive its files may be together, beyond a MiB. 0: only Bytes counts.
	Ratio int
	// Name is how many bytes a name may have; default 4096.
	Name int
}

func (l *Limits) setDefaults() {
	if l.Entries == 0 {
		l.Entries = 10_000
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 30
	}
	if l.Name == 0 {
		l.Name = 4096
	}
}

// scale lowers the bound of bytes to what an archive of that size may hold.
func (l *Limits) scale(size int64) {
	if l.Ratio > 0 && size < (l.Bytes-slack)/int64(l.Ratio) {
		l.Bytes = slack + size*int64(l.Ratio)
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

// Unpack unpacks an archive, as [Walk] reads it, into a directory that exists. Files get the mode 0644, or 0755 if their owner may execute them.
// Files that exist already are refused. After an error some files may be there.
func Unpack(ctx context.Context, r io.ReaderAt, size int64, dir string, limits Limits) (Summary, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Summary{}, err
	}
	defer root.Close()
	return Walk(ctx, r, size, limits, Below(root))
}

// Sink takes what an archive holds. Names are clean paths below some root, with slashes. An error ends the walk; [fs.ErrExist] means that the
// archive has an entry twice.
type Sink interface {
	Dir(name string) error
	// File takes a file, whose content it reads to the end. Mode is 0644, or 0755 if its owner may execute it.
	File(name string, mode fs.FileMode, content io.Reader) error
}

// Walk reads a zip file, or a tar file, which may be compressed by gzip or zstd; its first bytes say which. It refuses entries that are neither files
// nor directories, names that lead elsewhere, and what exceeds the limits.
func Walk(ctx context.Context, r io.ReaderAt, size int64, limits Limits, sink Sink) (Summary, error) {
	limits.setDefaults()
	limits.scale(size)
	u := &unpacker{ctx: ctx, sink: sink, limits: limits}
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
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		var plain *zstd.Decoder
		if plain, err = zstd.NewReader(whole, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow)); err == nil {
			err = u.tar(plain)
			plain.Close()
		}
	default:
		err = u.tar(whole)
	}
	return u.done, broken(err)
}

const (
	slack     = 1 << 20 // that any archive may unpack to, whatever the ratio
	maxWindow = 64 << 20

	mostBetween = 4 << 10 // bytes of a tar file for each entry, beside what is in it
)

// broken turns what the decoders say of bad data into an [Error].
func broken(err error) error {
	for _, bad := range []error{tar.ErrHeader, tar.ErrInsecurePath, zip.ErrFormat, zip.ErrAlgorithm, zip.ErrChecksum, gzip.ErrHeader, gzip.ErrChecksum,
		zstd.ErrMagicMismatch, zstd.ErrCRCMismatch, zstd.ErrWindowSizeExceeded, zstd.ErrReservedBlockType, zstd.ErrDecoderSizeExceeded, io.ErrUnexpectedEOF} {
		if errors.Is(err, bad) {
			return &Error{Reason: "is broken, or of a kind that is not supported: " + bad.Error()}
		}
	}
	if corrupt, ok := errors.AsType[flate.CorruptInputError](err); ok {
		return &Error{Reason: "is broken: " + corrupt.Error()}
	}
	return err
}

type unpacker struct {
	ctx     context.Context
	sink    Sink
	limits  Limits
	entries int
	done    Summary
}

func (u *unpacker) tar(r io.Reader) error {
	between := slack + int64(u.limits.Entries)*mostBetween
	for t := tar.NewReader(&stream{u.ctx, r, max(0, u.limits.Bytes) + between}); ; {
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

// local is a name as a clean path.
func (u *unpacker) local(name string) (string, error) {
	if u.ctx.Err() != nil {
		return "", context.Cause(u.ctx)
	}
	if u.entries++; u.entries > u.limits.Entries {
		return "", &Error{"", fmt.Sprintf("has more than %d entries", u.limits.Entries)}
	}
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if name == "" || strings.ContainsAny(name, "\\\x00") || !utf8.ValidString(name) || !filepath.IsLocal(clean) || len(name) > u.limits.Name || isDrive(name) {
		return "", &Error{name, "has a name that is not allowed"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", &Error{name, "has a name that is not allowed"}
		}
	}
	return clean, nil
}

// isDrive reports whether a name begins with the letter of a drive, which some systems would go to.
func isDrive(name string) bool {
	return len(name) > 1 && name[1] == ':' && ('a' <= name[0]|0x20 && name[0]|0x20 <= 'z')
}

func (u *unpacker) dir(name string) error {
	at, err := u.local(name)
	if err != nil || at == "." {
		return err
	}
	return refused(name, u.sink.Dir(at))
}

func (u *unpacker) file(name string, mode fs.FileMode, content io.Reader) error {
	at, err := u.local(name)
	if err != nil {
		return err
	}
	u.done.Files++
	mode = 0o644 | mode.Perm()&0o100 | mode.Perm()&0o100>>3 | mode.Perm()&0o100>>6
	return refused(name, u.sink.File(at, mode, &bounded{u, content}))
}

// Below is a sink that makes files below a root, and refuses to change any.
func Below(root *os.Root) Sink { return below{root} }

type below struct{ root *os.Root }

func (b below) Dir(name string) error { return b.root.MkdirAll(filepath.FromSlash(name), 0o755) }

func (b below) File(name string, mode fs.FileMode, content io.Reader) error {
	at := filepath.FromSlash(name)
	if parent := filepath.Dir(at); parent != "." {
		if err := b.root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	to, err := b.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, content)
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
	b.u.done.Bytes += int64(n)
	if b.u.limits.Bytes -= int64(n); b.u.limits.Bytes < 0 {
		return 0, &Error{Reason: "unpacks to more than is allowed"}
	}
	return n, err
}

// stream reads a tar file as far as entries within the limits can need. Its headers have no bound of their own: some say something of the next one,
// or of all, and a compressed file holds millions of them.
type stream struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

// Read implements [io.Reader].
func (s *stream) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n, err := s.r.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, &Error{Reason: "has more headers than are allowed"}
	}
	return n, err
}
