package sources

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/taskgrove/taskgrove/executors/bundle"
)

// filesystem is a directory of this host. No symbolic link leads out of it.
type filesystem struct{ root *os.Root }

func openFilesystem(at *bundle.Place) (*filesystem, error) {
	dir := filepath.FromSlash(at.Spec.Origin.BasePath)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(at.Dir, dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", bundle.ErrSource, err)
	}
	return &filesystem{root: root}, nil
}

// List implements [bundle.Source].
func (f *filesystem) List(ctx context.Context) (all []bundle.File, err error) {
	err = fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir():
			return nil
		case len(all) > bundle.MaxFiles:
			return fs.SkipAll
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all = append(all, bundle.File{Path: name, Size: info.Size(), Modified: info.ModTime(), Link: !info.Mode().IsRegular()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", bundle.ErrSource, err)
	}
	return all, nil
}

// Open implements [bundle.Source].
func (f *filesystem) Open(_ context.Context, file bundle.File) (io.ReadCloser, error) {
	in, err := f.root.OpenFile(filepath.FromSlash(file.Path), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) // of a pipe that took its place it does not wait for the other end
	if err != nil {
		return nil, fmt.Errorf("%w: %w", bundle.ErrSource, err)
	}
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = in.Close() // it was not read
		return nil, fmt.Errorf("%w: %s is no regular file", bundle.ErrSource, file.Path)
	}
	return in, nil
}

// Close implements [bundle.Source].
func (f *filesystem) Close() error { return f.root.Close() }
