package guardian

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/executors/guardian/internal/guard"
)

// box is a control group (v2) of one command: whatever the command starts is in it, also if it kills its guardian. Nil: none can be
// had here.
type box struct {
	path string
	dir  *os.File
}

// boxPrefix begins the names of our control groups; the worker's pid and a number follow.
const boxPrefix = "taskgrove-"

var (
	boxes     atomic.Int64
	boxParent = sync.OnceValue(func() string { // where boxes can be made; empty: nowhere
		parent := ownGroup()
		if parent == "" {
			return ""
		}
		sweepBoxes(parent)
		if err := tryBox(parent); err != nil {
			return ""
		}
		return parent
	})
)

// newBox makes a control group, or returns nil.
func newBox() *box {
	parent := boxParent()
	if parent == "" {
		return nil
	}
	b, err := makeBox(parent)
	if err != nil {
		return nil
	}
	return b
}

func makeBox(parent string) (*box, error) {
	path := filepath.Join(parent, fmt.Sprintf("%s%d-%d", boxPrefix, os.Getpid(), boxes.Add(1)))
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return &box{path, dir}, nil
}

// tryBox starts a process in a box, which ends at once. Delegation, seccomp and old kernels have many ways to forbid that.
func tryBox(parent string) error {
	b, err := makeBox(parent)
	if err != nil {
		return err
	}
	defer b.end()
	if _, err := os.Stat(filepath.Join(b.path, "cgroup.kill")); err != nil { // before Linux 5.14
		return err
	}
	trial := &exec.Cmd{Path: self, Args: []string{guard.Name}, Env: []string{}, Dir: "/", SysProcAttr: &syscall.SysProcAttr{}}
	b.hold(trial.SysProcAttr)
	err = trial.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == guard.BadArguments {
		return nil
	}
	return fmt.Errorf("a trial in a control group: %w", err)
}

// hold makes a process start in the box.
func (b *box) hold(attr *syscall.SysProcAttr) {
	if b != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(b.dir.Fd())
	}
}

// kill kills all that is in the box, whosever it is. It reports whether that was possible.
func (b *box) kill() bool {
	return b != nil && os.WriteFile(filepath.Join(b.path, "cgroup.kill"), []byte("1"), 0) == nil
}

// end kills what is left in the box, whosever it is, and removes the box. It reports whether nothing is left.
func (b *box) end() bool {
	if b == nil {
		return false
	}
	defer b.dir.Close()
	pause := time.Millisecond
	for end := time.Now().Add(pipeDelay); ; pause *= 2 {
		err := syscall.Rmdir(b.path)
		if err == nil {
			return true
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(end) {
			return false
		}
		b.kill()
		time.Sleep(pause)
	}
}

// sweepBoxes removes what workers left that were killed. A box in which something lives can't be removed.
func sweepBoxes(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, boxPrefix+"*"))
	for _, path := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), boxPrefix), "-")
		number, err := strconv.Atoi(pid)
		if err == nil && errors.Is(syscall.Kill(number, 0), syscall.ESRCH) {
			_ = syscall.Rmdir(path)
		}
	}
}

// ownGroup is the directory of this process's own control group; empty: there is no version 2 here (cgroups(7)).
func ownGroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	var group string
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::/"); ok {
			group = "/" + strings.TrimSuffix(path, "\n")
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || group == "" || strings.HasPrefix(group, "/..") {
		return ""
	}
	for line := range bytes.Lines(mounts) { // id parent device root point options... - type source options
		fields := strings.Fields(string(line))
		_, after, _ := strings.Cut(string(line), " - ")
		if len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		root, point := fields[3], fields[4]
		if below, ok := strings.CutPrefix(group, strings.TrimSuffix(root, "/")); ok {
			return filepath.Join(point, below)
		}
	}
	return ""
}
