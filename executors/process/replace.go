package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// replace gives from the name to, in one step where the system can: what was called so is gone then.
func replace(root *os.Root, from, to string) error {
	was, err := root.Lstat(to)
	if errors.Is(err, fs.ErrNotExist) {
		return root.Rename(from, to)
	} else if err != nil {
		return err
	}
	now, err := root.Lstat(from)
	if err != nil {
		return err
	}
	if !was.IsDir() && !now.IsDir() {
		return root.Rename(from, to)
	}
	switch err := exchange(root, from, to); {
	case err == nil:
		return root.RemoveAll(from)
	case !errors.Is(err, errors.ErrUnsupported):
		return err
	}
	aside := filepath.Join(filepath.Dir(to), asidePrefix+filepath.Base(to))
	if err := root.RemoveAll(aside); err != nil {
		return err
	}
	if err := root.Rename(to, aside); err != nil {
		return err
	}
	if err := root.Rename(from, to); err != nil {
		return errors.Join(err, root.Rename(aside, to))
	}
	return root.RemoveAll(aside)
}

// restore gives back what replace had put aside when it was killed.
func restore(root *os.Root, to string) error {
	if _, err := root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return nil // where that fails, all else will, too
	}
	err := root.Rename(filepath.Join(filepath.Dir(to), asidePrefix+filepath.Base(to)), to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// asidePrefix begins the name of what is about to be replaced, where two names can't be exchanged in one step.
const asidePrefix = ".taskgrove-old-"
