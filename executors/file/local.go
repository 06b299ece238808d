package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// local is the directory that tasks may use.
type local struct {
	root     *os.Root
	readOnly bool
	mark     string // of the attempt's task, in the names of its unfinished files
	attempt  int
}

// openLocal opens the root of a pool.
func openLocal(place Place, call *executors.Call) (*local, error) {
	if place.Root == "" {
		return nil, executors.Permanent(fmt.Errorf("tasks of this pool may not use files of the worker: TASKGROVE_FILE_ROOT (or files.root in the worker's file) names the directory, and pools of the mode enterprise have none"))
	}
	root, err := os.OpenRoot(place.Root)
	if err != nil {
		return nil, fmt.Errorf("the worker's directory for files of this pool (TASKGROVE_FILE_ROOT, or files.root in the worker's file) can't be opened: %w", bare(err))
	}
	sum := sha256.Sum256([]byte(call.IdempotencyKey))
	return &local{root: root, readOnly: place.ReadOnly, mark: hex.EncodeToString(sum[:8]), attempt: call.Attempt}, nil
}

var errReadOnly = executors.Permanent(errors.New("tasks of this pool may only read files of the worker"))

// unfinished is what names of unfinished files begin with. Lists don't show them.
const unfinished = ".taskgrove-"

// bare is a file's error without the path, which callers name as the task does.
func bare(err error) error {
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (s *local) stat(_ context.Context, name string) (info, error) {
	i, err := s.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return info{}, bare(err)
	}
	return infoOf(name, i), nil
}

func infoOf(name string, i fs.FileInfo) info {
	kind := "other"
	switch mode := i.Mode(); {
	case mode.IsRegular():
		kind = "file"
	case mode.IsDir():
		kind = "directory"
	case mode&fs.ModeSymlink != 0:
		kind = "symlink"
	}
	return info{path: name, kind: kind, size: i.Size(), modified: i.ModTime(), mode: i.Mode().Perm()}
}

// open does not wait for the other end of a pipe, and takes nothing but plain files.
func (s *local) open(_ context.Context, name string) (io.ReadCloser, info, error) {
	f, err := s.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, info{}, bare(err)
	}
	i, err := f.Stat()
	if err == nil && !i.Mode().IsRegular() {
		err = executors.Permanent(errors.New("is not a file"))
	}
	if err != nil {
		_ = f.Close()
		return nil, info{}, bare(err)
	}
	return f, infoOf(name, i), nil
}

// create writes to a file beside the one that it becomes. Its name tells whose it is, so that the next attempt of the task removes what an earlier
// one has left, and the earlier one, if it still runs, has nothing left to put in place.
func (s *local) create(_ context.Context, name string, _ int64, o createOptions) (upload, error) {
	if s.readOnly {
		return nil, errReadOnly
	}
	at := filepath.FromSlash(name)
	if i, err := s.root.Lstat(at); err == nil {
		switch {
		case i.IsDir():
			return nil, executors.Permanent(errors.New("is a directory"))
		case !o.overwrite:
			return nil, fs.ErrExist
		}
	}
	dir := path.Dir(name)
	if err := s.root.MkdirAll(filepath.FromSlash(dir), 0o755); err != nil {
		return nil, bare(err)
	}
	if err := s.sweep(name); err != nil {
		return nil, err
	}
	temporary := filepath.Join(filepath.FromSlash(dir), s.prefix(name)+fmt.Sprintf("%d-%d", s.attempt, uploads.Add(1)))
	f, err := s.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, bare(err)
	}
	return &localUpload{store: s, file: f, temporary: temporary, name: at, options: o}, nil
}

// uploads makes names of this process differ.
var uploads atomic.Int64

// prefix is what the names of a task's unfinished files for a place begin with; the attempt's number follows.
func (s *local) prefix(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s%s-%s-", unfinished, s.mark, hex.EncodeToString(sum[:4]))
}

// sweep removes what earlier attempts of the task have left beside a place.
func (s *local) sweep(name string) error {
	if s.attempt <= 1 {
		return nil
	}
	dir, prefix := path.Dir(name), s.prefix(name)
	names, err := (&localList{ctx: context.Background(), root: s.root}).names(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n, prefix); ok {
			number, _, _ := strings.Cut(rest, "-")
			if attempt, err := strconv.Atoi(number); err == nil && attempt < s.attempt {
				_ = s.root.Remove(filepath.Join(filepath.FromSlash(dir), n))
			}
		}
	}
	return nil
}

