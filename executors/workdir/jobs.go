package workdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// leftFor is after how long without use what a worker that was killed has left is removed by the next one that starts.
	leftFor = 24 * time.Hour
	// idleFor is after how long without use the directory of a job goes, however its run is.
	idleFor = 7 * 24 * time.Hour

	processPrefix = "worker-"
	lockName      = "lock"
)

// End is how a run has ended, as far as the directories of its jobs are concerned.
type End int

// The ends.
const (
	EndedWell  End = 1
	EndedBadly End = 2
	EndedGone  End = 3 // nobody knows it any more
)

// Jobs are the directories in which steps of flows work, of one worker process: DIR/worker-…/flows/FLOW/JOB/RUN. Nobody else uses them, so that their
// contents are known as long as the process lives. Safe for concurrent use.
type Jobs struct {
	dir string // empty: below the system's directory for temporary files

	mu     sync.Mutex
	home   *os.Root // of this process; nil: not made yet
	base   string
	lock   *os.File
	jobs   map[string]*jobDir // by their paths below home
	gone   int
	closed bool
}

// jobDir is the directory of a job.
type jobDir struct {
	path  string
	inUse chan struct{} // has something while an attempt works there

	// Jobs.mu guards these.
	tree    string
	cleanup string
	passing bool // of an item: it goes when nobody works there
	wanted  int  // attempts that work there, or wait for it
	last    time.Time
	ended   bool // its run has, and it is kept

	// The attempt that works there has these.
	known   map[string]stamp
	synced  *manifest // what was there when an attempt began, or what one has left that came to its end here
	version int       // its number
}

// stamp tells a file that was not touched since.
type stamp struct {
	sha256  string
	size    int64
	mode    fs.FileMode
	changed time.Time
	inode   uint64
	seen    time.Time
}

// settled is how much older than the look at it a change must be: clocks of file systems are coarse.
const settled = 2 * time.Second

func stampOf(info fs.FileInfo, sha256 string) stamp {
	s := stamp{sha256: sha256, size: info.Size(), mode: info.Mode(), changed: info.ModTime(), seen: time.Now()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// fits reports whether the file must have the content of which the stamp knows.
func (s stamp) fits(info fs.FileInfo) bool {
	now := stampOf(info, s.sha256)
	return s.sha256 != "" && s.size == now.size && s.mode == now.mode && s.changed.Equal(now.changed) && s.inode == now.inode && s.seen.Sub(s.changed) > settled
}

// NewJobs makes directories below dir; empty: below one of this user in the system's directory for temporary files. Nothing is made before it is needed.
func NewJobs(dir string) *Jobs { return &Jobs{dir: dir, jobs: map[string]*jobDir{}} }

// Base is the directory of this process, which is made when it is needed.
func (j *Jobs) Base() (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.open(); err != nil {
		return "", err
	}
	return j.base, nil
}

// place is what directories of processes are below.
func (j *Jobs) place() string {
	if j.dir != "" {
		return j.dir
	}
	return filepath.Join(os.TempDir(), "taskgrove-work-"+strconv.Itoa(os.Geteuid()))
}

// private is why a directory may not be used: in one for temporary files anybody may have made it.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || ok && int(sys.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that only this user may write to", dir)
	}
	return nil
}

// open makes the directory of this process. The caller holds mu.
func (j *Jobs) open() error {
	if j.closed {
		return errors.New("the worker is ending")
	}
	if j.home != nil {
		return nil
	}
	place, err := filepath.Abs(j.place())
	if err == nil {
		err = os.MkdirAll(place, 0o700)
	}
	if err == nil && j.dir == "" {
		err = private(place)
	}
	var base string
	if err == nil {
		base, err = os.MkdirTemp(place, processPrefix)
	}
	if err == nil {
		base, err = filepath.EvalSymlinks(base)
	}
	if err != nil {
		return fmt.Errorf("make a directory for steps of flows: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(base, lockName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	var home *os.Root
	if err == nil {
		home, err = os.OpenRoot(base)
	}
	if err != nil {
		if lock != nil {
			_ = lock.Close()
		}
		_ = os.RemoveAll(base)
		return fmt.Errorf("make a directory for steps of flows: %w", err)
	}
	j.home, j.base, j.lock = home, base, lock
	return nil
}

// Sweep removes what workers have left that were killed long ago. Those that live hold a lock.
func (j *Jobs) Sweep() error {
	entries, err := os.ReadDir(j.place())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if dir := filepath.Join(j.place(), e.Name()); e.IsDir() && strings.HasPrefix(e.Name(), processPrefix) {
			err = errors.Join(err, removeLeft(dir))
		}
	}
	return err
}

func removeLeft(dir string) error {
	name := filepath.Join(dir, lockName)
	lock, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	var info fs.FileInfo
	switch {
	case errors.Is(err, fs.ErrNotExist): // it is about to be made, or was about to be removed
		info, err = os.Lstat(dir)
	case err == nil:
		defer lock.Close() //nolint:errcheck // nothing was written
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return nil
		}
		info, err = lock.Stat()
	}
	if err != nil || time.Since(info.ModTime()) < leftFor {
		return err
	}
	return os.RemoveAll(dir)
}

