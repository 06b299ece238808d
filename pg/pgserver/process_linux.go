package pgserver

import (
	"os"
	"path/filepath"
	"strconv"
)

// processIn finds a process whose working directory is dir: Postgres's main process and all its sessions work in their
// data directory. Zero means that there is none.
func processIn(dir string) (pid int, known bool) {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil || len(links) == 0 {
		return 0, false
	}
	for _, link := range links {
		if at, err := os.Readlink(link); err == nil && at == dir {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			return pid, true
		}
	}
	return 0, true
}