type localUpload struct {
	store           *local
	file            *os.File
	temporary, name string
	options         createOptions
}

func (u *localUpload) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	return n, bareOrNil(err)
}

func bareOrNil(err error) error {
	if err == nil {
		return nil
	}
	return bare(err)
}

// commit puts the file in its place in one step: there is the old one, or none, and then the new one, whole and on the disk.
func (u *localUpload) commit(ctx context.Context) error {
	mode := u.options.mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	err := errors.Join(u.file.Chmod(mode), u.file.Sync())
	if err = errors.Join(err, u.file.Close()); err != nil {
		return bare(err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u.options.overwrite {
		return bareOrNil(u.store.root.Rename(u.temporary, u.name))
	}
	return u.store.place(u.temporary, u.name)
}

// place gives a file a name that nothing has. A link fails where a rename would replace; where there are no links, what comes meanwhile loses.
func (s *local) place(old, name string) error {
	err := s.root.Link(old, name)
	if err == nil {
		return bareOrNil(s.root.Remove(old))
	}
	if errors.Is(err, fs.ErrExist) || !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.EMLINK) {
		return bare(err)
	}
	if _, err := s.root.Lstat(name); err == nil {
		return fs.ErrExist
	}
	return bareOrNil(s.root.Rename(old, name))
}

func (u *localUpload) abort() {
	_ = u.file.Close()
	_ = u.store.root.Remove(u.temporary)
}

func (s *local) remove(_ context.Context, name string) error {
	if s.readOnly {
		return errReadOnly
	}
	if err := s.root.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bare(err)
	}
	return nil
}

// maxDirectory bounds the names of one directory, which are sorted in memory.
const maxDirectory = 1_000_000

func (s *local) list(ctx context.Context, dir string, recursive bool, cursor string, limit int) ([]info, string, error) {
	l := &localList{ctx: ctx, root: s.root, recursive: recursive, cursor: cursor, limit: limit}
	prefix := ""
	if dir != "." {
		prefix = dir + "/"
	}
	if err := l.directory(dir, prefix, 0); err != nil {
		return nil, "", err
	}
	next := ""
	if len(l.found) > limit {
		l.found = l.found[:limit]
		next = l.found[limit-1].path
	}
	return l.found, next, nil
}

type localList struct {
	ctx       context.Context
	root      *os.Root
	recursive bool
	cursor    string
	limit     int
	found     []info // one more than the limit, if there are more
}

// maxDepth bounds how far down a list goes.
const maxDepth = 100

// directory adds the entries of a directory in the order of their paths, which is also that of the cursor.
func (l *localList) directory(dir, prefix string, depth int) error {
	if depth > maxDepth {
		return executors.Permanent(fmt.Errorf("directories are nested more than %d deep", maxDepth))
	}
	names, err := l.names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		if len(l.found) > l.limit {
			return nil
		}
		whole := prefix + name
		behind := l.cursor == "" || order(whole) > order(l.cursor)
		if strings.HasPrefix(name, unfinished) || !behind && !strings.HasPrefix(l.cursor, whole+"/") && whole != l.cursor {
			continue
		}
		i, err := l.root.Lstat(filepath.FromSlash(whole))
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return bare(err)
		}
		if behind {
			l.found = append(l.found, infoOf(whole, i))
		}
		if l.recursive && i.IsDir() {
			if err := l.directory(whole, whole+"/", depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// order makes a path comparable: what is below a directory comes before its next neighbour.
func order(path string) string { return strings.ReplaceAll(path, "/", "\x00") }

// names are those in a directory, sorted.
func (l *localList) names(dir string) ([]string, error) {
	f, err := l.root.OpenFile(filepath.FromSlash(dir), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	var names []string
	for {
		some, err := f.Readdirnames(1000)
		names = append(names, some...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bare(err)
		}
		if len(names) > maxDirectory {
			return nil, executors.Permanent(fmt.Errorf("a directory has more than %d entries", maxDirectory))
		}
		if l.ctx.Err() != nil {
			return nil, context.Cause(l.ctx)
		}
	}
	slices.Sort(names)
	return names, nil
}
