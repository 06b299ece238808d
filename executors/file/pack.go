package file

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/archive"
)

// packer writes an archive.
type packer interface {
	// file begins a file, whose content is written to what it returns.
	file(name string, i info) (io.Writer, error)
	io.Closer
}

// newPacker writes an archive to w. Closing it does not close w.
func newPacker(format string, w io.Writer) (packer, error) {
	switch format {
	case "zip":
		return zipPacker{zip.NewWriter(w)}, nil
	case "tar":
		return &tarPacker{Writer: tar.NewWriter(w)}, nil
	case "tar.gz":
		z := gzip.NewWriter(w)
		return &tarPacker{tar.NewWriter(z), z}, nil
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
	if err != nil {
		return nil, err
	}
	return &tarPacker{tar.NewWriter(z), z}, nil
}

type zipPacker struct{ *zip.Writer }

func (p zipPacker) file(name string, i info) (io.Writer, error) {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: i.modified}
	h.SetMode(modeOf(i))
	return p.CreateHeader(h)
}

type tarPacker struct {
	*tar.Writer
	around io.Closer // nil: nothing
}

func (p *tarPacker) file(name string, i info) (io.Writer, error) {
	err := p.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: i.size, Mode: int64(modeOf(i)), ModTime: i.modified, Format: tar.FormatPAX})
	return p.Writer, err
}

func (p *tarPacker) Close() error {
	err := p.Writer.Close()
	if p.around != nil {
		err = errors.Join(err, p.around.Close())
	}
	return err
}

func modeOf(i info) fs.FileMode {
	if i.mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// pack packs a file, or all files of a directory.
func (t *transfer) pack(ctx context.Context) error {
	i, err := t.from.stat(ctx, t.source.name)
	if err != nil {
		return at(t.source, err)
	}
	if t.destination.dir {
		return executors.Permanent(fmt.Errorf("%s must be the name of a file", t.destination))
	}
	t.result.Files, t.result.Bytes = new(int), new(int64)
	up, err := t.to.create(ctx, t.destination.name, -1, createOptions{overwrite: t.in.Overwrite})
	if err != nil {
		return at(t.destination, err)
	}
	sum := newSum(t.in.Algorithm)
	out := io.Writer(up)
	if sum != nil {
		out = io.MultiWriter(up, sum)
	}
	err = t.packInto(ctx, out, i)
	if err == nil {
		err = t.sum(t.destination, sum, t.result)
	}
	if err == nil {
		err = at(t.destination, up.commit(ctx))
	}
	if err != nil {
		up.abort()
	}
	return err
}

func (t *transfer) packInto(ctx context.Context, out io.Writer, i info) error {
	p, err := newPacker(t.in.Format, out)
	if err != nil {
		return err
	}
	if i.kind == "directory" {
		err = t.each(ctx, func(i info, name string) error {
			switch {
			case i.kind == "directory", t.source.bucket == t.destination.bucket && i.path == t.destination.name: // the archive itself
				return nil
			case i.kind != "file":
				return executors.Permanent(fmt.Errorf("%s is a %s, not a file", location{bucket: t.source.bucket, name: i.path}, i.kind))
			}
			return t.packFile(ctx, p, i, name)
		})
	} else {
		err = t.packFile(ctx, p, i, named(t.source))
	}
	return errors.Join(err, p.Close())
}

func (t *transfer) packFile(ctx context.Context, p packer, i info, name string) error {
	l := location{bucket: t.source.bucket, name: i.path}
	f, opened, err := t.from.open(ctx, i.path)
	if err != nil {
		return at(l, err)
	}
	defer f.Close()
	t.progress.add(opened.size)
	to, err := p.file(name, opened)
	if err != nil {
		return at(l, err)
	}
	n, err := t.pour(ctx, to, io.LimitReader(f, opened.size), nil)
	if err == nil && n != opened.size {
		err = fmt.Errorf("%s has changed while it was packed", l)
	}
	*t.result.Files++
	*t.result.Bytes += n
	return err
}

// unpack unpacks an archive: an object goes into a temporary file of the worker before, as archives are not read from front to back. Each file is
// whole in its place or not there; if the archive turns out to be bad, those of this attempt are removed.
func (t *transfer) unpack(ctx context.Context) error {
	content, size, done, err := t.seekable(ctx)
	if err != nil {
		return err
	}
	defer done()
	t.result.Files, t.result.Bytes = new(int), new(int64)
	if to, ok := t.to.(*local); ok && to.readOnly {
		return errReadOnly
	}
	sink := &unpacked{transfer: t, ctx: ctx, seen: map[string]bool{}}
	limits := archive.Limits{Entries: t.in.MaxFiles, Bytes: *t.in.MaxBytes, Ratio: t.in.MaxRatio}
	if limits.Bytes == 0 {
		limits.Bytes = -1
	}
	sum, err := archive.Walk(ctx, content, size, limits, sink)
	if err != nil {
		sink.undo()
		return at(t.source, err)
	}
	*t.result.Files, *t.result.Bytes = sum.Files, sum.Bytes
	return nil
}

// seekable is the archive as a file.
func (t *transfer) seekable(ctx context.Context) (content io.ReaderAt, size int64, done func(), err error) {
	f, i, err := t.from.open(ctx, t.source.name)
	if err != nil {
		return nil, 0, nil, at(t.source, err)
	}
	if at, ok := f.(io.ReaderAt); ok {
		return at, i.size, func() { _ = f.Close() }, nil
	}
	defer f.Close()
	temporary, err := os.CreateTemp("", "taskgrove-unpack-")
	if err != nil {
		return nil, 0, nil, bare(err)
	}
	done = func() { _ = temporary.Close() }
	if err := os.Remove(temporary.Name()); err != nil { // it ends with this process, however that ends
		done()
		return nil, 0, nil, bare(err)
	}
	t.progress.add(i.size)
	n, err := t.pour(ctx, temporary, io.LimitReader(f, t.cfg.MaxUnpackedBytes+1), nil)
	if err == nil && n > t.cfg.MaxUnpackedBytes {
		err = executors.Permanent(fmt.Errorf("is larger than %d bytes", t.cfg.MaxUnpackedBytes))
	}
	if err != nil {
		done()
		return nil, 0, nil, at(t.source, err)
	}
	return temporary, n, done, nil
}

// unpacked puts the files of an archive in their places.
type unpacked struct {
	*transfer
	ctx  context.Context
	seen map[string]bool // files
	made []string        // that were not there before
}

func (u *unpacked) Dir(name string) error { return u.makeDirectory(u.destination.below(name)) }

func (u *unpacked) File(name string, mode fs.FileMode, content io.Reader) error {
	if u.seen[name] {
		return fs.ErrExist
	}
	u.seen[name] = true
	l := u.destination.below(name)
	up, err := u.to.create(u.ctx, l.name, -1, createOptions{u.in.Overwrite, mode})
	if err != nil {
		return at(l, err)
	}
	if _, err = u.pour(u.ctx, up, content, nil); err == nil {
		err = at(l, up.commit(u.ctx))
	}
	if err != nil {
		up.abort()
		return err
	}
	if !u.in.Overwrite { // else it may have been there
		u.made = append(u.made, l.name)
	}
	return nil
}

// undo removes the files that were made.
func (u *unpacked) undo() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), cleanTime)
	defer cancel()
	for _, name := range u.made {
		_ = u.to.remove(ctx, name)
	}
}
