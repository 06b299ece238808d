package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// directory is a data directory; the package comment says what is in it.
type directory struct{ root string }

// openDirectory creates the directory where missing and gives it to the account, private to it.
func openDirectory(path string, as *account) (directory, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return directory{}, err
	}
	// Parents are checked where they really are: a symbolic link leads past those that the text names.
	for existing, rest := abs, ""; ; existing, rest = filepath.Dir(existing), filepath.Join(filepath.Base(existing), rest) {
		if real, err := filepath.EvalSymlinks(existing); err == nil {
			abs = filepath.Join(real, rest)
			break
		}
		if existing == filepath.Dir(existing) {
			break
		}
	}
	if err := as.makeReachable(abs); err != nil {
		return directory{}, err
	}
	if err := os.Mkdir(abs, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return directory{}, err
	}
	if _, err := os.Stat(filepath.Join(abs, "PG_VERSION")); err == nil {
		return directory{}, errors.New("this is a cluster of another Postgres installation: choose another data directory")
	}
	if err := as.own(abs); err != nil {
		return directory{}, err
	}
	return directory{abs}, os.Chmod(abs, 0o700)
}

func (d directory) path(name string) string { return filepath.Join(d.root, name) }

// major is the major version that made the cluster, zero when there is none.
func (d directory) major() (int, error) {
	text, err := os.ReadFile(d.path("pgdata/PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("pgdata/PG_VERSION: %w", err)
	}
	return major, nil
}

// lock takes the directory for one [Server]: until the file is closed, or this process ends.
func (d directory) lock() (*os.File, error) {
	file, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("the data directory is in use by another process")
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return file, nil
}

// unlock gives up what [directory.lock] took. Closing alone would not do: a child that another goroutine is forking at
// this moment has a copy of the file until its exec, and the lock is the copies' too (flock(2)).
func unlock(file *os.File) {
	_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) // on our own open file it can only succeed
	file.Close()
}

// awaitUnused waits, for fastStop at most, until no process of an earlier server works in the cluster: its owner may
// have died a moment ago. Then it removes a stale postmaster.pid. Postgres does that itself, unless the number in it
// belongs to another live process by then, as is usual in containers, where numbers are small and start again.
// Where processes can't be looked up (not Linux), all is left to Postgres.
func (d directory) awaitUnused(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fastStop, errors.New("still running"))
	defer cancel()
	for {
		pid, known := processIn(d.path("pgdata"))
		if !known {
			return nil
		}
		if pid == 0 {
			break
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the data directory is in use by process %d: %w", pid, err)
		}
	}
	if err := os.Remove(d.path("pgdata/postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// init makes the cluster unless there is one, and returns the superuser's password. The cluster is made under another
// name and renamed when complete: a crash on the way leaves nothing that looks like a cluster.
func (d directory) init(ctx context.Context, bin binaries, as *account, unsynced bool) (string, error) {
	if major, err := d.major(); err != nil || major != 0 {
		if err != nil {
			return "", err
		}
		password, err := os.ReadFile(d.path("password"))
		if err != nil {
			return "", fmt.Errorf("the cluster's password: %w", err)
		}
		return string(password), nil
	}
	for _, left := range []string{"pgdata", "pgdata.new", "password"} {
		if err := os.RemoveAll(d.path(left)); err != nil {
			return "", err
		}
	}
	password := rand.Text()
	if err := writeSynced(d.path("password"), password); err != nil {
		return "", err
	}
	if err := as.own(d.path("password")); err != nil { // initdb reads it
		return "", err
	}
	args := []string{"-D", d.path("pgdata.new"), "-U", superuser, "--pwfile=" + d.path("password"), "-A", "scram-sha-256",
		"-E", "UTF8", "--locale=C"}
	if unsynced {
		args = append(args, "--no-sync")
	}
	if out, err := run(ctx, as, d.root, filepath.Join(bin.dir, "initdb"), args...); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(d.path("pgdata.new"), d.path("pgdata")); err != nil {
		return "", err
	}
	return password, syncDirectory(d.root)
}

// writeSynced writes a private file that is on the disk on return.
func writeSynced(path, text string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	return file.Sync()
}

// syncDirectory makes a rename in dir survive a power cut.
func syncDirectory(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// run runs one of Postgres's tools to its end, or ctx's, and returns what it said.
func run(ctx context.Context, as *account, dir, path string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	cmd := command(as, dir, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	ended := make(chan error, 1) // one value, sent without waiting for the reader
	started := make(chan error, 1)
	go runLocked(cmd, started, ended)
	if err := <-started; err != nil {
		return nil, err
	}
	select {
	case err := <-ended:
		return out.Bytes(), err
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-ended
		return out.Bytes(), context.Cause(ctx)
	}
}
