package archive

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// ZipOptions says what is wanted of a zip file, and what opens it.
type ZipOptions struct {
	// Password opens entries that are encrypted, by AES as WinZip has it or by the old ZipCrypto. Empty: such entries are refused.
	Password string
	// Wants reports whether a file is wanted, by its clean name; nil: all are. What an archive may not hold is refused all the same.
	Wants func(name string) bool
}

// ErrPassword says that a password is not the one that an archive was encrypted with.
var ErrPassword = errors.New("the password does not open it")

// WalkZip reads a zip file, as [Walk] does. Its directory is judged whole, with the names of all entries and the sizes that it claims, before the
// sink gets anything.
func WalkZip(ctx context.Context, r io.ReaderAt, size int64, limits Limits, options ZipOptions, sink Sink) (Summary, error) {
	limits.setDefaults()
	limits.scale(size)
	u := &unpacker{ctx: ctx, sink: sink, limits: limits}
	err := u.walkZip(r, size, options)
	return u.done, broken(err)
}

func (u *unpacker) zip(r io.ReaderAt, size int64) error { return u.walkZip(r, size, ZipOptions{}) }

func (u *unpacker) walkZip(r io.ReaderAt, size int64, options ZipOptions) error {
	d := &directory{r: r, left: 1<<20 + int64(u.limits.Entries)*512}
	z, err := zip.NewReader(d, size)
	if d.left < 0 {
		return &Error{Reason: "has a directory that is too large"}
	}
	d.left = math.MaxInt64
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are checked here
		return err
	}
	wanted, err := u.judge(z, options)
	if err != nil {
		return err
	}
	u.entries = 0
	for _, f := range wanted {
		if err := u.zipped(d, f, options.Password); err != nil {
			return err
		}
	}
	return nil
}

// judge looks at a whole directory, and gives the entries that are wanted.
func (u *unpacker) judge(z *zip.Reader, options ZipOptions) (wanted []*zip.File, err error) {
	files, claimed := map[string]bool{}, uint64(0) // false: a directory
	for _, f := range z.File {
		at, err := u.local(f.Name)
		if err != nil {
			return nil, err
		}
		mode := f.Mode()
		before, twice := files[at]
		switch {
		case !mode.IsDir() && !mode.IsRegular():
			return nil, &Error{f.Name, "is neither a file nor a directory"}
		case at == "." && mode.IsDir():
			continue
		case at == ".":
			return nil, &Error{f.Name, "has a name that is not allowed"}
		case twice && (before || !mode.IsDir()):
			return nil, &Error{f.Name, "is there twice"}
		}
		files[at] = !mode.IsDir()
		if options.Wants != nil && (mode.IsDir() || !options.Wants(at)) {
			continue
		}
		if f.Flags&1 != 0 && options.Password == "" && !mode.IsDir() {
			return nil, &Error{f.Name, "is encrypted"}
		}
		if claimed += f.UncompressedSize64; claimed < f.UncompressedSize64 || claimed > uint64(max(0, u.limits.Bytes)) {
			return nil, &Error{Reason: "unpacks to more than is allowed"}
		}
		wanted = append(wanted, f)
	}
	return wanted, nil
}

func (u *unpacker) zipped(r io.ReaderAt, f *zip.File, password string) error {
	if f.Mode().IsDir() {
		return u.dir(f.Name)
	}
	content, err := open(r, f, password)
	if err != nil {
		return err
	}
	defer content.Close()
	return u.file(f.Name, f.Mode(), content)
}

func open(r io.ReaderAt, f *zip.File, password string) (io.ReadCloser, error) {
	if f.Flags&1 == 0 {
		return f.Open()
	}
	content, err := decrypted(r, f, password)
	if errors.Is(err, ErrPassword) {
		return nil, fmt.Errorf("archive entry %.200q: %w", f.Name, ErrPassword)
	}
	return content, err
}

// directory reads a zip file as far as its directory may go: the whole directory becomes memory before its first entry is seen.
type directory struct {
	r    io.ReaderAt
	left int64
}

// ReadAt implements [io.ReaderAt].
func (d *directory) ReadAt(p []byte, at int64) (int, error) {
	if d.left -= int64(len(p)); d.left < 0 {
		return 0, errTooLarge
	}
	if at < 0 { // a directory may say that an entry is anywhere
		return 0, zip.ErrFormat
	}
	return d.r.ReadAt(p, at)
}

var errTooLarge = errors.New("directory is too large")
