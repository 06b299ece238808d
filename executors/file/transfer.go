package file

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// transfer is from one place to another. One goroutine.
type transfer struct {
	*work
	from, to            store
	source, destination location
	result              *Result
}

// copy copies, and for a move deletes what it has copied.
func (t *transfer) copy(ctx context.Context) error {
	i, err := t.from.stat(ctx, t.source.name)
	if err != nil {
		return at(t.source, err)
	}
	t.result.Files, t.result.Bytes = new(int), new(int64)
	switch {
	case i.kind == "directory":
		return t.copyDirectory(ctx)
	case i.kind == "other", i.kind == "symlink" && t.in.Operation == "move":
		return executors.Permanent(fmt.Errorf("%s is a %s, not a file", t.source, i.kind))
	case t.source.dir:
		return executors.Permanent(fmt.Errorf("%s is not a directory", t.source))
	}
	if err := t.intoDirectory(ctx); err != nil {
		return err
	}
	if t.source.String() == t.destination.String() {
		return executors.Permanent(errors.New("source and destination are the same"))
	}
	t.result.Destination = t.destination.String()
	if t.in.Operation == "move" {
		if done, err := t.rename(i); done || err != nil {
			return err
		}
	}
	t.progress.add(i.size)
	sum := newSum(t.in.Algorithm)
	n, err := t.file(ctx, t.source, t.destination, i, sum)
	if err != nil {
		return err
	}
	*t.result.Files, *t.result.Bytes = 1, n
	if t.in.Operation == "move" {
		return at(t.source, t.from.remove(ctx, t.source.name))
	}
	return nil
}

// intoDirectory gives the file its own name, if the destination is a directory.
func (t *transfer) intoDirectory(ctx context.Context) error {
	if !t.destination.dir {
		if _, ok := t.to.(*local); !ok {
			return nil
		}
		i, err := t.to.stat(ctx, t.destination.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return at(t.destination, err)
		}
		if err != nil || i.kind != "directory" {
			return nil
		}
	}
	t.destination = t.destination.below(named(t.source))
	return nil
}

// rename moves below one root in one step. Not where a checksum is wanted.
func (t *transfer) rename(i info) (bool, error) {
	from, ok := t.from.(*local)
	if _, same := t.to.(*local); !ok || !same || t.in.Algorithm != "" {
		return false, nil
	}
	if from.readOnly {
		return false, errReadOnly
	}
	old, name := filepath.FromSlash(t.source.name), filepath.FromSlash(t.destination.name)
	if err := from.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, at(t.destination, bare(err))
	}
	if there, err := from.root.Lstat(name); err == nil && there.IsDir() {
		return false, at(t.destination, executors.Permanent(errors.New("is a directory")))
	}
	var err error
	if t.in.Overwrite {
		err = bareOrNil(from.root.Rename(old, name))
	} else {
		err = from.place(old, name)
	}
	if errors.Is(err, syscall.EXDEV) { // another file system is mounted below the root
		return false, nil
	}
	*t.result.Files, *t.result.Bytes = 1, i.size
	return err == nil, at(t.destination, err)
}

// renameDirectory moves a directory below one root in one step, if there is nothing at its destination.
func (t *transfer) renameDirectory(ctx context.Context) (bool, error) {
	from, ok := t.from.(*local)
	if _, same := t.to.(*local); !ok || !same || t.in.Operation != "move" || t.source.name == "." {
		return false, nil
	}
	if from.readOnly {
		return false, errReadOnly
	}
	if _, err := from.stat(ctx, t.destination.name); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	err := t.each(ctx, func(i info, _ string) error { // so that the result can say what it was
		if i.kind == "file" {
			*t.result.Files++
			*t.result.Bytes += i.size
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	name := filepath.FromSlash(t.destination.name)
	if err := from.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, at(t.destination, bare(err))
	}
	err = bareOrNil(from.root.Rename(filepath.FromSlash(t.source.name), name))
	if errors.Is(err, syscall.EXDEV) {
		*t.result.Files, *t.result.Bytes = 0, 0
		return false, nil
	}
	return err == nil, at(t.destination, err)
}

// file copies one, and says how large it is. Nothing is put in place if the sum is not the one expected.
func (t *transfer) file(ctx context.Context, source, destination location, i info, sum hash.Hash) (int64, error) {
	if from, ok := t.from.(*bucket); ok && sum == nil {
		if to, ok := t.to.(*bucket); ok { // of the same store: a task has one connection
			err := at(destination, to.copyFrom(ctx, from, i, destination.name, t.in.Overwrite))
			if err == nil {
				t.progress.count(i.size)
			}
			return i.size, err
		}
	}
	f, opened, err := t.from.open(ctx, source.name)
	if err != nil {
		return 0, at(source, err)
	}
	defer f.Close()
	up, err := t.to.create(ctx, destination.name, opened.size, createOptions{t.in.Overwrite, opened.mode & 0o777})
	if err != nil {
		return 0, at(destination, err)
	}
	n, err := t.pour(ctx, up, f, sum)
	if err == nil && n != opened.size && opened.kind == "file" {
		err = fmt.Errorf("%s has changed while it was copied: %d bytes were to come, and %d came", source, opened.size, n)
	}
	if err == nil {
		err = t.sum(source, sum, t.result)
	}
	if err == nil {
		err = at(destination, up.commit(ctx))
	}
	if err != nil {
		up.abort()
		return 0, err
	}
	return n, nil
}

// pour copies content.
func (t *transfer) pour(ctx context.Context, to io.Writer, from io.Reader, sum hash.Hash) (int64, error) {
	writers := []io.Writer{to, t.progress}
	if sum != nil {
		writers = append(writers, sum)
	}
	return io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(writers...)}, struct{ io.Reader }{until(ctx, from)}, make([]byte, 256<<10))
}

