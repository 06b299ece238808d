package workdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// KindEscape is the kind of errors of paths that lead out of a [Sandbox].
const KindEscape = "path.escape"

// Place is a directory that tasks may use beside their own.
type Place struct {
	Dir      string // an absolute path
	ReadOnly bool   // nothing in it may be made, changed or removed
}

// Sandbox is where an attempt may use files: its own directory, which relative paths are below, and further ones, which are named by absolute paths.
// No path and no symbolic link leads out of them.
type Sandbox struct {
	roots  []*sandboxRoot // the first is the attempt's own
	shared bool           // it is, and others find it again: paths are shown whole
}

type sandboxRoot struct {
	Place
	real string // Dir without symbolic links
	root *os.Root
	err  error // why it can't be used
}

// OpenSandbox opens the attempt's own directory, and others, of which those that can't be opened are an error where a path names them. Close it.
func OpenSandbox(dir string, others ...Place) (*Sandbox, error) {
	s := &Sandbox{}
	for _, place := range append([]Place{{Dir: dir}}, others...) {
		if place.Dir == "" {
			continue
		}
		if abs, err := filepath.Abs(place.Dir); err == nil {
			place.Dir = abs
		}
		r := &sandboxRoot{Place: place, real: place.Dir}
		if r.root, r.err = os.OpenRoot(place.Dir); r.err == nil {
			r.real, r.err = filepath.EvalSymlinks(place.Dir)
		}
		s.roots = append(s.roots, r)
	}
	if err := s.roots[0].err; err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close lets go of the directories.
func (s *Sandbox) Close() {
	for _, r := range s.roots {
		if r.root != nil {
			_ = r.root.Close()
		}
	}
}

// Dir is the attempt's own directory, an absolute path without symbolic links.
func (s *Sandbox) Dir() string { return s.roots[0].real }

// Root is the attempt's own directory.
func (s *Sandbox) Root() *os.Root { return s.roots[0].root }

// Spot is a path in a [Sandbox]. Its methods follow no symbolic link out of it.
type Spot struct {
	Root     *os.Root
	Name     string // below Root, clean; "." is Root itself
	Path     string // absolute
	ReadOnly bool
	given    string // by the task
	own      bool
}

// At finds what a path of the task names; field is the input that holds it, for errors, which are permanent. Nothing needs to be there.
func (s *Sandbox) At(field, given string) (Spot, error) {
	switch {
	case given == "":
		return Spot{}, executors.Permanent(fmt.Errorf("%s: is empty", field))
	case strings.ContainsRune(given, 0):
		return Spot{}, executors.Permanent(fmt.Errorf("%s: contains a NUL", field))
	}
	if !filepath.IsAbs(given) {
		if name := filepath.Clean(given); filepath.IsLocal(name) {
			return s.spot(s.roots[0], name, given), nil
		}
		return Spot{}, escapes(field, given)
	}
	at := filepath.Clean(given)
	for _, r := range s.roots {
		for _, dir := range []string{r.Dir, r.real} {
			name, err := filepath.Rel(dir, at)
			if err != nil || !filepath.IsLocal(name) {
				continue
			}
			if r.err != nil {
				return Spot{}, fmt.Errorf("%s: the directory %s can't be used: %w", field, r.Dir, bare(r.err))
			}
			return s.spot(r, name, given), nil
		}
	}
	return Spot{}, escapes(field, given)
}

func (s *Sandbox) spot(r *sandboxRoot, name, given string) Spot {
	return Spot{Root: r.root, Name: name, Path: filepath.Join(r.real, name), ReadOnly: r.ReadOnly, given: given, own: r == s.roots[0] && !s.shared}
}

func escapes(field, given string) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf("%s: %s: %.200q leads out of the directories that the task may use", KindEscape, field, given)), KindEscape)
}

// Shown is the path as results have it: relative in the attempt's own directory, whose place means nothing afterwards, and absolute elsewhere.
func (p Spot) Shown() string {
	if p.own {
		return filepath.ToSlash(p.Name)
	}
	return p.Path
}

// Below is a path below this one.
func (p Spot) Below(name string) Spot {
	p.Name, p.Path = filepath.Join(p.Name, name), filepath.Join(p.Path, name)
	return p
}

// Err is an error of the file system at this path, as users see it: with the path as the task has it, and permanent where another attempt can't help.
func (p Spot) Err(field string, err error) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "path escapes from parent"): // which package os does not export
		return escapes(field, p.given)
	}
	shown := fmt.Errorf("%s: %.200q: %w", field, p.given, bare(err))
	for _, passing := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.EBUSY, syscall.ESTALE, syscall.EINTR} {
		if errors.Is(err, passing) {
			return shown
		}
	}
	return executors.Permanent(shown)
}

// Writable is the error of a path where nothing may be written; nil: it may.
func (p Spot) Writable(field string) error {
	if p.ReadOnly {
		return executors.Permanent(fmt.Errorf("%s: %.200q: tasks of this pool may only read there", field, p.given))
	}
	return nil
}

// Exists reports whether something is there. A link counts as what it leads to.
func (p Spot) Exists(field string) (bool, error) {
	_, err := p.Root.Stat(p.Name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, p.Err(field, err)
}

// Glob gives the names in the path's directory that its last element matches, sorted, with * ? and [a-z] as a shell has them.
func (p Spot) Glob(field string) ([]Spot, error) {
	dir, pattern := filepath.Split(p.Name)
	dir = filepath.Clean(dir)
	pattern = strings.ReplaceAll(pattern, "[!", "[^")
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, executors.Permanent(fmt.Errorf("%s: %.200q is no pattern", field, p.given))
	}
	if strings.ContainsAny(dir, wildcards) {
		return nil, executors.Permanent(fmt.Errorf("%s: %.200q: only the last part of a path may have wildcards", field, p.given))
	}
	d, err := p.Root.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe it does not wait for the other end
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	} else if err != nil {
		return nil, p.Err(field, err)
	}
	defer d.Close() //nolint:errcheck // it was only read
	var names []string
	for looked := 0; ; {
		some, err := d.Readdirnames(1000)
		for _, name := range some {
			if ok, _ := path.Match(pattern, name); ok {
				names = append(names, name)
			}
		}
		if looked += len(some); looked > maxEntries {
			return nil, executors.Permanent(fmt.Errorf("%s: more than %d entries are in the directory of %.200q", field, maxEntries, p.given))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ENOTDIR) {
			break
		} else if err != nil {
			return nil, p.Err(field, err)
		}
	}
	slices.Sort(names)
	found := make([]Spot, len(names))
	above := p
	above.Name, above.Path = dir, filepath.Dir(p.Path)
	for i, name := range names {
		found[i] = above.Below(name)
		found[i].given = filepath.Join(filepath.Dir(p.given), name)
	}
	return found, nil
}

// bare is a file's error without the path, which the task names in its own way.
func bare(err error) error {
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
