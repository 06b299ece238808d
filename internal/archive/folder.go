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
	if _, err := os.Stat(f.dir); err != nil { // it is not made: it may be one that is not mounted
		return nil, err
	}
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

// absent is the error of a path, nil if merely nothing is there. Where the folder itself is missing, as one that is not mounted, nobody knows what is in it.
func (f folder) absent(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = os.Stat(f.dir)
	return err
}

func (f folder) OpenObject(_ context.Context, key string) (io.ReadCloser, error) {
	path := f.path(key)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open a pipe waits for whoever writes to it
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		if err = f.absent(err); err == nil {
			err = ErrNotFound
		}
		return nil, err
	}
	return file, nil
}

func (f folder) ListObjects(ctx context.Context, prefix string, told func(Object) bool) error {
	start := f.dir
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = f.path(prefix[:i])
	}
	err := filepath.WalkDir(start, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return f.absent(err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), "."):
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
	if err != nil {
		return nil, f.absent(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (f folder) RemoveObject(_ context.Context, key string) error {
	if err := os.Remove(f.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(filepath.Dir(f.path(key))) // of its owner, if it is empty
	return nil
}

// RemoveUnfinished implements [Cleaner].
func (f folder) RemoveUnfinished(_ context.Context, prefix string) error {
	entries, err := os.ReadDir(f.path(prefix))
	if err != nil {
		return f.absent(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, ".") && strings.HasSuffix(name, half) {
			if e := os.Remove(filepath.Join(f.path(prefix), name)); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	_ = os.Remove(f.path(prefix)) // if it is empty
	return err
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