// copyDirectory copies all files of a directory, each of which is whole in its place or not there.
func (t *transfer) copyDirectory(ctx context.Context) error {
	if t.in.Algorithm != "" {
		return invalid("algorithm and expected are for single files")
	}
	base := t.destination
	if t.source.bucket == base.bucket && (base.name == t.source.name || strings.HasPrefix(base.name+"/", t.source.name+"/")) && t.source.name != "" || t.source.bucket == "" && base.bucket == "" && t.source.name == "." {
		return executors.Permanent(errors.New("destination is within source"))
	}
	if done, err := t.renameDirectory(ctx); done || err != nil {
		return err
	}
	var directories []string
	err := t.each(ctx, func(i info, name string) error {
		source, destination := location{bucket: t.source.bucket, name: i.path}, base.below(name)
		switch i.kind {
		case "directory":
			directories = append(directories, i.path)
			return t.makeDirectory(destination)
		case "file":
		default:
			return executors.Permanent(fmt.Errorf("%s is a %s, not a file", source, i.kind))
		}
		t.progress.add(i.size)
		n, err := t.file(ctx, source, destination, i, nil)
		if err != nil {
			return err
		}
		*t.result.Files++
		*t.result.Bytes += n
		if t.in.Operation == "move" {
			return at(source, t.from.remove(ctx, source.name))
		}
		return nil
	})
	if err != nil || t.in.Operation != "move" || t.source.bucket != "" {
		return err
	}
	for i := len(directories) - 1; i >= 0; i-- {
		if err := t.from.remove(ctx, directories[i]); err != nil {
			return at(location{name: directories[i]}, err)
		}
	}
	if t.source.name == "." {
		return nil
	}
	return at(t.source, t.from.remove(ctx, t.source.name))
}

func (t *transfer) makeDirectory(l location) error {
	to, ok := t.to.(*local)
	if !ok {
		return nil // stores have none
	}
	if to.readOnly {
		return errReadOnly
	}
	return at(l, bareOrNil(to.root.MkdirAll(filepath.FromSlash(l.name), 0o755)))
}

// each goes through all that is in the source directory, with its name there. Files that a move takes away don't matter to the cursor.
func (t *transfer) each(ctx context.Context, do func(i info, name string) error) error {
	prefix := t.source.name + "/"
	if t.source.name == "." || t.source.name == "" {
		prefix = ""
	}
	count := 0
	for cursor := ""; ; {
		entries, next, err := t.from.list(ctx, t.source.name, true, cursor, 1000)
		if err != nil {
			return at(t.source, err)
		}
		for _, i := range entries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if count++; count > t.in.MaxFiles {
				return executors.Permanent(fmt.Errorf("%s has more than %d files and directories (max_files)", t.source, t.in.MaxFiles))
			}
			name := strings.TrimPrefix(i.path, prefix)
			if name == "" || !filepath.IsLocal(filepath.FromSlash(name)) || hasDots(name) || strings.Contains(name, "\\") || path.Clean(name) != name {
				if t.source.bucket != "" && strings.HasSuffix(name, "/") && i.size == 0 { // what some clients make for a directory
					continue
				}
				return executors.Permanent(fmt.Errorf("%s has an entry %.200q, which is no usable name", t.source, name))
			}
			if err := do(i, name); err != nil {
				return err
			}
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}
