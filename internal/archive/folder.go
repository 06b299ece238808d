package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// OpenFolder is a store in a folder that is there.
func OpenFolder(dir string) Store { return folder{dir} }

type folder struct{ dir string }

// half is what the names of files end with that are not whole.
const half = ".part"

func (f folder) path(key string) string { return filepath.Join(f.dir, filepath.FromSlash(key)) }

func (f folder) CreateObject(_ context.Context, key string) (Writer, error) {
	path := f.path(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+"*"+half)
	if err != nil {
		return nil, err
	}
	return &folderWriter{File: file, top: f.dir, path: path}, nil
}

// folderWriter writes a file beside the one that it becomes.
type folderWriter struct {
	*os.File
	top, path string
	done      bool
}

func (w *folderWriter) Commit(context.Context) error {
	if err := w.Sync(); err != nil {
		return err
	}
	if err := os.Rename(w.Name(), w.path); err != nil {
		return err
	}
	w.done = true
	err := w.Close()
	for dir := filepath.Dir(w.path); ; dir = filepath.Dir(dir) { // those above may be new
		err = errors.Join(err, syncDir(dir))
		if dir == filepath.Clean(w.top) || len(dir) <= len(w.top) {
			return err
		}
	}
}

func (w *folderWriter) Abort() {
	if !w.done {
		w.done = true
		_ = w.Close()
		_ = os.Remove(w.Name())
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

func (f folder) OpenObject(_ context.Context, key string) (io.ReadCloser, error) {
	file, err := os.Open(f.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return file, err
}

func (f folder) ListObjects(ctx context.Context, prefix string, told func(Object) bool) error {
	start := f.dir
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = f.path(prefix[:i])
	}
	err := filepath.WalkDir(start, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case entry.IsDir() || strings.HasPrefix(entry.Name(), "."):
			return nil
		}
		rel, err := filepath.Rel(f.dir, path)
		key := filepath.ToSlash(rel)
		if err != nil || !strings.HasPrefix(key, prefix) {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !told(Object{Key: key, Size: info.Size(), StoredAt: info.ModTime()}) {
			return fs.SkipAll
		}
		return err
	})
	return err
}

func (f folder) ListFolders(_ context.Context, prefix string) (names []string, err error) {
	entries, err := os.ReadDir(f.path(prefix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (f folder) RemoveObject(_ context.Context, key string) error {
	if err := os.Remove(f.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(filepath.Dir(f.path(key))) // of its owner, if it is empty
	return nil
}

func (f folder) Check(context.Context) error {
	info, err := os.Stat(f.dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", f.dir)
	}
	probe, err := os.CreateTemp(f.dir, "."+"*"+half)
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
