//go:build unix

package config

import (
	"io/fs"
	"os"
	"syscall"
)

// trusted reports whether a file belongs to this user or to root.
func trusted(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && (owner.Uid == 0 || int(owner.Uid) == os.Geteuid())
}