// enter waits until no other attempt works in the directory of a job, and gives it, with its parts: leave it. What another tree has left there is
// removed.
func (j *Jobs) enter(ctx context.Context, tree string, at *flowStep) (*jobDir, error) {
	name := path.Join("flows", at.Flow, at.files(), at.Run)
	j.mu.Lock()
	if err := j.open(); err != nil {
		j.mu.Unlock()
		return nil, err
	}
	d := j.jobs[name]
	if d == nil {
		d = &jobDir{path: name, inUse: make(chan struct{}, 1)}
		j.jobs[name] = d
	}
	d.wanted++
	j.mu.Unlock()
	select {
	case d.inUse <- struct{}{}:
	case <-ctx.Done():
		j.mu.Lock()
		d.wanted--
		j.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	if err := j.prepare(d, tree, at); err != nil {
		j.leave(d)
		return nil, fmt.Errorf("the directory of job %s: %w", at.Job, err)
	}
	return d, nil
}

// prepare makes the parts of a directory that the caller is in.
func (j *Jobs) prepare(d *jobDir, tree string, at *flowStep) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if d.tree != tree {
		if err := j.home.RemoveAll(d.path); err != nil {
			return err
		}
		d.known, d.synced, d.version = map[string]stamp{}, nil, 0
	}
	d.tree, d.cleanup, d.ended, d.last, d.passing = tree, at.Workspace.Cleanup, false, time.Now(), at.Dir != "" && at.Workspace.Cleanup != cleanupNever
	_ = os.Chtimes(j.lock.Name(), d.last, d.last) // for who finds it when this process was killed
	for _, part := range []string{".", at.Workspace.Layout["artifacts"], at.Workspace.Layout["scratch"], at.Workspace.Layout["manifests"]} {
		if err := realDir(j.home, path.Join(d.path, part)); err != nil {
			return err
		}
	}
	return nil
}

// realDir makes a directory, and those above it, in the place of whatever else is there: a program may have put a link in its place.
func realDir(root *os.Root, name string) error {
	for dir := range parents(name + "/") {
		info, err := root.Lstat(dir)
		if err == nil && !info.IsDir() {
			if err = root.Remove(dir); err != nil {
				return err
			}
			err = fs.ErrNotExist
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = root.Mkdir(dir, 0o700)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leave lets the next attempt in. The directory of an item goes if there is none: there may be a million.
func (j *Jobs) leave(d *jobDir) {
	<-d.inUse
	j.mu.Lock()
	d.wanted--
	d.last = time.Now()
	passing := d.passing && d.wanted == 0
	j.mu.Unlock()
	if passing {
		_ = j.remove(func(one *jobDir) bool { return one == d }) // else it goes with those of the run
	}
}

// dirOf is the path of a part of a directory.
func (j *Jobs) dirOf(d *jobDir, part string) string {
	return filepath.Join(j.base, filepath.FromSlash(d.path), filepath.FromSlash(part)) // base does not change once there are directories
}

// Known are the trees whose jobs have directories here that wait for the end of their run.
func (j *Jobs) Known() []string { return j.trees(true) }

// Trees are those whose jobs have directories here that wait for the end of their run, and in which no attempt works.
func (j *Jobs) Trees() []string { return j.trees(false) }

func (j *Jobs) trees(used bool) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	trees := map[string]bool{}
	for _, d := range j.jobs {
		if (used || d.wanted == 0) && !d.ended && d.cleanup != cleanupNever {
			trees[d.tree] = true
		}
	}
	return slices.Sorted(maps.Keys(trees))
}

// Ended removes the directories of a tree's jobs, as their flow says, but for those where an attempt works.
func (j *Jobs) Ended(tree string, end End) error {
	return j.remove(func(d *jobDir) bool {
		switch {
		case d.tree != tree:
			return false
		case end == EndedGone, d.cleanup == cleanupAlways, end == EndedWell && d.cleanup != cleanupNever:
			return true
		}
		d.ended = true
		return false
	})
}

// Tidy removes directories that nobody has used for long.
func (j *Jobs) Tidy() error {
	return j.remove(func(d *jobDir) bool { return time.Since(d.last) > idleFor })
}

// remove removes directories where no attempt works.
func (j *Jobs) remove(which func(*jobDir) bool) (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.home == nil || j.closed {
		return nil
	}
	var aside []string
	for _, d := range j.jobs {
		if d.wanted > 0 || !which(d) {
			continue
		}
		delete(j.jobs, d.path)
		j.gone++
		name := fmt.Sprintf("gone-%d", j.gone)
		if renamed := j.home.Rename(d.path, name); renamed != nil {
			if !errors.Is(renamed, fs.ErrNotExist) {
				err = errors.Join(err, renamed)
			}
			continue
		}
		aside = append(aside, name)
		_ = j.home.Remove(path.Dir(d.path)) // if it is empty
		_ = j.home.Remove(path.Dir(path.Dir(d.path)))
	}
	home := j.home
	j.mu.Unlock() // what is aside is nobody's
	for _, name := range aside {
		_ = filepath.WalkDir(filepath.Join(j.base, name), func(name string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(name, 0o700) //nolint:gosec // a program has closed it, and it is about to go
			}
			return nil
		})
		err = errors.Join(err, home.RemoveAll(name))
	}
	j.mu.Lock()
	return err
}

// Close removes all directories, but those that their flow wants to keep, which the next worker removes after a day. No attempt may work there any more.
func (j *Jobs) Close() error {
	kept := false
	err := j.remove(func(d *jobDir) bool {
		keep := d.cleanup == cleanupNever || d.ended
		kept = kept || keep
		return !keep
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.home == nil || j.closed {
		j.closed = true
		return nil
	}
	j.closed = true
	for _, d := range j.jobs {
		kept = kept || d.wanted > 0
	}
	if !kept {
		err = errors.Join(err, os.RemoveAll(j.base))
	}
	return errors.Join(err, j.home.Close(), j.lock.Close())
}
