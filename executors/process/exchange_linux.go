package process

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// exchange gives each of two entries the name of the other in one step. [errors.ErrUnsupported]: their file system can't.
func exchange(root *os.Root, one, other string) error {
	a, err := root.Open(filepath.Dir(one))
	if err != nil {
		return err
	}
	defer a.Close() //nolint:errcheck // it was only looked up
	b, err := root.Open(filepath.Dir(other))
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // it was only looked up
	err = unix.Renameat2(int(a.Fd()), filepath.Base(one), int(b.Fd()), filepath.Base(other), unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	return err
}
