package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Bounds of a cache of which nothing is said.
const (
	defaultCacheBytes   = 5 << 30
	defaultEnvironments = 50
)

// lockEvery is how often a lock that another holds is asked for again.
const lockEvery = 20 * time.Millisecond

// cache is the directory of environments. All workers of a user may share it: who uses an environment has its lock shared, and who makes or
// removes it has it alone. The kernel gives up the locks of a process that dies.
//
//	envs/KEY       an environment: bin of venv, and the file ready once it is whole
//	envs/KEY.lock  its lock
//	uv             uv's own cache, whose files environments share
//	uv.lock        its lock: who makes an environment has it shared
//	runs/NAME      directory of an attempt, with its lock
type cache struct {
	dir   string
	bytes int64
	count int
}

func newCache(cfg Config) (*cache, error) {
	c := &cache{dir: cfg.Cache, bytes: cfg.CacheBytes, count: cfg.Environments}
	if c.bytes == 0 {
		c.bytes = defaultCacheBytes
	}
	if c.count == 0 {
		c.count = defaultEnvironments
	}
	if c.dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("there is no place for environments: %w", err)
		}
		c.dir = filepath.Join(base, "taskgrove", "python")
	}
	var err error
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return nil, err
	}
	for _, below := range []string{"envs", "runs"} {
		if err := os.MkdirAll(filepath.Join(c.dir, below), 0o700); err != nil {
			return nil, fmt.Errorf("there is no place for environments: %w", err)
		}
	}
	c.sweep()
	return c, nil
}

// scratchDir is the directory of one attempt.
type scratchDir struct {
	dir  string
	lock *os.File
}

// scratch makes one.
func (c *cache) scratch() (*scratchDir, error) {
	dir, err := os.MkdirTemp(filepath.Join(c.dir, "runs"), "")
	if err != nil {
		return nil, err
	}
	lock, err := tryLock(filepath.Join(dir, "lock"), syscall.LOCK_SH)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &scratchDir{dir, lock}, nil
}

func (s *scratchDir) remove() {
	makeWritable(s.dir)
	_ = os.RemoveAll(s.dir)
	_ = s.lock.Close()
}

// makeWritable lets directories be removed that code has closed.
func makeWritable(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // it is about to go
		}
		return nil
	})
}

// sweep removes what attempts of workers left that have died.
func (c *cache) sweep() {
	left, _ := os.ReadDir(filepath.Join(c.dir, "runs"))
	for _, entry := range left {
		dir := filepath.Join(c.dir, "runs", entry.Name())
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < time.Minute { // one that is being made has no lock yet
			continue
		}
		if lock, err := tryLock(filepath.Join(dir, "lock"), syscall.LOCK_EX); err == nil {
			makeWritable(dir)
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}
}

// environment is one that is in use.
type environment struct {
	dir  string
	lock *os.File
}

// python is the path of its interpreter.
func (e *environment) python() string { return filepath.Join(e.dir, "venv", "bin", "python") }

// release ends the use.
func (e *environment) release() { _ = e.lock.Close() }

// state is what the file ready says of an environment; the time of its last change is that of its last use.
type state struct {
	Bytes int64 `json:"bytes"`
}

// environment gives the environment of packages, and makes it if it is not there. Attempts that want one at the same time share one making:
// if that ends without it, the next one tries.
func (c *cache) environment(ctx context.Context, want packages, j *job) (*environment, error) {
	e := &environment{dir: filepath.Join(c.dir, "envs", want.key())}
	for {
		var err error
		if e.lock, err = tryLock(e.dir+".lock", syscall.LOCK_SH); err == nil {
			if e.ready() {
				now := time.Now()
				_ = os.Chtimes(filepath.Join(e.dir, "ready"), now, now)
				return e, nil
			}
			_ = e.lock.Close()
			if e.lock, err = tryLock(e.dir+".lock", syscall.LOCK_EX); err == nil {
				return c.made(ctx, e, want, j)
			}
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockEvery):
		}
	}
}

// made makes an environment whose lock is held alone; it is shared after that.
func (c *cache) made(ctx context.Context, e *environment, want packages, j *job) (*environment, error) {
	if !e.ready() { // another may have made it since
		if err := c.build(ctx, e, want, j); err != nil {
			makeWritable(e.dir)
			err = errors.Join(err, os.RemoveAll(e.dir), os.Remove(e.dir+".lock"))
			_ = e.lock.Close()
			return nil, err
		}
	}
	if err := syscall.Flock(int(e.lock.Fd()), syscall.LOCK_SH); err != nil {
		_ = e.lock.Close()
		return nil, err
	}
	c.evict()
	return e, nil
}

// ready reports whether the environment is whole.
func (e *environment) ready() bool {
	if _, err := os.Stat(filepath.Join(e.dir, "ready")); err != nil {
		return false
	}
	_, err := os.Stat(e.python())
	return err == nil
}

// tooLarge is the failure of an environment that alone has more bytes than all of them may.
func (c *cache) tooLarge() error {
	return invalid("the environment has more than the %d bytes that all of them together may have (TASKGROVE_PYTHON_CACHE_BYTES)", c.bytes)
}

// finish writes that the environment is whole.
func (c *cache) finish(e *environment) error {
	size := sizeOf(e.dir)
	if size > c.bytes {
		return c.tooLarge()
	}
	text, err := json.Marshal(state{size})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.dir, "ready"), text, 0o600)
}

// kept is an environment in the cache.
type kept struct {
	dir   string
	used  time.Time // zero: it is not whole
	bytes int64
}

// list is every environment, those that were used longest ago first.
func (c *cache) list() (all []kept) {
	entries, _ := os.ReadDir(filepath.Join(c.dir, "envs"))
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		one := kept{dir: filepath.Join(c.dir, "envs", entry.Name())}
		ready := filepath.Join(one.dir, "ready")
		text, err := os.ReadFile(ready)
		var s state
		if err == nil && json.Unmarshal(text, &s) == nil {
			if info, err := os.Stat(ready); err == nil {
				one.used, one.bytes = info.ModTime(), s.Bytes
			}
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	return all
}

// evict removes what is not whole, and then what was used longest ago, until the rest is within the bounds. What is in use stays.
func (c *cache) evict() {
	all := c.list()
	count, bytes := len(all), int64(0)
	for _, one := range all {
		bytes += one.bytes
	}
	for _, one := range all {
		if !one.used.IsZero() && count <= c.count && bytes <= c.bytes {
			break
		}
		lock, err := tryLock(one.dir+".lock", syscall.LOCK_EX)
		if err != nil {
			continue
		}
		makeWritable(one.dir)
		if os.RemoveAll(one.dir) == nil {
			_ = os.Remove(one.dir + ".lock")
			count--
			bytes -= one.bytes
		}
		_ = lock.Close()
	}
	c.boundUV()
}

// boundUV empties uv's own cache if it is too large and nobody is making an environment. Environments have links of their own to its files.
func (c *cache) boundUV() {
	dir := filepath.Join(c.dir, "uv")
	if sizeOf(dir) <= c.bytes {
		return
	}
	if lock, err := tryLock(dir+".lock", syscall.LOCK_EX); err == nil {
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

// tryLock locks a file, which it makes if it is not there. EWOULDBLOCK: another holds it. Closing the file gives it up.
func tryLock(path string, how int) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB); err != nil {
			_ = file.Close()
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			return nil, err
		}
		ours, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(ours, now) {
			return file, nil
		}
		_ = file.Close() // it was removed meanwhile
	}
}
