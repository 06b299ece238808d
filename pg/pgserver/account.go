package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is another user, whom the server runs as. It gets that user's group and no supplementary ones.
type account struct {
	name     string
	uid, gid uint32
}

// otherAccount is who runs the server: nil, which is ourselves, unless we are root.
func otherAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: uid %q: %w", name, u.Uid, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: gid %q: %w", name, u.Gid, err)
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("postgres does not run as root, and there is neither a user postgres nor a user nobody to run it as")
}

// own gives path to the account; a nil account changes nothing.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// enters says whether the account may traverse the directory, by its owner, group and mode.
func (a *account) enters(info os.FileInfo) bool {
	if a == nil {
		return true
	}
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && stat.Uid == a.uid:
		return mode&0o100 != 0
	case ok && stat.Gid == a.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// makeReachable creates dir and its parents where missing, and sees to it that the account can get there. A directory
// that exists already gets the right to traverse it (not to list it) only below the temporary directory, where
// everything is ours and short-lived; elsewhere that is for its owner to decide.
func (a *account) makeReachable(dir string) error {
	parents := []string{}
	for p := filepath.Dir(dir); ; p = filepath.Dir(p) {
		parents = append(parents, p)
		if p == filepath.Dir(p) {
			break
		}
	}
	temp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		temp = os.TempDir()
	}
	for i := len(parents) - 1; i >= 0; i-- {
		p := parents[i]
		switch err := os.Mkdir(p, 0o755); {
		case err == nil:
			if err := os.Chmod(p, 0o755); err != nil { // whatever the umask
				return err
			}
			continue
		case !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrPermission) && !errors.Is(err, syscall.EROFS):
			return err
		}
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if a.enters(info) {
			continue
		}
		if !strings.HasPrefix(p, temp+string(filepath.Separator)) {
			return fmt.Errorf("the server runs as user %s, who can't enter %s: choose another data directory, or allow it with chmod o+x %s", a.name, p, p)
		}
		if err := os.Chmod(p, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	return nil
}
