package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// home is the shared server's temporary directory. Its file "alive" is locked while its process lives.
type home struct {
	dir   string
	alive *os.File
}

// newHome makes a home, after removing those whose process has died. Test processes take turns here, so that none takes
// for dead what another has just made and not locked yet.
func newHome() (*home, error) {
	prefix := filepath.Join(os.TempDir(), fmt.Sprintf("taskgrove-pgtest-%d-", os.Geteuid()))
	turn, err := locked(prefix+"lock", syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	if err := sweep(prefix); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", filepath.Base(prefix)+"*.d")
	if err != nil {
		return nil, err
	}
	alive, err := locked(filepath.Join(dir, "alive"), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &home{dir, alive}, nil
}

// sweep removes the homes of dead processes. A server that is just ending may still write there, and a directory be
// left: the next sweep's.
func sweep(prefix string) error {
	dirs, err := filepath.Glob(prefix + "*.d")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		alive, err := locked(filepath.Join(dir, "alive"), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			continue
		case err == nil:
			alive.Close()
		}
		_ = os.RemoveAll(dir)
	}
	return nil
}

func (h *home) remove() error {
	return errors.Join(os.RemoveAll(h.dir), h.alive.Close())
}

// locked opens a file, making it where missing, and locks it as flock(2) does; closing it unlocks it.
func locked(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}
